package main

import (
	"crypto/ecdsa"
	"fmt"

	"github.com/spf13/cobra"

	"safemode/servicerequests/safefile"
	"safemode/servicerequests/smki"
)

// loadCertificate reads one certificate from a PEM file.
func loadCertificate(name string) (*smki.Certificate, error) {
	text, err := safefile.Read(name, safefile.Small, safefile.Own)
	if err != nil {
		return nil, failWith(exitUsage, err)
	}
	cert, err := smki.ParseCertificatePEM(text)
	if err != nil {
		return nil, failWith(exitUsage, fmt.Errorf("%s: %w", name, err))
	}
	return cert, nil
}

// loadTestSigner reads certificate and key for the signing commands. These are
// no oracles: only certificates of a test PKI are taken, and only for what they
// were issued for.
func loadTestSigner(certFile, keyFile string, purpose smki.Purpose) (*smki.Certificate, *ecdsa.PrivateKey, error) {
	cert, err := loadCertificate(certFile)
	if err != nil {
		return nil, nil, err
	}
	if !cert.IsTest() {
		return nil, nil, failWith(exitRefused, fmt.Errorf(
			"%s: issued by %q, which is no test PKI: this command signs with test certificates only", certFile, cert.Issuer))
	}
	if err := cert.CheckPurpose(purpose); err != nil {
		return nil, nil, failWith(exitRefused, fmt.Errorf("%s: %w", certFile, err))
	}
	text, err := safefile.Read(keyFile, safefile.Small, safefile.Checked)
	if err != nil {
		return nil, nil, failWith(exitUsage, err)
	}
	defer clear(text)
	key, err := smki.ParsePrivateKeyPEM(text)
	if err != nil {
		return nil, nil, failWith(exitUsage, fmt.Errorf("%s: %w", keyFile, err))
	}
	if err := cert.CheckKey(&key.PublicKey); err != nil {
		return nil, nil, failWith(exitUsage, fmt.Errorf("%s: %w", keyFile, err))
	}
	return cert, key, nil
}

func addIdentityFlags(c *cobra.Command, certFile, keyFile *string) {
	c.Flags().StringVar(certFile, "cert", "", "PEM file of the certificate")
	c.Flags().StringVar(keyFile, "key", "", "PEM file of its private key (PKCS#8 or SEC 1)")
	_ = c.MarkFlagRequired("cert")
	_ = c.MarkFlagRequired("key")
}
