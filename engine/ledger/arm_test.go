package ledger

import (
	"slices"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

func TestDisabledForLackOfCreditIsArmedOnProof(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, off, pounds(-5))
	a.expect(buyTime)
	a.end(buyTime, record.ClassNegative, "250", nil)
	a.expect(toCredit)
	a.end(toCredit, record.ClassSuccess, "", nil)
	a.expect(supply, mode)
	a.read(credit, off, nil)
	a.expectArmed()
}

func TestArmNeedsAFreshRead(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.cutOff()
	a.read(credit, off, nil)
	a.now = a.now.Add(61 * time.Second)
	if a.p.MayArm(a.m, 0, a.now) {
		t.Fatal("mayArm allows 7.3 on a read that is 61 s old")
	}
	a.expect(supply)
	a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: off})
	a.expect(arm)
}

func TestWhatAPersonMustDecideIsNotArmed(t *testing.T) {
	for name, c := range map[string]struct {
		mode    servicerequests.PaymentMode
		balance *servicerequests.Millipence
		change  func(*actor)
		reason  string
	}{
		"found in credit":      {mode: credit, balance: pounds(-5), reason: "found in credit and disabled"},
		"credit left":          {mode: prepay, balance: pounds(5), reason: "disabled with credit left"},
		"balance not known":    {mode: prepay, reason: "disabled, balance not known"},
		"tamper alert":         {mode: prepay, balance: pounds(-5), change: func(a *actor) { a.alert(0x81BE, 0) }, reason: "disabled then locked by the meter (81BE)"},
		"flow fault":           {mode: prepay, balance: pounds(-5), change: func(a *actor) { a.alert(0x81B5, 0) }, reason: "gas flow fault (81B5)"},
		"disabled by supplier": {mode: prepay, balance: pounds(-5), change: func(a *actor) { a.m.Bars.Person = "disabled by the supplier" }, reason: "disabled by the supplier"},
		"not permitted": {mode: prepay, balance: pounds(-5), change: func(a *actor) {
			a.p.Permits = func(s servicerequests.Service, _ servicerequests.DeviceType) bool {
				return s != arm && s != servicerequests.ReadPrepaymentConfiguration
			}
		}, reason: "arming is not permitted by the direction"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newActor(t, servicerequests.ESME)
			a.step()
			a.read(c.mode, off, c.balance)
			if c.change != nil {
				c.change(a)
			}
			for range 20 {
				if a.verdict.Verdict != "" {
					break
				}
				for _, s := range a.step() {
					switch s {
					case arm:
						t.Fatal("7.3 asked for")
					case buyTime:
						a.end(s, record.ClassNegative, "250", nil)
					case toCredit:
						a.end(s, record.ClassSuccess, "", nil)
					case supply:
						a.end(s, record.ClassSuccess, "", &record.Observation{Supply: off})
					case mode:
						a.end(s, record.ClassSuccess, "", &record.Observation{Mode: credit})
					case balance:
						a.end(s, record.ClassNegative, record.CodeNoValue, nil)
					}
				}
				if next := a.p.Decide(a.m, a.now, Commanding); len(next.Ask) == 0 && !next.Wake.IsZero() {
					a.now = next.Wake
				}
			}
			if a.verdict.Verdict != record.VerdictNotSafe || a.verdict.Reason != c.reason {
				t.Errorf("verdict %q (%q), want not_safe (%q)", a.verdict.Verdict, a.verdict.Reason, c.reason)
			}
		})
	}
}

// A home that reads Disabled, and whose mode was lost, is asked for it once more before 1.6
// takes the proof away.
func TestALostModeOfADarkHomeIsReadAgain(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.expect(supply, mode, balance)
	a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: off})
	a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)})
	a.end(mode, record.ClassNoResponse, "E21", nil)
	a.expect()
	a.now = a.now.Add(90 * time.Second)
	a.expect(mode)
	a.end(mode, record.ClassSuccess, "", &record.Observation{Mode: prepay})
	a.expect(servicerequests.ActivateEmergencyCredit)
}

// A meter that was found on, and tells before its switch that it went off for lack of
// credit, has proven the cause; its balance then confirms it. Without its word, or once
// it was on again, the cause is another's to find.
func TestRunOutBetweenReadAndSwitch(t *testing.T) {
	for name, c := range map[string]struct {
		alert, onAgain bool
		found, own     float64
		asked          bool   // for its balance once more
		reason         string // empty: it is armed
	}{
		"its last pence":          {alert: true, found: 0.30, own: -0.02, asked: true},
		"its window had ended":    {alert: true, found: -1},
		"credit left":             {alert: true, found: 0.30, own: 0.30, asked: true, reason: "disabled with credit left"},
		"it said nothing":         {found: 0.30, reason: "turned off after it was found enabled"},
		"on again, and off again": {alert: true, onAgain: true, found: 0.30, reason: "turned off after it was read as enabled"},
	} {
		a := newActor(t, servicerequests.ESME)
		a.expect(supply, mode, balance)
		a.read(prepay, on, pounds(c.found))
		if c.alert {
			a.alert(AlertBelow, 0)
		}
		if got := a.step(); got[len(got)-1] == buyTime {
			a.end(buyTime, record.ClassNegative, "250", nil)
			a.step()
		}
		a.end(toCredit, record.ClassSuccess, "", nil)
		wants := []servicerequests.Service{supply, mode}
		if c.asked || c.onAgain {
			wants = append(wants, balance)
		}
		a.expect(wants...)
		if c.onAgain {
			a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)})
			a.read(credit, on, nil)
			a.m.Counters.StaleSupply = a.m.Issued() // as by an alert that something changed
			a.expect(supply)
			a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: off})
		} else {
			a.read(credit, off, pounds(c.own))
		}
		if c.reason != "" {
			a.expectVerdict(record.VerdictNotSafe, c.reason)
			continue
		}
		if got := a.step(); !slices.Equal(got, []servicerequests.Service{arm}) {
			t.Errorf("%s: asked for %v, want 7.3", name, got)
		}
	}
}

