package devicesim_test

import (
	"bytes"
	"net/http"
	"testing"

	"safemode/devicesim"
	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/devicesim/history"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/smki"
)

// told is a device's history once what was on its way has come.
func (u *user) told(device servicerequests.EUI) history.Device {
	u.sim.Settle()
	return u.sim.History(device)
}

// TestHistory: what was accepted, carried out, answered and raised stands there in order,
// of a meter and of its proxy apart.
func TestHistory(t *testing.T) {
	t.Parallel()
	u := newUser(t, fault.Profile{}, nil)
	m := u.choose("home that emergency credit arms", func(m fleet.Meter) bool {
		return m.Type == servicerequests.ESME && m.Reachable && m.Mode == servicerequests.Prepayment && m.Supply == servicerequests.Disabled &&
			m.EmergencyCredit == fleet.Available && m.Balance <= 0
	})
	read := u.read(servicerequests.ReadMeterBalance, m.Device)
	u.outcome(servicerequests.ReadMeterBalance, m.Type, read, nil)
	u.sim.Settle() // the answer stands there before the next is asked for
	bought := u.command(servicerequests.ActivateEmergencyCredit, m)
	var alerts []uint16
	u.outcome(servicerequests.ActivateEmergencyCredit, m.Type, bought, &alerts)
	u.sim.Settle()
	again := u.command(servicerequests.SwitchToCredit, m)
	u.outcome(servicerequests.SwitchToCredit, m.Type, again, &alerts)
	u.sim.Settle()
	refused := u.command(servicerequests.ArmSupply, m) // it is armed already
	u.outcome(servicerequests.ArmSupply, m.Type, refused, &alerts)
	for len(alerts) < 2 {
		alerts = append(alerts, u.alert(u.next().Content.(duis.DeviceAlert)).Code)
	}

	h := u.told(m.Device)
	ids, srvs := []servicerequests.RequestID{read, bought, again, refused}, []string{"4.18", "2.5", "1.6", "7.3"}
	if len(h.Accepted) != 4 || len(h.Carried) != 4 || len(h.Answers) != 4 || len(h.Replies) != 0 {
		t.Fatalf("%+v", h)
	}
	for i, id := range ids {
		accepted, carried, answer := h.Accepted[i], h.Carried[i], h.Answers[i]
		if accepted.Counter != id.Counter || accepted.SRV != srvs[i] || carried.Counter != id.Counter || carried.SRV != srvs[i] ||
			answer.Counter != id.Counter || answer.Bent || answer.Code != servicerequests.Success {
			t.Errorf("%s: accepted %+v, carried out %+v, answered %+v", srvs[i], accepted, carried, answer)
		}
		if accepted.At > carried.At || carried.At > answer.At || (carried.Result != 0) != (i == 3) || i > 0 && carried.Order <= h.Carried[i-1].Order {
			t.Errorf("%s: accepted %+v, carried out %+v, answered %+v", srvs[i], accepted, carried, answer)
		}
	}
	if before, after := h.Carried[0].State, h.Carried[2].State; before.Balance != m.Balance || before.Mode != servicerequests.Prepayment ||
		before.Supply != servicerequests.Disabled || after.Mode != servicerequests.Credit || after.Supply != servicerequests.Armed {
		t.Errorf("was %+v, then %+v", before, after)
	}
	if len(h.Alerts) != 2 || h.Alerts[0].Code != uint16(meter.EmergencyCreditActivated) || h.Alerts[1].Code != uint16(meter.ArmedByEmergencyCredit) {
		t.Fatalf("alerts %+v", h.Alerts)
	}
	for _, a := range h.Alerts {
		if a.Raised == 0 || a.Delivered < a.Raised {
			t.Errorf("alert %+v", a)
		}
	}

	gas := u.choose("gas meter", func(m fleet.Meter) bool { return m.Type == servicerequests.GSME && m.Reachable })
	id := u.read(servicerequests.ReadMeterBalance, gas.GPF())
	u.outcome(servicerequests.ReadMeterBalance, servicerequests.GPF, id, nil)
	if proxy := u.told(gas.GPF()); len(proxy.Carried) != 1 || proxy.Carried[0].State.Balance != gas.Balance || proxy.Carried[0].Order <= h.Carried[3].Order {
		t.Errorf("the proxy's %+v", proxy)
	}
	if own := u.told(gas.Device); len(own.Accepted)+len(own.Carried)+len(own.Answers) != 0 {
		t.Errorf("the meter's %+v", own)
	}
}

