package signer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/xmldsig"
)

const (
	supplier = servicerequests.EUI(0x90B3D51F30010000)
	meter    = servicerequests.EUI(0x00DB1234567890A0)
)

var id = servicerequests.RequestID{Originator: supplier, Target: meter, Counter: 1000}

// countingKey counts how often it is asked to sign, and may fail.
type countingKey struct {
	*ecdsa.PrivateKey
	asked atomic.Int32
	fail  error
}

func newKey(t testing.TB) *countingKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &countingKey{PrivateKey: key}
}

func (k *countingKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.asked.Add(1)
	if k.fail != nil {
		return nil, k.fail
	}
	return k.PrivateKey.Sign(random, digest, opts)
}

// gate is a Signer with its keys in view.
type gate struct {
	*Signer
	xml, pre *countingKey
}

func newGate(t testing.TB) *gate {
	t.Helper()
	g := &gate{xml: newKey(t), pre: newKey(t)}
	var err error
	g.Signer, err = New(Options{Identities: map[servicerequests.EUI]Identity{
		supplier: {XML: xmldsig.Signer{Key: g.xml, Issuer: "CN=Z1,OU=07", Serial: "42"}, PreCommand: g.pre},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Key makes the gate's own XML key the one that verifies.
func (g *gate) Key(ref xmldsig.KeyRef) (*ecdsa.PublicKey, error) {
	if ref != (xmldsig.KeyRef{Issuer: "CN=Z1,OU=07", Serial: "42"}) {
		return nil, xmldsig.ErrUnknownKey
	}
	return &g.xml.PublicKey, nil
}

// wantUntouched checks that no key was asked to sign.
func (g *gate) wantUntouched(t *testing.T) {
	t.Helper()
	if x, p := g.xml.asked.Load(), g.pre.asked.Load(); x != 0 || p != 0 {
		t.Errorf("keys were touched: XML %d, Pre-Command %d times", x, p)
	}
}

func preCommand(t testing.TB, e gbcs.Expected) []byte {
	t.Helper()
	b, err := gbcs.AppendPreCommand(nil, e, time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSignRequest(t *testing.T) {
	g := newGate(t)
	for _, service := range servicerequests.Services {
		r := duis.Request{ID: id, Service: service}
		if service == servicerequests.ReadInventory {
			r.InventoryDevice = meter
		}
		signed, err := g.SignRequest(context.Background(), 0, r)
		if err != nil {
			t.Errorf("%s: %v", service, err)
			continue
		}
		proven, err := xmldsig.Verify(signed, g)
		if err != nil {
			t.Errorf("%s: %v", service, err)
			continue
		}
		if want, _ := duis.AppendRequest(nil, r); !bytes.Equal(proven.Document, want) {
			t.Errorf("%s: signed %s, want %s", service, proven.Document, want)
		}
	}
	if g.pre.asked.Load() != 0 {
		t.Error("the Pre-Command key was used for a request")
	}
}

func TestSignRequestRefuses(t *testing.T) {
	g := newGate(t)
	foreign := id
	foreign.Originator++
	for name, test := range map[string]struct {
		request duis.Request
		reason  error
	}{
		"no service":           {duis.Request{ID: id}, servicerequests.ErrNotPermitted},
		"beyond the permitted": {duis.Request{ID: id, Service: servicerequests.ReadInventory + 1}, servicerequests.ErrNotPermitted},
		"another originator":   {duis.Request{ID: foreign, Service: servicerequests.ReadSupplyStatus}, errUnknownOriginator},
		"Signed Pre-Command":   {duis.Request{ID: id, Service: servicerequests.ArmSupply, SignedPreCommand: []byte{0xDF}}, errDirect},
		"no counter":           {duis.Request{ID: servicerequests.RequestID{Originator: supplier, Target: meter}, Service: servicerequests.ReadSupplyStatus}, duis.ErrEncode},
		"inventory of nothing": {duis.Request{ID: id, Service: servicerequests.ReadInventory}, duis.ErrEncode},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := g.SignRequest(context.Background(), 0, test.request)
			if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.ID != test.request.ID || !errors.Is(err, test.reason) {
				t.Errorf("got %v, want a refusal for %v", err, test.reason)
			}
		})
	}
	g.wantUntouched(t)
}

func TestCeremony(t *testing.T) {
	for _, service := range servicerequests.Services {
		if !service.Critical() {
			continue
		}
		for _, device := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
			for _, null := range [][]byte{nil, {0}} {
				g := newGate(t)
				e := gbcs.Expected{Service: service, Device: device, ID: id}
				pre := append(preCommand(t, e), null...)
				token, err := g.Prepare(e, pre)
				if err != nil {
					t.Fatalf("%s for %s: %v", service, device, err)
				}
				g.wantUntouched(t)
				clear(pre) // the token has its own copy

				signed, err := g.Sign(context.Background(), 0, token)
				if err != nil {
					t.Fatal(err)
				}
				proven, err := xmldsig.Verify(signed, g)
				if err != nil {
					t.Fatal(err)
				}
				r, err := duis.DecodeRequest(proven.Document)
				if err != nil || r.ID != id || r.CommandVariant != servicerequests.SendSignedCommand || r.SRV != service.SRV() {
					t.Fatalf("got %+v, %v", r, err)
				}
				m, err := gbcs.Parse(r.SignedPreCommand)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.VerifySignature(&g.pre.PublicKey); err != nil {
					t.Error(err)
				}
				if m.ID() != id {
					t.Errorf("signed for %s", m.ID())
				}
			}
		}
	}
}

func TestTokenIsGoodOnce(t *testing.T) {
	g := newGate(t)
	e := gbcs.Expected{Service: servicerequests.ArmSupply, Device: servicerequests.ESME, ID: id}
	token, err := g.Prepare(e, preCommand(t, e))
	if err != nil {
		t.Fatal(err)
	}
	var signed, used atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			switch _, err := g.Sign(context.Background(), 0, token); {
			case err == nil:
				signed.Add(1)
			case errors.Is(err, ErrTokenUsed):
				used.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if signed.Load() != 1 || used.Load() != 15 || g.pre.asked.Load() != 1 {
		t.Errorf("signed %d times, refused %d times, key asked %d times", signed.Load(), used.Load(), g.pre.asked.Load())
	}
}

// A token whose signing failed is used up: whether the key has signed is not
// known.
func TestTokenIsUsedUpByAFailure(t *testing.T) {
	g := newGate(t)
	e := gbcs.Expected{Service: servicerequests.ArmSupply, Device: servicerequests.ESME, ID: id}
	token, err := g.Prepare(e, preCommand(t, e))
	if err != nil {
		t.Fatal(err)
	}
	g.pre.fail = errors.New("the HSM is gone")
	if _, err := g.Sign(context.Background(), 0, token); !errors.Is(err, g.pre.fail) {
		t.Errorf("got %v", err)
	}
	g.pre.fail = nil
	if _, err := g.Sign(context.Background(), 0, token); !errors.Is(err, ErrTokenUsed) {
		t.Errorf("got %v, want ErrTokenUsed", err)
	}
}

func TestTokensForNothing(t *testing.T) {
	g := newGate(t)
	e := gbcs.Expected{Service: servicerequests.ArmSupply, Device: servicerequests.ESME, ID: id}
	e.ID.Originator++ // none of the gate's
	other, err := Prepare(e, preCommand(t, e))
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []*Token{nil, {}, other} {
		if _, err := g.Sign(context.Background(), 0, token); err == nil {
			t.Error("signed")
		}
	}
	g.wantUntouched(t)
}

func TestPrepareRefuses(t *testing.T) {
	g := newGate(t)
	arm := gbcs.Expected{Service: servicerequests.ArmSupply, Device: servicerequests.ESME, ID: id}
	change := func(f func(*gbcs.Expected)) gbcs.Expected { e := arm; f(&e); return e }
	good := preCommand(t, arm)
	for name, test := range map[string]struct {
		expected gbcs.Expected
		message  []byte
	}{
		"nothing":            {arm, nil},
		"junk":               {arm, []byte("junk")},
		"two null bytes":     {arm, append(append([]byte{}, good...), 0, 0)},
		"cut short":          {arm, good[:len(good)-1]},
		"another counter":    {change(func(e *gbcs.Expected) { e.ID.Counter++ }), good},
		"another target":     {change(func(e *gbcs.Expected) { e.ID.Target++ }), good},
		"another originator": {change(func(e *gbcs.Expected) { e.ID.Originator++ }), good},
		"another service":    {change(func(e *gbcs.Expected) { e.Service = servicerequests.ActivateEmergencyCredit }), good},
		"another device":     {change(func(e *gbcs.Expected) { e.Device = servicerequests.GSME }), good},
		"a read":             {change(func(e *gbcs.Expected) { e.Service = servicerequests.ReadSupplyStatus }), good},
		"no service":         {change(func(e *gbcs.Expected) { e.Service = 0 }), good},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := g.Prepare(test.expected, test.message)
			if _, ok := errors.AsType[*RefusedError](err); !ok || token != nil {
				t.Errorf("got %v, %v; want a refusal", token, err)
			}
		})
	}
	// One bit anywhere makes it another message.
	for i := range good {
		for bit := range 8 {
			changed := bytes.Clone(good)
			changed[i] ^= 1 << bit
			if _, err := g.Prepare(arm, changed); err == nil {
				t.Errorf("byte %d, bit %d: accepted", i, bit)
			}
		}
	}
	g.wantUntouched(t)
}

// No Pre-Command of the outside vectors that is outside the permitted set gets
// a token, whatever it is said to be. One of the set gets a token for what it
// is, and for nothing else.
func TestPrepareTheOutsideVectors(t *testing.T) {
	g := newGate(t)
	permitted, forbidden := 0, 0
	for _, v := range outside.Messages(t, "precommand") {
		m, err := gbcs.Parse(v.Hex)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		useCase, _ := gbcs.LookupUseCase(m.Code)
		for _, service := range servicerequests.Services {
			for _, device := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME, servicerequests.GPF} {
				_, err := g.Prepare(gbcs.Expected{Service: service, Device: device, ID: m.ID()}, v.Hex)
				want := useCase.Service == service && useCase.Device == device
				if (err == nil) != want {
					t.Errorf("%s as %s for %s: %v", v.Name, service, device, err)
				}
			}
		}
		if useCase.Service == 0 {
			forbidden++
		} else {
			permitted++
		}
	}
	if permitted < 6 || forbidden < 5 {
		t.Errorf("%d permitted and %d forbidden Pre-Commands among the vectors", permitted, forbidden)
	}
	g.wantUntouched(t)
}

func TestNewRefuses(t *testing.T) {
	good := newKey(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	xml := func(key crypto.Signer) xmldsig.Signer {
		return xmldsig.Signer{Key: key, Issuer: "CN=Z1,OU=07", Serial: "42"}
	}
	for name, identities := range map[string]map[servicerequests.EUI]Identity{
		"none":                {},
		"no EUI":              {0: {XML: xml(good), PreCommand: good}},
		"no XML key":          {supplier: {XML: xml(nil), PreCommand: good}},
		"no Pre-Command key":  {supplier: {XML: xml(good)}},
		"another curve":       {supplier: {XML: xml(good), PreCommand: p384}},
		"no certificate name": {supplier: {XML: xmldsig.Signer{Key: good}, PreCommand: good}},
	} {
		if _, err := New(Options{Identities: identities}); !errors.Is(err, errIdentity) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func BenchmarkCeremony(b *testing.B) {
	g := newGate(b)
	e := gbcs.Expected{Service: servicerequests.ArmSupply, Device: servicerequests.ESME, ID: id}
	pre := preCommand(b, e)
	b.ReportAllocs()
	for b.Loop() {
		token, err := g.Prepare(e, pre)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := g.Sign(context.Background(), 0, token); err != nil {
			b.Fatal(err)
		}
	}
}
