package ledger

import (
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// hasty is a policy with what is shipped for homes in a hurry.
func hasty(t teller, device servicerequests.DeviceType) *actor {
	a := newActor(t, device)
	a.p.DarkWait = PerFuel[time.Duration]{5 * time.Minute, 65 * time.Minute}
	a.p.DarkAgain = 2 * time.Minute
	a.p.ProofWait = PerFuel[time.Duration]{30 * time.Minute, 4 * time.Hour}
	return a
}

// A home with next to no credit, of which 2.5 is worth a try, waits for the proof of how it
// was found like any other: a lost read is made again, and no command goes before.
func TestLittleCreditWaitsForProof(t *testing.T) {
	for _, device := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
		a := newActor(t, device)
		a.p.Retry = PerFuel[[]time.Duration]{[]time.Duration{5 * time.Minute}, []time.Duration{time.Hour}}
		a.expect(supply, mode, balance)
		a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)})
		a.end(mode, record.ClassSuccess, "", &record.Observation{Mode: prepay})
		a.end(supply, record.ClassNoResponse, "E21", nil)
		a.expect()
		a.now = a.m.Tally(supply).Next.Add(-time.Second)
		a.expect()
		a.now = a.now.Add(time.Second)
		a.expect(supply)
	}
}

// A lost read that may prove how a dark home was found is made again within minutes, until
// ProofWait is over, and uses the ladder up no further than its first step. One that the DCC
// could not deliver, and one of a home that is on supply, waits as the ladder has it.
func TestLostProofIsAskedForSoon(t *testing.T) {
	for name, c := range map[string]struct {
		code   string
		supply servicerequests.SupplyState
		soon   bool
	}{
		"lost":        {"E21", off, true},
		"unreachable": {"E20", off, false},
		"on supply":   {"E21", on, false},
	} {
		a := hasty(t, servicerequests.GSME)
		a.expect(supply, mode, balance)
		a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: c.supply})
		a.end(balance, record.ClassNoResponse, "E20", nil)
		began := a.now
		for tries := 1; ; tries++ {
			a.end(mode, record.ClassNoResponse, c.code, nil)
			next := a.m.Tally(mode).Next.Sub(a.now)
			if soon := next < 3*time.Minute; soon != (c.soon && a.now.Sub(began) < a.p.ProofWait.Gas) {
				t.Fatalf("%s: after %d tries and %v the next is due in %v", name, tries, a.now.Sub(began), next)
			} else if !soon {
				break
			}
			if f := a.m.Tally(mode).Failures; f != 1 {
				t.Errorf("%s: %d failures", name, f)
			}
			a.now = a.m.Tally(mode).Next
			a.expect(mode)
			a.now = a.now.Add(time.Hour) // a wake or two
		}
	}
}

// How long an answer is waited for.
func TestWaitOfAHomeInAHurry(t *testing.T) {
	for name, c := range map[string]struct {
		balance float64
		since   time.Duration // since it was heard of
		short   bool
	}{
		"off, no credit":           {-1, 0, true},
		"off, no credit, long ago": {-1, 5 * time.Hour, false},
		"off, credit left":         {20, 0, true}, // as far as is known: its first read says how it is off
	} {
		a := hasty(t, servicerequests.GSME)
		a.expect(supply, mode, balance)
		a.read(prepay, off, pounds(c.balance))
		a.now = a.now.Add(c.since)
		a.expect(toCredit)
		a.take(a.m.PendingOf(toCredit))
		wait := a.m.PendingOf(toCredit).Deadline.Sub(a.now)
		if short := wait == a.p.DarkWait.Gas; short != c.short || !short && wait != a.p.ResponseWait.Gas {
			t.Errorf("%s: its answer is waited for %v", name, wait)
		}
	}
}

