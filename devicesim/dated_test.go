package devicesim_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"safemode/devicesim"
	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// anyRequest is DUIS XML of whatever a User may ask, also what the engine may not.
func (u *user) anyRequest(id servicerequests.RequestID, variant int, srv, body string) []byte {
	u.t.Helper()
	return u.sign(fmt.Appendf(nil, `<sr:Request xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway" schemaVersion="5.4">`+
		`<sr:Header><sr:RequestID>%s</sr:RequestID><sr:CommandVariant>%d</sr:CommandVariant>`+
		`<sr:ServiceReference>%s</sr:ServiceReference><sr:ServiceReferenceVariant>%[3]s</sr:ServiceReferenceVariant></sr:Header>`+
		`<sr:Body>%s</sr:Body></sr:Request>`, id, variant, srv, body))
}

// anyCommand goes the whole way of a critical request, whatever it is.
func (u *user) anyCommand(device servicerequests.EUI, srv, body string) servicerequests.RequestID {
	u.t.Helper()
	id := u.newID(device)
	r := u.proven(u.post("/api/v1/serviceT", u.anyRequest(id, 4, srv, body)), u.folder.DCC.Transform.Certificate)
	signed := signByHand(u.t, u.folder.Supplier.DigitalSigning.Key, r.Content.(duis.PreCommand).Payload)
	u.acknowledged(u.anyRequest(id, 5, srv, fmt.Sprintf("<sr:SignedPreCommand><sr:GBCSPayload>%s</sr:GBCSPayload></sr:SignedPreCommand>", base64.StdEncoding.EncodeToString(signed))))
	return id
}

// answer returns what a device answers, its signature or MAC verified.
func (u *user) answer(id servicerequests.RequestID) gbcs.Response {
	u.t.Helper()
	r := u.until(id)
	m, err := gbcs.Parse(r.Content.(duis.DeviceResponse).Payload)
	if err != nil {
		u.t.Fatal(err)
	}
	u.authentic(m)
	answer, err := gbcs.DecodeResponse(m)
	if err != nil {
		u.t.Fatal(err)
	}
	return answer
}

// until returns the next message about a request.
func (u *user) until(id servicerequests.RequestID) duis.Response {
	u.t.Helper()
	for {
		if r := u.next(); r.RequestID == id {
			return r
		}
	}
}

// toldOf returns the next Alert about a dated request, proven and correlated.
func (u *user) toldOf(id servicerequests.RequestID) (duis.FutureDatedAlert, gbcs.Alert) {
	u.t.Helper()
	r := u.until(id)
	told, ok := r.Content.(duis.FutureDatedAlert)
	if !ok || r.Code != servicerequests.Success || r.ResponseID != id.Reversed() || r.SRV != "1.6" {
		u.t.Fatalf("%+v", r)
	}
	m, err := gbcs.Parse(told.Payload)
	if err != nil {
		u.t.Fatal(err)
	}
	u.authentic(m)
	alert, err := gbcs.DecodeAlert(m)
	if err != nil || alert.Code != told.Code || alert.FutureDated == nil || alert.FutureDated.Counter != id.Counter {
		u.t.Fatalf("%+v, %v", alert, err)
	}
	return told, alert
}

func updateMode(at, mode string) string {
	return "<sr:UpdatePaymentMode><sr:ExecutionDateTime>" + at + "</sr:ExecutionDateTime>" + mode + "</sr:UpdatePaymentMode>"
}

const (
	creditXML     = "<sr:Credit></sr:Credit>"
	prepaymentXML = "<sr:Prepayment><sr:SuspendDebtDisabled>true</sr:SuspendDebtDisabled><sr:SuspendDebtEmergency>false</sr:SuspendDebtEmergency>" +
		"<sr:DisablementThreshold>0</sr:DisablementThreshold></sr:Prepayment>"
	never = "3000-12-31T00:00:00.00Z"
)

func (u *user) in(span time.Duration) string {
	return u.clock.Now().Add(span).UTC().Format(time.RFC3339)
}

func (u *user) mode(device servicerequests.EUI) servicerequests.PaymentMode {
	m, _ := u.sim.Device(device)
	return m.Mode
}

func onSupply(kind servicerequests.DeviceType) func(m fleet.Meter) bool {
	return func(m fleet.Meter) bool {
		return m.Type == kind && m.Reachable && m.Mode == servicerequests.Prepayment && m.Supply == servicerequests.Enabled
	}
}

