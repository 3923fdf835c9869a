package main

import (
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

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

// secretFiles holds the files of private keys to their mode.
type secretFiles struct {
	strict bool // refuse what is open to others; else say so in the log
	log    *zap.Logger
}

// exposed is told of a private key that others than its owner may read or change.
func (s secretFiles) exposed(name string) error {
	if s.strict {
		return fmt.Errorf("%s: others than its owner may read this private key: chmod 600 it, and replace the key if they may have read it", name)
	}
	s.log.Warn("others than its owner may read a private key; chmod 600 it (environment live refuses it)", zap.String("file", name))
	return nil
}

// loadPair reads a certificate with what it needs to chain, and its key. The buffer
// of the key's file is overwritten.
func (s secretFiles) loadPair(certificate, key string) (pair tls.Certificate, err error) {
	chain, err := safefile.Read(certificate, safefile.Small, safefile.Own)
	if err != nil {
		return pair, err
	}
	private, err := safefile.Read(key, safefile.Small, safefile.Secret)
	if errors.Is(err, safefile.ErrOpenToOthers) {
		if err := s.exposed(key); err != nil {
			return pair, err
		}
		private, err = safefile.Read(key, safefile.Small, safefile.Checked)
	}
	if err != nil {
		return pair, err
	}
	defer clear(private)
	if pair, err = tls.X509KeyPair(chain, private); err != nil {
		return pair, fmt.Errorf("%s, %s: %w", certificate, key, err)
	}
	return pair, nil
}

// shortestToken is too long to be guessed: in hexadecimal, 128 bits.
const shortestToken = 32

// loadToken reads the operations token from a file that nobody else may read. The
// error never quotes it.
func loadToken(name string) (string, error) {
	text, err := safefile.Read(name, safefile.Small, safefile.Secret)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if len(token) < shortestToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s: want one line of %d printable characters or more; make it with: (umask 077; openssl rand -hex 32 >%s)",
			name, shortestToken, name)
	}
	return token, nil
}

// checkPrivate refuses a secret's file that others than its owner may read or change.
func checkPrivate(name string) error {
	f, err := safefile.Open(name, safefile.Small, safefile.Secret)
	if err != nil {
		return err
	}
	return f.Close()
}
