//go:build cgo

package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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
