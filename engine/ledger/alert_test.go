package ledger

import (
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// seen is a meter that was switched and read back: Credit, and its supply as given.
func seen(t *testing.T, state servicerequests.SupplyState) *actor {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, state, pounds(10))
	a.step()
	if a.m.PendingOf(buyTime) != nil {
		a.end(buyTime, record.ClassNegative, "250", nil)
		a.step()
	}
	a.end(toCredit, record.ClassSuccess, "", nil)
	a.step()
	a.read(credit, state, nil)
	if a.m.Safe() == (state == off) {
		t.Fatalf("safe: %t", a.m.Safe())
	}
	return a
}

// Nor does one that comes before anything was read: what it tells of may be over.
func TestOldAlertBeforeTheFirstRead(t *testing.T) {
	for age, taken := range map[time.Duration]bool{time.Hour: true, alertWindow - 1: true, alertWindow: false, 30 * 24 * time.Hour: false} {
		for _, code := range []uint16{AlertBelow, AlertSuspended} {
			a := newActor(t, servicerequests.ESME)
			a.m.ApplyAlert(Alert{Code: code, Counter: 7, At: a.now.Add(-age), Heard: a.now})
			if a.m.Alarm.Raised() != taken {
				t.Errorf("%04X of %v ago is taken: %t", code, age, !taken)
			}
		}
	}
}

// A month-old 8F0F that the DCC delivers after the supply was read allows nothing: it is
// not what turned the supply off.
func TestOldAlertOfCreditAllowsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		later time.Duration // than the read of the supply
		at    bool          // it has a time
		taken bool
	}{
		"a month old":     {-30 * 24 * time.Hour, true, false},
		"as of the read":  {0, true, false},
		"without a time":  {0, false, false},
		"later":           {1, true, true},
		"an hour later":   {time.Hour, true, true},
		"ahead by a year": {365 * 24 * time.Hour, true, true},
	} {
		for _, code := range []uint16{AlertBelow, AlertSuspended} {
			a := seen(t, on)
			alert := Alert{Code: code, Counter: 7}
			if c.at {
				alert.At = a.m.Now.Supply.At.Add(c.later)
			}
			if a.m.ApplyAlert(alert) {
				t.Errorf("%s: %04X reopens the meter", name, code)
			}
			if got := a.m.Alarm.Raised(); got != c.taken {
				t.Errorf("%s: %04X is taken: %t", name, code, got)
			}
			if c.taken && a.m.Alarm.After != a.m.Issued() {
				t.Errorf("%s: %04X is after counter %d", name, code, a.m.Alarm.After)
			}
		}
	}
}

// The same of a home that is off for another reason, as far as the policy: no 7.3.
func TestOldAlertDoesNotArmAHomeThatIsOffForAnotherReason(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, on, pounds(0.5))
	month := a.now.Add(-30 * 24 * time.Hour)
	for range 2 { // and delivered again
		a.m.ApplyAlert(Alert{Code: AlertBelow, Counter: 7, At: month})
	}
	a.drive(func(r *Request) (record.Class, string, *record.Observation) {
		switch r.Service {
		case arm:
			t.Fatal("7.3 rests on an alert of last month")
		case supply:
			return record.ClassSuccess, "", &record.Observation{Supply: off}
		case mode:
			return record.ClassSuccess, "", &record.Observation{Mode: credit}
		case balance:
			return record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)}
		case buyTime:
			return record.ClassNegative, "250", nil
		}
		return record.ClassSuccess, "", nil
	})
	if a.verdict.Verdict != record.VerdictNotSafe || a.verdict.Reason != "turned off after it was found enabled" {
		t.Errorf("verdict %q (%q)", a.verdict.Verdict, a.verdict.Reason)
	}
}

// An alert counts once, by the device's own counter, and not after a later one.
func TestAlertIsTakenOnce(t *testing.T) {
	for _, c := range []Alert{
		{Code: AlertLocked},
		{Code: AlertUncontrolled},
		{Code: AlertFlowB4},
		{Code: AlertFlowB5},
		{Code: AlertFlowB6},
		{Code: AlertFutureDated, FutureDated: CodeECS03},
		{Code: AlertFutureDated, FutureDated: codeGCS03},
	} {
		a := seen(t, on)
		take := func(counter uint64) bool {
			alert := c
			alert.Counter, alert.At = counter, a.now
			return a.m.ApplyAlert(alert)
		}
		if !take(7) {
			t.Fatalf("%04X is passed over", c.Code)
		}
		stale := a.m.Counters
		a.counter += 10
		if take(7) || take(6) {
			t.Errorf("%04X is taken twice", c.Code)
		}
		if a.m.Counters != stale {
			t.Errorf("%04X: repeated, it outdates what was read since", c.Code)
		}
		if !take(8) {
			t.Errorf("%04X: the next one is passed over", c.Code)
		}
		if first, again := take(0), take(0); !first || !again {
			t.Errorf("%04X: without a counter, which none can repeat, it is passed over", c.Code)
		}
	}
}

