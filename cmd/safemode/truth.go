package main

import (
	"time"

	"safemode/devicesim/fleet"
	"safemode/devicesim/history"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// The judge of a rehearsal holds each row of the report against what the simulator did
// and delivered. It takes nothing from the engine but the row itself: the verdict with
// its reason, what was found, what is at the end, and the counters that it rests on.
//
// Files: truthverdict.go has the verdicts, truthreason.go the reasons, truthfound.go
// what was found and the balances, truthmissed.go homes that were missed, arming that
// came late, and the share that must be safe; truthleft.go homes that leave;
// truthhistory.go asks the history.

// kind says what is wrong with a row; also a key of the summary.
type kind string

const (
	wrongVerdict kind = "verdict"       // it is not what the answers say that it rests on
	wrongUnknown kind = "known"         // called unknown, though it was known
	wrongReason  kind = "reason"        // nothing that happened bears the reason out
	wrongFound   kind = "found"         // found state invented
	wrongBalance kind = "end_balance"   // not what the latest answer said
	wronglyOff   kind = "missed"        // left off without an excuse
	wronglyLate  kind = "armed_late"    // armed much later than it could have been
	wrongShare   kind = "share_of_safe" // too few of those that could answer are safe
	wronglyLeft  kind = "left_alone"    // left alone without a word, or not when the list says so
)

// claim is what a report says of one meter, with the plan's words about it.
type claim struct {
	device  servicerequests.EUI
	target  record.TargetBody
	verdict record.VerdictBody
	ordered bool            // a person has ordered to leave it alone
	left    history.Instant // when the sweep left it alone because its home leaves; 0: it did not
}

// facts are the truth about one meter.
type facts struct {
	meter, proxy history.Device // what happened; of electricity the proxy's is empty

	began, ended fleet.Meter // as the fleet began, and as it is now
	registered   bool        // still to the failed supplier
	listed       time.Time   // its home's day on the list of transfers; zero: it is not on it
}

// terms are what a rehearsal was run with.
type terms struct {
	finished bool   // the sweep came to its end
	held     []span // when something was paused or stopped
	atLeast  bool   // decision 24's share is demanded

	switches         bool // 1.6 is part of the sweep's strategy
	permits          func(servicerequests.Service, servicerequests.DeviceType) bool
	armBalanceAtMost servicerequests.Millipence
	fresh            eachFuel[time.Duration] // how old a read may be to arm on
	armWithin        eachFuel[time.Duration] // 7.3 follows what makes it possible within this

	now      history.Instant // that the sweep has come to
	margin   time.Duration   // from so long before its day on a home on the list is left alone
	onTheWay time.Duration   // what the door has let pass is accepted within this
}

// span is from one instant to another.
type span struct{ from, to history.Instant }

func (s span) meets(other span) bool { return s.from <= other.to && other.from <= s.to }

// eachFuel is a setting of electricity and one of gas.
type eachFuel[T any] struct{ electricity, gas T }

func (f eachFuel[T]) of(t servicerequests.DeviceType) T {
	if t == servicerequests.GSME {
		return f.gas
	}
	return f.electricity
}

// mismatch is a claim that the truth contradicts.
type mismatch struct {
	Device  servicerequests.EUI `json:"device_id"`
	Verdict string              `json:"verdict"`
	Kind    kind                `json:"kind"`
	Reason  string              `json:"reason"`

	// What happened to the meter, and to a gas meter's proxy.
	Meter *history.Device `json:"meter,omitempty"`
	Proxy *history.Device `json:"proxy,omitempty"`
}

// judgement is what became of all rows.
type judgement struct {
	checked    int
	mismatches int // claims that are wrong, each once; the share is one
	wrong      []mismatch
	excused    int // missed, for what went wrong on the way
	safeShare
}

// judge compares every claim with the truth.
func judge(claims []claim, factsOf func(servicerequests.EUI) facts, t terms) (j judgement) {
	for _, c := range claims {
		p := factsOf(c.device)
		found := row{c, p, t}.wrong()
		missed, excuse := row{c, p, t}.missed()
		switch {
		case missed && excuse != "":
			j.excused++
		case missed:
			found = append(found, flaw{wronglyOff, "was off for lack of credit, could have been helped, and is still off"})
		}
		for _, f := range found {
			j.wrong = append(j.wrong, mismatch{c.device, c.verdict.Verdict, f.kind, f.text, &p.meter, &p.proxy})
		}
		if len(found) > 0 {
			j.mismatches++
		}
		j.count(row{c, p, t})
		j.checked++
	}
	if t.atLeast && j.tooFew() {
		j.wrong = append(j.wrong, mismatch{Kind: wrongShare, Reason: j.safeShare.text()})
		j.mismatches++
	}
	return j
}

// kinds counts mismatches.
func (j *judgement) kinds() map[string]int {
	if len(j.wrong) == 0 {
		return nil
	}
	n := map[string]int{}
	for _, m := range j.wrong {
		n[string(m.Kind)]++
	}
	return n
}

// row is one claim with the truth about its meter.
type row struct {
	claim
	facts
	terms
}

// flaw is one thing that is wrong with a row.
type flaw struct {
	kind kind
	text string
}

// wrong lists what is wrong with a row, but that it was missed.
func (r row) wrong() (found []flaw) {
	for _, check := range [...]struct {
		kind kind
		of   func(row) string
	}{
		{wrongVerdict, row.wrongVerdict},
		{wrongUnknown, row.wronglyUnknown},
		{wrongReason, row.wrongReason},
		{wrongFound, row.wrongFound},
		{wrongBalance, row.wrongBalance},
		{wronglyLate, row.armedLate},
		{wronglyLeft, row.wrongLeft},
	} {
		if text := check.of(r); text != "" {
			found = append(found, flaw{check.kind, text})
		}
	}
	return found
}
