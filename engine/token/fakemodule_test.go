//go:build cgo

package token

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/miekg/pkcs11"
)

// fake is a module in memory that can do what hardware can, and fails as hardware does.
type fake struct {
	t testing.TB

	mu       sync.Mutex
	key      *ecdsa.PrivateKey // the only one: it signs and agrees
	kdf      uint              // the number of its one-step KDF; 0: none
	null     bool              // it gives secrets
	wrapped  bool              // it wants points as OCTET STRINGs
	loggedIn bool
	next     pkcs11.SessionHandle
	sessions map[pkcs11.SessionHandle]bool // open; true: in a call
	derived  map[pkcs11.ObjectHandle][]byte
	logins   int
	signed   []pkcs11.SessionHandle  // with which sessions
	fault    func(call string) error // before anything is done
	after    func(call string) error // after it was done
}

const fakeKey = pkcs11.ObjectHandle(7)

func newFake(t testing.TB) *fake {
	return &fake{t: t, key: newKey(t), kdf: 0x80000014, null: true, sessions: map[pkcs11.SessionHandle]bool{}, derived: map[pkcs11.ObjectHandle][]byte{}}
}

func fakeOptions() Options {
	o := Options{Module: "/fake.so", Token: testLabel, PIN: pin(testPIN), Sessions: 3}
	if err := o.complete(); err != nil {
		panic(err)
	}
	return o
}

func (f *fake) opened(change func(*Options)) (*Token, error) {
	o := fakeOptions()
	if change != nil {
		change(&o)
	}
	return open(context.Background(), o, f)
}

