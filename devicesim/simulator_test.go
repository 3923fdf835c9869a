package devicesim_test

import (
	"errors"
	"math/big"
	"net/http"
	"slices"
	"testing"
	"time"

	"safemode/devicesim"
	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/smki"
)

func disconnected(kind servicerequests.DeviceType) func(m fleet.Meter) bool {
	return func(m fleet.Meter) bool {
		return m.Type == kind && m.Reachable && !m.Locked && m.Mode == servicerequests.Prepayment &&
			m.Supply == servicerequests.Disabled && m.EmergencyCredit == fleet.Spent
	}
}

// TestSafeMode takes an electricity and a gas meter that have cut themselves
// off to Credit and Armed, and the consumer to Enabled, as a User would.
func TestSafeMode(t *testing.T) {
	for _, kind := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			u := newUser(t, builtin(t, "calm"), nil)
			m := u.choose("disconnected "+kind.String(), disconnected(kind))

			id := u.command(servicerequests.SwitchToCredit, m)
			if r, answer := u.outcome(servicerequests.SwitchToCredit, kind, id, nil); r.Code != servicerequests.Success || !answer.Success {
				t.Fatalf("1.6: %s, success %v", r.Code, answer.Success)
			}
			id = u.read(servicerequests.ReadPaymentMode, m.Device)
			if _, answer := u.outcome(servicerequests.ReadPaymentMode, kind, id, nil); answer.Mode != servicerequests.Credit {
				t.Errorf("6.2.9 reads %s", answer.Mode)
			}
			id = u.read(servicerequests.ReadSupplyStatus, m.Device)
			if _, answer := u.outcome(servicerequests.ReadSupplyStatus, kind, id, nil); answer.Supply != servicerequests.Disabled {
				t.Errorf("7.4 reads %s after 1.6", answer.Supply)
			}
			if done, ok := u.sim.History(m.Device).Find(id.Counter); !ok || done.State.Supply != servicerequests.Disabled || done.State.Mode != servicerequests.Credit {
				t.Errorf("history at the 7.4: %+v, %v", done, ok)
			}

			var alerts []uint16
			id = u.command(servicerequests.ArmSupply, m)
			if _, answer := u.outcome(servicerequests.ArmSupply, kind, id, &alerts); !answer.Success {
				t.Error("7.3 failed")
			}
			again := u.read(servicerequests.ReadSupplyStatus, m.Device)
			if _, answer := u.outcome(servicerequests.ReadSupplyStatus, kind, again, &alerts); answer.Supply != servicerequests.Armed {
				t.Errorf("7.4 reads %s after 7.3", answer.Supply)
			}
			if !slices.Contains(alerts, 0x8F32) {
				t.Errorf("alerts %04X, want 8F32 among them", alerts)
			}

			var pressed struct{ Enabled bool }
			if status := u.control("POST", "/sim/v1/devices/"+m.Device.String()+"/press", "", &pressed); status != http.StatusOK || !pressed.Enabled {
				t.Errorf("press: status %d, enabled %v", status, pressed.Enabled)
			}
			if done, ok := u.sim.History(m.Device).Find(again.Counter); !ok || done.State.Supply != servicerequests.Armed {
				t.Errorf("history at the read, after the press: %+v, %v", done, ok)
			}
			var device struct {
				Supply servicerequests.SupplyState `json:"supply_state"`
				Mode   servicerequests.PaymentMode `json:"payment_mode"`
			}
			if status := u.control("GET", "/sim/v1/devices/"+m.Device.String(), "", &device); status != http.StatusOK ||
				device.Supply != servicerequests.Enabled || device.Mode != servicerequests.Credit {
				t.Errorf("after the press: status %d, %+v", status, device)
			}
			var summary devicesim.Summary
			u.control("GET", "/sim/v1/summary", "", &summary)
			if summary.Executed["1.6"] != 1 || summary.Executed["7.3"] != 1 || summary.Executed["7.4"] != 2 ||
				summary.ForbiddenCommands != 0 || summary.Meters != 200 || summary.Faults != "calm" {
				t.Errorf("summary: %+v", summary)
			}
		})
	}
}

