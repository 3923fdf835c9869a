package smki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// ErrRevocationList marks bytes that are no certificate revocation list of an
// authority that is trusted.
var ErrRevocationList = errors.New("not a revocation list")

// ErrRevoked marks a certificate that its issuer has revoked.
var ErrRevoked = errors.New("certificate is revoked")

// RevocationList is a certificate revocation list (RFC 5280 section 5) with a verified
// signature.
type RevocationList struct {
	Issuer     string   // RFC 2253; of the SMKI's as Java writes it
	Number     *big.Int // RFC 5280 section 5.2.3: each list of an issuer has a higher one; nil: it does not say
	ThisUpdate time.Time
	NextUpdate time.Time         // zero: it does not say
	Key        [sha256.Size]byte // of the public key that verified the signature, as SubjectPublicKeyInfo
	SHA256     [sha256.Size]byte // of the list in DER

	// Partial says why the list says nothing about certificates that it does not name: it has
	// a critical extension, such as an issuing distribution point, that may limit its scope to
	// any part (RFC 5280, 5.2). Empty: a certificate that is not on it was not revoked.
	Partial string

	revoked map[string]time.Time // by serial in decimal
}

// ParseRevocationList reads one list, in PEM or DER, that one of the authorities
// signed. Errors wrap [ErrRevocationList].
func ParseRevocationList(b []byte, authorities []*Certificate) (*RevocationList, error) {
	list, r, err := parseRevocationList(b)
	if err != nil {
		return nil, err
	}
	issuer, err := parseName(list.RawIssuer)
	if err != nil {
		return nil, fmt.Errorf("%w: issuer: %w", ErrRevocationList, err)
	}
	r.Issuer = issuer.text
	if list.SignatureAlgorithm != x509.ECDSAWithSHA256 {
		return nil, fmt.Errorf("%w: signature algorithm is not ecdsa-with-SHA256", ErrRevocationList)
	}
	digest := sha256.Sum256(list.RawTBSRevocationList)
	for _, a := range authorities {
		if a.Usage == CertSign && a.Subject == r.Issuer && ecdsa.VerifyASN1(a.PublicKey, digest[:], list.Signature) {
			key, err := x509.MarshalPKIXPublicKey(a.PublicKey)
			r.Key = sha256.Sum256(key)
			return r, err
		}
	}
	return nil, fmt.Errorf("%w: issuer %q is not among the authorities, or has not signed it", ErrRevocationList, r.Issuer)
}

// ParseTLSRevocationList is [ParseRevocationList] for the authorities of TLS peers, which
// are not the SMKI's. They must be authorities that may sign lists (keyUsage cRLSign).
func ParseTLSRevocationList(b []byte, authorities []*x509.Certificate) (*RevocationList, error) {
	list, r, err := parseRevocationList(b)
	if err != nil {
		return nil, err
	}
	for _, a := range authorities {
		if bytes.Equal(a.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(a) == nil {
			r.Key = sha256.Sum256(a.RawSubjectPublicKeyInfo)
			return r, nil
		}
	}
	return nil, fmt.Errorf("%w: issuer %q is not among the authorities, or has not signed it", ErrRevocationList, r.Issuer)
}

// parseRevocationList reads a list. Its signature must still be checked with the issuer's key.
func parseRevocationList(b []byte) (*x509.RevocationList, *RevocationList, error) {
	if block, _ := pem.Decode(b); block != nil {
		der, err := onePEMBlock(b, "X509 CRL")
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrRevocationList, err)
		}
		b = der
	}
	list, err := x509.ParseRevocationList(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrRevocationList, err)
	}
	r := &RevocationList{
		Issuer: list.Issuer.String(), Number: list.Number, ThisUpdate: list.ThisUpdate, NextUpdate: list.NextUpdate,
		SHA256: sha256.Sum256(b), revoked: map[string]time.Time{},
	}
	for _, e := range list.Extensions {
		if e.Critical {
			r.Partial = fmt.Sprintf("critical extension %v", e.Id)
		}
	}
	for _, entry := range list.RevokedCertificateEntries {
		for _, e := range entry.Extensions {
			if e.Critical { // such as certificateIssuer: the entry may be another authority's
				r.Partial = fmt.Sprintf("critical extension %v of an entry", e.Id)
			}
		}
		r.revoked[entry.SerialNumber.String()] = entry.RevocationTime
	}
	return list, r, nil
}

// Check says whether a certificate of the list's issuer is on it. The error wraps
// [ErrRevoked].
func (r *RevocationList) Check(c *Certificate) error {
	at, listed := r.revoked[c.SerialText()]
	if !listed || c.Issuer != r.Issuer {
		return nil
	}
	return fmt.Errorf("%w: serial %s of %s, since %s", ErrRevoked, c.SerialText(), c.Issuer, at.UTC().Format(time.RFC3339))
}

// IsOf says whether the list is of the authority that has issued a TLS peer's certificate.
func (r *RevocationList) IsOf(issuer *x509.Certificate) bool {
	return r.Key == sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
}

// CheckTLS says whether a certificate of the list's issuer is on it, which the caller has
// asked [RevocationList.IsOf] about. The error wraps [ErrRevoked].
func (r *RevocationList) CheckTLS(c *x509.Certificate) error {
	at, listed := r.revoked[c.SerialNumber.String()]
	if !listed {
		return nil
	}
	return fmt.Errorf("%w: serial %s of %s, since %s", ErrRevoked, c.SerialNumber, r.Issuer, at.UTC().Format(time.RFC3339))
}

// Revoke makes a revocation list in PEM that names certificates of this authority.
func (a *Authority) Revoke(number int64, thisUpdate, nextUpdate time.Time, certificates ...*Certificate) ([]byte, error) {
	template := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: thisUpdate, NextUpdate: nextUpdate}
	for _, c := range certificates {
		if c.Issuer != a.Certificate.Subject {
			return nil, fmt.Errorf("certificate %s is issued by %q, not by %q", c.SerialText(), c.Issuer, a.Certificate.Subject)
		}
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.Serial, RevocationTime: thisUpdate})
	}
	issuer := &x509.Certificate{
		RawSubject: a.Certificate.subjectDER, SubjectKeyId: a.Certificate.SubjectKeyID, KeyUsage: x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, issuer, a.Key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), nil
}
