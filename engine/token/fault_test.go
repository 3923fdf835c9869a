//go:build cgo

package token

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/pkcs11"

	"safemode/servicerequests/gbcs"
)

// A signature is made in spite of a code that passes. A code that stays makes the token
// unavailable, and one against which trying again does not help is a refusal. Whether the
// failed call had had an effect makes no difference.
func TestFaults(t *testing.T) {
	const forever = 1 << 30
	for _, test := range []struct {
		call  string
		code  uint
		times int
		want  error // nil: the work is done
	}{
		{"C_Sign", pkcs11.CKR_SESSION_HANDLE_INVALID, 2, nil},
		{"C_Sign", pkcs11.CKR_SESSION_CLOSED, 1, nil},
		{"C_Sign", pkcs11.CKR_OBJECT_HANDLE_INVALID, 1, nil},
		{"C_Sign", pkcs11.CKR_KEY_HANDLE_INVALID, 1, nil},
		{"C_Sign", pkcs11.CKR_USER_NOT_LOGGED_IN, 1, nil},
		{"C_Sign", pkcs11.CKR_DEVICE_ERROR, 5, nil},
		{"C_Sign", pkcs11.CKR_DEVICE_REMOVED, 1, nil},
		{"C_Sign", pkcs11.CKR_FUNCTION_FAILED, 5, nil},
		{"C_Sign", pkcs11.CKR_OPERATION_ACTIVE, 1, nil},
		{"C_Sign", pkcs11.CKR_DEVICE_ERROR, forever, errUnavailable},
		{"C_Sign", pkcs11.CKR_FUNCTION_FAILED, forever, errUnavailable},
		{"C_Sign", pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED, 1, ErrRefused},
		{"C_Sign", pkcs11.CKR_ARGUMENTS_BAD, 1, ErrRefused},
		{"C_Sign", pkcs11.CKR_MECHANISM_INVALID, 1, ErrRefused},
		{"C_OpenSession", pkcs11.CKR_ARGUMENTS_BAD, 3, nil},
		{"C_OpenSession", pkcs11.CKR_SESSION_COUNT, 3, nil},
		{"C_OpenSession", pkcs11.CKR_TOKEN_NOT_PRESENT, 3, nil},
		{"C_OpenSession", pkcs11.CKR_SLOT_ID_INVALID, 1, nil},
		{"C_OpenSession", pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED, 1, nil},
		{"C_OpenSession", pkcs11.CKR_TOKEN_NOT_PRESENT, forever, errUnavailable},
		{"C_Login", pkcs11.CKR_USER_ALREADY_LOGGED_IN, 1, nil},
		{"C_Login", pkcs11.CKR_DEVICE_ERROR, 1, nil},
		{"C_Login", pkcs11.CKR_PIN_LOCKED, 1, ErrRefused},
		{"C_FindObjects", pkcs11.CKR_SESSION_HANDLE_INVALID, 1, nil},
		{"C_GetSessionInfo", pkcs11.CKR_DEVICE_ERROR, 1, nil},
	} {
		for _, applied := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				token, err := f.opened(nil)
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					f.fail(nil)
					f.after = nil
					if err := token.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				}()
				signer, err := token.Signer(t.Context(), "pkcs11:object=k", &f.key.PublicKey)
				if err != nil {
					t.Fatal(err)
				}
				f.lose(false) // so that all calls are made again
				fault := times(test.times, test.call, test.code)
				if applied {
					f.after = fault
				} else {
					f.fail(fault)
				}
				start := time.Now()
				for range 3 * token.o.Sessions {
					_, err = signer.signDigest(t.Context(), make([]byte, 32))
					if test.want != nil {
						break
					}
					if err != nil {
						t.Errorf("%s %#x, %d times, applied %v: %v", test.call, test.code, test.times, applied, err)
					}
				}
				if !errors.Is(err, test.want) {
					t.Errorf("%s %#x, %d times, applied %v: %v, want %v", test.call, test.code, test.times, applied, err, test.want)
				}
				if took := time.Since(start); took > token.o.Timeout+time.Second {
					t.Errorf("%s %#x: it took %v", test.call, test.code, took)
				}
			})
		}
	}
}

// A token that goes and comes back is used again; a key that is no longer there is waited
// for, and then refused.
func TestTokenGoesAndComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, token, signer := fakeSigner(t, nil)
		defer token.Close()
		f.lose(true)
		f.fail(func(string) error { return pkcs11.Error(pkcs11.CKR_DEVICE_REMOVED) })
		if _, err := signer.signDigest(t.Context(), make([]byte, 32)); !errors.Is(err, errUnavailable) {
			t.Errorf("while it is away: %v", err)
		}
		go func() {
			time.Sleep(5 * time.Second)
			f.fail(nil)
		}()
		start := time.Now()
		if _, err := signer.signDigest(t.Context(), make([]byte, 32)); err != nil || time.Since(start) > 7*time.Second {
			t.Errorf("after its return: %v, %v", err, time.Since(start))
		}
		other, same := newKey(t), f.key
		f.lose(false)
		f.key = nil
		if _, err := signer.signDigest(t.Context(), make([]byte, 32)); !errors.Is(err, ErrRefused) {
			t.Errorf("without the key: %v", err)
		}
		f.key = other
		if _, err := signer.signDigest(t.Context(), make([]byte, 32)); !errors.Is(err, ErrRefused) {
			t.Errorf("with another key: %v", err)
		}
		f.key = same
		if _, err := signer.signDigest(t.Context(), make([]byte, 32)); err != nil {
			t.Errorf("with the key: %v", err)
		}
	})
}

