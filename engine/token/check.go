//go:build cgo

package token

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/pkcs11"

	"safemode/servicerequests/keyuri"
)

// Line is one finding of [Check].
type Line struct {
	What  string // what was checked, like mechanisms
	Text  string // what was found
	Fault bool   // a signer cannot work with it
}

// Named is a key to be checked, with the certificate's public key.
type Named struct {
	Name   string // for the lines, like xml_signing
	URI    string
	Public *ecdsa.PublicKey
	Use    Use
}

// measureFor is how long each rate is measured.
const measureFor = time.Second

// tryFor is how long one try of a KDF may take.
const tryFor = 2 * time.Second

// constant is a constant of PKCS#11 with its name.
type constant struct {
	number uint
	name   string
}

// kdfs are the numbers that are tried, besides the configured one.
var kdfs = []constant{
	{pkcs11.CKD_NULL, "CKD_NULL"},
	{pkcs11.CKD_SHA256_KDF, "CKD_SHA256_KDF, ANSI X9.63"},
	{0x10, "CKD_SHA256_KDF_SP800 of PKCS#11 3.0"},
	{0x80000014, "CKD_SHA256_NIST_KDF of Thales Luna"},
}

// checker collects lines.
type checker struct{ lines []Line }

func (c *checker) say(what, format string, args ...any) {
	c.lines = append(c.lines, Line{What: what, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) fault(what string, err error) {
	c.lines = append(c.lines, Line{What: what, Text: err.Error(), Fault: true})
}

// Check opens a token and says what it can do, a line each: module, token, mechanisms, each
// key, the levels of agreement, and what it does in a second. It writes nothing into the
// token.
func Check(ctx context.Context, o Options, keys []Named) []Line {
	c := &checker{}
	if err := o.complete(); err != nil {
		c.fault("options", err)
		return c.lines
	}
	m, err := load(o.Module)
	if err != nil {
		c.fault("module", err)
		return c.lines
	}
	t, err := open(ctx, o, m)
	if err != nil {
		c.fault("token", err)
		return c.lines
	}
	c.module(t)
	var signer *SigningKey
	var agreeing *agreementKey
	for _, k := range keys {
		if s := c.key(ctx, t, k); signer == nil {
			signer = s
		}
		if k.Use == Agrees && agreeing == nil {
			agreeing = c.agreement(ctx, t, k)
		}
	}
	if signer != nil {
		digest := sha256.Sum256([]byte("check"))
		c.rates(ctx, "signatures", o.Sessions, func(ctx context.Context) error {
			_, err := signer.signDigest(ctx, digest[:])
			return err
		})
	}
	if peer, err := ecdh.P256().GenerateKey(rand.Reader); err == nil && agreeing != nil {
		c.rates(ctx, "derivations", o.Sessions, func(ctx context.Context) error {
			_, err := agreeing.ask(ctx, peer.PublicKey(), proofInfo)
			return err
		})
	}
	if err := t.Close(); err != nil {
		c.fault("close", err)
	}
	return c.lines
}

func trim(text string) string { return strings.TrimRight(text, " \x00") }

// module says what the library, the token and its mechanisms are.
func (c *checker) module(t *Token) {
	if info, err := t.m.GetInfo(); err != nil {
		c.fault("module", called("C_GetInfo", err))
	} else {
		c.say("module", "%s: %s, %s, library %d.%d, PKCS#11 %d.%02d", t.o.Module, trim(info.ManufacturerID), trim(info.LibraryDescription),
			info.LibraryVersion.Major, info.LibraryVersion.Minor, info.CryptokiVersion.Major, info.CryptokiVersion.Minor)
	}
	slot, err := t.findSlot()
	if err != nil {
		c.fault("token", err)
		return
	}
	if info, err := t.m.GetTokenInfo(slot); err != nil {
		c.fault("token", called("C_GetTokenInfo", err))
	} else {
		c.say("token", "%s: %s %s, serial %s, firmware %d.%d", trim(info.Label), trim(info.ManufacturerID), trim(info.Model),
			trim(info.SerialNumber), info.FirmwareVersion.Major, info.FirmwareVersion.Minor)
	}
	list, err := t.m.GetMechanismList(slot)
	if err != nil {
		c.fault("mechanisms", called("C_GetMechanismList", err))
		return
	}
	for _, mechanism := range [...]constant{{pkcs11.CKM_ECDSA, "CKM_ECDSA"}, {pkcs11.CKM_ECDH1_DERIVE, "CKM_ECDH1_DERIVE"}} {
		there := slices.ContainsFunc(list, func(m *pkcs11.Mechanism) bool { return m.Mechanism == mechanism.number })
		switch {
		case there:
			c.say("mechanisms", "%s", mechanism.name)
		case mechanism.number == pkcs11.CKM_ECDH1_DERIVE && t.o.Agreement == None:
			c.say("mechanisms", "%s is missing: agreement: none is all there can be", mechanism.name)
		default:
			c.fault("mechanisms", fmt.Errorf("%s is missing", mechanism.name))
		}
	}
}

// key says whether a key is there, what it may be used for, and that it is its certificate's.
func (c *checker) key(ctx context.Context, t *Token, k Named) *SigningKey {
	u, err := keyuri.Parse(k.URI)
	if err != nil {
		c.fault(k.Name, err)
		return nil
	}
	found, err := do(ctx, t, func(_ context.Context, s *session) (state, error) {
		handle, err := t.find(s, &key{uri: u})
		if err != nil {
			return state{}, err
		}
		return t.attributes(s, handle)
	})
	if err != nil {
		c.fault(k.Name, err)
		return nil
	}
	line := Line{What: k.Name, Text: found.String(), Fault: found.Extractable || !found.Sensitive}
	if line.Fault {
		line.Text += ": it can be taken out of the token"
	}
	c.lines = append(c.lines, line)
	if k.Use != Signs {
		return nil
	}
	signer, err := t.Signer(ctx, k.URI, k.Public)
	if err != nil {
		c.fault(k.Name, err)
		return nil
	}
	c.say(k.Name, "it is the certificate's: a signature verifies")
	return signer
}

// agreement tries every KDF with a key agreement key, and says which levels work. It
// returns the key at the configured level.
func (c *checker) agreement(ctx context.Context, t *Token, k Named) *agreementKey {
	public, err := k.Public.ECDH()
	if err != nil {
		c.fault(k.Name, err)
		return nil
	}
	tried := slices.Clone(kdfs)
	if n := t.o.KDFNumber; n != 0 && !slices.ContainsFunc(tried, func(k constant) bool { return k.number == n }) {
		tried = append(tried, constant{n, "as configured"})
	}
	var configured *agreementKey
	var works []string
	for _, kdf := range tried {
		level := KDF
		if kdf.number == pkcs11.CKD_NULL {
			level = Secret
		}
		a, err := t.agreement(k.URI, public, level, kdf.number)
		if err == nil {
			within, cancel := context.WithTimeout(ctx, tryFor)
			err = a.chooseForm(within)
			cancel()
		}
		if err != nil {
			c.say("agreement", "KDF %#x (%s) does not work: %s", kdf.number, kdf.name, short(err))
			continue
		}
		setting := "agreement: secret"
		if level == KDF {
			setting = fmt.Sprintf("agreement: kdf, kdf: \"%#x\"", kdf.number)
		}
		c.say("agreement", "KDF %#x (%s) works: it is the certificate's key, and derives GBCS's: %s", kdf.number, kdf.name, setting)
		works = append(works, setting)
		if level == t.o.Agreement && (level == Secret || kdf.number == t.o.KDFNumber) {
			configured = a
		}
	}
	switch {
	case t.o.Agreement == None:
		c.say("agreement", "none is configured: MACs of reads cannot be checked")
	case configured == nil && len(works) == 0:
		c.fault("agreement", errors.New("no level works but none: MACs of reads cannot be checked"))
	case configured == nil:
		c.fault("agreement", fmt.Errorf("what is configured does not work; what does: %s", strings.Join(works, "; or ")))
	}
	return configured
}

// short is the module's own word where it gave one.
func short(err error) string {
	if e, is := errors.AsType[*Error](err); is && e.Call != "" {
		return e.Call + ": " + e.Err.Error()
	}
	return err.Error()
}

// rates measures with one worker and with one for each session.
func (c *checker) rates(ctx context.Context, what string, sessions int, work func(context.Context) error) {
	for _, workers := range slices.Compact([]int{1, sessions}) {
		var done atomic.Int64
		var running sync.WaitGroup
		var once sync.Once
		var failed error
		start := time.Now()
		for range workers {
			running.Go(func() {
				for time.Since(start) < measureFor && ctx.Err() == nil {
					if err := work(ctx); err != nil {
						once.Do(func() { failed = err })
						return
					}
					done.Add(1)
				}
			})
		}
		running.Wait()
		if failed != nil {
			c.fault(what, failed)
			return
		}
		c.say(what, "%.0f a second with %d at once", float64(done.Load())/time.Since(start).Seconds(), workers)
	}
}
