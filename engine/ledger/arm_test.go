package ledger

import (
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// cutOff is an electricity meter that was found off for lack of credit, and now reads
// Credit and Disabled.
func cutOff(t *testing.T) *actor {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, off, pounds(-5))
	a.step()
	a.end(buyTime, record.ClassNegative, "250", nil)
	a.step()
	a.end(toCredit, record.ClassSuccess, "", nil)
	a.step()
	a.read(credit, off, nil)
	return a
}

// A 7.3 that is signed may go again as long as the read that it rests on is fresh, and not
// a moment longer.
func TestArmRestsOnAFreshRead(t *testing.T) {
	a := cutOff(t)
	read := a.now
	a.expect(arm)
	r := a.m.OpenOf(arm)
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

// What became of a 7.3 whose POST is in doubt is read back; withdrawn, it was no try.
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
		a.expect(arm)
		a.end(arm, record.ClassSuccess, "", nil)
		a.expect(supply)
		a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: armed})
		a.expectVerdict(record.VerdictArmed, "safe once the consumer presses the button")
	}
}

// A read that the DCC could deliver only after an hour is no fresh read.
func TestReadThatWasDeliveredLateIsNotFresh(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, off, pounds(-5))
	a.step()
	a.end(buyTime, record.ClassNegative, "250", nil)
	a.step()
	a.end(toCredit, record.ClassSuccess, "", nil)
	a.step()
	given := a.now
	a.now = a.now.Add(time.Hour)
	a.end(mode, record.ClassSuccess, "", &record.Observation{Mode: credit})
	r := a.m.OpenOf(supply)
	a.take(r)
	a.move(r, End)
	a.apply(record.Record{Kind: record.Outcome, Service: supply, ID: r.ID, Body: record.Encode(record.OutcomeBody{
		Class: record.ClassSuccess, AnsweredAt: given, Observed: &record.Observation{Supply: off},
	})})
	a.expect(supply)
}

// A sleeping meter's answer that is not believed is not waited for until the meter would
// have been silent; what is waited for less long stays as it is.
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
		"held back":     {Held, time.Time{}, time.Time{}, false},
	} {
		r := &Request{Phase: test.phase, Deadline: test.deadline}
		if got := p.Doubt(r, now); got != test.shorter || !r.Unproven || !r.Deadline.Equal(test.want) {
			t.Errorf("%s: shorter %t, unproven %t, deadline %v", name, got, r.Unproven, r.Deadline)
		}
	}
}
