package smki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
)

// ErrChain marks a certificate that does not lead to a trusted root.
var ErrChain = errors.New("certificate does not chain to a trusted root")

// CheckSignatureFrom says whether issuer is an authority, is the one that the
// certificate names, and has signed it. Errors wrap [ErrChain].
func (c *Certificate) CheckSignatureFrom(issuer *Certificate) error {
	switch {
	case issuer.Usage != CertSign:
		return fmt.Errorf("%w: %q is no authority", ErrChain, issuer.Subject)
	case c.Issuer != issuer.Subject:
		return fmt.Errorf("%w: issued by %q, not by %q", ErrChain, c.Issuer, issuer.Subject)
	case c.AuthorityKeyID != nil && !bytes.Equal(c.AuthorityKeyID, issuer.SubjectKeyID):
		return fmt.Errorf("%w: names another key of %q", ErrChain, issuer.Subject)
	}
	digest := sha256.Sum256(c.tbs)
	if !ecdsa.VerifyASN1(issuer.PublicKey, digest[:], c.signature) {
		return fmt.Errorf("%w: signature by %q is wrong", ErrChain, issuer.Subject)
	}
	return nil
}

// VerifyChain follows the issuers through authorities up to a self-signed one
// among them, checking every signature. Members of authorities are trusted
// because the caller chose them; validity in time is not looked at.
func (c *Certificate) VerifyChain(authorities []*Certificate) error {
	at := c
	for range len(authorities) + 1 { // a longer path would be a circle
		issuer, err := at.findIssuer(authorities)
		if err != nil {
			return err
		}
		if issuer.Issuer == issuer.Subject {
			return issuer.CheckSignatureFrom(issuer)
		}
		at = issuer
	}
	return fmt.Errorf("%w: the issuers of %q go round in a circle", ErrChain, c.Subject)
}

// Trusted are authorities with chains that have been verified already, so that a certificate
// that they have issued costs one signature check and not one for each link.
// It is made by [Trust] and safe for concurrent use.
type Trusted struct {
	all    []*Certificate
	rooted []*Certificate // those of all that lead to a self-signed one among them
}

// Trust follows the chains of authorities that the caller has chosen to trust.
func Trust(authorities []*Certificate) Trusted {
	t := Trusted{all: authorities}
	for _, a := range authorities {
		if a.VerifyChain(authorities) == nil {
			t.rooted = append(t.rooted, a)
		}
	}
	return t
}

// Verify says whether one of the authorities has issued the certificate and leads
// to a root. It is [Certificate.VerifyChain] for less work.
func (t Trusted) Verify(c *Certificate) error {
	if _, err := c.findIssuer(t.rooted); err == nil {
		return nil
	}
	return c.VerifyChain(t.all) // for its reason
}

func (c *Certificate) findIssuer(authorities []*Certificate) (*Certificate, error) {
	err := fmt.Errorf("%w: issuer %q is not among the authorities", ErrChain, c.Issuer)
	for _, authority := range authorities {
		if authority.Subject != c.Issuer {
			continue
		}
		if err = c.CheckSignatureFrom(authority); err == nil {
			return authority, nil
		}
	}
	return nil, err
}

// ErrKeyMismatch marks a key that does not belong to the certificate.
var ErrKeyMismatch = errors.New("key does not match the certificate")

// CheckKey says whether public (*ecdsa.PublicKey or *ecdh.PublicKey) is the
// certificate's. The error wraps [ErrKeyMismatch].
func (c *Certificate) CheckKey(public crypto.PublicKey) error {
	agreement, err := c.ECDH()
	if err == nil && (c.PublicKey.Equal(public) || agreement.Equal(public)) {
		return nil
	}
	return ErrKeyMismatch
}
