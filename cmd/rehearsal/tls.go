package rehearsal

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"

	"safemode/servicerequests/smki"
)

// A test folder also has, in tls/, the certificates of both sides of mutual TLS, in
// place of the DCCKI's, which have no public profile. They are for the loopback
// addresses, and last as long as the others.
const (
	TLSAuthority = "tls/authority"
	TLSDCC       = "tls/dcc"
	TLSUser      = "tls/user"

	// The common names, as inbox.tls.allowed_names has them.
	TLSDCCName  = "dcc.test"
	tlsUserName = "user.test"
)

// addTLS adds the TLS certificates of a test folder. With a seed, the same seed makes
// the same files.
func addTLS(files map[string][]byte, t smki.TestFolder) error {
	if t.NotBefore.IsZero() {
		t.NotBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	authority := x509.Certificate{
		Subject: pkix.Name{CommonName: smki.TestMarker + " TLS"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	authorityKey, err := issueTLS(files, t, TLSAuthority, &authority, nil, nil)
	if err != nil {
		return err
	}
	for name, commonName := range map[string]string{TLSDCC: TLSDCCName, TLSUser: tlsUserName} {
		_, err := issueTLS(files, t, name, &x509.Certificate{
			Subject:  pkix.Name{CommonName: commonName},
			DNSNames: []string{commonName, "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
			KeyUsage: x509.KeyUsageDigitalSignature,
			// Each is a server to the other, and its client.
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}, &authority, authorityKey)
		if err != nil {
			return err
		}
	}
	return nil
}

// issueTLS adds a certificate and its key; without an issuer it signs itself.
func issueTLS(files map[string][]byte, t smki.TestFolder, name string, c, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, error) {
	var key *ecdsa.PrivateKey
	var err error
	if t.Seed == nil {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		key, err = smki.DeriveTestKey(t.Seed, name)
	}
	if err != nil {
		return nil, err
	}
	if issuer == nil {
		issuer, issuerKey = c, key
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(public)
	c.SerialNumber = new(big.Int).SetBytes(sum[:8])
	c.SubjectKeyId, c.AuthorityKeyId = sum[:20], issuer.SubjectKeyId
	c.NotBefore, c.NotAfter = t.NotBefore, t.NotBefore.AddDate(10, 0, 0).Add(-time.Second)
	der, err := x509.CreateCertificate(nil, c, issuer, &key.PublicKey, issuerKey) // without chance, so that a seed decides
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	files[name+".pem"] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	files[name+".key"] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return key, nil
}
