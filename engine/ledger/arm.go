package ledger

import (
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// wantsArm says whether 7.3 must be sent: the meter reads Credit and Disabled since the
// last command, and this sweep has proof that it was off for lack of credit.
func (p *Policy) wantsArm(m *Meter) bool {
	t := m.Tally(servicerequests.ArmSupply)
	return m.ModeCurrent() && m.Now.Mode.Value == servicerequests.Credit &&
		m.SupplyCurrent() && m.Now.Supply.Value == servicerequests.Disabled &&
		p.armRefusal(m) == "" && !t.Barred && t.Last != record.ClassNegative && int(t.Tries) < p.ArmTries
}

// fresh says whether the read of the supply is recent enough to arm on.
func (p *Policy) fresh(m *Meter, now time.Time) bool { return !now.After(p.FreshUntil(m)) }

// FreshUntil is the last instant at which the read of the supply is recent enough for a 7.3.
func (p *Policy) FreshUntil(m *Meter) time.Time { return m.Now.Supply.At.Add(p.ArmFresh.of(m)) }

// armRefusal says why only a person may arm a supply that is off. It is empty if the cause
// is proven.
func (p *Policy) armRefusal(m *Meter) string {
	switch {
	case m.Bars.Person != "":
		return m.Bars.Person
	case !p.Permits(servicerequests.ArmSupply, m.Plan.Type):
		return "arming is not permitted by the direction"
	case !m.foundProven() && m.knowsBalance() && !p.creditSpent(m):
		return "disabled with credit left"
	case !m.foundProven():
		return "how it was found was not proven before the switch"
	case m.Found.Mode.Value == servicerequests.Credit:
		return "found in credit and disabled"
	case !m.Alarm.Switched.IsZero() && !(m.ranOut() && m.Alarm.At.After(m.Alarm.Switched)):
		return "a stored switch to prepayment has run: it may have been off before"
	case m.Found.Supply.Value != servicerequests.Disabled && !m.ranOut():
		return "turned off after it was found " + m.Found.Supply.Value.String()
	case !m.knowsBalance() && !p.creditSpent(m):
		return "disabled, balance not known"
	case !p.creditSpent(m):
		return "disabled with credit left"
	}
	return ""
}

// foundProven says whether it is proven how the meter was found: by its reads, or by its own
// alert that it went off for lack of credit, which happens in Prepayment only.
func (m *Meter) foundProven() bool {
	return m.foundMode() && m.Found.Supply.Known() || m.ranOut()
}

// ranOut says whether the meter itself has said that its supply went off for lack of credit
// (8F0F), which happens in Prepayment only.
func (m *Meter) ranOut() bool { return m.Alarm.Below }

// creditSpent says whether a balance proves that no credit was left. That is the first
// balance that was read, or a later one if there is no first or it may be out of date. A
// later balance is proof although the meter is in credit mode by then: a gas meter's
// prepayment balance does not change, and an electricity meter that is off uses nothing.
func (p *Policy) creditSpent(m *Meter) bool {
	if m.Found.Balance.Known() && !m.fromUnprovenProxy(m.Found.Balance.Counter) && m.Found.Balance.Value <= p.ArmBalanceAtMost {
		return true
	}
	return p.balanceOutdated(m) && m.knowsBalance() && m.Now.Balance.Counter > m.Found.Balance.Counter && m.Now.Balance.Value <= p.ArmBalanceAtMost
}

// balanceOutdated says whether the first balance is missing or may be out of date. A proxy's
// balance may be half an hour old. A meter that has gone off since it was read had credit
// left then.
func (p *Policy) balanceOutdated(m *Meter) bool {
	return !m.Found.Balance.Known() || m.ranOut() || m.fromProxy(m.Found.Balance.Counter)
}

// needsBalance says whether the balance must be read again, to prove why a supply is off before
// it is armed. The balance is a precondition like any other (decision 49). If the proxy has
// given no proof, the gas meter itself is asked.
func (p *Policy) needsBalance(m *Meter) bool {
	return m.Bars.Person == "" && p.Permits(servicerequests.ArmSupply, m.Plan.Type) &&
		(m.Found.Mode.Value == servicerequests.Prepayment && m.Found.Supply.Value == servicerequests.Disabled ||
			m.ranOut() && m.Found.Mode.Value != servicerequests.Credit) &&
		!p.creditSpent(m) && p.balanceOutdated(m) && m.Now.Balance.Counter == m.Found.Balance.Counter
}

// asksProxy says whether a gas balance is asked of the proxy, which does not sleep. The proxy is
// asked the first time, and after the verdict. If it proves nothing, the meter itself is asked.
func (p *Policy) asksProxy(m *Meter, after bool) bool {
	if after {
		return p.GasBalanceFromProxy && !m.ProxyClaimed // it is evidence: the proxy must be known
	}
	return m.Tally(servicerequests.ReadMeterBalance).Tries == 0 && !m.Found.Balance.Known() && m.Counters.FirstSwitch == 0
}

// MayArm is the last check before a 7.3 is signed or POSTed. signed is its own counter if it
// has been signed, else 0. A signed 7.3 has itself made the read of the supply invalid, and
// no other command may have.
func (p *Policy) MayArm(m *Meter, signed uint64, now time.Time) bool {
	return m.Bars.Excluded == "" && m.ModeCurrent() && m.Now.Mode.Value == servicerequests.Credit &&
		(m.SupplyCurrent() || signed != 0 && m.Counters.StaleSupply == signed) && m.Now.Supply.Value == servicerequests.Disabled &&
		p.armRefusal(m) == "" && p.fresh(m, now)
}