// The meter was read long after the alert was raised: the read counts, not the alert.
func TestAlertThatAReadOverrules(t *testing.T) {
	for _, code := range []uint16{AlertLocked, AlertUncontrolled, AlertFlowB4, AlertFutureDated} {
		for _, c := range []struct {
			before time.Duration // the read
			at     bool
			taken  bool
		}{
			{-time.Hour, true, true},
			{0, true, true},
			{time.Minute, true, true}, // clocks differ by so much
			{time.Minute + 1, true, false},
			{30 * 24 * time.Hour, true, false},
			{0, false, true}, // when it was is not known
		} {
			a := seen(t, on)
			alert := Alert{Code: code, Counter: 7, FutureDated: CodeECS03}
			if c.at {
				alert.At = a.m.AsOf().Add(-c.before)
			}
			if got := a.m.ApplyAlert(alert); got != c.taken {
				t.Errorf("%04X, %v before the read, known: %t: taken: %t", code, c.before, c.at, got)
			}
			if current := a.m.ModeCurrent() && a.m.SupplyCurrent(); c.taken && code != AlertFlowB4 && current {
				t.Errorf("%04X: the reads from before it still count", code)
			}
			if (a.m.Bars.Person != "") != (c.taken && code != AlertFutureDated) {
				t.Errorf("%04X: %q", code, a.m.Bars.Person)
			}
			if a.m.ApplyAlert(alert) && c.at {
				t.Errorf("%04X: taken again", code)
			}
		}
	}
	// A supply that is off shows no repair.
	a := cutOff(t)
	if !a.m.ApplyAlert(Alert{Code: AlertLocked, Counter: 7, At: a.now.Add(-24 * time.Hour)}) || a.m.Bars.Person == "" {
		t.Error("an 81BE of yesterday is overruled by a read that says Disabled")
	}
}

// An alert is not passed over because one with a higher counter, which says less, was
// delivered before it.
func TestAlertsThatOvertake(t *testing.T) {
	a := seen(t, on)
	if a.m.ApplyAlert(Alert{Code: AlertFutureDated, Counter: 9, At: a.now, FutureDated: 0x001A}) {
		t.Error("somebody's other stored command reopens the meter")
	}
	if !a.m.ApplyAlert(Alert{Code: AlertFutureDated, Counter: 8, At: a.now, FutureDated: CodeECS03}) {
		t.Error("the stored switch is passed over, because of another 8F66 that was delivered before it")
	}
	a = seen(t, on)
	if !a.m.ApplyAlert(Alert{Code: AlertFlowB4, Counter: 9, At: a.now}) || !a.m.SupplyCurrent() {
		t.Error("81B4 turns nothing off, and is for a person")
	}
	if !a.m.ApplyAlert(Alert{Code: AlertLocked, Counter: 8, At: a.now}) || a.m.SupplyCurrent() {
		t.Error("81BE is passed over, because of an 81B4 that was delivered before it")
	}
}

func TestAlertsThatSayNothing(t *testing.T) {
	a := seen(t, on)
	was := *a.m
	for _, code := range []uint16{0, 0x8F67, 0x81BD, 0xFFFF} {
		if a.m.ApplyAlert(Alert{Code: code, Counter: 1, At: a.now.Add(time.Hour), FutureDated: CodeECS03}) {
			t.Errorf("%04X changes something", code)
		}
	}
	if diff := different(&was, a.m); diff != "" {
		t.Errorf("they change %s", diff)
	}
}

// A read that shows the supply on ends what an 8F0F said, if it was asked for or answered
// later.
func TestAlarmIsOverWhenTheSupplyIsOn(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.expect(supply, mode, balance)
	a.m.ApplyAlert(Alert{Code: AlertBelow, Counter: 7, At: a.now.Add(10 * time.Second)})
	a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: on}) // asked and answered before it
	if !a.m.Alarm.Below {
		t.Error("a read from before the alert ends it")
	}
	a.now = a.now.Add(time.Minute)
	a.m.observe(record.Observation{Supply: off}, a.counter+1, a.now, a.now)
	if !a.m.Alarm.Below {
		t.Error("a supply that is off ends it")
	}
	a.m.observe(record.Observation{Supply: on}, a.counter+2, a.now, a.now)
	if a.m.Alarm.Below {
		t.Error("it is on, and still called off")
	}
}
