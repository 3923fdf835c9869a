package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"

	"safemode/servicerequests/smki"
)

// errKeyFile marks what no P-256 private key can be read from.
var errKeyFile = errors.New("not a private key that can be imported")

// errPassword says that a key file needs a password, or another one.
var errPassword = errors.New("the password is missing or wrong")

// ReadKey reads the one private key of a file: PEM with SEC 1, PKCS#8 or encrypted PKCS#8
// (PBES2), or PKCS#12. The password is for the last two. Errors wrap [errKeyFile] and
// never quote the file.
func ReadKey(text, password []byte) (*ecdsa.PrivateKey, error) {
	if !bytes.Contains(text, []byte("-----BEGIN ")) {
		return readPKCS12(text, password)
	}
	// ENCRYPTED PRIVATE KEY may stand alone; everything else is smki's to judge.
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "ENCRYPTED PRIVATE KEY" {
		if bytes.Contains(text, []byte("Proc-Type: 4,ENCRYPTED")) {
			return nil, fmt.Errorf("%w: it is encrypted in OpenSSL's old way; make it PKCS#8 with: openssl pkcs8 -topk8 -in OLD -out NEW", errKeyFile)
		}
		key, err := smki.ParsePrivateKeyPEM(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errKeyFile, err)
		}
		return key, nil
	}
	defer clear(block.Bytes)
	if len(bytes.TrimSpace(rest)) > 0 || len(block.Headers) > 0 {
		return nil, fmt.Errorf("%w: there is more in the file than one encrypted key", errKeyFile)
	}
	if len(password) == 0 {
		return nil, fmt.Errorf("%w: %w", errKeyFile, errPassword)
	}
	key, err := pkcs8.ParsePKCS8PrivateKeyECDSA(block.Bytes, password)
	if err != nil {
		return nil, fmt.Errorf("%w: %w: %w", errKeyFile, errPassword, err)
	}
	return onP256(key)
}

// readPKCS12 reads the key only: Go's crypto/x509, and with it DecodeChain, cannot read
// SMKI's organisation certificates.
func readPKCS12(der, password []byte) (*ecdsa.PrivateKey, error) {
	blocks, err := pkcs12.ToPEM(der, string(password)) //nolint:staticcheck // the way that parses no certificate; its misnamed PEM is not kept
	defer func() {
		for _, block := range blocks {
			clear(block.Bytes)
		}
	}()
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return nil, fmt.Errorf("%w: %w", errKeyFile, errPassword)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: neither PEM nor PKCS#12: %w", errKeyFile, err)
	}
	var key *ecdsa.PrivateKey
	for _, block := range blocks {
		if block.Type != "PRIVATE KEY" {
			continue
		}
		if key != nil {
			return nil, fmt.Errorf("%w: it holds several", errKeyFile)
		}
		if key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
			return nil, fmt.Errorf("%w: it is no key of an elliptic curve", errKeyFile)
		}
	}
	if key == nil {
		return nil, fmt.Errorf("%w: it holds none", errKeyFile)
	}
	return onP256(key)
}

func onP256(key *ecdsa.PrivateKey) (*ecdsa.PrivateKey, error) {
	if key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: it is on %s: want P-256", errKeyFile, key.Params().Name)
	}
	return key, nil
}
