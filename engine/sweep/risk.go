package sweep

import (
	"cmp"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/clock"
)

// need is how urgently a home waits for help, by what is known of it.
type need uint8

const (
	dark    need = iota // off for lack of credit, or about to be by the meter's own alert
	ending              // its credit or its non-disablement period ends soon
	unseen              // not known yet: it may be dark; also a home that is being brought to an end
	holding             // its credit lasts longer than that
)

// risk is a meter's place in the order of hours at risk.
type risk struct {
	need     need
	ends     time.Time // of ending: when the supply is cut off
	priority int       // of holding: the plan's
	credit   servicerequests.Millipence
}

// compare puts the home that is longest without supply if nothing is done first.
func (r risk) compare(other risk) int {
	return cmp.Or(cmp.Compare(r.need, other.need), r.ends.Compare(other.ends),
		cmp.Compare(r.priority, other.priority), cmp.Compare(r.credit, other.credit))
}

// alarm is what a meter's own alerts say of its credit.
type alarm struct {
	below     bool   // 8F0F: off, below the disablement threshold; until a later read shows that it is not off
	suspended bool   // 8F83: only the non-disablement period keeps it on
	after     uint64 // requests up to this counter were asked before it
}

// riskOf ranks a meter. Before its first reads nothing but its alerts is known of
// it: then it keeps the plan's order.
func (p *Policy) riskOf(m *meter, now time.Time) risk {
	switch {
	case p.PlanOrder: // all alike: what has waited longest goes first
		return risk{}
	case m.alarm.below,
		m.supply.value == servicerequests.Disabled && m.foundMode.value != servicerequests.Credit && m.person == "":
		return risk{need: dark}
	case m.alarm.suspended && !m.creditAccepted:
		return risk{need: ending, ends: p.disablementAt(now)}
	case m.creditAccepted || !m.mode.known() || !m.supply.known() || m.mode.value == servicerequests.Credit:
		return risk{need: unseen}
	}
	if m.balance.known() {
		if ends := p.endOfCredit(m.balance.value, m.balance.at); ends.Sub(now) <= p.AtRiskWithin {
			return risk{need: ending, ends: ends}
		}
	}
	r := risk{need: holding, priority: m.target.Priority, credit: m.balance.value}
	if !m.balance.known() {
		r.credit = 0 // the worst that keeps a supply on
	}
	return r
}

// endOfCredit is when a balance that was read at an instant runs out (DailySpend)
// and disablement is not suspended.
func (p *Policy) endOfCredit(balance servicerequests.Millipence, at time.Time) time.Time {
	if balance > 0 && p.DailySpend > 0 {
		at = at.Add(time.Duration(float64(24*time.Hour) * float64(balance) / float64(p.DailySpend)))
	}
	return p.disablementAt(at)
}

// disablementAt is the first instant from t on at which a meter without credit is
// cut off, by the non-disablement window that is taken for those that are not known:
// nights, Saturdays and Sundays, by British time.
func (p *Policy) disablementAt(t time.Time) time.Time {
	if p.WindowBegins <= p.WindowEnds { // no such window is set
		return t
	}
	for day := 0; ; day++ {
		switch ends, begins, working := clock.WorkingDay(t, day, p.WindowEnds, p.WindowBegins); {
		case working && t.Before(ends):
			return ends
		case working && t.Before(begins):
			return t
		}
	}
}

// raised says whether the meter has told of its credit.
func (a alarm) raised() bool { return a.below || a.suspended }

// moveUp gives a meter whose alert says that its credit is at an end its place anew:
// what waits of it, and the home's meters that have not begun.
func (s *Sweep) moveUp(m *meter, now time.Time) {
	if s.o.Policy.PlanOrder || !m.alarm.raised() {
		return
	}
	s.hasten(m)
	s.moveAhead(m)
	for _, other := range s.home(m.target.Hub) {
		s.hasten(other)
		s.moveAhead(other)
	}
	for _, r := range m.open {
		s.lanes[m.target.Region].move(r, s.o.Policy.riskOf(m, now))
	}
}
