//go:build cgo

package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/miekg/pkcs11"
)

const (
	testPIN   = "2468"
	testLabel = "safemode"
)

// softHSM makes a token of a test's own, and says how it is opened. SoftHSM reads its
// configuration when it is initialised, so that tests with it do not run side by side.
func softHSM(t testing.TB) Options {
	t.Helper()
	module := ""
	for _, path := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/opt/homebrew/lib/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(path); err == nil {
			module = path
		}
	}
	if _, err := exec.LookPath("softhsm2-util"); err != nil || module == "" {
		t.Skip("no SoftHSM: install softhsm2")
	}
	folder := t.TempDir()
	conf := filepath.Join(folder, "softhsm2.conf")
	err := errors.Join(os.Mkdir(filepath.Join(folder, "tokens"), 0o700),
		os.WriteFile(conf, fmt.Appendf(nil, "directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n", folder), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", testLabel, "--pin", testPIN, "--so-pin", "1357").CombinedOutput()
	if err != nil {
		t.Fatalf("softhsm2-util: %v: %s", err, out)
	}
	return Options{Module: module, Token: testLabel, PIN: pin(testPIN)}
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
