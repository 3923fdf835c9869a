package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"safemode/servicerequests/safefile"
)

// secretFiles holds the files of private keys to their mode.
type secretFiles struct {
	strict bool // refuse what is open to others; else say so in the log
	log    *zap.Logger
}

// exposed is called for a private key that others than its owner may read or change.
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