func TestArmRefusedByTheMeterIsNotRepeated(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, off, pounds(-1))
	a.step()
	a.end(buyTime, record.ClassNegative, "250", nil)
	a.step()
	a.end(toCredit, record.ClassSuccess, "", nil)
	a.step()
	a.read(credit, off, nil)
	a.expect(arm)
	a.end(arm, record.ClassNegative, "250", nil)
	a.expect(supply)
	a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: off})
	a.expectVerdict(record.VerdictNotSafe, "arm refused")
}

// cutOff is an electricity meter that was found off for lack of credit, and now reads
// Credit and Disabled.
func cutOff(t *testing.T) *actor {
	a := newActor(t, servicerequests.ESME)
	a.cutOff()
	a.read(credit, off, nil)
	return a
}

// A 7.3 that is signed may go again as long as the read that it rests on is fresh, and not
// a moment longer.
func TestArmRestsOnAFreshRead(t *testing.T) {
	a := cutOff(t)
	read := a.now
	a.expect(arm)
	r := a.m.PendingOf(arm)
	a.command(r)
	if a.m.SupplyCurrent() {
		t.Fatal("the read is from before the command")
	}
	for _, c := range []struct {
		after  time.Duration
		signed uint64
		may    bool
	}{
		{0, r.ID.Counter, true},
		{time.Minute, r.ID.Counter, true},
		{time.Minute + 1, r.ID.Counter, false},
		{0, 0, false},                // as if it was not signed: then another command came after the read
		{0, r.ID.Counter - 1, false}, // and here, too
	} {
		if got := a.p.MayArm(a.m, c.signed, read.Add(c.after)); got != c.may {
			t.Errorf("%v after the read, signed under %d: MayArm says %t", c.after, c.signed, got)
		}
	}
	if until := a.p.FreshUntil(a.m); !until.Equal(read.Add(time.Minute)) {
		t.Errorf("fresh until %v", until)
	}
	a.alert(AlertLocked, 0)
	if a.p.MayArm(a.m, r.ID.Counter, read) {
		t.Error("MayArm passes over an alert of the meter")
	}
}

// The supply is read back after a 7.3 that was withdrawn or is in doubt, and then 7.3 is asked
// for again. The withdrawn one was no try.
func TestArmThatWasNotPostedAgain(t *testing.T) {
	for _, class := range []record.Class{record.ClassWithdrawn, record.ClassInDoubt} {
		a := cutOff(t)
		a.expect(arm)
		a.now = a.now.Add(61 * time.Second)
		a.end(arm, class, "", nil)
		if tries := a.m.Tally(arm).Tries; (tries == 1) != (class == record.ClassInDoubt) {
			t.Errorf("%v: %d tries", class, tries)
		}
		a.expect(supply)
		a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: off})
		if class == record.ClassInDoubt { // by the ladder
			a.expect()
			a.now = a.now.Add(70 * time.Second)
			a.expect(supply)
			a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: off})
		}
		a.expectArmed()
	}
}

// A read that the DCC could deliver only after an hour is no fresh read.
func TestReadThatWasDeliveredLateIsNotFresh(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.cutOff()
	given := a.now
	a.now = a.now.Add(time.Hour)
	a.end(mode, record.ClassSuccess, "", &record.Observation{Mode: credit})
	r := a.m.PendingOf(supply)
	a.take(r)
	a.move(r, End)
	a.apply(record.Record{Kind: record.Outcome, Service: supply, ID: r.ID, Body: record.Encode(record.OutcomeBody{
		Class: record.ClassSuccess, AnsweredAt: given, Observed: &record.Observation{Supply: off},
	})})
	a.expect(supply)
}

// After an unproven answer of a sleeping meter the sweep does not wait as long as for a silent
// one; a shorter wait stays as it is.
func TestDoubtShortensTheWait(t *testing.T) {
	now := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	const awake = 15 * time.Minute
	p := &Policy{ResponseWait: PerFuel[time.Duration]{awake, 25 * time.Hour}}
	for name, test := range map[string]struct {
		phase          Phase
		deadline, want time.Time
		shorter        bool
	}{
		"a day":         {Sent, now.Add(24 * time.Hour), now.Add(awake), true},
		"a minute":      {Sent, now.Add(time.Minute), now.Add(time.Minute), false},
		"not taken yet": {Ready, time.Time{}, time.Time{}, false},
		"held back":     {Quarantined, time.Time{}, time.Time{}, false},
	} {
		r := &Request{Phase: test.phase, Deadline: test.deadline}
		if got := p.Doubt(r, now); got != test.shorter || !r.Unproven || !r.Deadline.Equal(test.want) {
			t.Errorf("%s: shorter %t, unproven %t, deadline %v", name, got, r.Unproven, r.Deadline)
		}
	}
}