// TestHistoryOfTrouble: what goes wrong on the way is told as it was.
func TestHistoryOfTrouble(t *testing.T) {
	type note struct{ accepted, carried, answers, bent, replies int }
	tests := []struct {
		name, profile string
		code          servicerequests.ResponseCode // of the answer
		want          note
	}{
		{"honest", "{}", servicerequests.Success, note{1, 1, 1, 0, 0}},
		{"repeated", "duplicate_response: 1", servicerequests.Success, note{1, 1, 2, 0, 0}},
		{"no answer", "no_answer: 1", servicerequests.NoResponse, note{1, 0, 1, 0, 0}},
		{"lost on the way back", "lost_response: 1", servicerequests.NoResponse, note{1, 1, 1, 0, 0}},
		{"no signature", "lies: {unsigned_response: 1}", servicerequests.Success, note{1, 1, 1, 1, 0}},
		{"no payload", "lies: {no_payload: 1}", servicerequests.Success, note{1, 1, 1, 1, 0}},
		{"wrong proof", "lies: {bad_proof: 1}", servicerequests.Success, note{1, 1, 1, 1, 0}},
		{"another device's", "lies: {other_device: 1}", servicerequests.Success, note{1, 1, 1, 1, 0}},
		{"to another request", "lies: {unknown_request: 1}", servicerequests.Success, note{1, 2, 1, 1, 0}}, // the DCC asked once more
		{"late acknowledgement", "lies: {late_acknowledgement: 1}", servicerequests.Success, note{1, 1, 1, 0, 0}},
		{"a page in place of the acknowledgement", "lies: {html: 1}", servicerequests.Success, note{1, 1, 1, 0, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			u := newUser(t, parseFaults(t, test.profile), nil)
			m := u.choose("meter in prepayment", prepaid(servicerequests.ESME))
			u.post("/api/v1/serviceS", u.request(duis.Request{ID: u.newID(m.Device), Service: servicerequests.ReadSupplyStatus}))
			for range test.want.answers {
				u.received()
			}
			h := u.told(m.Device)
			got := note{len(h.Accepted), len(h.Carried), len(h.Answers), 0, len(h.Replies)}
			for _, a := range h.Answers {
				if a.Counter != h.Accepted[0].Counter || a.Code != test.code {
					t.Errorf("answer %+v", a)
				}
				if a.Bent {
					got.bent++
				}
			}
			for _, r := range h.Replies {
				if !r.Bent || r.SRV != "7.4" || r.Counter != h.Accepted[0].Counter {
					t.Errorf("reply %+v", r)
				}
			}
			if got != test.want {
				t.Errorf("%+v, want %+v: %+v", got, test.want, h)
			}
		})
	}
}

// TestHistoryOfReplies: a refusal, a lie of Transform and a broken connection are told.
func TestHistoryOfReplies(t *testing.T) {
	t.Parallel()
	u := newUser(t, parseFaults(t, "lost_acknowledgement: 1\nlies: {enable: 1}"), nil)
	m := u.choose("meter in prepayment", prepaid(servicerequests.ESME))
	u.transformed(u.request(duis.Request{ID: u.newID(m.Device), Service: servicerequests.SwitchToCredit}))
	if h := u.told(m.Device); len(h.Replies) != 1 || !h.Replies[0].Bent || h.Replies[0].SRV != "1.6" || len(h.Accepted) != 0 {
		t.Errorf("%+v", h)
	}
	if _, err := u.client.Post("http://"+u.sim.DUISAddr()+"/api/v1/serviceS", "application/xml", bytes.NewReader(u.readRequest(m.Device))); err == nil {
		t.Error("the connection did not break")
	}
	if h := u.told(m.Device); len(h.Replies) != 2 || !h.Replies[1].Bent || h.Replies[1].SRV != "7.4" || len(h.Accepted) != 1 {
		t.Errorf("%+v", h)
	}
	var other fleet.Meter
	for i := range u.fleet.Len() {
		if other = u.fleet.Meter(i); other.Supplier != smki.TestSupplier {
			break
		}
	}
	if code := u.code(u.readRequest(other.Device)); code != servicerequests.NotRegistered {
		t.Fatal(code)
	}
	if h := u.told(other.Device); len(h.Replies) != 1 || h.Replies[0].Bent || h.Replies[0].Code != servicerequests.NotRegistered {
		t.Errorf("%+v", h)
	}
}

// TestHistoryForgets: a simulator that forgets keeps nothing.
func TestHistoryForgets(t *testing.T) {
	t.Parallel()
	u := newUser(t, fault.Profile{}, func(o *devicesim.Options) { o.Forgets = true })
	m := u.choose("meter in prepayment", prepaid(servicerequests.ESME))
	id := u.read(servicerequests.ReadSupplyStatus, m.Device)
	u.outcome(servicerequests.ReadSupplyStatus, m.Type, id, nil)
	if h := u.told(m.Device); len(h.Accepted)+len(h.Carried)+len(h.Answers)+len(h.Replies)+len(h.Alerts) != 0 {
		t.Errorf("%+v", h)
	}
	if status := u.control(http.MethodPost, "/sim/v1/devices/"+m.Device.String()+"/press", "", nil); status != http.StatusOK {
		t.Errorf("press: %d", status)
	}
}

// TestOrderAfterOutage: what was sent to a hub while it was out of reach is carried out
// in the order in which it was sent.
func TestOrderAfterOutage(t *testing.T) {
	t.Parallel()
	u := newUser(t, parseFaults(t, "outage: {region: North, after: 1ns, lasts: 110m}\ndcc: {windows: {unreachable: 2h}}"), nil)
	m := u.choose("meter in the north", func(m fleet.Meter) bool {
		return m.Type == servicerequests.ESME && m.Reachable && m.Region == servicerequests.North
	})
	const reads = 20
	for range reads {
		u.read(servicerequests.ReadSupplyStatus, m.Device)
	}
	for range reads {
		u.received()
	}
	h := u.told(m.Device)
	if len(h.Carried) != reads || h.Accepted[reads-1].At > h.Carried[0].At {
		t.Fatalf("not all were sent while the hub was out of reach: %+v", h)
	}
	for i, c := range h.Carried {
		if c.Counter != h.Accepted[i].Counter {
			t.Errorf("number %d was carried out as number %d", i, c.Order)
		}
	}
}
