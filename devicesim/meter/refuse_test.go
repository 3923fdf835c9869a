package meter_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"safemode/devicesim/fleet"
	"safemode/devicesim/forbidden"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"

	"github.com/google/go-cmp/cmp"
)

// A Command that a meter does not carry out changes nothing and is not answered.
func TestHandleRefuses(t *testing.T) {
	r := newBench(t, meter.Behaviour{})
	stranger := newBench(t, meter.Behaviour{})
	var err error
	if stranger.signing, err = smki.DeriveTestKey([]byte("stranger"), "signing"); err != nil {
		t.Fatal(err)
	}
	if stranger.broker, err = ecdh.P256().GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	device := prepaid(nil).Device
	switchToCredit := expected(servicerequests.SwitchToCredit, servicerequests.ESME, device, 100)
	elsewhere := switchToCredit
	elsewhere.ID.Target++
	other := switchToCredit
	other.ID.Originator++
	toGas := switchToCredit
	toGas.Device = servicerequests.GSME
	tests := []struct {
		name    string
		command []byte
		with    func(*fleet.Meter)
		want    error
		alert   meter.AlertCode
	}{
		{"replayed", r.command(t, switchToCredit), func(m *fleet.Meter) { m.SupplierCounter = 100 }, meter.ErrReplay, meter.CommandRefused},
		{"late", r.command(t, switchToCredit), func(m *fleet.Meter) { m.SupplierCounter = 101 }, meter.ErrReplay, meter.CommandRefused},
		{"another target", r.command(t, elsewhere), nil, meter.ErrNotForDevice, meter.CommandRefused},
		{"another type", r.command(t, toGas), nil, meter.ErrNotForDevice, meter.CommandRefused},
		{"another supplier", r.command(t, other), nil, meter.ErrUntrusted, meter.CommandRefused},
		{"transferred", r.command(t, switchToCredit), func(m *fleet.Meter) { m.Supplier = 7 }, meter.ErrUntrusted, meter.CommandRefused},
		{"signed by a stranger", r.mac(t, stranger.unsealed(t, switchToCredit)), nil, gbcs.ErrSignature, meter.SourceAuthentication},
		{"MAC by a stranger", stranger.mac(t, r.unsealed(t, switchToCredit)), nil, gbcs.ErrMAC, meter.SourceAuthentication},
		{"no MAC", r.unsealed(t, switchToCredit), nil, meter.ErrNotForDevice, meter.CommandRefused},
		{"cut short", r.command(t, switchToCredit)[:50], nil, gbcs.ErrMalformed, meter.CommandRefused},
		{"nothing", nil, nil, gbcs.ErrMalformed, meter.CommandRefused},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := prepaid(test.with)
			before := m
			// That somebody else's signature was proven says nothing.
			target := meter.Target{Meter: &m, SignedBy: &stranger.signing.PublicKey}
			reply, err := r.devices.Handle(target, test.command, noon, meter.Fault{})
			if err != nil {
				t.Fatal(err)
			}
			if !errors.Is(reply.Refused, test.want) || reply.Response != nil {
				t.Errorf("refused: %v, response %X", reply.Refused, reply.Response)
			}
			if diff := cmp.Diff([]meter.AlertCode{test.alert}, reply.Alerts); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(before, m); diff != "" {
				t.Errorf("the meter changed: %s", diff)
			}
			if reply.State != (meter.State{}) {
				t.Error("a state is told")
			}
		})
	}
	m := prepaid(func(m *fleet.Meter) { m.Supplier = 7 })
	if alert, err := r.devices.Alert(meter.Target{Meter: &m}, meter.SupplyArmed, noon); alert != nil || err != nil {
		t.Errorf("alert to a supplier without keys: %X, %v", alert, err)
	}
}

// Forbidden commands are carried out and marked, so that a run that let one
// through can be told.
func TestHandleForbidden(t *testing.T) {
	r := newBench(t, meter.Behaviour{})
	off := all(inCredit, cutOff(fleet.Spent))
	tests := []struct {
		name   string
		meter  fleet.Meter
		kind   forbidden.Kind
		timing forbidden.Timing
		want   func(*fleet.Meter)
	}{
		{"7.1", prepaid(off), forbidden.Enable, forbidden.Timing{}, func(m *fleet.Meter) { m.Supply = servicerequests.Enabled }},
		{"7.2", prepaid(nil), forbidden.Disable, forbidden.Timing{}, disabled},
		{"7.2 gas", gasMeter(func(*fleet.Meter) {}), forbidden.Disable, forbidden.Timing{}, disabled},
		{"1.6 prepayment", prepaid(inCredit), forbidden.ToPrepayment, forbidden.Timing{}, func(m *fleet.Meter) { m.Mode = servicerequests.Prepayment }},
		{"1.6 prepayment gas", gasMeter(inCredit), forbidden.ToPrepayment, forbidden.Timing{}, func(m *fleet.Meter) { m.Mode = servicerequests.Prepayment }},
		{"1.6 credit, later", prepaid(nil), forbidden.ToCredit, forbidden.Timing{At: noon.Add(time.Hour)}, nil},
		{"1.6 credit, cancelled", gasMeter(func(*fleet.Meter) {}), forbidden.ToCredit, forbidden.Timing{Cancel: true}, nil},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := test.meter
			want := m
			want.SupplierCounter = uint64(i + 1)
			if test.want != nil {
				test.want(&want)
			}
			pre, err := forbidden.Command{
				Kind: test.kind, Device: m.Type, Timing: test.timing,
				ID: servicerequests.RequestID{Originator: supplierEUI, Target: m.Device, Counter: uint64(i + 1)},
			}.AppendPreCommand(nil, noon)
			if err != nil {
				t.Fatal(err)
			}
			// gbcs.Sign refuses such a Pre-Command, so it is signed by hand.
			digest := sha256.Sum256(pre[1:])
			x, y, err := ecdsa.Sign(rand.Reader, r.signing, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			var signature [64]byte
			x.FillBytes(signature[:32])
			y.FillBytes(signature[32:])
			signed := append(append(pre, 0x40), signature[:]...)
			reply, err := r.devices.Handle(meter.Target{Meter: &m}, r.mac(t, signed), noon, meter.Fault{})
			if err != nil || reply.Refused != nil {
				t.Fatal(err, reply.Refused)
			}
			response, err := gbcs.DecodeResponse(r.prove(t, reply.Response, m.Device))
			if err != nil || !response.Success || !reply.Forbidden {
				t.Errorf("forbidden = %t, response %+v, %v", reply.Forbidden, response, err)
			}
			if diff := cmp.Diff(want, m); diff != "" {
				t.Error(diff)
			}
			again, err := r.devices.Handle(meter.Target{Meter: &m}, r.mac(t, signed), noon, meter.Fault{})
			if err != nil || !errors.Is(again.Refused, meter.ErrReplay) || !again.Forbidden {
				t.Errorf("replayed: refused %v, forbidden = %t; %v", again.Refused, again.Forbidden, err)
			}
			signed[len(signed)-1] ^= 1
			unsigned, err := r.devices.Handle(meter.Target{Meter: &m}, r.mac(t, signed), noon, meter.Fault{})
			if err != nil || !errors.Is(unsigned.Refused, gbcs.ErrSignature) || unsigned.Forbidden {
				t.Errorf("wrongly signed: refused %v, forbidden = %t; %v", unsigned.Refused, unsigned.Forbidden, err)
			}
		})
	}
}