// TestEmergencyCredit also covers the negative answer, which is no fault.
func TestEmergencyCredit(t *testing.T) {
	t.Parallel()
	u := newUser(t, builtin(t, "calm"), nil)
	available := u.choose("meter with emergency credit to be had", func(m fleet.Meter) bool {
		return m.Type == servicerequests.ESME && m.Reachable && !m.Locked && m.EmergencyCredit == fleet.Available
	})
	id := u.command(servicerequests.ActivateEmergencyCredit, available)
	if r, answer := u.outcome(servicerequests.ActivateEmergencyCredit, servicerequests.ESME, id, nil); r.Code != servicerequests.Success || !answer.Success {
		t.Errorf("2.5 where there is some: %s, success %v", r.Code, answer.Success)
	}
	spent := u.choose("meter with emergency credit spent", disconnected(servicerequests.ESME))
	id = u.command(servicerequests.ActivateEmergencyCredit, spent)
	if r, answer := u.outcome(servicerequests.ActivateEmergencyCredit, servicerequests.ESME, id, nil); r.Code != servicerequests.Success || answer.Success {
		t.Errorf("2.5 where it is spent: %s, success %v", r.Code, answer.Success)
	}
}

// TestReads reads what has a MAC and no signature, from meter and gas proxy.
func TestReads(t *testing.T) {
	t.Parallel()
	u := newUser(t, builtin(t, "calm"), nil)
	esme := u.choose("ESME", func(m fleet.Meter) bool { return m.Type == servicerequests.ESME && m.Reachable })
	gsme := u.choose("GSME", func(m fleet.Meter) bool { return m.Type == servicerequests.GSME && m.Reachable })
	for _, target := range []struct {
		device  servicerequests.EUI
		kind    servicerequests.DeviceType
		balance servicerequests.Millipence
	}{
		{esme.Device, servicerequests.ESME, esme.Balance},
		{gsme.Device, servicerequests.GSME, gsme.Balance},
		{gsme.GPF(), servicerequests.GPF, gsme.Balance},
	} {
		id := u.read(servicerequests.ReadMeterBalance, target.device)
		if _, answer := u.outcome(servicerequests.ReadMeterBalance, target.kind, id, nil); !answer.HasBalance || answer.Balance != target.balance {
			t.Errorf("4.18 of a %s: %v %s, want %s", target.kind, answer.HasBalance, answer.Balance, target.balance)
		}
		id = u.read(servicerequests.ReadPrepaymentConfiguration, target.device)
		if _, answer := u.outcome(servicerequests.ReadPrepaymentConfiguration, target.kind, id, nil); answer.Configuration == nil {
			t.Errorf("4.13 of a %s has no configuration", target.kind)
		}
		if _, ok := u.sim.History(target.device).Find(id.Counter); !ok {
			t.Errorf("no history of a read of a %s", target.kind)
		}
	}
}

// TestGasProxyLags reads a gas proxy right after its meter has changed.
func TestGasProxyLags(t *testing.T) {
	t.Parallel()
	// No latency and an hour in four seconds: the first read comes well before the meter wakes
	// again. A clock that jumps would show the very instant of the wake.
	u := newUser(t, fault.Profile{}, func(o *devicesim.Options) { o.Clock = clock.Clock{Anchor: time.Now(), Speed: 900} })
	m := u.choose("GSME in prepayment", func(m fleet.Meter) bool {
		return m.Type == servicerequests.GSME && m.Reachable && m.Mode == servicerequests.Prepayment
	})
	id := u.command(servicerequests.SwitchToCredit, m)
	u.outcome(servicerequests.SwitchToCredit, servicerequests.GSME, id, nil)
	id = u.read(servicerequests.ReadPaymentMode, m.GPF())
	if _, answer := u.outcome(servicerequests.ReadPaymentMode, servicerequests.GPF, id, nil); answer.Mode != servicerequests.Prepayment {
		t.Errorf("the proxy reads %s at once", answer.Mode)
	}
	u.pass(31 * time.Minute)
	id = u.read(servicerequests.ReadPaymentMode, m.GPF())
	if _, answer := u.outcome(servicerequests.ReadPaymentMode, servicerequests.GPF, id, nil); answer.Mode != servicerequests.Credit {
		t.Errorf("the proxy reads %s after a push", answer.Mode)
	}
}

