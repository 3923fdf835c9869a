//go:build cgo

package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"

	"safemode/servicerequests/keyuri"
)

// SigningKey is a private key in the token that signs. It is a [crypto.Signer], and may be
// used from many goroutines.
type SigningKey struct {
	t      *Token
	key    *key
	public *ecdsa.PublicKey
}

var _ crypto.Signer = (*SigningKey)(nil)

// Signer finds a signing key and proves that it is the public key's, which is its
// certificate's.
func (t *Token) Signer(ctx context.Context, uri string, public *ecdsa.PublicKey) (*SigningKey, error) {
	u, err := keyuri.Parse(uri)
	if err != nil {
		return nil, err
	}
	if public == nil || public.Curve != elliptic.P256() {
		return nil, fail(refused, "the certificate's key is not on P-256")
	}
	s := &SigningKey{t, &key{uri: u}, public}
	var challenge [sha256.Size]byte
	_, _ = rand.Read(challenge[:]) // never fails
	if _, err := s.signDigest(ctx, challenge[:]); err != nil {
		return nil, err
	}
	s.key.proven = true
	return s, nil
}

// Public returns the certificate's public key, an [*ecdsa.PublicKey].
func (s *SigningKey) Public() crypto.PublicKey { return s.public }

// Sign signs a SHA-256 digest; the signature is ASN.1 DER. The module has its own source of
// randomness. It takes no longer than the token's timeout.
func (s *SigningKey) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if o == nil || o.HashFunc() != crypto.SHA256 {
		return nil, fail(refused, "want a SHA-256 digest")
	}
	return s.signDigest(context.Background(), digest)
}

// signDigest is Sign with a context.
func (s *SigningKey) signDigest(ctx context.Context, digest []byte) ([]byte, error) {
	if len(digest) != sha256.Size {
		return nil, fail(refused, "a digest of %d bytes: want SHA-256's 32", len(digest))
	}
	text := [sha256.Size]byte(digest) // work may outlive the caller
	return do(ctx, s.t, func(_ context.Context, session *session) ([]byte, error) {
		handle, err := s.t.find(session, s.key)
		if err != nil {
			return nil, err
		}
		raw, err := s.t.m.Sign(session.handle, handle, text[:])
		if err != nil {
			return nil, called("C_Sign", err)
		}
		return s.verified(text[:], raw)
	})
}

// verified turns r then s into DER, and verifies what it then is.
func (s *SigningKey) verified(digest, raw []byte) ([]byte, error) {
	const half = 32
	if len(raw) != 2*half {
		return nil, fail(mismatched, "a signature of %d bytes: want %d", len(raw), 2*half)
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])})
	if err != nil {
		return nil, fail(mismatched, "%w", err)
	}
	if !ecdsa.VerifyASN1(s.public, digest, der) {
		return nil, fail(mismatched, "a signature by %s does not verify: it is not the private key of the certificate", s.key.uri)
	}
	return der, nil
}

// Format writes the key's name for every verb.
func (s *SigningKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.key.uri.String()) }
