package ledger

import (
	"cmp"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/clock"
)

// Need is how urgent a home is, by what is known of it.
type Need uint8

const (
	Dark           Need = iota // off for lack of credit, or about to be by the meter's own alert
	Ending                     // its credit or its non-disablement period ends soon
	SupplyUnknown              // its supply state is not known yet: it may be dark
	BalanceUnknown             // its supply is on, and its balance is not known yet
	Lasting                    // its credit lasts longer than that
	Confirming                 // it is in Credit, or has accepted the switch
)

// Risk is a meter's place in the order of hours at risk.
type Risk struct {
	Need     Need
	Ends     time.Time // for Ending: when the supply is cut off
	Priority int       // for Lasting: the plan's
	Credit   servicerequests.Millipence
}

// Compare orders homes: the first is the one that will be without supply for longest if
// nothing is done. It returns -1 if r goes first, 1 if other does, else 0.
func (r Risk) Compare(other Risk) int {
	return cmp.Or(cmp.Compare(r.Need, other.Need), r.Ends.Compare(other.Ends),
		cmp.Compare(r.Priority, other.Priority), cmp.Compare(r.Credit, other.Credit))
}

// RiskOf ranks a meter. Before its first reads only its alerts are known; without an alert it
// keeps the plan's order.
func (p *Policy) RiskOf(m *Meter, now time.Time) Risk {
	if p.PlanOrder { // all alike: the one that has waited longest goes first
		return Risk{}
	}
	return p.risk(m, now)
}

func (p *Policy) risk(m *Meter, now time.Time) Risk {
	switch {
	case m.Alarm.Below,
		m.Now.Supply.Value == servicerequests.Disabled && m.Found.Mode.Value != servicerequests.Credit && m.Bars.Person == "":
		return Risk{Need: Dark}
	case m.Alarm.Suspended && !m.CreditAccepted:
		return Risk{Need: Ending, Ends: p.disablementAt(now)}
	case m.CreditAccepted || m.Now.Mode.Value == servicerequests.Credit:
		return Risk{Need: Confirming}
	case m.Now.Balance.Known():
		if m.Gas() && !m.Now.Supply.Known() && m.Now.Balance.Value <= p.ArmBalanceAtMost {
			return Risk{Need: Dark} // it sleeps, and by its proxy's balance it is off
		}
		if ends, known := p.creditEnds(m); known && ends.Sub(now) <= p.AtRiskWithin {
			return Risk{Need: Ending, Ends: ends}
		}
		return Risk{Need: Lasting, Priority: m.Plan.Priority, Credit: m.Now.Balance.Value}
	case !m.Now.Supply.Known():
		return Risk{Need: SupplyUnknown}
	case m.Tally(servicerequests.ReadMeterBalance).Tries == 0:
		return Risk{Need: BalanceUnknown}
	}
	return Risk{Need: Lasting, Priority: m.Plan.Priority} // its balance cannot be read: taken as the least that keeps a supply on
}

// Urgent says whether a home may be given commands before its wave: it is off for lack of
// credit, or an alert says that its credit has run out, or it will be cut off within
// [Policy.ActWithin]. soon is when it becomes urgent; zero: not by itself.
func (p *Policy) Urgent(m *Meter, now time.Time) (yes bool, soon time.Time) {
	switch r := p.RiskOf(m, now); {
	case p.PlanOrder:
		return false, time.Time{}
	case r.Need == Dark || m.Alarm.Raised() && !m.CreditAccepted:
		return true, time.Time{}
	case r.Need == Ending:
		soon = r.Ends.Add(-p.ActWithin)
		return !soon.After(now), soon
	}
	return false, time.Time{}
}

// creditEnds is when the supply will be cut off: the balance that was read is used up
// ([Policy.Spend], or else DailySpend a day), and disablement is not suspended. It is not
// known if the home uses nothing up.
func (p *Policy) creditEnds(m *Meter) (ends time.Time, known bool) {
	balance, at := m.Now.Balance.Value, m.Now.Balance.At
	if balance > 0 {
		spend := p.spend(m)
		if spend <= 0 {
			return time.Time{}, false
		}
		at = at.Add(time.Duration(min(float64(maxAhead), float64(24*time.Hour)*float64(balance)/float64(spend))))
	}
	return p.disablementAt(at), true
}

// maxAhead bounds how far ahead the end of credit is computed.
const maxAhead = 10 * 365 * 24 * time.Hour

// disablementAt is the first instant from t on at which a meter without credit is cut off.
// Every meter is taken to have the same non-disablement calendar: nights and Sundays, by
// British time.
func (p *Policy) disablementAt(t time.Time) time.Time {
	if p.WindowBegins <= p.WindowEnds { // no such window is set
		return t
	}
	for day := 0; ; day++ {
		switch ends, begins, cutsOff := clock.CutOffDay(t, day, p.WindowEnds, p.WindowBegins); {
		case cutsOff && t.Before(ends):
			return ends
		case cutsOff && t.Before(begins):
			return t
		}
	}
}