func TestInventory(t *testing.T) {
	t.Parallel()
	u := newUser(t, fault.Profile{}, nil)
	m := u.choose("GSME", func(m fleet.Meter) bool { return m.Type == servicerequests.GSME })
	id := u.newID(smki.TestDCC)
	answer := u.post("/api/v1/serviceD", u.request(duis.Request{ID: id, Service: servicerequests.ReadInventory, InventoryDevice: m.Device}))
	r := u.proven(answer, u.folder.DCC.XMLSigning.Certificate)
	devices, ok := r.Content.(duis.Inventory)
	if !ok || r.RequestID != id || r.ResponseID != (servicerequests.RequestID{}) {
		t.Fatalf("8.2: %+v", r)
	}
	kinds := map[servicerequests.EUI]string{m.Device: "GSME", m.GPF(): "GPF", m.Hub: "CHF"}
	for _, d := range devices {
		if want, ok := kinds[d.ID]; ok && d.Type == want && d.CSPRegion == m.Region.String() && (d.Type == "CHF" || d.ImportMPxN == m.MPxN.String()) {
			delete(kinds, d.ID)
		}
	}
	if len(kinds) > 0 {
		t.Errorf("missing or wrong: %v in %+v", kinds, devices)
	}
}

// TestNoAnswer has the DCC give up on a home that it cannot reach.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	u := newUser(t, builtin(t, "calm"), nil)
	m := u.choose("meter out of reach", func(m fleet.Meter) bool { return !m.Reachable })
	id := u.command(servicerequests.SwitchToCredit, m)
	if r, _ := u.outcome(servicerequests.SwitchToCredit, m.Type, id, nil); r.Code != servicerequests.Unreachable || r.Content != nil {
		t.Errorf("out of reach: %s with %v, want E20", r.Code, r.Content)
	}

	p, err := fault.Parse([]byte("no_answer: 1"))
	if err != nil {
		t.Fatal(err)
	}
	u.sim.SetFaults(p)
	m = u.choose("ESME", func(m fleet.Meter) bool { return m.Type == servicerequests.ESME && m.Reachable })
	id = u.read(servicerequests.ReadSupplyStatus, m.Device)
	if r, _ := u.outcome(servicerequests.ReadSupplyStatus, m.Type, id, nil); r.Code != servicerequests.NoResponse {
		t.Errorf("no answer: %s, want E21", r.Code)
	}
}

// TestLostAndRepeatedResponses: carried out though nothing came back, and
// delivered twice.
func TestLostAndRepeatedResponses(t *testing.T) {
	t.Parallel()
	u := newUser(t, fault.Profile{}, nil)
	m := u.choose("ESME in prepayment", func(m fleet.Meter) bool {
		return m.Type == servicerequests.ESME && m.Reachable && m.Mode == servicerequests.Prepayment
	})
	if status := u.control("POST", "/sim/v1/faults", "lost_response: 1", nil); status != http.StatusNoContent {
		t.Fatalf("faults: status %d", status)
	}
	id := u.command(servicerequests.SwitchToCredit, m)
	if r, _ := u.outcome(servicerequests.SwitchToCredit, m.Type, id, nil); r.Code != servicerequests.NoResponse {
		t.Errorf("lost response: %s, want E21", r.Code)
	}
	if now, _ := u.sim.Device(m.Device); now.Mode != servicerequests.Credit {
		t.Errorf("lost response: the meter is in %s", now.Mode)
	}

	if status := u.control("POST", "/sim/v1/faults", "duplicate_response: 1", nil); status != http.StatusNoContent {
		t.Fatalf("faults: status %d", status)
	}
	id = u.read(servicerequests.ReadSupplyStatus, m.Device)
	for range 2 {
		u.outcome(servicerequests.ReadSupplyStatus, m.Type, id, nil)
	}
}

