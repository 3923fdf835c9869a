package ledger

import (
	"slices"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Estimate is a dated balance that the portfolio claims. The zero Estimate is none.
type Estimate struct {
	Balance servicerequests.Millipence
	At      time.Time
}

// claims takes in what the portfolio says beyond the plan. A balance from before the last
// top-up tells nothing of today's.
func (m *Meter) claims(t *record.TargetBody) {
	if m.Gas() && t.Proxy != 0 {
		m.Proxy, m.ProxyClaimed = t.Proxy, true
	}
	if t.BalanceEstimate != nil && !t.BalanceAt.IsZero() && !t.LastTopUp.After(t.BalanceAt) {
		m.Estimate = Estimate{*t.BalanceEstimate, t.BalanceAt}
	}
}

// proxied says whether an answer came from a gas proxy.
func (m *Meter) proxied(counter uint64) bool {
	return counter != 0 && slices.ContainsFunc(m.Past, func(p Past) bool { return p.Counter == counter && p.Proxied })
}

// hearsay says whether an answer came from a gas proxy that only the portfolio names: it may
// be another home's. It serves to tell which homes are at risk; no 7.3 rests on it,
// and no verdict tells it. The DCC's inventory, or the meter itself, turns it into proof.
func (m *Meter) hearsay(counter uint64) bool { return m.ProxyClaimed && m.proxied(counter) }

// foundMode says whether it is proven in which mode the meter was found.
func (m *Meter) foundMode() bool { return m.Found.Mode.Known() && !m.hearsay(m.Found.Mode.Counter) }

// heardBalance says whether a balance is known that is no hearsay.
func (m *Meter) heardBalance() bool {
	return m.Now.Balance.Known() && !m.hearsay(m.Now.Balance.Counter)
}

// confirming says whether the inventory is being asked about a proxy that the portfolio names,
// before a command makes that too late. What the DCC holds back is not waited for.
func (m *Meter) confirming() bool {
	r := m.OpenOf(servicerequests.ReadInventory)
	return m.ProxyClaimed && r != nil && r.Phase != Held && m.Counters.FirstCommand == 0
}

// Foreign says whether how a request ended says nothing about this meter: it was asked of a
// proxy that is not the meter's, or that only the portfolio names and that is not there, or
// is not to be had.
func (m *Meter) Foreign(service servicerequests.Service, target servicerequests.EUI, o *record.OutcomeBody) bool {
	switch {
	case target == m.Device || service == servicerequests.ReadInventory:
		return false
	case target != m.Proxy:
		return true
	case !m.ProxyClaimed || o.Class == record.ClassSuccess || o.Class == record.ClassNegative || o.Class == record.ClassWithdrawn:
		return false
	}
	return servicerequests.ResponseCode(o.Code).Class() != servicerequests.CodeHalt // which is about the User
}

// renounce takes in that a request was no try at this meter. The proxy that the portfolio
// names serves no more.
func (m *Meter) renounce(service servicerequests.Service, target servicerequests.EUI, opened bool) {
	if t := m.Tally(service); opened {
		t.Tries = max(0, t.Tries-1)
	}
	if target == m.Proxy {
		m.named(0)
	}
}

// named takes in what the meter's gas proxy is; 0: not known. Where the portfolio has it
// otherwise, what that one said is forgotten, and the balance is asked for again.
func (m *Meter) named(proxy servicerequests.EUI) {
	if m.ProxyClaimed && m.Proxy != proxy {
		for _, r := range [...]*Readings{&m.Found, &m.Now} {
			if m.proxied(r.Mode.Counter) {
				r.Mode = Reading[servicerequests.PaymentMode]{}
			}
			if m.proxied(r.Balance.Counter) {
				r.Balance = Reading[servicerequests.Millipence]{}
			}
		}
		m.askAgain(servicerequests.ReadMeterBalance)
		m.askAgain(servicerequests.ReadPrepaymentConfiguration)
	}
	m.Proxy, m.ProxyClaimed = proxy, false
}

// askAgain has a service asked for as if it had not been, but for what is open.
func (m *Meter) askAgain(service servicerequests.Service) {
	t := Tally{}
	for _, r := range m.Open {
		if r.Service == service {
			t.Tries++
		}
	}
	*m.Tally(service) = t
}

// confirm asks the DCC's inventory whether a proxy that the portfolio names is the meter's,
// where an arming is to rest on what it says.
func (p *Policy) confirm(s *Step, m *Meter, now time.Time) {
	off := m.Now.Supply.Value == servicerequests.Disabled ||
		!m.Now.Supply.Known() && m.Now.Balance.Known() && m.Now.Balance.Value <= p.hardly(m)
	if m.ProxyClaimed && off && m.Tally(servicerequests.ReadInventory).Tries == 0 && m.Bars.Person == "" && p.Permits(servicerequests.ArmSupply, m.Plan.Type) {
		p.want(s, m, servicerequests.ReadInventory, now)
	}
}
