//go:build cgo

package token

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/outside"
)

func TestSignature(t *testing.T) {
	token := opened(t, softHSM(t))
	key := newKey(t)
	uri := imported(t, token, "xml-signing", key, Signs)
	var signer crypto.Signer
	signer, err := token.Signer(t.Context(), uri, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("a Service Request"))
	signature, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
		t.Errorf("%x does not verify: %v", signature, err)
	}
	if !key.PublicKey.Equal(signer.Public()) {
		t.Error("another public key")
	}
	if text := fmt.Sprintf("%v %+v %d %x", signer, signer, signer, signer); strings.Contains(text, testPIN) || strings.Contains(text, "PIN") {
		t.Errorf("it shows %s", text)
	}
	if _, err := signer.Sign(rand.Reader, digest[:], crypto.SHA384); !errors.Is(err, ErrRefused) {
		t.Errorf("SHA-384: %v", err)
	}
	if _, err := signer.Sign(rand.Reader, digest[:20], crypto.SHA256); !errors.Is(err, ErrRefused) {
		t.Errorf("a short digest: %v", err)
	}
}

// The published key agreement gives the known answers of GBCS through the token.
func TestKnownAnswers(t *testing.T) {
	token := opened(t, softHSM(t))
	var content struct {
		KDF []struct {
			Mode                                                byte
			Originator, Target, CounterHex, Keys, SharedSecretZ string
			AESKey                                              string
		}
	}
	outside.Decode(t, "gbcs-crypto-kat.json", &content)
	if len(content.KDF) < 3 {
		t.Fatalf("%d known answers, want 3", len(content.KDF))
	}
	private, device := published(t)
	agreements := map[string]gbcs.Agreement{}
	for i, k := range content.KDF {
		party := map[string]string{"ACB KA with device KA": "90b3d51f30000002", "supplier KA with device KA": "90b3d51f30010000"}[k.Keys]
		a := agreements[party]
		if a == nil {
			key := private[party]
			uri := imported(t, token, "ka-"+party, key, Agrees)
			public, err := key.PublicKey.ECDH()
			if err != nil {
				t.Fatal(err)
			}
			if a, err = token.Agreement(t.Context(), uri, public); err != nil {
				t.Fatal(err)
			}
			agreements[party] = a
		}
		got, err := a.DeriveKey(t.Context(), device["00db1234567890a0"], gbcs.KeyInfo{
			Mode: gbcs.Mode(k.Mode), Originator: servicerequests.EUI(number(t, k.Originator)),
			Counter: number(t, k.CounterHex), Target: servicerequests.EUI(number(t, k.Target)),
		})
		if err != nil || hex.EncodeToString(got[:]) != k.AESKey {
			t.Errorf("answer %d: %x, %v; want %s", i, got, err, k.AESKey)
		}
	}
	if want := "6a93e360717394015df93e031218c9a6"; content.KDF[0].AESKey != want {
		t.Errorf("the first known answer is %s, want %s", content.KDF[0].AESKey, want)
	}
}

