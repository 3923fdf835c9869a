package devicesim_test

import (
	"slices"
	"testing"
	"time"

	"safemode/devicesim"
	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/smki"
)

// TestDCCClock: what the DCC stamps is by its own clock: answers, alerts and replies.
func TestDCCClock(t *testing.T) {
	t.Parallel()
	const ahead = 48 * time.Hour // far more than a busy machine is late
	u := newUser(t, parseFaults(t, "latency: {median: 0s, tail: 0s}\ndcc: {clock_skew: 48h}"), nil)
	m := u.choose("electricity that is off", func(m fleet.Meter) bool {
		return m.Type == servicerequests.ESME && m.Reachable && m.Supply == servicerequests.Disabled && !m.Locked
	})
	stamped := func(what string, at time.Time) {
		t.Helper()
		if off := at.Sub(u.clock.Now()) - ahead; off.Abs() > 10*time.Hour {
			t.Errorf("%s is stamped %v beside the DCC's clock", what, off)
		}
	}
	id := u.newID(m.Device)
	stamped("a Pre-Command", u.proven(u.post("/api/v1/serviceT", u.request(duis.Request{ID: id, Service: servicerequests.ArmSupply})), u.folder.DCC.Transform.Certificate).At)
	acknowledged, err := duis.DecodeResponse(u.post("/api/v1/serviceS", u.readRequest(m.Device)))
	if err != nil {
		t.Fatal(err)
	}
	stamped("an acknowledgement", acknowledged.At)
	stamped("an answer", u.next().At)
	u.command(servicerequests.ArmSupply, m)
	alerts := 0
	for range 2 {
		r := u.next()
		if _, ok := r.Content.(duis.DeviceAlert); ok {
			alerts++
		}
		stamped("an answer or an alert", r.At)
	}
	if alerts != 1 {
		t.Errorf("%d alerts", alerts)
	}
}

// TestStampedAt: an answer that is delivered late has the time of either moment.
func TestStampedAt(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]time.Duration{"delivery": 4 * time.Hour, "execution": 0} {
		u := newUser(t, parseFaults(t, "latency: {median: 0s, tail: 0s}\ndelayed_response: 1\ndelay: 4h\ndcc: {stamped_at: "+setting+"}"), nil)
		m := u.choose("electricity on supply", onSupply(servicerequests.ESME))
		asked := u.clock.Now()
		r := u.until(u.read(servicerequests.ReadSupplyStatus, m.Device))
		if waited := u.clock.Now().Sub(asked); waited < 4*time.Hour {
			t.Errorf("%s: delivered after %v", setting, waited)
		}
		if took := r.At.Sub(asked); (took - want).Abs() > 2*time.Hour {
			t.Errorf("%s: stamped %v after it was asked, want %v", setting, took, want)
		}
	}
}

// TestAlertsOnTheWay: alerts are lost, or come twice, by their share.
func TestAlertsOnTheWay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"name: as it is": 1, "lost_alert: 1": 0, "duplicate_alert: 1": 2} {
		u := newUser(t, parseFaults(t, text+"\nlatency: {median: 0s, tail: 0s}"), nil)
		m := u.choose("electricity that is off", func(m fleet.Meter) bool {
			return m.Type == servicerequests.ESME && m.Reachable && m.Supply == servicerequests.Disabled && !m.Locked
		})
		id := u.command(servicerequests.ArmSupply, m)
		var alerts []uint16
		answered := false
		for len(alerts) < want || !answered {
			r := u.next()
			if alert, ok := r.Content.(duis.DeviceAlert); ok {
				alerts = append(alerts, u.alert(alert).Code)
			}
			answered = answered || r.RequestID == id
		}
		u.answer(u.read(servicerequests.ReadSupplyStatus, m.Device)) // nothing else comes before it
		if slices.ContainsFunc(alerts, func(code uint16) bool { return code != uint16(meter.SupplyArmed) }) || len(alerts) != want {
			t.Errorf("%s: alerts %04X", text, alerts)
		}
		if told := u.sim.Summary().Alerts[meter.SupplyArmed.String()]; told != 1 {
			t.Errorf("%s: the meter raised %d", text, told)
		}
	}
}

// TestUntold: E20 and E21 that never come, each by its own share.
func TestUntold(t *testing.T) {
	t.Parallel()
	for text, told := range map[string]bool{
		"unreachable: 1\nuntold_e20: 1":   false,
		"unreachable: 1\nuntold_e21: 1":   true,
		"no_answer: 1\nuntold_e21: 1":     false,
		"no_answer: 1\nuntold_e20: 1":     true,
		"lost_response: 1\nuntold_e21: 1": false,
	} {
		u := newUser(t, parseFaults(t, text+"\nlatency: {median: 0s, tail: 0s}"), nil)
		m := u.choose("electricity on supply", onSupply(servicerequests.ESME))
		u.read(servicerequests.ReadSupplyStatus, m.Device)
		u.pass(10 * time.Hour) // past all windows
		if n := len(u.inbox); (n == 1) != told {
			t.Errorf("%s: %d messages", text, n)
		}
	}
}

