//go:build cgo

package token

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/subtle"
	"errors"

	"github.com/miekg/pkcs11"

	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/keyuri"
)

// CKD_NULL, which gives the shared secret itself.
const kdfNull = pkcs11.CKD_NULL

// agreementKey is a private key in the token that agrees.
type agreementKey struct {
	t      *Token
	key    *key
	public *ecdh.PublicKey
	level  Level
	kdf    uint
	// wrapped sends points as DER OCTET STRINGs, as PKCS#11 2.20 has them. It is set before others have
	// the key.
	wrapped bool
}

// Agreement finds a key agreement key and proves, at the token's level, that it is the
// public key's, which is its certificate's. At level none nothing is looked for.
func (t *Token) Agreement(ctx context.Context, uri string, public *ecdh.PublicKey) (gbcs.Agreement, error) {
	if t.o.Agreement == None {
		return noAgreement{}, nil
	}
	a, err := t.agreement(uri, public, t.o.Agreement, t.o.KDFNumber)
	if err != nil {
		return nil, err
	}
	if err := a.chooseForm(ctx); err != nil {
		return nil, err
	}
	if a.level == Secret {
		return gbcs.NewAgreement(a.secret), nil
	}
	return a, nil
}

// agreement makes a key that is yet to be proven.
func (t *Token) agreement(uri string, public *ecdh.PublicKey, level Level, kdf uint) (*agreementKey, error) {
	u, err := keyuri.Parse(uri)
	if err != nil {
		return nil, err
	}
	if public == nil || public.Curve() != ecdh.P256() {
		return nil, fail(refused, "the certificate's key is not on P-256")
	}
	a := &agreementKey{t: t, public: public, level: level, kdf: kdf}
	a.key = &key{uri: u, prove: a.prove}
	return a, nil
}

// chooseForm proves the key, and chooses the encoding of points that the module accepts.
func (a *agreementKey) chooseForm(ctx context.Context) error {
	err := a.look(ctx)
	if e, is := errors.AsType[*Error](err); is && e.Call == "C_DeriveKey" && e.class == refused {
		other := *a
		other.wrapped = true
		other.key = &key{uri: a.key.uri, prove: other.prove}
		if other.look(ctx) == nil {
			a.wrapped, err = true, nil
		}
	}
	if err == nil {
		a.key.proven = true
	}
	return err
}

// look finds the key and thereby proves it.
func (a *agreementKey) look(ctx context.Context) error {
	_, err := do(ctx, a.t, func(_ context.Context, s *session) (struct{}, error) {
		_, err := a.t.find(s, a.key)
		return struct{}{}, err
	})
	return err
}

// proofInfo is what the proof derives a key for; no message has it.
var proofInfo = gbcs.KeyInfo{Mode: 1, Originator: 1, Counter: 1, Target: 2}

// prove derives with a throwaway key, in the module and here, and compares.
func (a *agreementKey) prove(s *session, handle pkcs11.ObjectHandle) error {
	throwaway, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return fail(away, "%w", err)
	}
	z, err := gbcs.SharedSecret(throwaway, a.public)
	if err != nil {
		return fail(refused, "%w", err)
	}
	want := z[:]
	if a.level == KDF {
		key := gbcs.DeriveKeyFromSecret(z, proofInfo.Mode, proofInfo.Originator, proofInfo.Counter, proofInfo.Target)
		want = key[:]
	}
	got, err := a.derive(s, handle, throwaway.PublicKey(), proofInfo)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return fail(mismatched, "%s derives another key than the certificate's: it is not its private key, or the module's KDF is not GBCS's", a.key.uri)
	}
	return nil
}

// secret is what level secret gives to GBCS.
func (a *agreementKey) secret(device *ecdh.PublicKey) (z [32]byte, err error) {
	got, err := a.ask(context.Background(), device, gbcs.KeyInfo{})
	copy(z[:], got)
	clear(got)
	return z, err
}

// DeriveKey implements [gbcs.Agreement] at level kdf.
func (a *agreementKey) DeriveKey(ctx context.Context, device *ecdh.PublicKey, info gbcs.KeyInfo) (key [16]byte, err error) {
	got, err := a.ask(ctx, device, info)
	copy(key[:], got)
	clear(got)
	return key, err
}

func (a *agreementKey) ask(ctx context.Context, device *ecdh.PublicKey, info gbcs.KeyInfo) ([]byte, error) {
	if device == nil || device.Curve() != ecdh.P256() {
		return nil, fail(refused, "the device's key is not on P-256")
	}
	return do(ctx, a.t, func(_ context.Context, s *session) ([]byte, error) {
		handle, err := a.t.find(s, a.key)
		if err != nil {
			return nil, err
		}
		return a.derive(s, handle, device, info)
	})
}

// derive has the module derive, reads the value and destroys the object. The template has
// nothing of encryption: nCipher refuses that of a generic secret.
func (a *agreementKey) derive(s *session, handle pkcs11.ObjectHandle, peer *ecdh.PublicKey, info gbcs.KeyInfo) ([]byte, error) {
	kind, length := uint(pkcs11.CKK_GENERIC_SECRET), 32
	p := pkcs11.ECDH1DeriveParams{KDF: kdfNull, PublicKeyData: peer.Bytes()}
	if a.level == KDF {
		kind, length = pkcs11.CKK_AES, 16
		other := info.OtherInfo()
		p.KDF, p.SharedData = a.kdf, other[:]
	}
	if a.wrapped {
		p.PublicKeyData = append([]byte{4, byte(len(p.PublicKeyData))}, p.PublicKeyData...)
	}
	object, err := a.t.m.Derive(s.handle, handle, p, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, kind),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, length),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, false),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true),
	})
	if err != nil {
		return nil, called("C_DeriveKey", err)
	}
	values, err := a.t.m.GetAttributeValue(s.handle, object, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
	// Left behind, it would stay in the module as long as its session.
	if gone := called("C_DestroyObject", a.t.m.DestroyObject(s.handle, object)); gone != nil && err == nil {
		return nil, gone
	}
	if err != nil {
		return nil, called("C_GetAttributeValue", err)
	}
	if len(values) != 1 || len(values[0].Value) != length {
		return nil, fail(refused, "the module shows no value of %d bytes of what it derives", length)
	}
	return values[0].Value, nil
}

// noAgreement is level none.
type noAgreement struct{}

// DeriveKey implements [gbcs.Agreement].
func (noAgreement) DeriveKey(context.Context, *ecdh.PublicKey, gbcs.KeyInfo) (key [16]byte, err error) {
	return key, gbcs.ErrNotCheckable
}
