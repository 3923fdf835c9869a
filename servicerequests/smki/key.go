package smki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// ErrKey marks bytes that are not a P-256 private key.
var ErrKey = errors.New("not a P-256 private key")

// ParsePrivateKeyPEM reads a PEM file that holds exactly one private key on
// P-256, as PKCS#8 or as SEC 1. Errors wrap [ErrKey] and never quote the file.
func ParsePrivateKeyPEM(text []byte) (*ecdsa.PrivateKey, error) {
	der, err := onePEMBlock(text, "PRIVATE KEY", "EC PRIVATE KEY")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return onP256(key)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: neither PKCS#8 nor SEC 1", ErrKey)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: it is a %T", ErrKey, parsed)
	}
	return onP256(key)
}

func onP256(key *ecdsa.PrivateKey) (*ecdsa.PrivateKey, error) {
	if key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: it is on %s", ErrKey, key.Params().Name)
	}
	return key, nil
}

func marshalPrivateKeyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// DeriveTestKey makes the test key that belongs to seed and label: HKDF over
// SHA-256, label and a try number as info. Whoever knows the seed has the key.
func DeriveTestKey(seed []byte, label string) (*ecdsa.PrivateKey, error) {
	const tries = 4 // one try fails once in 2^32
	var err error
	for try := range tries {
		var scalar []byte
		scalar, err = hkdf.Key(sha256.New, seed, nil, fmt.Sprintf("%s %s %d", TestMarker, label, try), 32)
		if err != nil {
			return nil, err
		}
		var key *ecdsa.PrivateKey
		if key, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar); err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("derive test key %q: %w", label, err)
}
