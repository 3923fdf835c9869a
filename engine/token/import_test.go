//go:build cgo

package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"safemode/servicerequests/keyuri"
)

func TestImport(t *testing.T) {
	o := softHSM(t)
	token := opened(t, o)
	signing, agreeing := newKey(t), newKey(t)
	public, err := agreeing.PublicKey.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	signs := imported(t, token, "digital-signing", signing, Signs)
	agrees := imported(t, token, "key-agreement", agreeing, Agrees)
	if _, err := token.Signer(t.Context(), signs, &signing.PublicKey); err != nil {
		t.Error(err)
	}
	if _, err := token.Agreement(t.Context(), agrees, public); err != nil {
		t.Error(err)
	}
	for uri, want := range map[string]state{signs: {Sensitive: true, Sign: true}, agrees: {Sensitive: true, Derive: true}} {
		u, err := keyuri.Parse(uri)
		if err != nil || len(u.ID) == 0 {
			t.Fatalf("%s: %v", uri, err)
		}
		got, err := do(t.Context(), token, func(_ context.Context, s *session) (state, error) {
			handle, err := token.find(s, &key{uri: u})
			if err != nil {
				return state{}, err
			}
			return token.attributes(s, handle)
		})
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", uri, got, err, want)
		}
	}

	u, _ := keyuri.Parse(signs)
	other := newKey(t)
	for name, i := range map[string]Import{
		"same label":          {URI: "pkcs11:object=digital-signing", Key: other, Public: &other.PublicKey},
		"same id":             {URI: "pkcs11:object=new;" + "id=" + percent(u.ID), Key: other, Public: &other.PublicKey},
		"same key":            {URI: "pkcs11:object=new", Key: signing, Public: &signing.PublicKey},
		"another certificate": {URI: "pkcs11:object=new", Key: other, Public: &signing.PublicKey},
		"no label":            {URI: "pkcs11:id=%01", Key: other, Public: &other.PublicKey},
		"another token":       {URI: "pkcs11:object=new;token=other", Key: other, Public: &other.PublicKey},
		"no key":              {URI: "pkcs11:object=new", Public: &other.PublicKey},
	} {
		_, err := token.Import(t.Context(), i)
		if !errors.Is(err, ErrRefused) || strings.HasPrefix(name, "same") != errors.Is(err, errExists) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := token.Signer(t.Context(), "pkcs11:object=new", &other.PublicKey); !errors.Is(err, ErrRefused) {
		t.Errorf("a refused import left a key: %v", err)
	}
}

func percent(id []byte) string {
	var b strings.Builder
	for _, c := range id {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

// Of imports under one label at the same time one stays.
func TestImportTwiceAtOnce(t *testing.T) {
	token := opened(t, softHSM(t))
	var done atomic.Int64
	var running sync.WaitGroup
	for range 6 {
		key := newKey(t)
		running.Go(func() {
			_, err := token.Import(t.Context(), Import{URI: "pkcs11:object=k", Key: key, Public: &key.PublicKey})
			if err == nil {
				done.Add(1)
			} else if !errors.Is(err, errExists) {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if done.Load() != 1 {
		t.Errorf("%d keys of one label, want 1", done.Load())
	}
}

// A module that takes no keys in the clear says so.
func TestImportRefusedByModule(t *testing.T) {
	f := newFake(t)
	token, err := f.opened(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer token.Close()
	f.key = nil // so that the place is free
	key := newKey(t)
	if _, err := token.Import(t.Context(), Import{URI: "pkcs11:object=k", Key: key, Public: &key.PublicKey}); !errors.Is(err, ErrRefused) ||
		!strings.Contains(err.Error(), "vendor's tool") {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	o := softHSM(t)
	token, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	signing, agreeing := newKey(t), newKey(t)
	keys := []Named{
		{"xml_signing", imported(t, token, "xml-signing", signing, Signs), &signing.PublicKey, Signs},
		{"key_agreement", imported(t, token, "key-agreement", agreeing, Agrees), &agreeing.PublicKey, Agrees},
	}
	if err := token.Close(); err != nil {
		t.Fatal(err)
	}
	text, faults := checkedText(Check(t.Context(), o, keys))
	for _, part := range []string{
		"module: ", "SoftHSM", "token: safemode", "CKM_ECDSA\n", "CKM_ECDH1_DERIVE\n",
		"xml_signing: sensitive, not extractable, signs, does not derive\n", "a signature verifies",
		"KDF 0x1 (CKD_NULL) works", "agreement: secret\n", "KDF 0x10 (CKD_SHA256_KDF_SP800 of PKCS#11 3.0) does not work: C_DeriveKey: pkcs11: 0x71",
		"signatures: ", "derivations: ", "a second with 8 at once",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("it does not say %q:\n%s", part, text)
		}
	}
	if faults != 0 || strings.Contains(text, testPIN+"\n") {
		t.Errorf("%d faults:\n%s", faults, text)
	}
	o.Agreement, o.KDFNumber = KDF, 0x10
	keys[0].Public = &agreeing.PublicKey
	if text, faults := checkedText(Check(t.Context(), o, keys)); faults != 2 || !strings.Contains(text, "what does: agreement: secret") ||
		!strings.Contains(text, "not the private key of the certificate") {
		t.Errorf("%d faults, want 2:\n%s", faults, text)
	}
	o.PIN = pin("0000")
	if text, faults := checkedText(Check(t.Context(), o, keys)); faults != 1 || !strings.Contains(text, "CKR_PIN_INCORRECT") {
		t.Errorf("%d faults, want 1:\n%s", faults, text)
	}
}

func checkedText(lines []Line) (string, int) {
	var b strings.Builder
	faults := 0
	for _, line := range lines {
		if line.Fault {
			faults++
			b.WriteString("FAULT ")
		}
		b.WriteString(line.What + ": " + line.Text + "\n")
	}
	return b.String(), faults
}

func BenchmarkToken(b *testing.B) {
	for _, sessions := range []int{1, 8} {
		o := softHSM(b)
		o.Sessions = sessions
		token, err := Open(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		w := workersOf(b, token)
		digest := sha256.Sum256([]byte("benchmark"))
		device, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		peer, err := device.PublicKey.ECDH()
		if err != nil {
			b.Fatal(err)
		}
		for name, work := range map[string]func() error{
			"Sign":   func() error { _, err := w.signer.signDigest(b.Context(), digest[:]); return err },
			"Derive": func() error { _, err := w.agreement.secret(peer); return err },
		} {
			b.Run(fmt.Sprintf("%s/sessions=%d", name, sessions), func(b *testing.B) {
				var running sync.WaitGroup
				var started atomic.Int64
				for range sessions {
					running.Go(func() {
						for started.Add(1) <= int64(b.N) {
							if err := work(); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				running.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			})
		}
		if err := token.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
