package smki

import (
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

// RevocationList is a certificate revocation list (RFC 5280 section 5) whose
// signature holds.
type RevocationList struct {
	Issuer     string // RFC 2253 as Java writes it
	ThisUpdate time.Time
	NextUpdate time.Time // zero: it does not say

	// Partial says why the list tells only of those that it names: it has a critical
	// extension, such as an issuing distribution point, by which its scope may be any part
	// (RFC 5280, 5.2). Empty: who is not on it was not revoked.
	Partial string

	revoked map[string]time.Time // by serial in decimal
}

// ParseRevocationList reads one list, in PEM or DER, that one of the authorities
// signed. Errors wrap [ErrRevocationList].
func ParseRevocationList(b []byte, authorities []*Certificate) (*RevocationList, error) {
	if block, _ := pem.Decode(b); block != nil {
		der, err := onePEMBlock(b, "X509 CRL")
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRevocationList, err)
		}
		b = der
	}
	list, err := x509.ParseRevocationList(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRevocationList, err)
	}
	issuer, err := parseName(list.RawIssuer)
	if err != nil {
		return nil, fmt.Errorf("%w: issuer: %w", ErrRevocationList, err)
	}
	if list.SignatureAlgorithm != x509.ECDSAWithSHA256 {
		return nil, fmt.Errorf("%w: signature algorithm is not ecdsa-with-SHA256", ErrRevocationList)
	}
	if !signedBy(list, issuer.text, authorities) {
		return nil, fmt.Errorf("%w: issuer %q is not among the authorities, or has not signed it", ErrRevocationList, issuer.text)
	}
	r := &RevocationList{Issuer: issuer.text, ThisUpdate: list.ThisUpdate, NextUpdate: list.NextUpdate, revoked: map[string]time.Time{}}
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
	return r, nil
}

func signedBy(list *x509.RevocationList, issuer string, authorities []*Certificate) bool {
	digest := sha256.Sum256(list.RawTBSRevocationList)
	for _, a := range authorities {
		if a.Usage == CertSign && a.Subject == issuer && ecdsa.VerifyASN1(a.PublicKey, digest[:], list.Signature) {
			return true
		}
	}
	return false
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
