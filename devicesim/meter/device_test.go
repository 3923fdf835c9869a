package meter_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"testing"

	"safemode/devicesim/devicepki"
	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const supplierEUI servicerequests.EUI = 0x90B3D51F30010000

// bench is a supplier and a broker with their keys, and the devices they talk to.
type bench struct {
	signing          *ecdsa.PrivateKey
	supplier, broker *ecdh.PrivateKey
	pki              *devicepki.PKI
	devices          *meter.Devices
}

func newBench(t testing.TB, b meter.Behaviour) bench {
	t.Helper()
	key := func(label string) *ecdsa.PrivateKey {
		k, err := smki.DeriveTestKey([]byte("bench"), label)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	agreement := func(label string) *ecdh.PrivateKey {
		k, err := key(label).ECDH()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	pki, err := devicepki.New(1, smki.SigningIdentity{})
	if err != nil {
		t.Fatal(err)
	}
	r := bench{signing: key("signing"), supplier: agreement("supplier"), broker: agreement("broker"), pki: pki}
	r.devices = meter.NewDevices(meter.Options{
		PKI: pki, Broker: r.broker.PublicKey(), Behaviour: b,
		Suppliers: map[servicerequests.EUI]meter.SupplierKeys{
			supplierEUI: {Signing: &r.signing.PublicKey, Agreement: r.supplier.PublicKey()},
		},
	})
	return r
}

// agree returns the secret of a key with a device's certificate.
func (r bench) agree(t testing.TB, key *ecdh.PrivateKey, device servicerequests.EUI) [32]byte {
	t.Helper()
	pair, err := r.pki.Certificates(device)
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair[1].ECDH()
	if err != nil {
		t.Fatal(err)
	}
	z, err := gbcs.SharedSecret(key, public)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// mac is what the access control broker does with a message.
func (r bench) mac(t testing.TB, inner []byte) []byte {
	t.Helper()
	m, err := gbcs.Parse(inner)
	if err != nil {
		t.Fatal(err)
	}
	return gbcs.AppendMAC(nil, inner, m.Originator, gbcs.MACKey(r.agree(t, r.broker, m.Target), m.Header))
}

// unsealed is the Command of a permitted service up to its MAC.
func (r bench) unsealed(t testing.TB, e gbcs.Expected) []byte {
	t.Helper()
	if !e.Service.Critical() {
		inner, err := gbcs.AppendRead(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		return inner
	}
	pre, err := gbcs.AppendPreCommand(nil, e, noon)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := gbcs.Sign(pre, r.signing)
	if err != nil {
		t.Fatal(err)
	}
	return inner
}

func (r bench) command(t testing.TB, e gbcs.Expected) []byte {
	t.Helper()
	return r.mac(t, r.unsealed(t, e))
}

// prove reads a Response or Alert as the supplier does.
func (r bench) prove(t testing.TB, message []byte, device servicerequests.EUI) *gbcs.Message {
	t.Helper()
	m, err := gbcs.Parse(message)
	if err != nil {
		t.Fatal(err)
	}
	if m.MAC != nil {
		err = m.VerifyMAC(gbcs.MACKey(r.agree(t, r.supplier, device), m.Header))
	} else {
		pair, _ := r.pki.Certificates(device)
		err = m.VerifySignature(pair[0].PublicKey)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func expected(service servicerequests.Service, kind servicerequests.DeviceType, device servicerequests.EUI, counter uint64) gbcs.Expected {
	return gbcs.Expected{Service: service, Device: kind, ID: servicerequests.RequestID{Originator: supplierEUI, Target: device, Counter: counter}}
}

// Every permitted service of every kind of device, from bytes to bytes, proven
// with the certificates that the SMKI service would serve.
func TestHandleEveryService(t *testing.T) {
	r := newBench(t, meter.Behaviour{})
	electricMeter := prepaid(cutOff(fleet.Available))
	gasMeter := gasMeter(all(cutOff(fleet.Available), func(m *fleet.Meter) { m.CreditModeDue = 7 * pound }))
	mirror := gasMeter
	mirror.Balance = 5 * pound
	targets := []struct {
		kind   servicerequests.DeviceType
		device servicerequests.EUI
		target meter.Target
	}{
		{servicerequests.ESME, electricMeter.Device, meter.Target{Meter: &electricMeter}},
		{servicerequests.GSME, gasMeter.Device, meter.Target{Meter: &gasMeter}},
		{servicerequests.GPF, gasMeter.GPF(), meter.Target{Meter: &gasMeter, Mirror: &mirror}},
	}
	order := []servicerequests.Service{
		servicerequests.ReadSupplyStatus, servicerequests.ReadPaymentMode, servicerequests.ReadMeterBalance,
		servicerequests.ReadPrepaymentConfiguration, servicerequests.SwitchToCredit, servicerequests.ArmSupply,
		servicerequests.ReadSupplyStatus, servicerequests.ReadPaymentMode,
	}
	for _, d := range targets {
		got := map[servicerequests.Service]gbcs.Response{}
		var states []meter.State
		for i, service := range order {
			if d.kind == servicerequests.GPF {
				if v, _ := service.Variant(); v.UseCases[servicerequests.GPF] == nil {
					continue
				}
			}
			e := expected(service, d.kind, d.device, uint64(1000+i))
			reply, err := r.devices.Handle(d.target, r.command(t, e), noon, meter.Fault{})
			if err != nil || reply.Refused != nil {
				t.Fatalf("%s %s: %v, refused: %v", d.kind, service, err, reply.Refused)
			}
			m := r.prove(t, reply.Response, d.device)
			if err := e.MatchResponse(m); err != nil {
				t.Fatal(err)
			}
			response, err := gbcs.DecodeResponse(m)
			if err != nil {
				t.Fatal(err)
			}
			if !response.Success || reply.Forbidden || reply.UseCase.Service != service || reply.Counter != e.ID.Counter {
				t.Errorf("%s %s: %+v", d.kind, service, reply)
			}
			got[service], states = response, append(states, reply.State)
			for _, code := range reply.Alerts {
				alert, err := r.devices.Alert(d.target, code, noon)
				if err != nil {
					t.Fatal(err)
				}
				decoded, err := gbcs.DecodeAlert(r.prove(t, alert, d.device))
				if err != nil || decoded.Code != uint16(code) || !decoded.At.Equal(noon) {
					t.Errorf("alert %v: %+v, %v", code, decoded, err)
				}
			}
		}
		balance, configuration := got[servicerequests.ReadMeterBalance], got[servicerequests.ReadPrepaymentConfiguration].Configuration
		wantBalance := -pound
		if d.kind == servicerequests.GPF {
			wantBalance = 5 * pound
			if got[servicerequests.ReadPaymentMode].Mode != servicerequests.Prepayment {
				t.Error("the gas proxy knew of the switch at once")
			}
		} else {
			if got[servicerequests.ReadPaymentMode].Mode != servicerequests.Credit || got[servicerequests.ReadSupplyStatus].Supply != servicerequests.Armed {
				t.Errorf("%s ended in %s and %s", d.kind, got[servicerequests.ReadPaymentMode].Mode, got[servicerequests.ReadSupplyStatus].Supply)
			}
			before, after := states[0], states[len(states)-1]
			if before.Supply != servicerequests.Disabled || before.Mode != servicerequests.Prepayment ||
				after.Supply != servicerequests.Armed || after.Mode != servicerequests.Credit {
				t.Errorf("%s: %+v, then %+v", d.kind, before, after)
			}
		}
		if balance.Balance != wantBalance || balance.HasCreditModeBalance != (d.kind != servicerequests.ESME) ||
			balance.HasCreditModeBalance && balance.CreditModeBalance != 7*pound {
			t.Errorf("%s: balance %+v", d.kind, balance)
		}
		if configuration == nil || configuration.EmergencyCreditLimit != 10*pound || configuration.EmergencyCreditThreshold != 2*pound {
			t.Errorf("%s: configuration %+v", d.kind, configuration)
		}
	}
	if gasMeter.Mode != servicerequests.Credit || mirror.Mode != servicerequests.Prepayment {
		t.Error("meter and mirror are not apart")
	}
}

func TestHandleNegative(t *testing.T) {
	r := newBench(t, meter.Behaviour{})
	for _, m := range []fleet.Meter{prepaid(nil), gasMeter(func(*fleet.Meter) {})} {
		for i, service := range []servicerequests.Service{servicerequests.ActivateEmergencyCredit, servicerequests.ArmSupply} {
			e := expected(service, m.Type, m.Device, uint64(1+i))
			before := meter.StateOf(&m)
			reply, err := r.devices.Handle(meter.Target{Meter: &m}, r.command(t, e), noon, meter.Fault{})
			if err != nil || reply.Refused != nil {
				t.Fatal(err, reply.Refused)
			}
			response, err := gbcs.DecodeResponse(r.prove(t, reply.Response, m.Device))
			if err != nil {
				t.Fatal(err)
			}
			code := byte(gbcs.ResultOtherReason)
			if m.Type == servicerequests.GSME {
				code = gbcs.StatusFailure
			}
			if response.Success || response.Results[0] != code || meter.StateOf(&m) != before {
				t.Errorf("%s %s: %+v", m.Type, service, response)
			}
		}
	}
}

func TestHandleFaults(t *testing.T) {
	r := newBench(t, meter.Behaviour{})
	tests := []struct {
		name    string
		meter   fleet.Meter
		fault   meter.Fault
		results []byte
		applied bool
	}{
		{"hardware failure", prepaid(nil), meter.Fault{HardwareFailure: true}, []byte{1, 0xFA, 0xFA}, false},
		{"hardware failure, applied", prepaid(nil), meter.Fault{HardwareFailure: true, Applied: true}, []byte{1, 0xFA, 0xFA}, true},
		{"partial", prepaid(nil), meter.Fault{PartialModeChange: true}, []byte{0, 1, 0xFA}, false},
		{"partial, applied", prepaid(nil), meter.Fault{PartialModeChange: true, Applied: true}, []byte{0, 1, 0xFA}, true},
		{"partial is electricity's", gasMeter(func(*fleet.Meter) {}), meter.Fault{PartialModeChange: true}, []byte{0}, true},
		{"gas hardware failure", gasMeter(func(*fleet.Meter) {}), meter.Fault{HardwareFailure: true}, []byte{0xC0}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := test.meter
			e := expected(servicerequests.SwitchToCredit, m.Type, m.Device, 5)
			reply, err := r.devices.Handle(meter.Target{Meter: &m}, r.command(t, e), noon, test.fault)
			if err != nil || reply.Refused != nil {
				t.Fatal(err, reply.Refused)
			}
			response, err := gbcs.DecodeResponse(r.prove(t, reply.Response, m.Device))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.results, response.Results); diff != "" {
				t.Error(diff)
			}
			if applied := m.Mode == servicerequests.Credit; applied != test.applied {
				t.Errorf("applied = %t", applied)
			}
		})
	}
	// The reads have an error form too, of every kind.
	for _, m := range []fleet.Meter{prepaid(nil), gasMeter(func(*fleet.Meter) {})} {
		for i, service := range services[3:] {
			e := expected(service, m.Type, m.Device, uint64(i+1))
			reply, err := r.devices.Handle(meter.Target{Meter: &m}, r.command(t, e), noon, meter.Fault{HardwareFailure: true})
			if err != nil || reply.Refused != nil {
				t.Fatal(service, err, reply.Refused)
			}
			response, err := gbcs.DecodeResponse(r.prove(t, reply.Response, m.Device))
			if err != nil || response.Success {
				t.Errorf("%s %s: %+v, %v", m.Type, service, response, err)
			}
		}
	}
}

// The stored counter strictly rises with every critical command that is carried
// out, reads do not move it, and alerts have counters of their own that rise.
func TestCountersRise(t *testing.T) {
	r := newBench(t, meter.Behaviour{})
	rapid.Check(t, func(rt *rapid.T) {
		m := anyMeter(rt)
		target := meter.Target{Meter: &m}
		var lastAlert uint64
		for range rapid.IntRange(1, 4).Draw(rt, "commands") {
			before := m.SupplierCounter
			counter := rapid.Uint64Range(1, 6).Draw(rt, "counter")
			service := rapid.SampledFrom([]servicerequests.Service{
				servicerequests.SwitchToCredit, servicerequests.ArmSupply, servicerequests.ReadSupplyStatus,
			}).Draw(rt, "service")
			reply, err := r.devices.Handle(target, r.command(t, expected(service, m.Type, m.Device, counter)), noon, meter.Fault{})
			if err != nil {
				rt.Fatal(err)
			}
			switch carriedOut := reply.Refused == nil; {
			case !service.Critical() && (!carriedOut || m.SupplierCounter != before):
				rt.Fatalf("a read under %d after %d: %v", counter, before, reply.Refused)
			case service.Critical() && carriedOut != (counter > before),
				service.Critical() && carriedOut && m.SupplierCounter != counter,
				!carriedOut && m.SupplierCounter != before:
				rt.Fatalf("counter %d after %d: refused %v, now %d", counter, before, reply.Refused, m.SupplierCounter)
			}
			for _, code := range reply.Alerts {
				alert, err := r.devices.Alert(target, code, noon)
				if err != nil {
					rt.Fatal(err)
				}
				parsed, err := gbcs.Parse(alert)
				if err != nil || parsed.Counter <= lastAlert {
					rt.Fatalf("alert counter %d after %d, %v", parsed.Counter, lastAlert, err)
				}
				lastAlert = parsed.Counter
			}
		}
	})
}

func BenchmarkHandle(b *testing.B) {
	r := newBench(b, meter.Behaviour{})
	m := prepaid(nil)
	read := r.command(b, expected(servicerequests.ReadSupplyStatus, m.Type, m.Device, 1))
	critical := r.command(b, expected(servicerequests.SwitchToCredit, m.Type, m.Device, 2))
	handle := func(b *testing.B, command []byte) {
		for b.Loop() {
			m.SupplierCounter = 0
			target := meter.Target{Meter: &m}
			if reply, err := r.devices.Handle(target, command, noon, meter.Fault{}); err != nil || reply.Refused != nil {
				b.Fatal(err, reply.Refused)
			}
		}
	}
	b.Run("read", func(b *testing.B) { handle(b, read) })
	b.Run("critical", func(b *testing.B) { handle(b, critical) })
}