// TestReplay: a critical command under a counter that is not above the last is
// not carried out, and raises an alert.
func TestReplay(t *testing.T) {
	t.Parallel()
	u := newUser(t, fault.Profile{}, nil)
	m := u.choose("ESME in prepayment", func(m fleet.Meter) bool {
		return m.Type == servicerequests.ESME && m.Reachable && m.Mode == servicerequests.Prepayment
	})
	id := u.command(servicerequests.SwitchToCredit, m)
	u.outcome(servicerequests.SwitchToCredit, m.Type, id, nil)
	u.counter.Store(id.Counter - 10)
	late := u.command(servicerequests.ActivateEmergencyCredit, m)
	var alerts []uint16
	if r, _ := u.outcome(servicerequests.ActivateEmergencyCredit, m.Type, late, &alerts); r.Code != servicerequests.NoResponse {
		t.Errorf("old counter: %s, want E21", r.Code)
	}
	if !slices.Contains(alerts, 0x8F53) {
		t.Errorf("alerts %04X, want 8F53", alerts)
	}
	if s := u.sim.Summary(); s.Refused["replay"] != 1 {
		t.Errorf("refused: %v", s.Refused)
	}
}

// TestFolderWithoutAuthorities: DCC's ZAZ1 set has no key that issues to
// devices, so the simulator does, and says by what.
func TestFolderWithoutAuthorities(t *testing.T) {
	t.Parallel()
	u := newUser(t, fault.Profile{}, func(o *devicesim.Options) {
		o.PKI.Root, o.PKI.Issuing, o.PKI.DeviceIssuing = smki.SigningIdentity{}, smki.SigningIdentity{}, smki.SigningIdentity{}
	})
	u.authorities = u.search("CertificateSubjectName", "SAFEMODE TEST DEVICES")
	if len(u.authorities) != 1 || !u.authorities[0].IsTest() {
		t.Fatalf("authorities: %v", u.authorities)
	}
	m := u.choose("ESME", func(m fleet.Meter) bool { return m.Type == servicerequests.ESME && m.Reachable })
	id := u.read(servicerequests.ReadSupplyStatus, m.Device)
	if _, answer := u.outcome(servicerequests.ReadSupplyStatus, m.Type, id, nil); answer.Supply != m.Supply {
		t.Errorf("7.4 reads %s, want %s", answer.Supply, m.Supply)
	}
}

func TestControlRefusals(t *testing.T) {
	t.Parallel()
	u := newUser(t, fault.Profile{}, nil)
	for _, test := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/sim/v1/devices/meter", "", http.StatusBadRequest},
		{"GET", "/sim/v1/devices/00-DB-12-FF-FF-FF-FF-FF", "", http.StatusNotFound},
		{"POST", "/sim/v1/devices/00-DB-12-FF-FF-FF-FF-FF/press", "", http.StatusNotFound},
		{"POST", "/sim/v1/faults?profile=sunshine", "", http.StatusBadRequest},
		{"POST", "/sim/v1/faults", "no_such_key: 1", http.StatusBadRequest},
		{"POST", "/sim/v1/faults?profile=winter-evening", "", http.StatusNoContent},
		{"GET", "/metrics", "", http.StatusOK},
	} {
		if got := u.control(test.method, test.path, test.body, nil); got != test.want {
			t.Errorf("%s %s: status %d, want %d", test.method, test.path, got, test.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	small, err := fleet.Generate(fleet.Options{Meters: 2, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	foreign := testFolder(t)
	foreign.Supplier.DigitalSigning.Certificate = &smki.Certificate{
		Serial: big.NewInt(1), Issuer: "CN=S1,OU=07", PublicKey: foreign.DCC.Transform.Certificate.PublicKey,
	}
	withoutKeys := testFolder(t)
	withoutKeys.DCC.Transform.Key = nil
	for name, test := range map[string]struct {
		o    devicesim.Options
		want error
	}{
		"no fleet":              {devicesim.Options{PKI: testFolder(t)}, nil},
		"no PKI":                {devicesim.Options{Fleet: small}, nil},
		"certificate not test":  {devicesim.Options{Fleet: small, PKI: foreign}, devicesim.ErrNotTest},
		"DCC without its keys":  {devicesim.Options{Fleet: small, PKI: withoutKeys}, nil},
		"control for everybody": {devicesim.Options{Fleet: small, PKI: testFolder(t), Control: "0.0.0.0:0"}, devicesim.ErrNotLoopback},
		"address of elsewhere":  {devicesim.Options{Fleet: small, PKI: testFolder(t), SMKIListen: "192.0.2.1:1"}, nil},
	} {
		s, err := devicesim.New(test.o)
		if err == nil {
			t.Errorf("%s: not refused", name)
			s.Close()
			continue
		}
		if test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}