// A PIN that was refused is tried once: tokens lock after a few.
func TestPINTriedOnce(t *testing.T) {
	text := testPIN
	f, token, signer := fakeSigner(t, func(o *Options) {
		o.PIN = func(context.Context) (string, error) { return text, nil }
	})
	defer token.Close()
	text = "changed"
	f.lose(false)
	before := f.logins
	for range 5 {
		if _, err := signer.signDigest(t.Context(), make([]byte, 32)); !errors.Is(err, ErrRefused) {
			t.Errorf("%v", err)
		}
	}
	if f.logins != before+1 {
		t.Errorf("the PIN was tried %d times", f.logins-before)
	}
}

// A module that starts its handles again never has two goroutines in one session: the fake
// watches.
func TestHandlesGivenOutAgain(t *testing.T) {
	f := newFake(t)
	token, err := f.opened(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer token.Close()
	public, err := f.key.PublicKey.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	w := &workers{public: &f.key.PublicKey, agrees: public}
	if w.signer, err = token.Signer(t.Context(), "pkcs11:object=k", w.public); err != nil {
		t.Fatal(err)
	}
	if w.agreement, err = token.agreement("pkcs11:object=k", public, Secret, 0); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var breaking sync.WaitGroup
	breaking.Go(func() {
		defer close(stop)
		for range 20 {
			time.Sleep(10 * time.Millisecond) // of work
			f.lose(true)
		}
	})
	w.run(t, 8, func(int) bool {
		select {
		case <-stop:
			return false
		default:
			return true
		}
	})
	breaking.Wait()
}

// A handle that is given out again while a call still uses it is left to that call.
func TestHandleInUseGivenOutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, token, signer := fakeSigner(t, func(o *Options) { o.Sessions = 2 })
		defer token.Close()
		sign := func() {
			if _, err := signer.signDigest(t.Context(), make([]byte, 32)); err != nil {
				t.Error(err)
			}
		}
		sign() // so that both sessions have found the key, and session 1 is next
		sign()
		release := make(chan struct{})
		var held atomic.Bool
		f.fail(func(call string) error {
			if call == "C_Sign" && held.CompareAndSwap(false, true) {
				<-release
			}
			return nil
		})
		var first sync.WaitGroup
		first.Go(sign) // it is held before it signs, with one session
		time.Sleep(time.Millisecond)
		f.lose(true)
		f.signed = nil
		sign()
		close(release)
		first.Wait()
		if want := []pkcs11.SessionHandle{2, 1}; !slices.Equal(f.signed, want) {
			t.Errorf("signed with sessions %d, want %d", f.signed, want)
		}
	})
}

// A call that hangs in the module keeps its session, its caller goes on in time, and Close
// leaves the module alone.
func TestModuleHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, token, signer := fakeSigner(t, nil)
		release := make(chan struct{})
		var hangs atomic.Bool
		f.fail(func(call string) error {
			if call == "C_Sign" && hangs.CompareAndSwap(false, true) {
				<-release
			}
			return nil
		})
		start := time.Now()
		if _, err := signer.signDigest(t.Context(), make([]byte, 32)); !errors.Is(err, errUnavailable) || time.Since(start) != token.o.Timeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		for range 5 { // with the other sessions
			if _, err := signer.signDigest(t.Context(), make([]byte, 32)); err != nil {
				t.Error(err)
			}
		}
		if err := token.Close(); !errors.Is(err, errUnavailable) {
			t.Errorf("Close: %v", err)
		}
		close(release)
		time.Sleep(time.Second) // of the bubble: the call comes back
	})
}

// Level kdf gives GBCS's known KDF, whatever its number is, and whichever form of point the
// module takes; nothing derived is left behind.
func TestLevelKDF(t *testing.T) {
	for _, wrapped := range []bool{false, true} {
		f := newFake(t)
		f.null, f.wrapped = false, wrapped
		token, err := f.opened(func(o *Options) { o.Agreement, o.KDFNumber = KDF, 0x80000014 })
		if err != nil {
			t.Fatal(err)
		}
		public, err := f.key.PublicKey.ECDH()
		if err != nil {
			t.Fatal(err)
		}
		a, err := token.Agreement(t.Context(), "pkcs11:object=k", public)
		if err != nil {
			t.Fatalf("wrapped %v: %v", wrapped, err)
		}
		device, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		info := gbcs.KeyInfo{Mode: 2, Originator: 0x00db1234567890a0, Counter: 1 << 32, Target: 0x90b3d51f30010000}
		z, err := gbcs.SharedSecret(device, public)
		if err != nil {
			t.Fatal(err)
		}
		want := gbcs.DeriveKeyFromSecret(z, info.Mode, info.Originator, info.Counter, info.Target)
		if got, err := a.DeriveKey(t.Context(), device.PublicKey(), info); err != nil || got != want {
			t.Errorf("wrapped %v: %x, %v; want %x", wrapped, got, err, want)
		}
		f.lose(false)
		if got, err := a.DeriveKey(t.Context(), device.PublicKey(), info); err != nil || got != want {
			t.Errorf("wrapped %v, after a loss: %x, %v; want %x", wrapped, got, err, want)
		}
		if len(f.derived) != 0 {
			t.Errorf("%d derived keys are left in the module", len(f.derived))
		}
		if err := token.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A number that is another KDF, or none, is found out at the start.
func TestWrongKDF(t *testing.T) {
	f := newFake(t)
	public, err := f.key.PublicKey.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	for _, number := range []uint{pkcs11.CKD_SHA256_KDF, 0x10} {
		token, err := f.opened(func(o *Options) { o.Agreement, o.KDFNumber = KDF, number })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := token.Agreement(t.Context(), "pkcs11:object=k", public); !errors.Is(err, ErrRefused) {
			t.Errorf("%#x: %v", number, err)
		}
		if err := token.Close(); err != nil {
			t.Error(err)
		}
	}
}
