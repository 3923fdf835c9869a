package main

import (
	"crypto/ecdsa"
	"fmt"

	"github.com/spf13/cobra"

	"safemode/cmd/cli"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/smki"
)

// loadTestSigner reads certificate and key for the signing commands. These are
// no oracles: only certificates of a test PKI are taken, and only for what they
// were issued for.
func loadTestSigner(certFile, keyFile string, purpose smki.Purpose) (*smki.Certificate, *ecdsa.PrivateKey, error) {
	cert, err := cli.Certificate(certFile)
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
	key, err := cli.Key(keyFile, safefile.Checked, cert)
	return cert, key, err
}

// loadPerson reads a person's certificate and key. The key is a secret of theirs.
func loadPerson(certFile, keyFile string) (*smki.Certificate, *ecdsa.PrivateKey, error) {
	cert, err := cli.Certificate(certFile)
	if err != nil {
		return nil, nil, err
	}
	if err := cert.CheckPurpose(smki.Approves); err != nil {
		return nil, nil, failWith(exitRefused, fmt.Errorf("%s: %w", certFile, err))
	}
	key, err := cli.Key(keyFile, safefile.Secret, cert)
	return cert, key, err
}

func addIdentityFlags(c *cobra.Command, certFile, keyFile *string) {
	c.Flags().StringVar(certFile, "cert", "", "PEM file of the certificate")
	c.Flags().StringVar(keyFile, "key", "", "PEM file of its private key (PKCS#8 or SEC 1)")
	required(c, "cert", "key")
}
