package ledger

import (
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Conclude gives the verdict on a meter that [Policy.Decide] has finished with.
func (p *Policy) Conclude(m *Meter) record.VerdictBody {
	v := record.VerdictBody{Found: record.Observation{Supply: m.Found.Supply.Value}}
	if m.foundMode() {
		v.Found.Mode = m.Found.Mode.Value
	}
	if m.Found.Balance.Known() && !m.fromUnprovenProxy(m.Found.Balance.Counter) {
		v.Found.Balance = &m.Found.Balance.Value
	}
	if m.ModeCurrent() && m.SupplyCurrent() {
		v.End = record.Observation{Mode: m.Now.Mode.Value, Supply: m.Now.Supply.Value}
		v.ModeCounter, v.SupplyCounter = m.Now.Mode.Counter, m.Now.Supply.Counter
		v.AsOf = m.AsOf()
	}
	if m.knowsBalance() {
		v.End.Balance = &m.Now.Balance.Value
	}
	v.Spend = p.Spend(m)
	switch {
	case m.Bars.Excluded != "":
		v.Verdict, v.Reason = record.VerdictExcluded, m.Bars.Excluded
	case v.ModeCounter == 0:
		v.Verdict, v.Reason = record.VerdictUnknown, p.whyUnknown(m)
	case v.End.Mode != servicerequests.Credit:
		v.Verdict, v.Reason = record.VerdictNotSafe, p.whyNotSwitched(m)
	case v.End.Supply == servicerequests.Enabled:
		v.Verdict = record.VerdictOnSupply
	case v.End.Supply == servicerequests.Armed:
		v.Verdict, v.Reason = record.VerdictArmed, "safe once the consumer presses the button"
	default:
		v.Verdict, v.Reason = record.VerdictNotSafe, p.whyNotArmed(m)
	}
	if v.Reason == "" && m.Pending {
		v.Reason = "a future-dated switch may still be stored on the meter"
	}
	return v
}

// whyUnknown says why nothing current is known of a meter.
func (p *Policy) whyUnknown(m *Meter) string {
	if m.Bars.HeldForPerson != "" {
		return "held for a person: " + m.Bars.HeldForPerson
	}
	for _, s := range [...]servicerequests.Service{servicerequests.ReadPaymentMode, servicerequests.ReadSupplyStatus} {
		t := m.Tally(s)
		switch {
		case t.Last == record.ClassRejected:
			return "SRV " + s.SRV() + " rejected: " + withMeaning(t.Code)
		case t.Last == record.ClassUnverified:
			return "SRV " + s.SRV() + ": no answer that could be proven"
		case t.Last.Unanswered():
			return p.unanswered(t)
		case t.Last == record.ClassNegative:
			return "SRV " + s.SRV() + " refused by the meter: " + t.Code
		}
	}
	return "not read back"
}

// withMeaning returns a response code with its meaning, if that is known.
func withMeaning(code string) string {
	if meaning, _ := servicerequests.ResponseCode(code).Meaning(); meaning != "" {
		return code + " (" + meaning + ")"
	}
	return code
}

// unanswered describes that there was no answer, and why there is no further try.
func (p *Policy) unanswered(t *Tally) string {
	text := "no answer"
	if t.Code != "" {
		text += ": " + t.Code
	}
	if p.RetriesSpent && !t.Barred {
		text += "; the sweep's retries are used up"
	}
	return text
}

// whyNotSwitched says why a meter that could be read is still in Prepayment.
func (p *Policy) whyNotSwitched(m *Meter) string {
	t := m.Tally(servicerequests.SwitchToCredit)
	switch {
	case p.Strategy == record.EmergencyCredit || !p.Permits(servicerequests.SwitchToCredit, m.Plan.Type):
		if m.Tally(servicerequests.ActivateEmergencyCredit).Last == record.ClassSuccess {
			return "time bought: emergency credit is active until it is spent"
		}
		return "in prepayment: switching is not part of this sweep"
	case t.Last == record.ClassNegative:
		return "switch refused by the meter: " + t.Code
	case t.Last == record.ClassRejected && m.Bars.HeldForPerson != "":
		return "held for a person: " + m.Bars.HeldForPerson
	case t.Last == record.ClassRejected:
		return "switch rejected: " + withMeaning(t.Code)
	case t.Last == record.ClassSuccess:
		return "meter reads prepayment after it accepted the switch"
	default:
		return "switch got no answer"
	}
}

// whyNotArmed says why a supply that is off in Credit was left off.
func (p *Policy) whyNotArmed(m *Meter) string {
	t := m.Tally(servicerequests.ArmSupply)
	switch {
	case t.Last == record.ClassNegative:
		return "arm refused"
	case t.Last == record.ClassRejected && t.Tries > 0:
		return "arm rejected: " + withMeaning(t.Code)
	case t.Last == record.ClassUnverified:
		return "arm: no answer that could be proven"
	case t.Tries > 0 && m.Bars.Person == "":
		return "disabled after arm"
	}
	if reason := p.armRefusal(m); reason != "" {
		return reason
	}
	return "no read was fresh enough to arm on"
}
