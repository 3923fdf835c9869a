// Package truth judges a rehearsal from outside: it compares each row of the report with what
// the simulator did and delivered. From the engine it takes only the row itself (the
// verdict with its reason, what was found, what is at the end, and the counters that it rests
// on), the events that say when a person paused the sweep, and the journal's records of other
// traffic. It imports no other part of the engine, and starts nothing.
//
// verdict.go checks the verdicts, reason.go the reasons, found.go what was found and the
// balances. missed.go checks homes that were missed, arming that came late, and the share that
// must be safe. left.go checks homes that leave. history.go asks the simulator's history. other.go
// checks the User's other traffic.
package truth

import (
	"time"

	"safemode/devicesim/fleet"
	"safemode/devicesim/history"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
)

// Kind says what is wrong with a row; also a key of the summary.
type Kind string

const (
	WrongVerdict Kind = "verdict"       // it is not what the answers say that it rests on
	WrongUnknown Kind = "known"         // called unknown, though it was known
	WrongReason  Kind = "reason"        // nothing that happened bears the reason out
	WrongFound   Kind = "found"         // found state invented
	WrongBalance Kind = "end_balance"   // not what the latest answer said
	WronglyOff   Kind = "missed"        // left off without an excuse
	WronglyLate  Kind = "armed_late"    // armed much later than it could have been
	WrongShare   Kind = "share_of_safe" // too few of those that could answer are safe
	WronglyLeft  Kind = "left_alone"    // left alone without a word, or not when the list says so
	WrongOther   Kind = "other_traffic" // a message of other traffic was lost, or taken for something else
)

// claim is what a report says of one meter, with the plan's words about it.
type claim struct {
	device  servicerequests.EUI
	target  record.TargetBody
	verdict record.VerdictBody
	ordered bool            // a person has ordered to leave it alone
	left    history.Instant // when the sweep left it alone because its home leaves; 0: it did not
}

// Facts are the truth about one meter.
type Facts struct {
	Meter, Proxy history.Device // what happened; the proxy's is empty for electricity

	Began, Ended fleet.Meter // as the fleet began, and as it is now
	Registered   bool        // still to the failed supplier
	Listed       time.Time   // its home's day on the list of transfers; zero: it is not on it
}

// Terms are what a rehearsal was run with.
type Terms struct {
	Finished bool   // the sweep came to its end
	held     []span // when something was paused or stopped
	AtLeast  bool   // decision 24's share is demanded

	Switches         bool // 1.6 is part of the sweep's strategy
	Permits          func(servicerequests.Service, servicerequests.DeviceType) bool
	ArmBalanceAtMost servicerequests.Millipence
	Fresh            ByFuel[time.Duration] // how old a read may be to arm on
	ArmWithin        ByFuel[time.Duration] // 7.3 follows what makes it possible within this

	Now      history.Instant // that the sweep has come to
	Margin   time.Duration   // from so long before its day on a home on the list is left alone
	OnTheWay time.Duration   // a half that was allowed at the socket is accepted within this
}

// span is from one instant to another.
type span struct{ from, to history.Instant }

func (s span) meets(other span) bool { return s.from <= other.to && other.from <= s.to }

// ByFuel is a setting of electricity and one of gas.
type ByFuel[T any] struct{ Electricity, Gas T }

func (f ByFuel[T]) of(t servicerequests.DeviceType) T {
	if t == servicerequests.GSME {
		return f.Gas
	}
	return f.Electricity
}

// Mismatch is a claim that the truth contradicts.
type Mismatch struct {
	Device  servicerequests.EUI `json:"device_id"`
	Verdict string              `json:"verdict"`
	Kind    Kind                `json:"kind"`
	Reason  string              `json:"reason"`

	// The history of the meter, and of a gas meter's proxy.
	Meter *history.Device `json:"meter,omitempty"`
	Proxy *history.Device `json:"proxy,omitempty"`
}

// Judgement is what became of all rows.
type Judgement struct {
	checked    int
	mismatches int // claims that are wrong, each once; the share is one
	Wrong      []Mismatch
	excused    int // missed, for what went wrong on the way
	safeShare
}

// Judge compares every claim of a report with the truth. Suppressed are the homes that were
// not to be touched from the beginning.
func Judge(rep *report.Report, suppressed map[servicerequests.EUI]struct{}, factsOf func(servicerequests.EUI) Facts, t Terms) Judgement {
	t.held = heldIn(rep.Events)
	return judge(claimsOf(rep, suppressed), factsOf, t)
}

// judge compares claims with the truth.
func judge(claims []claim, factsOf func(servicerequests.EUI) Facts, t Terms) (j Judgement) {
	for _, c := range claims {
		p := factsOf(c.device)
		found := row{c, p, t}.wrong()
		missed, excuse := row{c, p, t}.missed()
		switch {
		case missed && excuse != "":
			j.excused++
		case missed:
			found = append(found, flaw{WronglyOff, "was off for lack of credit, could have been helped, and is still off"})
		}
		for _, f := range found {
			j.Wrong = append(j.Wrong, Mismatch{c.device, c.verdict.Verdict, f.kind, f.text, &p.Meter, &p.Proxy})
		}
		if len(found) > 0 {
			j.mismatches++
		}
		j.count(row{c, p, t})
		j.checked++
	}
	if t.AtLeast && j.tooFew() {
		j.Wrong = append(j.Wrong, Mismatch{Kind: WrongShare, Reason: j.safeShare.text()})
		j.mismatches++
	}
	return j
}

// Truth is the judgement as a report has it, with what became of other traffic.
func (j *Judgement) Truth(others *report.OtherTraffic) *report.Truth {
	t := &report.Truth{
		Checked: j.checked, Mismatches: j.mismatches, ByKind: j.kinds(),
		MissedWithExcuse: j.excused, CouldAnswer: j.could, ShareSafe: j.of(), OtherTraffic: others,
	}
	if n := others.Lost + others.Mistaken; n > 0 {
		t.Mismatches += n
		if t.ByKind == nil {
			t.ByKind = map[string]int{}
		}
		t.ByKind[string(WrongOther)] = n
	}
	return t
}

// kinds counts mismatches.
func (j *Judgement) kinds() map[string]int {
	if len(j.Wrong) == 0 {
		return nil
	}
	n := map[string]int{}
	for _, m := range j.Wrong {
		n[string(m.Kind)]++
	}
	return n
}

// row is one claim with the truth about its meter.
type row struct {
	claim
	Facts
	Terms
}

// flaw is one thing that is wrong with a row.
type flaw struct {
	kind Kind
	text string
}

// wrong lists what is wrong with a row, but that it was missed.
func (r row) wrong() (found []flaw) {
	for _, check := range [...]struct {
		kind Kind
		of   func(row) string
	}{
		{WrongVerdict, row.wrongVerdict},
		{WrongUnknown, row.wronglyUnknown},
		{WrongReason, row.wrongReason},
		{WrongFound, row.wrongFound},
		{WrongBalance, row.wrongBalance},
		{WronglyLate, row.armedLate},
		{WronglyLeft, row.wrongLeft},
	} {
		if text := check.of(r); text != "" {
			found = append(found, flaw{check.kind, text})
		}
	}
	return found
}