// A switch that was not answered goes again at once to a home whose credit ends, without a
// read-back and without a 2.5 in between, which would cost a gas meter a wake each. Where
// there is time the read-back decides.
func TestLostSwitchGoesAgain(t *testing.T) {
	for _, little := range []bool{true, false} {
		a := hasty(t, servicerequests.GSME)
		a.p.AtRiskWithin, a.p.DailySpend = 24*time.Hour, 5*servicerequests.Pound
		credit := 100.0
		if little {
			credit = 1
		}
		a.expect(supply, mode, balance)
		a.read(prepay, on, pounds(credit))
		a.expect(toCredit)
		a.end(toCredit, record.ClassNoResponse, "E21", nil)
		if little {
			a.expect(toCredit)
		} else {
			a.expect(supply, mode)
		}
	}
}

// An alert that credit is at an end shortens the wait for what is under way.
func TestAlertShortensTheWait(t *testing.T) {
	a := hasty(t, servicerequests.GSME)
	a.p.AtRiskWithin, a.p.DailySpend = 24*time.Hour, 5*servicerequests.Pound
	a.expect(supply, mode, balance)
	a.read(prepay, on, pounds(100))
	a.expect(toCredit)
	a.take(a.m.PendingOf(toCredit))
	asked := a.now
	if a.p.ShortenWaits(a.m, a.now) {
		t.Error("it is in a hurry without an alert")
	}
	a.now = a.now.Add(time.Minute)
	a.alert(AlertSuspended, 0)
	a.now = a.now.Add(2 * time.Second)
	if deadline := a.m.PendingOf(toCredit).Deadline; !a.p.ShortenWaits(a.m, a.now) || !a.m.PendingOf(toCredit).Deadline.Equal(asked.Add(a.p.DarkWait.Gas)) {
		t.Errorf("waited for until %v, before %v", a.m.PendingOf(toCredit).Deadline, deadline)
	}
	a.now = a.now.Add(3 * time.Hour) // the wait is over: it ends now, and not in the past
	a.alert(AlertBelow, 0)
	a.m.PendingOf(toCredit).Deadline = a.now.Add(time.Hour)
	a.now = a.now.Add(2 * time.Second)
	if !a.p.ShortenWaits(a.m, a.now) || !a.m.PendingOf(toCredit).Deadline.Equal(a.now) {
		t.Errorf("waited for until %v, now %v", a.m.PendingOf(toCredit).Deadline, a.now)
	}
}

// The shortened wait runs from the last POST, not from the first: what was POSTed again an
// hour later is waited for as long. It does not matter which is heard of first, the DCC's
// acknowledgement or the alert: the journal has them in the order in which they came.
func TestShortenedWaitRunsFromTheLastPost(t *testing.T) {
	var deadlines []time.Time
	for _, alertFirst := range []bool{false, true} {
		a := hasty(t, servicerequests.GSME)
		a.p.AtRiskWithin, a.p.DailySpend = 24*time.Hour, 5*servicerequests.Pound
		a.expect(supply, mode, balance)
		a.read(prepay, on, pounds(100))
		a.expect(toCredit)
		r := a.m.PendingOf(toCredit)
		a.take(r)
		a.now = a.now.Add(time.Hour)
		posted := a.now // again, and acknowledged now
		if !alertFirst {
			a.p.Wait(a.m, r, true, posted)
		}
		a.now = a.now.Add(time.Minute)
		a.alert(AlertSuspended, 0)
		a.now = a.now.Add(2 * time.Second)
		if alertFirst {
			a.p.Wait(a.m, r, true, posted)
		}
		a.p.ShortenWaits(a.m, a.now)
		if !r.Deadline.Equal(posted.Add(a.p.DarkWait.Gas)) {
			t.Errorf("alert first %v: waited for until %v, want %v after %v", alertFirst, r.Deadline, a.p.DarkWait.Gas, posted)
		}
		deadlines = append(deadlines, r.Deadline)
	}
	if !deadlines[0].Equal(deadlines[1]) {
		t.Errorf("%v", deadlines)
	}
}