// TestHighCounter: a meter whose counter is above the clock takes no command under a
// floor of now, and one above its own.
func TestHighCounter(t *testing.T) {
	t.Parallel()
	u := newUser(t, parseFaults(t, "groups: [{device_types: [ESME], high_counter: 1, counter_lead: 20h}]\nlatency: {median: 0s, tail: 0s}"), nil)
	esme, gsme := u.choose("electricity on supply", onSupply(servicerequests.ESME)), u.choose("gas on supply", onSupply(servicerequests.GSME))
	now := u.clock.Now()
	u.counter.Store(uint64(now.Add(10 * time.Hour).UnixMilli()))
	if r := u.until(u.command(servicerequests.SwitchToCredit, esme)); r.Code != servicerequests.NoResponse {
		t.Errorf("under the meter's counter: %s", r.Code)
	}
	if r := u.until(u.command(servicerequests.SwitchToCredit, gsme)); r.Code != servicerequests.Success {
		t.Errorf("a meter without a high counter: %s", r.Code)
	}
	u.counter.Store(uint64(now.Add(30 * time.Hour).UnixMilli()))
	if r := u.until(u.command(servicerequests.SwitchToCredit, esme)); r.Code != servicerequests.Success {
		t.Errorf("above the meter's counter: %s", r.Code)
	}
	if n := u.sim.Summary().Refused["replay"]; n != 1 {
		t.Errorf("%d replays", n)
	}
}

// TestRegistrationFlaps: E4, and then the meter is the failed supplier's again.
func TestRegistrationFlaps(t *testing.T) {
	t.Parallel()
	u := newUser(t, parseFaults(t, "dcc: {registration_flaps: {share: 0.5, up: 2h, down: 2h}}"), nil)
	away, back := map[servicerequests.EUI]bool{}, map[servicerequests.EUI]bool{}
	ever := map[servicerequests.EUI]bool{}
	for end := u.clock.Now().Add(10 * time.Hour); u.clock.Now().Before(end); {
		for i := range u.fleet.Len() {
			m := u.fleet.Meter(i)
			if m.Supplier != smki.TestSupplier {
				continue
			}
			ever[m.Device] = true
			now, _ := u.sim.Device(m.Device)
			if now.Supplier != smki.TestSupplier {
				away[m.Device] = true
			} else if away[m.Device] {
				back[m.Device] = true
			}
		}
		u.pass(10 * time.Minute)
	}
	if n := len(ever); len(away) < n*4/10 || len(away) > n*6/10 || len(back) != len(away) {
		t.Errorf("of %d meters %d went and %d came back", n, len(away), len(back))
	}
	for device := range ever {
		if away[device] {
			continue
		}
		if code := u.code(u.readRequest(device)); code != servicerequests.Acknowledged {
			t.Errorf("%v, which never flaps: %s", device, code)
		}
		break
	}
	// The DCC's own word is the registration's.
	codes := map[servicerequests.ResponseCode]bool{}
	for device := range away {
		for end := u.clock.Now().Add(6 * time.Hour); u.clock.Now().Before(end) && len(codes) < 2; {
			codes[u.code(u.readRequest(device))] = true
			u.pass(10 * time.Minute)
		}
		break
	}
	if !codes[servicerequests.NotRegistered] || !codes[servicerequests.Acknowledged] || len(codes) != 2 {
		t.Errorf("codes %v", codes)
	}
}

// TestBelowInSuspension: such meters tell that credit has run out when it does, while
// disablement is suspended.
func TestBelowInSuspension(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 23, 18, 30, 0, 0, time.UTC) // a Monday evening
	for text, share := range map[string]uint64{"name: as it is": 0, "below_in_suspension: 1": 1} {
		u := newUser(t, parseFaults(t, text), func(o *devicesim.Options) {
			o.Clock = from(begin)
			o.Life = meter.Life{ElectricityUse: 15 * servicerequests.Pound, GasUse: 15 * servicerequests.Pound, Began: begin}
		})
		u.pass(10 * time.Hour)
		all := u.sim.Summary().Alerts
		if suspended := all["8F83"]; suspended < 5 || all["8F0F"] != share*suspended {
			t.Errorf("%s: %v", text, all)
		}
	}
}
