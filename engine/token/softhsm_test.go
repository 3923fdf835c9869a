//go:build cgo

package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"sync"
	"testing"

	"github.com/miekg/pkcs11"

	"safemode/servicerequests/outside"
)

const (
	testPIN   = "2468"
	testLabel = "safemode"
)

// softHSM makes a token of a test's own, and says how it is opened.
func softHSM(t testing.TB) Options {
	t.Helper()
	token := outside.SoftHSM(t)
	return Options{Module: token.Module, Token: token.Label, PIN: pin(token.PIN)}
}

func pin(text string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return text, nil }
}

// opened opens a token, and closes it when the test ends.
func opened(t testing.TB, o Options) *Token {
	t.Helper()
	token, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := token.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return token
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// imported brings a key into a token, and returns its URI.
func imported(t testing.TB, token *Token, label string, key *ecdsa.PrivateKey, use Use) string {
	t.Helper()
	uri, err := token.Import(t.Context(), Import{URI: "pkcs11:object=" + label, Key: key, Public: &key.PublicKey, Use: use})
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

// again opens the module a second time, as something else in the process might.
func again(t testing.TB, o Options) (*pkcs11.Ctx, uint) {
	t.Helper()
	m, err := load(o.Module)
	if err != nil {
		t.Fatal(err)
	}
	ctx := m.(library).Ctx
	slots, err := ctx.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		if info, err := ctx.GetTokenInfo(slot); err == nil && info.Label == testLabel {
			return ctx, slot
		}
	}
	t.Fatal("the token is not there")
	return nil, 0
}

// guarded lets a test break the sessions of a module between two calls, and never in one:
// SoftHSM frees a session that another thread uses.
type guarded struct {
	module
	mu sync.RWMutex
}

func (g *guarded) Sign(s pkcs11.SessionHandle, k pkcs11.ObjectHandle, digest []byte) ([]byte, error) {
	ctx := g.module.(library).Ctx
	g.mu.RLock()
	err := ctx.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)}, k)
	g.mu.RUnlock() // the session may be lost here, too
	if err != nil {
		return nil, err
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	return ctx.Sign(s, digest)
}

func (g *guarded) Derive(s pkcs11.SessionHandle, k pkcs11.ObjectHandle, p pkcs11.ECDH1DeriveParams, a []*pkcs11.Attribute) (pkcs11.ObjectHandle, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.module.Derive(s, k, p, a)
}

func (g *guarded) GetAttributeValue(s pkcs11.SessionHandle, o pkcs11.ObjectHandle, a []*pkcs11.Attribute) ([]*pkcs11.Attribute, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.module.GetAttributeValue(s, o, a)
}

func (g *guarded) DestroyObject(s pkcs11.SessionHandle, o pkcs11.ObjectHandle) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.module.DestroyObject(s, o)
}

func (g *guarded) Find(s pkcs11.SessionHandle, a []*pkcs11.Attribute, n int) ([]pkcs11.ObjectHandle, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.module.Find(s, a, n)
}

func (g *guarded) OpenSession(slot, flags uint) (pkcs11.SessionHandle, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.module.OpenSession(slot, flags)
}

func (g *guarded) CloseSession(s pkcs11.SessionHandle) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.module.CloseSession(s)
}

func (g *guarded) GetSessionInfo(s pkcs11.SessionHandle) (pkcs11.SessionInfo, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.module.GetSessionInfo(s)
}

func (g *guarded) Login(s pkcs11.SessionHandle, user uint, pin string) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.module.Login(s, user, pin)
}