func number(t *testing.T, text string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// 32 workers sign and derive at once with 4 sessions.
func TestManyAtOnce(t *testing.T) {
	o := softHSM(t)
	o.Sessions = 4
	token := opened(t, o)
	w := workersOf(t, token)
	w.run(t, 32, func(i int) bool { return i < 25 })
}

// workers sign and derive, and check each result.
type workers struct {
	signer    *SigningKey
	agreement *agreementKey // without the memory of secrets
	public    *ecdsa.PublicKey
	agrees    *ecdh.PublicKey
}

func workersOf(t testing.TB, token *Token) *workers {
	t.Helper()
	signing, agreeing := newKey(t), newKey(t)
	w := &workers{public: &signing.PublicKey}
	var err error
	if w.signer, err = token.Signer(t.Context(), imported(t, token, "digital-signing", signing, Signs), w.public); err != nil {
		t.Fatal(err)
	}
	if w.agrees, err = agreeing.PublicKey.ECDH(); err != nil {
		t.Fatal(err)
	}
	if w.agreement, err = token.agreement(imported(t, token, "key-agreement", agreeing, Agrees), w.agrees, Secret, 0); err == nil {
		err = w.agreement.chooseForm(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// run has workers work side by side as long as more says so.
func (w *workers) run(t *testing.T, count int, more func(done int) bool) {
	t.Helper()
	var running sync.WaitGroup
	for n := range count {
		running.Go(func() {
			for i := 0; more(i); i++ {
				if err := w.once(n, i); err != nil {
					t.Errorf("worker %d: %v", n, err)
					return
				}
			}
		})
	}
	running.Wait()
}

func (w *workers) once(n, i int) error {
	if (n+i)%2 == 0 {
		digest := sha256.Sum256(fmt.Appendf(nil, "%d %d", n, i))
		signature, err := w.signer.Sign(nil, digest[:], crypto.SHA256)
		if err == nil && !ecdsa.VerifyASN1(w.public, digest[:], signature) {
			err = errors.New("a signature does not verify")
		}
		return err
	}
	device, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	got, err := w.agreement.secret(device.PublicKey())
	if err != nil {
		return err
	}
	if want, err := gbcs.SharedSecret(device, w.agrees); err != nil || got != want {
		return fmt.Errorf("another secret, %w", err)
	}
	return nil
}

// All sessions are closed, and the login is ended, in the middle of work, again and again:
// every call still gives what it should.
func TestSessionsLost(t *testing.T) {
	for name, breakIt := range map[string]func(*pkcs11.Ctx, uint) error{
		"C_CloseAllSessions": func(ctx *pkcs11.Ctx, slot uint) error { return ctx.CloseAllSessions(slot) },
		"C_Logout": func(ctx *pkcs11.Ctx, slot uint) error {
			s, err := ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
			if err != nil {
				return err
			}
			err = ctx.Logout(s)
			if errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_NOT_LOGGED_IN)) {
				err = nil
			}
			return errors.Join(err, ctx.CloseSession(s))
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := softHSM(t)
			if err := o.complete(); err != nil {
				t.Fatal(err)
			}
			m, err := load(o.Module)
			if err != nil {
				t.Fatal(err)
			}
			g := &guarded{module: m}
			token, err := open(t.Context(), o, g)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := token.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}()
			w := workersOf(t, token)
			ctx, slot := again(t, o)
			stop := make(chan struct{})
			var breaking sync.WaitGroup
			breaking.Go(func() {
				defer close(stop)
				for range 6 {
					time.Sleep(150 * time.Millisecond) // of work
					g.mu.Lock()
					if err := breakIt(ctx, slot); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					g.mu.Unlock()
				}
			})
			w.run(t, 16, func(int) bool {
				select {
				case <-stop:
					return false
				default:
					return true
				}
			})
			breaking.Wait()
			w.run(t, 16, func(i int) bool { return i < 4 })
		})
	}
}

