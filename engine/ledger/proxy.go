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
// top-up is of no use.
func (m *Meter) claims(t *record.TargetBody) {
	if m.Gas() && t.Proxy != 0 {
		m.Proxy, m.ProxyClaimed = t.Proxy, true
	}
	if t.BalanceEstimate != nil && !t.BalanceAt.IsZero() && !t.LastTopUp.After(t.BalanceAt) {
		m.Estimate = Estimate{*t.BalanceEstimate, t.BalanceAt}
	}
}

// fromProxy says whether an answer came from a gas proxy.
func (m *Meter) fromProxy(counter uint64) bool {
	return counter != 0 && slices.ContainsFunc(m.Past, func(p Past) bool { return p.Counter == counter && p.Proxied })
}

// fromUnprovenProxy says whether an answer came from a gas proxy that only the portfolio
// names: it may be another home's. It serves to find the homes at risk. No 7.3 and no
// verdict rests on it, until the DCC's inventory or the meter itself confirms it.
func (m *Meter) fromUnprovenProxy(counter uint64) bool { return m.ProxyClaimed && m.fromProxy(counter) }

// foundMode says whether the mode in which the meter was found is proven.
func (m *Meter) foundMode() bool {
	return m.Found.Mode.Known() && !m.fromUnprovenProxy(m.Found.Mode.Counter)
}

// knowsBalance says whether a proven balance is known.
func (m *Meter) knowsBalance() bool {
	return m.Now.Balance.Known() && !m.fromUnprovenProxy(m.Now.Balance.Counter)
}

// confirming says whether the inventory is asked about a proxy that only the portfolio names,
// before the first command makes that too late. A quarantined request is not waited for.
func (m *Meter) confirming() bool {
	r := m.PendingOf(servicerequests.ReadInventory)
	return m.ProxyClaimed && r != nil && r.Phase != Quarantined && m.Counters.FirstCommand == 0
}

// OtherDevice says whether an outcome says nothing about this meter. The request went to a proxy
// that is not the meter's, or to one that only the portfolio names and that gave no answer.
func (m *Meter) OtherDevice(service servicerequests.Service, target servicerequests.EUI, o *record.OutcomeBody) bool {
	switch {
	case target == m.Device || service == servicerequests.ReadInventory:
		return false
	case target != m.Proxy:
		return true
	case !m.ProxyClaimed || o.Class == record.ClassSuccess || o.Class == record.ClassNegative || o.Class == record.ClassWithdrawn:
		return false
	}
	return servicerequests.ResponseCode(o.Code).Class() != servicerequests.CodeHalt // CodeHalt is about the User
}

// uncountTry takes in that a request does not count as a try at this meter. If it went to
// the proxy that only the portfolio names, that proxy is not asked any more.
func (m *Meter) uncountTry(service servicerequests.Service, target servicerequests.EUI, opened bool) {
	if t := m.Tally(service); opened {
		t.Tries = max(0, t.Tries-1)
	}
	if target == m.Proxy {
		m.setProxy(0)
	}
}

// setProxy takes in which gas proxy the meter has; 0: not known. If the portfolio named
// another, the answers of that one are forgotten, and the balance is asked for again.
func (m *Meter) setProxy(proxy servicerequests.EUI) {
	if m.ProxyClaimed && m.Proxy != proxy {
		for _, r := range [...]*Readings{&m.Found, &m.Now} {
			if m.fromProxy(r.Mode.Counter) {
				r.Mode = Reading[servicerequests.PaymentMode]{}
			}
			if m.fromProxy(r.Balance.Counter) {
				r.Balance = Reading[servicerequests.Millipence]{}
			}
		}
		m.forgetTries(servicerequests.ReadMeterBalance)
		m.forgetTries(servicerequests.ReadPrepaymentConfiguration)
	}
	m.Proxy, m.ProxyClaimed = proxy, false
}

// forgetTries makes a service count as not asked for yet, except by requests that are open.
func (m *Meter) forgetTries(service servicerequests.Service) {
	t := Tally{}
	for _, r := range m.Open {
		if r.Service == service {
			t.Tries++
		}
	}
	*m.Tally(service) = t
}

// confirm asks the DCC's inventory whether a proxy that only the portfolio names is the
// meter's, if a 7.3 may have to rest on the proxy's answers.
func (p *Policy) confirm(s *Step, m *Meter, now time.Time) {
	off := m.Now.Supply.Value == servicerequests.Disabled ||
		!m.Now.Supply.Known() && m.Now.Balance.Known() && m.Now.Balance.Value <= p.mayBeOffAt(m)
	if m.ProxyClaimed && off && m.Tally(servicerequests.ReadInventory).Tries == 0 && m.Bars.Person == "" && p.Permits(servicerequests.ArmSupply, m.Plan.Type) {
		p.want(s, m, servicerequests.ReadInventory, now)
	}
}
