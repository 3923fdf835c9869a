package smki

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
)

// ErrKey marks bytes that are not a P-256 private key.
var ErrKey = errors.New("not a P-256 private key")

// ParsePrivateKeyPEM reads a PEM file that holds exactly one private key on
// P-256, as PKCS#8 or as SEC 1. Errors wrap [ErrKey] and never quote the file. Its
// own copy of the key's encoding is overwritten with zeros; text is the caller's.
func ParsePrivateKeyPEM(text []byte) (*ecdsa.PrivateKey, error) {
	der, err := onePEMBlock(text, "PRIVATE KEY", "EC PRIVATE KEY")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	defer clear(der)
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

// sealed is a signing key that does not show itself: whatever formats, logs or
// marshals it, or a struct that holds it, gets the words of redacted.
type sealed struct{ key *ecdsa.PrivateKey }

const redacted = "[private key]"

// Public returns the public key, an [*ecdsa.PublicKey].
func (s sealed) Public() crypto.PublicKey { return s.key.Public() }

// Sign signs a digest; the signature is ASN.1 DER.
func (s sealed) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return s.key.Sign(random, digest, o)
}

// Format writes the same for every verb.
func (sealed) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText is what JSON and XML get.
func (sealed) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format writes the certificate's subject, whatever the verb: fmt follows a pointer
// to a key where the verb does not fit, and writes its bytes.
func (a AgreementIdentity) Format(f fmt.State, _ rune) {
	subject := ""
	if a.Certificate != nil {
		subject = a.Certificate.Subject
	}
	_, _ = fmt.Fprintf(f, "{%s %s}", subject, redacted)
}

func marshalPrivateKeyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// DeriveTestKey makes the test key that belongs to seed and label: HKDF over
// SHA-256, label and a try number as info. Everybody who knows the seed has the key.
func DeriveTestKey(seed []byte, label string) (*ecdsa.PrivateKey, error) {
	return derive(seed, label, func(scalar []byte) (*ecdsa.PrivateKey, error) {
		return ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	})
}

// DeriveTestAgreementKey is DeriveTestKey for a key that agrees and never signs.
func DeriveTestAgreementKey(seed []byte, label string) (*ecdh.PrivateKey, error) {
	return derive(seed, label, ecdh.P256().NewPrivateKey)
}

// derive makes the scalar of a key, which parse may refuse.
func derive[K any](seed []byte, label string, parse func(scalar []byte) (K, error)) (key K, err error) {
	const tries = 4 // one try fails once in 2^32
	for try := range tries {
		var scalar []byte
		scalar, err = hkdf.Key(sha256.New, seed, nil, fmt.Sprintf("%s %s %d", TestMarker, label, try), 32)
		if err != nil {
			return key, err
		}
		if key, err = parse(scalar); err == nil {
			return key, nil
		}
	}
	return key, fmt.Errorf("derive test key %q: %w", label, err)
}
