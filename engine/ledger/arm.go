package ledger

import (
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// arms says whether 7.3 is called for: the meter reads Credit and Disabled since
// the last command, and this sweep has proof that it was off for lack of credit.
func (p *Policy) arms(m *Meter) bool {
	t := m.Tally(servicerequests.ArmSupply)
	return m.ModeCurrent() && m.Now.Mode.Value == servicerequests.Credit &&
		m.SupplyCurrent() && m.Now.Supply.Value == servicerequests.Disabled &&
		p.refusal(m) == "" && !t.Barred && t.Last != record.ClassNegative && int(t.Tries) < p.ArmTries
}

// fresh says whether the read of the supply is young enough to arm on.
func (p *Policy) fresh(m *Meter, now time.Time) bool { return !now.After(p.FreshUntil(m)) }

// FreshUntil is the last instant at which a 7.3 may rest on the read of the supply.
func (p *Policy) FreshUntil(m *Meter) time.Time { return m.Now.Supply.At.Add(p.ArmFresh.Of(m)) }

// refusal says why a supply that is off must not be armed without a person; it
// is empty where the cause is proven.
func (p *Policy) refusal(m *Meter) string {
	switch {
	case m.Bars.Person != "":
		return m.Bars.Person
	case !p.Permits(servicerequests.ArmSupply, m.Plan.Type):
		return "arming is not permitted by the direction"
	case !m.foundProven() && m.heardBalance() && !p.spent(m):
		return "disabled with credit left"
	case !m.foundProven():
		return "how it was found was not proven before the switch"
	case m.Found.Mode.Value == servicerequests.Credit:
		return "found in credit and disabled"
	case !m.Alarm.Switched.IsZero() && !(m.ranOut() && m.Alarm.At.After(m.Alarm.Switched)):
		return "a stored switch to prepayment has run: it may have been off before"
	case m.Found.Supply.Value != servicerequests.Disabled && !m.ranOut():
		return "turned off after it was found " + m.Found.Supply.Value.String()
	case !m.heardBalance() && !p.spent(m):
		return "disabled, balance not known"
	case !p.spent(m):
		return "disabled with credit left"
	}
	return ""
}

// foundProven says whether it is known how the meter was found: by its reads, or by its own
// word that it went off for lack of credit, which it does in Prepayment only.
func (m *Meter) foundProven() bool {
	return m.foundMode() && m.Found.Supply.Known() || m.ranOut()
}

// ranOut says whether the meter itself has told that its supply went off for lack of
// credit (8F0F), which it does in Prepayment only.
func (m *Meter) ranOut() bool { return m.Alarm.Below }

// spent says whether a balance proves that there was no credit left: the one that was
// read first, or where there is none, or it may be out of date, the one that was read
// later. A later one is proof although the meter is in credit mode by then: a gas meter's
// prepayment balance stays as it was, and an electricity meter that is off uses nothing.
func (p *Policy) spent(m *Meter) bool {
	if m.Found.Balance.Known() && !m.hearsay(m.Found.Balance.Counter) && m.Found.Balance.Value <= p.ArmBalanceAtMost {
		return true
	}
	return p.outdated(m) && m.heardBalance() && m.Now.Balance.Counter > m.Found.Balance.Counter && m.Now.Balance.Value <= p.ArmBalanceAtMost
}

// outdated says whether the balance that was read first is not known, or may say less
// than is so: a proxy tells what its meter held up to half an hour before, and a meter
// that has told since that it went off had some left when it was read.
func (p *Policy) outdated(m *Meter) bool {
	return !m.Found.Balance.Known() || m.ranOut() || m.proxied(m.Found.Balance.Counter)
}

// doubtful says whether the balance must be read again to prove why a supply that is to
// be armed is off. It is asked for like any other precondition (decision 49), of a gas
// meter itself once its proxy has given no proof.
func (p *Policy) doubtful(m *Meter) bool {
	return m.Bars.Person == "" && p.Permits(servicerequests.ArmSupply, m.Plan.Type) &&
		(m.Found.Mode.Value == servicerequests.Prepayment && m.Found.Supply.Value == servicerequests.Disabled ||
			m.ranOut() && m.Found.Mode.Value != servicerequests.Credit) &&
		!p.spent(m) && p.outdated(m) && m.Now.Balance.Counter == m.Found.Balance.Counter
}

// asksProxy says whether a gas balance is asked of the proxy, which need not be woken:
// the first time, and after the verdict. What the proxy does not prove, the meter is asked
// itself.
func (p *Policy) asksProxy(m *Meter, after bool) bool {
	if after {
		return p.GasBalanceFromProxy && !m.ProxyClaimed // it is for evidence
	}
	return m.Tally(servicerequests.ReadMeterBalance).Tries == 0 && !m.Found.Balance.Known() && m.Counters.FirstSwitch == 0
}

// MayArm is the last check, made when a 7.3 is about to be signed or POSTed.
// signed is its counter if it has been signed, else 0: then it is itself the
// command that came after the read.
func (p *Policy) MayArm(m *Meter, signed uint64, now time.Time) bool {
	return m.Bars.Excluded == "" && m.ModeCurrent() && m.Now.Mode.Value == servicerequests.Credit &&
		(m.SupplyCurrent() || signed != 0 && m.Counters.StaleSupply == signed) && m.Now.Supply.Value == servicerequests.Disabled &&
		p.refusal(m) == "" && p.fresh(m, now)
}
