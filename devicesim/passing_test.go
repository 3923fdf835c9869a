package devicesim_test

import (
	"testing"
	"time"

	"safemode/devicesim"
	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// from is a jumping clock that shows begin now.
func from(begin time.Time) clock.Clock { return clock.Showing(begin, time.Now(), 3600).Jumping() }

// Nobody asks these meters anything: they run out and say so, at about the time.
func TestMetersRunOutByThemselves(t *testing.T) {
	t.Parallel()
	u := newUser(t, builtin(t, "calm"), func(o *devicesim.Options) {
		o.Clock = from(time.Date(2026, 11, 25, 8, 30, 0, 0, time.UTC)) // a working day: windows are about to end
		o.Life = meter.Lived()
	})
	told := map[servicerequests.EUI]bool{}
	want := map[uint16]bool{0x8F0F: true, 0x810D: true, 0x8119: true, 0x81AB: true, 0x8168: true}
	for len(want) > 0 || len(told) < 3 {
		r := u.next()
		a, ok := r.Content.(duis.DeviceAlert)
		if !ok {
			t.Fatalf("%T from a DCC that was asked nothing", r.Content)
		}
		message, err := gbcs.Parse(a.Payload)
		if err != nil {
			t.Fatal(err)
		}
		raised := u.alert(a)
		delete(want, a.Code)
		if late := r.At.Sub(raised.At); late < 0 || late > 6*time.Hour {
			t.Errorf("%04X was raised %v before it was told", a.Code, late)
		}
		if a.Code != 0x8F0F {
			continue
		}
		told[message.Originator] = true
		m, ok := u.sim.Device(message.Originator)
		if !ok || m.Mode != servicerequests.Prepayment {
			t.Errorf("%v tells that it is off, and is %s", message.Originator, m.Mode)
		}
		if i, _ := u.fleet.Find(m.Device); u.fleet.Meter(i).Supply == servicerequests.Disabled && u.fleet.Meter(i).EmergencyCredit == fleet.Unavailable {
			t.Errorf("%v was off already", m.Device)
		}
	}
	s := u.sim.Summary()
	if s.Alerts["8F0F"] < 3 || s.AlertsUnsent != 0 || s.BehindSeconds > 7200 {
		t.Errorf("summary: %+v", s)
	}
	total := 0
	for _, bySupply := range s.States {
		for _, n := range bySupply {
			total += n
		}
	}
	if total != s.Meters {
		t.Errorf("%d meters are counted, of %d", total, s.Meters)
	}
}

// A gas proxy answers at once, with what its meter told it up to half an hour ago.
func TestGasProxyIsStale(t *testing.T) {
	t.Parallel()
	u := newUser(t, builtin(t, "calm"), func(o *devicesim.Options) {
		o.Clock = from(time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC))
		o.Life = meter.Lived()
		o.Life.TopUp, o.Life.EmergencyCredit = meter.Habit{}, meter.Habit{}
	})
	stale := 0
	for i := range u.fleet.Len() {
		m := u.fleet.Meter(i)
		if stale == 5 {
			break
		}
		if m.Type != servicerequests.GSME || !m.Reachable || m.Supplier != u.folder.Supplier.XMLSigning.Certificate.EUI ||
			m.Mode != servicerequests.Prepayment || m.Supply != servicerequests.Enabled || m.EmergencyCredit != fleet.Unavailable {
			continue
		}
		id := u.read(servicerequests.ReadMeterBalance, m.GPF())
		_, answer := u.outcome(servicerequests.ReadMeterBalance, servicerequests.GPF, id, nil)
		told, ok := u.sim.History(m.GPF()).Find(id.Counter)
		now, _ := u.sim.Device(m.Device)
		if !ok || answer.Balance != told.State.Balance || answer.Balance < now.Balance || answer.Balance > m.Balance {
			t.Errorf("%v: the proxy says %s, its truth is %s; the meter began with %s and has %s",
				m.Device, answer.Balance, told.State.Balance, m.Balance, now.Balance)
		}
		if answer.Balance > now.Balance {
			stale++
		}
	}
	if stale < 5 {
		t.Errorf("%d proxies showed an old balance, want 5", stale)
	}
}

// Without a life nothing happens to a meter that nobody commands.
func TestStillFleet(t *testing.T) {
	t.Parallel()
	u := newUser(t, builtin(t, "calm"), nil)
	u.pass(48 * time.Hour)
	for i := range u.fleet.Len() {
		m := u.fleet.Meter(i)
		if now, ok := u.sim.Device(m.Device); !ok || now != m {
			t.Fatalf("%+v became %+v", m, now)
		}
	}
	if s := u.sim.Summary(); len(s.Alerts) != 0 || s.BehindSeconds != 0 {
		t.Errorf("summary: %+v", s)
	}
}
