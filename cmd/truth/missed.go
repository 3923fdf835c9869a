package truth

import (
	"fmt"
	"math"
	"slices"
	"time"

	"safemode/devicesim/history"
	"safemode/devicesim/meter"
	"safemode/engine/record"
	"safemode/servicerequests"
)

const alertBelow = 0x8F0F // off: credit ran out

// personsAlerts are of faults after which only a person may give the supply back.
var personsAlerts = []uint16{alertLocked, alertGasFlow, 0x81B4, 0x81B5, 0x81B6}

// missed says whether permitted commands could have helped a home, and did not: it was
// off for lack of credit in Prepayment, and is still off. excuse is what went wrong on
// the way; empty: nothing did.
func (r row) missed() (yes bool, excuse string) {
	switch {
	case r.Ended.Supply != servicerequests.Disabled, !r.ranOut(),
		!r.Began.Reachable, !r.Registered, r.ordered, r.told(), r.Ended.Locked, r.marked("disabled_by_supplier"),
		!r.Permits(servicerequests.SwitchToCredit, r.target.Type), !r.Permits(servicerequests.ArmSupply, r.target.Type),
		slices.ContainsFunc(r.Meter.Alerts, func(a history.Alert) bool { return slices.Contains(personsAlerts, a.Code) }):
		return false, ""
	case !r.Finished:
		return true, "the sweep was broken off"
	}
	return true, r.trouble(0, math.MaxInt64)
}

// ranOut says whether the meter was off for lack of credit, as the fleet began or while it
// was in Prepayment.
func (f Facts) ranOut() bool {
	out := func(s meter.State) bool {
		return s.Mode == servicerequests.Prepayment && s.Supply == servicerequests.Disabled && !s.Locked &&
			s.Balance <= f.Began.Model.Configuration().DisablementThreshold
	}
	return out(meter.StateOf(&f.Began)) ||
		slices.ContainsFunc(f.Meter.Carried, func(c history.Carried) bool { return out(c.State) }) ||
		slices.ContainsFunc(f.Meter.Alerts, func(a history.Alert) bool { return a.Code == alertBelow })
}

// trouble says what went wrong, between two instants, with messages to a meter or its proxy,
// and with their answers: lost, refused or altered. A refused 2.5 is expected, and no trouble.
func (f Facts) trouble(from, to history.Instant) (what string) {
	within := func(at history.Instant) bool { return from <= at && at <= to }
	for _, d := range [...]history.Device{f.Meter, f.Proxy} {
		for _, a := range d.Accepted {
			c, done := d.Find(a.Counter)
			switch {
			case !within(a.At):
			case !done || delivered(d, a.Counter) == 0:
				return fmt.Sprintf("no honest answer to a %s came", a.SRV)
			case c.Result != 0 && a.SRV != "2.5":
				return fmt.Sprintf("a %s was refused by the device", a.SRV)
			}
		}
		for _, r := range d.Replies {
			if within(r.At) {
				return fmt.Sprintf("a %s was refused or its reply bent", r.SRV)
			}
		}
		for _, a := range d.Alerts {
			if within(a.Raised) && a.Code == alertBelow && a.Delivered == 0 {
				return fmt.Sprintf("alert %04X was lost", a.Code)
			}
		}
	}
	return ""
}

// armedLate says by how much a 7.3 came later than it could have. It was possible after the
// answers that the meter was in Prepayment, that it had no credit, that it is in Credit now,
// and that it is off; and for a meter that was found on, after its alert.
func (r row) armedLate() string {
	for _, arm := range r.commands() {
		if arm.SRV != srvArm {
			continue
		}
		possible, ok := r.armable(arm)
		within := r.ArmWithin.of(r.target.Type)
		took, waits := time.Duration(arm.At-possible), span{possible, arm.At}
		if ok && took > within && r.trouble(possible, arm.At) == "" && !slices.ContainsFunc(r.held, waits.meets) {
			return fmt.Sprintf("armed late: 7.3 was accepted %v after it was possible, over %v, and nothing was lost meanwhile",
				took.Round(time.Second), within)
		}
		return ""
	}
	return ""
}

// armable is when the last of the answers was delivered on which a 7.3 rests; ok is false if one
// of them is missing.
func (r row) armable(arm history.Accepted) (at history.Instant, ok bool) {
	var switched, last uint64 // counters of the last 1.6, and of the last command, before it
	for _, c := range r.commands() {
		if c.Counter >= arm.Counter {
			continue
		}
		last = max(last, c.Counter)
		if c.SRV == srvSwitch {
			switched = max(switched, c.Counter)
		}
	}
	firstOf := func(list []answer, fits func(answer) bool) {
		earliest := history.Instant(0)
		for _, a := range list {
			if fits(a) && (earliest == 0 || a.delivered < earliest) {
				earliest = a.delivered
			}
		}
		ok = ok && earliest != 0
		at = max(at, earliest)
	}
	ok = true
	modes, supplies := r.modes(), said(r.Meter, srvSupply)
	firstOf(modes, func(a answer) bool { return a.Order < r.firstSwitch() && a.State.Mode == servicerequests.Prepayment })
	firstOf(modes, func(a answer) bool { return a.Counter > switched && a.State.Mode == servicerequests.Credit })
	firstOf(supplies, func(a answer) bool { return a.Counter > last && a.State.Supply == servicerequests.Disabled })
	firstOf(r.balances(), func(a answer) bool { return a.State.Balance <= r.ArmBalanceAtMost })
	if !saidBefore(supplies, r.firstCommand(), func(a answer) bool { return a.State.Supply == servicerequests.Disabled }) {
		told := r.alerted(alertBelow)
		ok = ok && told != 0
		at = max(at, told)
	}
	return at, ok
}

// ShareWanted of the meters that could answer must be safe on a calm day (decision 24).
const ShareWanted = 0.97

// safeShare counts the meters that could answer: those that can be reached, belong to the failed
// supplier, and do not leave.
type safeShare struct{ could, safe, helpless int }

// count takes one meter in.
func (s *safeShare) count(r row) {
	if !r.Began.Reachable || !r.Registered || r.ordered || r.told() {
		return
	}
	s.could++
	switch {
	case r.verdict.Verdict == record.VerdictOnSupply || r.verdict.Verdict == record.VerdictArmed:
		s.safe++
	case r.Began.Supply == servicerequests.Disabled && !r.ranOut():
		s.helpless++ // locked, off in Credit, off with credit left: no permitted command helps
	}
}

// tooFew says whether fewer meters are safe than must be. In a small fleet there may be more
// meters that nothing can help than the share allows.
func (s safeShare) tooFew() bool {
	wanted := min(ShareWanted*float64(s.could), float64(s.could-s.helpless))
	return float64(s.safe) < wanted
}

func (s safeShare) text() string {
	return fmt.Sprintf("%d of %d meters that could answer are on supply or armed, %d of them cannot be helped: too few", s.safe, s.could, s.helpless)
}

// of is the share, 1 where nobody could answer.
func (s safeShare) of() float64 {
	if s.could == 0 {
		return 1
	}
	return float64(s.safe) / float64(s.could)
}