// TestFutureDated: a dated 1.6 is answered at once, takes effect when its time has
// come, and 8F66 says so, for each of its parts.
func TestFutureDated(t *testing.T) {
	for _, kind := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			u := newUser(t, fault.Profile{}, nil)
			m := u.choose("meter in prepayment", onSupply(kind))
			at := u.in(3 * time.Hour)
			id := u.anyCommand(m.Device, "1.6", updateMode(at, creditXML))
			if !u.answer(id).Success || u.mode(m.Device) != servicerequests.Prepayment {
				t.Fatal("not accepted, or done before its time")
			}
			told, alert := u.toldOf(id)
			if told.Code != gbcs.AlertFutureDatedDone || told.Instruction != 1 || told.Total != 1 || u.mode(m.Device) != servicerequests.Credit {
				t.Errorf("%04X, part %d of %d; the mode is %s", told.Code, told.Instruction, told.Total, u.mode(m.Device))
			}
			if want, _ := time.Parse(time.RFC3339, at); alert.At.Before(want) || alert.At.After(want.Add(time.Hour)) {
				t.Errorf("it says it was at %v, and was to be at %v", alert.At, want)
			}

			id = u.anyCommand(m.Device, "1.6", updateMode(u.in(3*time.Hour), prepaymentXML))
			if !u.answer(id).Success {
				t.Fatal("not accepted")
			}
			parts := 1
			if kind == servicerequests.ESME {
				parts = 2 // the threshold and the account
			}
			came := map[int]bool{} // deliveries go side by side: they may come in any order
			for range parts {
				told, _ := u.toldOf(id)
				part := int(told.Instruction)
				if told.Code != gbcs.AlertFutureDatedDone || part < 1 || part > parts || int(told.Total) != parts || came[part] {
					t.Errorf("%04X, part %d of %d", told.Code, told.Instruction, told.Total)
				}
				came[part] = true
			}
			if u.mode(m.Device) != servicerequests.Prepayment {
				t.Error("the mode is not Prepayment")
			}
		})
	}
}

// TestFutureDatedWithdrawn: a cancelling 1.6, another dated one and an immediate
// one each take the place of what a meter keeps, and no alert comes of that.
func TestFutureDatedWithdrawn(t *testing.T) {
	for _, kind := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			u := newUser(t, fault.Profile{}, nil)
			m := u.choose("meter in prepayment", onSupply(kind))
			cancelled := u.anyCommand(m.Device, "1.6", updateMode(u.in(2*time.Hour), creditXML))
			u.answer(cancelled)
			id := u.anyCommand(m.Device, "1.6", updateMode(never, creditXML))
			if !u.answer(id).Success {
				t.Fatal("the cancellation is refused")
			}
			replaced := u.anyCommand(m.Device, "1.6", updateMode(u.in(2*time.Hour), creditXML))
			u.answer(replaced)
			last := u.anyCommand(m.Device, "1.6", updateMode(u.in(3*time.Hour), creditXML))
			u.answer(last)
			for {
				r := u.next()
				if _, dated := r.Content.(duis.FutureDatedAlert); !dated {
					continue
				}
				if r.RequestID != last {
					t.Errorf("told of %s, which was withdrawn", r.RequestID)
				}
				break
			}
			if u.mode(m.Device) != servicerequests.Credit {
				t.Error("the last one has not taken effect")
			}
		})
	}
}

func TestImmediateRemovesDated(t *testing.T) {
	for _, survives := range []bool{false, true} {
		t.Run(fmt.Sprint(survives), func(t *testing.T) {
			t.Parallel()
			u := newUser(t, fault.Profile{}, func(o *devicesim.Options) { o.Behaviour = meter.Behaviour{DatedSurvives: survives} })
			m := u.choose("meter in prepayment", onSupply(servicerequests.ESME))
			dated := u.anyCommand(m.Device, "1.6", updateMode(u.in(4*time.Hour), prepaymentXML))
			u.answer(dated)
			last := u.anyCommand(m.Device, "1.6", "<sr:UpdatePaymentMode>"+creditXML+"</sr:UpdatePaymentMode>")
			u.answer(last)
			want := servicerequests.Credit
			if survives {
				u.toldOf(dated)
				want = servicerequests.Prepayment
			} else {
				u.pass(5 * time.Hour) // its time passes
			}
			if mode := u.mode(m.Device); mode != want {
				t.Errorf("the mode is %s", mode)
			}
		})
	}
}