// fakeSigner makes a module with an open token and a signer by its key.
func fakeSigner(t *testing.T, change func(*Options)) (*fake, *Token, *SigningKey) {
	t.Helper()
	f := newFake(t)
	token, err := f.opened(change)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := token.Signer(t.Context(), "pkcs11:object=k", &f.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return f, token, signer
}

// call does something with a session, and wants nobody else in it.
func (f *fake) call(name string, s pkcs11.SessionHandle, do func() error) error {
	f.mu.Lock()
	fault, after := f.fault, f.after
	f.mu.Unlock()
	if fault != nil {
		if err := fault(name); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s != 0 {
		busy, open := f.sessions[s]
		if !open {
			return pkcs11.Error(pkcs11.CKR_SESSION_HANDLE_INVALID)
		}
		if busy {
			f.t.Errorf("%s: session %d is used by two at once", name, s)
		}
		f.sessions[s] = true
		f.mu.Unlock()
		time.Sleep(time.Microsecond)
		f.mu.Lock()
		if _, open := f.sessions[s]; open {
			f.sessions[s] = false
		}
	}
	if err := do(); err != nil {
		return err
	}
	if after != nil {
		return after(name)
	}
	return nil
}

// lose ends all sessions and the login; with restart, handles are given out again.
func (f *fake) lose(restart bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sessions, f.loggedIn = map[pkcs11.SessionHandle]bool{}, false
	if restart {
		f.next = 0
	}
}

func (f *fake) fail(fault func(string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func (f *fake) Initialize() error             { return f.call("C_Initialize", 0, func() error { return nil }) }
func (f *fake) Finalize() error               { return nil }
func (f *fake) GetInfo() (pkcs11.Info, error) { return pkcs11.Info{ManufacturerID: "fake"}, nil }
func (f *fake) GetSlotList(bool) (list []uint, err error) {
	return []uint{3}, f.call("C_GetSlotList", 0, func() error { return nil })
}

func (f *fake) GetTokenInfo(uint) (pkcs11.TokenInfo, error) {
	return pkcs11.TokenInfo{Label: testLabel + "    "}, nil
}

func (f *fake) GetMechanismList(uint) ([]*pkcs11.Mechanism, error) {
	return []*pkcs11.Mechanism{{Mechanism: pkcs11.CKM_ECDSA}, {Mechanism: pkcs11.CKM_ECDH1_DERIVE}}, nil
}

func (f *fake) OpenSession(uint, uint) (s pkcs11.SessionHandle, err error) {
	err = f.call("C_OpenSession", 0, func() error {
		f.next++
		s = f.next
		f.sessions[s] = false
		return nil
	})
	return s, err
}

func (f *fake) CloseSession(s pkcs11.SessionHandle) error {
	return f.call("C_CloseSession", s, func() error { delete(f.sessions, s); return nil })
}

func (f *fake) GetSessionInfo(s pkcs11.SessionHandle) (info pkcs11.SessionInfo, err error) {
	err = f.call("C_GetSessionInfo", s, func() error {
		if f.loggedIn {
			info.State = pkcs11.CKS_RO_USER_FUNCTIONS
		}
		return nil
	})
	return info, err
}

func (f *fake) Login(s pkcs11.SessionHandle, _ uint, text string) error {
	return f.call("C_Login", s, func() error {
		f.logins++
		if text != testPIN {
			return pkcs11.Error(pkcs11.CKR_PIN_INCORRECT)
		}
		f.loggedIn = true
		return nil
	})
}

func (f *fake) Find(s pkcs11.SessionHandle, _ []*pkcs11.Attribute, _ int) (found []pkcs11.ObjectHandle, err error) {
	err = f.call("C_FindObjects", s, func() error {
		if f.loggedIn && f.key != nil {
			found = []pkcs11.ObjectHandle{fakeKey}
		}
		return nil
	})
	return found, err
}

func (f *fake) GetAttributeValue(s pkcs11.SessionHandle, o pkcs11.ObjectHandle, a []*pkcs11.Attribute) (out []*pkcs11.Attribute, err error) {
	err = f.call("C_GetAttributeValue", s, func() error {
		for _, one := range a {
			value := []byte{1}
			if one.Type == pkcs11.CKA_VALUE {
				value = bytes.Clone(f.derived[o])
			}
			if one.Type == pkcs11.CKA_EXTRACTABLE {
				value = []byte{0}
			}
			out = append(out, &pkcs11.Attribute{Type: one.Type, Value: value})
		}
		return nil
	})
	return out, err
}

func (f *fake) CreateObject(pkcs11.SessionHandle, []*pkcs11.Attribute) (pkcs11.ObjectHandle, error) {
	return 0, pkcs11.Error(pkcs11.CKR_ATTRIBUTE_VALUE_INVALID) // FIPS mode
}

func (f *fake) DestroyObject(s pkcs11.SessionHandle, o pkcs11.ObjectHandle) error {
	return f.call("C_DestroyObject", s, func() error { delete(f.derived, o); return nil })
}

func (f *fake) Sign(s pkcs11.SessionHandle, _ pkcs11.ObjectHandle, digest []byte) (raw []byte, err error) {
	err = f.call("C_Sign", s, func() error {
		f.signed = append(f.signed, s)
		r, s, err := ecdsa.Sign(rand.Reader, f.key, digest)
		if err != nil {
			return err
		}
		raw = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		return nil
	})
	return raw, err
}

func (f *fake) Derive(s pkcs11.SessionHandle, _ pkcs11.ObjectHandle, p pkcs11.ECDH1DeriveParams, template []*pkcs11.Attribute) (o pkcs11.ObjectHandle, err error) {
	err = f.call("C_DeriveKey", s, func() error {
		point := p.PublicKeyData
		if f.wrapped {
			if len(point) != 67 {
				return pkcs11.Error(pkcs11.CKR_MECHANISM_PARAM_INVALID)
			}
			point = point[2:]
		}
		peer, err := ecdh.P256().NewPublicKey(point)
		if err != nil {
			return pkcs11.Error(pkcs11.CKR_MECHANISM_PARAM_INVALID)
		}
		private, err := f.key.ECDH()
		if err != nil {
			return err
		}
		z, err := private.ECDH(peer)
		if err != nil {
			return err
		}
		switch {
		case p.KDF == pkcs11.CKD_NULL && f.null && len(p.SharedData) == 0:
		case p.KDF == pkcs11.CKD_SHA256_KDF: // X9.63: the counter comes after the secret
			sum := sha256.Sum256(append(append(z, 0, 0, 0, 1), p.SharedData...))
			z = sum[:]
		case p.KDF == f.kdf && f.kdf != 0:
			sum := sha256.Sum256(append(append([]byte{0, 0, 0, 1}, z...), p.SharedData...))
			z = sum[:]
		default:
			return pkcs11.Error(pkcs11.CKR_MECHANISM_PARAM_INVALID)
		}
		for _, a := range template {
			if a.Type == pkcs11.CKA_VALUE_LEN {
				z = z[:binary.NativeEndian.Uint64(a.Value)]
			}
		}
		o = pkcs11.ObjectHandle(1000 + len(f.derived))
		for f.derived[o] != nil {
			o++
		}
		f.derived[o] = z
		return nil
	})
	return o, err
}

// times fails so many calls of a name with a code.
func times(n int, call string, code uint) func(string) error {
	var mu sync.Mutex
	return func(name string) error {
		mu.Lock()
		defer mu.Unlock()
		if name != call || n == 0 {
			return nil
		}
		n--
		return pkcs11.Error(code)
	}
}