// A second user of the module finds it initialised and the user logged in, and leaves both when
// it closes.
func TestLoggedInTwice(t *testing.T) {
	o := softHSM(t)
	first := opened(t, o)
	key := newKey(t)
	uri := imported(t, first, "k", key, Signs)
	second, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Signer(t.Context(), uri, &key.PublicKey); err != nil {
		t.Error(err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	signer, err := first.Signer(t.Context(), uri, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Signer(t.Context(), uri, &key.PublicKey); !errors.Is(err, errUnavailable) {
		t.Errorf("after Close: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := signer.signDigest(ctx, make([]byte, 32)); !errors.Is(err, context.Canceled) || !errors.Is(err, errUnavailable) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestOpenRefusals(t *testing.T) {
	good := softHSM(t)
	for name, change := range map[string]func(*Options){
		"wrong PIN":        func(o *Options) { o.PIN = pin("13579") },
		"no PIN":           func(o *Options) { o.PIN = PINFile("/nowhere/pin") },
		"no such token":    func(o *Options) { o.Token = "another" },
		"no such module":   func(o *Options) { o.Module = "/nowhere.so" },
		"not a module":     func(o *Options) { o.Module = "/etc/hostname" },
		"relative module":  func(o *Options) { o.Module = "softhsm.so" },
		"unknown level":    func(o *Options) { o.Agreement = "x963" },
		"level kdf alone":  func(o *Options) { o.Agreement = KDF },
		"negative session": func(o *Options) { o.Sessions = -1 },
	} {
		o := good
		change(&o)
		token, err := Open(t.Context(), o)
		if err == nil {
			t.Errorf("%s: opened", name)
			_ = token.Close()
			continue
		}
		if name == "wrong PIN" && (!errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "13579")) {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %v", name, err)
	}
}

func TestKeyRefusals(t *testing.T) {
	token := opened(t, softHSM(t))
	signing, agreeing, other := newKey(t), newKey(t), newKey(t)
	signs, agrees := imported(t, token, "signs", signing, Signs), imported(t, token, "agrees", agreeing, Agrees)
	for name, test := range map[string]struct {
		uri    string
		public *ecdsa.PublicKey
	}{
		"missing key":         {"pkcs11:object=none", &signing.PublicKey},
		"another certificate": {signs, &other.PublicKey},
		"another token":       {"pkcs11:object=signs;token=other", &signing.PublicKey},
		"another serial":      {"pkcs11:object=signs;serial=0", &signing.PublicKey},
		"another module":      {"pkcs11:object=signs?module-path=/x.so", &signing.PublicKey},
		"does not sign":       {agrees, &agreeing.PublicKey},
		"no certificate":      {signs, nil},
	} {
		if _, err := token.Signer(t.Context(), test.uri, test.public); !errors.Is(err, ErrRefused) || errors.Is(err, errUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, test := range map[string]struct {
		uri string
		key *ecdsa.PrivateKey
	}{"another certificate": {agrees, other}, "does not derive": {signs, signing}, "missing": {"pkcs11:object=none", agreeing}} {
		public, err := test.key.PublicKey.ECDH()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := token.Agreement(t.Context(), test.uri, public); !errors.Is(err, ErrRefused) {
			t.Errorf("agreement, %s: %v", name, err)
		}
	}
	if _, err := token.Signer(t.Context(), signs+";token="+testLabel, &signing.PublicKey); err != nil {
		t.Errorf("the token's own name: %v", err)
	}
}

func TestNoAgreement(t *testing.T) {
	o := softHSM(t)
	o.Agreement = None
	token := opened(t, o)
	a, err := token.Agreement(t.Context(), "pkcs11:object=none", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.DeriveKey(t.Context(), nil, gbcs.KeyInfo{}); !errors.Is(err, gbcs.ErrNotCheckable) {
		t.Error(err)
	}
}

// SoftHSM has no one-step KDF; that is found at the start.
func TestKDFNotSupported(t *testing.T) {
	o := softHSM(t)
	o.Agreement, o.KDFNumber = KDF, 0x10
	token := opened(t, o)
	key := newKey(t)
	_, err := token.Import(t.Context(), Import{URI: "pkcs11:object=k", Key: key, Public: &key.PublicKey, Use: Agrees})
	if !errors.Is(err, ErrRefused) {
		t.Errorf("import: %v", err)
	}
	if e, is := errors.AsType[*Error](err); !is || e.Call != "C_DeriveKey" || e.unavailable() {
		t.Errorf("%#v", err)
	}
}

// published are the private keys that agree of the published test set, and the public ones.
func published(t *testing.T) (map[string]*ecdsa.PrivateKey, map[string]*ecdh.PublicKey) {
	t.Helper()
	var content struct {
		Keys []struct{ EUI, Use, PublicKeyUncompressed, TestPrivateScalarHex string }
	}
	outside.Decode(t, "gbcs-keys.json", &content)
	private, public := map[string]*ecdsa.PrivateKey{}, map[string]*ecdh.PublicKey{}
	for _, k := range content.Keys {
		if k.Use != "keyAgreement" {
			continue
		}
		point, err := hex.DecodeString(k.PublicKeyUncompressed)
		if err == nil {
			public[k.EUI], err = ecdh.P256().NewPublicKey(point)
		}
		if scalar, _ := hex.DecodeString(k.TestPrivateScalarHex); err == nil && len(scalar) > 0 {
			private[k.EUI], err = ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return private, public
}