// TestFutureDatedFails: 8F67 tells of a dated 1.6 that the meter could not carry
// out, and nothing has changed.
func TestFutureDatedFails(t *testing.T) {
	p, err := fault.Parse([]byte("latency: {median: 0s, tail: 0s}"))
	if err != nil {
		t.Fatal(err)
	}
	u := newUser(t, p, nil)
	m := u.choose("meter in prepayment", onSupply(servicerequests.ESME))
	id := u.anyCommand(m.Device, "1.6", updateMode(u.in(4*time.Hour), creditXML))
	u.answer(id)
	if p, err = fault.Parse([]byte("latency: {median: 0s, tail: 0s}\nhardware_failure: 1\nfailed_but_applied: 0")); err != nil {
		t.Fatal(err)
	}
	u.sim.SetFaults(p)
	if told, _ := u.toldOf(id); told.Code != gbcs.AlertFutureDatedNotDone || u.mode(m.Device) != servicerequests.Prepayment {
		t.Errorf("%04X, and the mode is %s", told.Code, u.mode(m.Device))
	}
}

// TestForbiddenArrive: that one arrives at all is the finding, so the simulator
// must carry it out, count it and tell of it.
func TestForbiddenArrive(t *testing.T) {
	seen := make(chan string, 8)
	u := newUser(t, fault.Profile{}, func(o *devicesim.Options) {
		o.Forbidden = func(_ servicerequests.EUI, useCase string) { seen <- useCase }
	})
	esme := u.choose("electricity on supply", onSupply(servicerequests.ESME))
	gsme := u.choose("gas on supply", onSupply(servicerequests.GSME))
	supply := func(m fleet.Meter) servicerequests.SupplyState {
		now, _ := u.sim.Device(m.Device)
		return now.Supply
	}
	for _, step := range []struct {
		m                  fleet.Meter
		srv, body, useCase string
		want               servicerequests.SupplyState
	}{
		{esme, "7.2", "<sr:DisableSupply></sr:DisableSupply>", "ECS43", servicerequests.Disabled},
		{esme, "7.1", "<sr:EnableSupply></sr:EnableSupply>", "ECS42", servicerequests.Enabled},
		{gsme, "7.2", "<sr:DisableSupply></sr:DisableSupply>", "GCS32", servicerequests.Disabled},
	} {
		if !u.answer(u.anyCommand(step.m.Device, step.srv, step.body)).Success || supply(step.m) != step.want {
			t.Errorf("%s %s: the supply is %s", step.m.Type, step.srv, supply(step.m))
		}
		if useCase := <-seen; useCase != step.useCase {
			t.Errorf("%s is seen, want %s", useCase, step.useCase)
		}
	}
	if n := u.sim.Summary().ForbiddenCommands; n != 3 {
		t.Errorf("%d forbidden commands, want 3", n)
	}
}

// TestPrepayValues: 4.3 is answered encrypted, by a gas proxy as well.
func TestPrepayValues(t *testing.T) {
	u := newUser(t, fault.Profile{}, nil)
	esme := u.choose("electricity on supply", onSupply(servicerequests.ESME))
	gsme := u.choose("gas on supply", onSupply(servicerequests.GSME))
	for device, m := range map[servicerequests.EUI]fleet.Meter{esme.Device: esme, gsme.Device: gsme, gsme.GPF(): gsme} {
		id := u.newID(device)
		u.acknowledged(u.anyRequest(id, 1, "4.3", "<sr:ReadInstantaneousPrepayValues></sr:ReadInstantaneousPrepayValues>"))
		r := u.until(id)
		message, err := gbcs.Parse(r.Content.(duis.DeviceResponse).Payload)
		if err != nil {
			t.Fatal(err)
		}
		u.authentic(message)
		answer, err := gbcs.DecodeResponse(message)
		if err != nil {
			t.Fatal(err)
		}
		_, agreement := u.certificates(device)
		public, err := agreement.ECDH()
		if err != nil {
			t.Fatal(err)
		}
		values := gbcs.PrepayValues{MeterBalance: m.Balance, AccumulatedDebt: m.Debt}
		sealed, err := gbcs.SealPrepayValues(message.Header, gbcs.EncryptionKey(u.secret(public), message.Header), values)
		if err != nil || !bytes.Equal(sealed, answer.Ciphertext) {
			t.Errorf("%s: %x, %v; want %x: a balance of %s and a debt of %s", device, answer.Ciphertext, err, sealed, m.Balance, m.Debt)
		}
	}
}
