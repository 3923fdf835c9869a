package cli

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"safemode/servicerequests/safefile"
	"safemode/servicerequests/smki"
)

// Certificate reads one certificate from a PEM file.
func Certificate(path string) (*smki.Certificate, error) {
	text, err := safefile.Read(path, safefile.Small, safefile.Own)
	if err != nil {
		return nil, Fail(Usage, err)
	}
	c, err := smki.ParseCertificatePEM(text)
	if err != nil {
		return nil, Fail(Usage, fmt.Errorf("%s: %w", path, err))
	}
	return c, nil
}

// Key reads the private key of a certificate from a PEM file.
func Key(path string, trust safefile.Trust, c *smki.Certificate) (*ecdsa.PrivateKey, error) {
	text, err := safefile.Read(path, safefile.Small, trust)
	if err != nil {
		return nil, Fail(Usage, err)
	}
	defer clear(text)
	key, err := smki.ParsePrivateKeyPEM(text)
	if err == nil {
		err = c.CheckKey(&key.PublicKey)
	}
	if err != nil {
		return nil, Fail(Usage, fmt.Errorf("%s: %w", path, err))
	}
	return key, nil
}

// Authorities reads the certificates of those who may vouch for a TLS peer.
func Authorities(path string) (all []*x509.Certificate, err error) {
	text, err := safefile.Read(path, safefile.Small, safefile.Own)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return all, nil
}

// Pool reads them for a TLS configuration.
func Pool(path string) (*x509.CertPool, error) {
	all, err := Authorities(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range all {
		pool.AddCert(c)
	}
	return pool, nil
}
