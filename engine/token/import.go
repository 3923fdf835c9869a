//go:build cgo

package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"

	"safemode/servicerequests/keyuri"
)

// errExists says that a private key of that label or id is in the token already.
var errExists = errors.New("a private key of that label or id is there already, and is not overwritten")

// Use is what a key is for.
type Use uint8

// The uses.
const (
	Signs Use = iota
	Agrees
)

// Import is a key that is to be brought into a token.
type Import struct {
	URI    string // names the new key: its object is required; without an id one is made of the public key
	Key    *ecdsa.PrivateKey
	Public *ecdsa.PublicKey // of the certificate
	Use    Use
}

// p256 is the OID of P-256 in DER, as CKA_EC_PARAMS has it.
var p256 = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}

// Import writes a key into the token: sensitive, not extractable, and for one use. It proves
// before and after that the key is the certificate's, and removes a key that fails. It returns
// the URI by which the key is found.
func (t *Token) Import(ctx context.Context, i Import) (string, error) {
	u, err := keyuri.Parse(i.URI)
	if err != nil {
		return "", err
	}
	if u.Object == "" {
		return "", fail(refused, "%s has no object: a new key needs a label", i.URI)
	}
	if i.Key == nil || i.Public == nil || !i.Key.PublicKey.Equal(i.Public) {
		return "", fail(refused, "the private key is not the certificate's")
	}
	if len(u.ID) == 0 {
		point, err := i.Public.Bytes()
		if err != nil {
			return "", fail(refused, "%w", err)
		}
		sum := sha256.Sum256(point)
		u.ID = sum[:20] // RFC 7093, method 1
	}
	_, err = do(ctx, t, func(_ context.Context, s *session) (struct{}, error) {
		t.importing.Lock()
		defer t.importing.Unlock()
		return struct{}{}, t.create(s, u, i)
	})
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// create writes a key if there is none in its place. Once it has begun to write it does not
// try again, because a failure does not say whether the key was written.
func (t *Token) create(s *session, u keyuri.URI, i Import) error {
	if err := t.holds(u); err != nil {
		return err
	}
	if err := t.checkVacant(s, u, 0); err != nil {
		return err
	}
	secret, err := i.Key.Bytes()
	if err != nil {
		return fail(refused, "%w", err)
	}
	defer clear(secret)
	slot, err := t.findSlot()
	if err != nil {
		return err
	}
	writing, err := t.m.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return called("C_OpenSession", err)
	}
	defer func() { _ = t.m.CloseSession(writing) }() // what was written is proven with another
	made, err := t.m.CreateObject(writing, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, i.Use == Signs),
		pkcs11.NewAttribute(pkcs11.CKA_DERIVE, i.Use == Agrees),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, u.Object),
		pkcs11.NewAttribute(pkcs11.CKA_ID, u.ID),
		pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, p256),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE, secret),
	})
	err = called("C_CreateObject", err)
	switch {
	case err != nil && classify(err) == refused:
		return fmt.Errorf("if the module takes no private key in the clear, as in FIPS mode, use its vendor's tool: %w", err)
	case err == nil:
		if err = t.proveImport(s, u, i, made); err == nil {
			return nil
		}
		if undone := t.m.DestroyObject(writing, made); undone != nil {
			err = fail(classify(err), "%w; and the key could not be taken back: %w", err, undone)
		}
	}
	if e, is := errors.AsType[*Error](err); is && !e.unavailable() {
		e.class = refused // a mismatch, too
		return err
	}
	return fail(away, "the import was broken off, look whether the key is there: %w", err)
}

// checkVacant finds private keys of a label or an id, but for one.
func (t *Token) checkVacant(s *session, u keyuri.URI, but pkcs11.ObjectHandle) error {
	for _, one := range [...]keyuri.URI{{Object: u.Object}, {ID: u.ID}} {
		found, err := t.m.Find(s.handle, template(one), 2)
		if err != nil {
			return called("C_FindObjects", err)
		}
		for _, handle := range found {
			if handle != but {
				return fail(refused, "%s: %w", one, errExists)
			}
		}
	}
	return nil
}

// proveImport uses a new key, and reads back that it cannot be taken out.
func (t *Token) proveImport(s *session, u keyuri.URI, i Import, made pkcs11.ObjectHandle) error {
	if err := t.checkVacant(s, u, made); err != nil {
		return err // somebody else has brought one in at the same time
	}
	state, err := t.attributes(s, made)
	if err != nil {
		return err
	}
	if !state.Sensitive || state.Extractable {
		return fail(refused, "the module made a key that can be taken out: %s", state)
	}
	if i.Use == Signs {
		digest := sha256.Sum256(u.ID)
		raw, err := t.m.Sign(s.handle, made, digest[:])
		if err != nil {
			return called("C_Sign", err)
		}
		_, err = (&SigningKey{t, &key{uri: u}, i.Public}).verified(digest[:], raw)
		return err
	}
	if t.o.Agreement == None {
		return nil // the module cannot show it
	}
	public, err := i.Public.ECDH()
	if err != nil {
		return fail(refused, "%w", err)
	}
	a, err := t.agreement(u.String(), public, t.o.Agreement, t.o.KDFNumber)
	if err != nil {
		return err
	}
	return a.prove(s, made)
}

// state is what a token says of a private key.
type state struct{ Sensitive, Extractable, Sign, Derive bool }

func (s state) String() string {
	word := func(is bool, yes, no string) string {
		if is {
			return yes
		}
		return no
	}
	return fmt.Sprintf("%s, %s, %s, %s",
		word(s.Sensitive, "sensitive", "NOT sensitive"), word(s.Extractable, "EXTRACTABLE", "not extractable"),
		word(s.Sign, "signs", "does not sign"), word(s.Derive, "derives", "does not derive"))
}

func (t *Token) attributes(s *session, handle pkcs11.ObjectHandle) (state, error) {
	values, err := t.m.GetAttributeValue(s.handle, handle, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, nil), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, nil),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, nil), pkcs11.NewAttribute(pkcs11.CKA_DERIVE, nil),
	})
	if err != nil {
		return state{}, called("C_GetAttributeValue", err)
	}
	is := func(i int) bool { return i < len(values) && len(values[i].Value) == 1 && values[i].Value[0] != 0 }
	return state{is(0), is(1), is(2), is(3)}, nil
}
