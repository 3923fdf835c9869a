package meter

import (
	"time"

	"safemode/devicesim/fleet"
	"safemode/servicerequests"
)

// exhausted says whether a prepayment meter has no credit left: the guard of
// E3, E6, E13 and Q3.
func exhausted(m *fleet.Meter) bool {
	return m.Mode == servicerequests.Prepayment &&
		m.Balance <= m.Model.Configuration().DisablementThreshold &&
		(m.EmergencyCredit != fleet.Active || m.EmergencyBalance <= 0)
}

// combinedCredit is what low credit is measured by.
func combinedCredit(m *fleet.Meter) servicerequests.Millipence {
	if m.EmergencyCredit == fleet.Active {
		return m.Balance + m.EmergencyBalance
	}
	return m.Balance
}

// ActivateEmergencyCredit is SR 2.5, or the button (E5 to E8). It succeeds if
// emergency credit is active afterwards.
func ActivateEmergencyCredit(m *fleet.Meter, b Behaviour) (done bool, alerts []AlertCode) {
	if m.Mode != servicerequests.Prepayment {
		return false, nil
	}
	switch m.EmergencyCredit {
	case fleet.Active:
		return true, nil
	case fleet.Spent:
		return b.SpentCountsAsActive, nil
	case fleet.Unavailable:
		return false, nil
	}
	cutOff := m.Supply == servicerequests.Disabled && !m.Locked && exhausted(m)
	m.EmergencyCredit = fleet.Active
	m.EmergencyBalance = m.Model.Configuration().EmergencyCreditLimit
	alerts = []AlertCode{EmergencyCreditActivated}
	if cutOff {
		m.Supply = servicerequests.Armed
		alerts = append(alerts, ArmedByEmergencyCredit)
	}
	return true, alerts
}

// SwitchToCredit is SR 1.6 to Credit (E9, E10, Q1). It always succeeds; the
// registers of prepayment stay as they are.
func SwitchToCredit(m *fleet.Meter, b Behaviour) (alerts []AlertCode) {
	arms := b.CreditArms && m.Supply == servicerequests.Disabled && !m.Locked && exhausted(m)
	m.Mode = servicerequests.Credit
	if arms {
		m.Supply = servicerequests.Armed
		alerts = append(alerts, SupplyArmed)
	}
	return alerts
}

// ArmSupply is SR 7.3 (E11, E12, Q2, Q3). A locked meter refuses it.
func ArmSupply(m *fleet.Meter, now time.Time, b Behaviour) (done bool, alerts []AlertCode) {
	switch {
	case m.Locked:
		return false, nil
	case m.Supply != servicerequests.Disabled:
		if b.ArmWhenNotDisabled == ArmOpensSwitch && m.Supply == servicerequests.Enabled {
			m.Supply = servicerequests.Armed
			return true, []AlertCode{SupplyArmed}
		}
		return b.ArmWhenNotDisabled != ArmRejected, nil
	case exhausted(m) && b.ArmWithoutCredit == ArmRefused:
		return false, nil
	}
	m.Supply = servicerequests.Armed
	alerts = []AlertCode{SupplyArmed}
	if exhausted(m) && b.ArmWithoutCredit == ArmedThenCutOff {
		alerts = append(alerts, cutOff(m, now)...)
	}
	return true, alerts
}

// EnableSupply is SR 7.1, which is forbidden (E15): the load switch of an ESME
// closes with nobody there. A locked meter refuses it.
func EnableSupply(m *fleet.Meter) (done bool) {
	if m.Locked {
		return false
	}
	m.Supply = servicerequests.Enabled
	return true
}

// DisableSupply is SR 7.2, which is forbidden. It always succeeds.
func DisableSupply(m *fleet.Meter) { m.Supply = servicerequests.Disabled }

// SwitchToPrepayment is SR 1.6 to Prepayment, which is forbidden (E16): the
// rules of disablement apply again at once.
func SwitchToPrepayment(m *fleet.Meter, now time.Time) (alerts []AlertCode) {
	m.Mode = servicerequests.Prepayment
	return Check(m, now)
}

// PressFault is what goes wrong when a consumer presses the button.
type PressFault struct {
	SwitchFails      bool // E18: load switch or valve does not move
	UncontrolledFlow bool // G1, GSME: gas flows with the appliances off
}

// Press is the consumer's "enable supply" at the meter (E13, G1): an Armed
// supply with credit, or in credit mode, becomes Enabled.
func Press(m *fleet.Meter, f PressFault) (enabled bool, alerts []AlertCode) {
	switch {
	case m.Supply != servicerequests.Armed || exhausted(m):
		return false, nil
	case f.SwitchFails:
		return false, []AlertCode{ConnectFailure}
	case f.UncontrolledFlow && m.Type == servicerequests.GSME:
		return false, []AlertCode{UncontrolledGasFlow}
	}
	m.Supply = servicerequests.Enabled
	return true, nil
}

// Check looks at the balance at time now: it offers emergency credit (E1) and
// disables an Enabled supply whose credit is exhausted, unless the
// non-disablement calendar suspends that (E3, E4). It is to be called when a
// non-disablement period ends.
func Check(m *fleet.Meter, now time.Time) (alerts []AlertCode) {
	if m.Mode != servicerequests.Prepayment {
		return nil
	}
	if offers(m) {
		m.EmergencyCredit = fleet.Available
		alerts = append(alerts, EmergencyCreditAvailable)
	}
	if m.Supply == servicerequests.Enabled && exhausted(m) {
		alerts = append(alerts, cutOff(m, now)...)
	}
	return alerts
}

// cutOff disables a supply with exhausted credit, or returns why not yet.
func cutOff(m *fleet.Meter, now time.Time) []AlertCode {
	if m.Model.Configuration().NonDisablement.Suspends(now) {
		return []AlertCode{DisablementSuspended}
	}
	m.Supply = servicerequests.Disabled
	return []AlertCode{BelowDisablement}
}

// Consume charges what was used up to now (E1 to E4). A supply that is not
// Enabled uses nothing; a negative amount is ignored.
func Consume(m *fleet.Meter, amount servicerequests.Millipence, now time.Time) (alerts []AlertCode) {
	if m.Supply != servicerequests.Enabled || amount <= 0 {
		return nil
	}
	if m.Mode == servicerequests.Credit {
		owe(m, amount)
		return nil
	}
	return spend(m, amount, now)
}

// spend takes an amount from a prepayment meter.
func spend(m *fleet.Meter, amount servicerequests.Millipence, now time.Time) (alerts []AlertCode) {
	before, hadCredit := combinedCredit(m), !exhausted(m)
	c := m.Model.Configuration()
	// The balance is used first, down to the threshold, then emergency credit;
	// use beyond both, in a non-disablement period, is owed.
	fromBalance := min(amount, max(0, m.Balance-c.DisablementThreshold))
	m.Balance -= fromBalance
	amount -= fromBalance
	if m.EmergencyCredit == fleet.Active {
		fromEmergency := min(amount, m.EmergencyBalance)
		m.EmergencyBalance -= fromEmergency
		amount -= fromEmergency
		if m.EmergencyBalance == 0 {
			m.EmergencyCredit = fleet.Spent
			alerts = append(alerts, EmergencyCreditExhausted)
		}
	}
	m.Balance = capped(m.Balance - amount)
	if before >= c.LowCreditThreshold && combinedCredit(m) < c.LowCreditThreshold {
		alerts = append(alerts, LowCredit)
	}
	after := Check(m, now)
	if !hadCredit && m.Supply == servicerequests.Enabled {
		return alerts // still suspended: that was told when credit ran out
	}
	return append(alerts, after...)
}

// owe charges an amount in credit mode (G2).
func owe(m *fleet.Meter, amount servicerequests.Millipence) {
	if m.Type == servicerequests.GSME {
		m.CreditModeDue = capped(m.CreditModeDue + amount)
	} else {
		m.Balance = capped(m.Balance - amount)
	}
}

// debtPerTopUp bounds what one top-up pays of the Accumulated Debt Register
// (simulator choice, for the weekly cap that suppliers set).
const debtPerTopUp = 10 * servicerequests.Pound

// TopUp adds credit (E14). In Prepayment it pays, in this order, debt, the
// shortfall below the disablement threshold and the emergency credit used; the
// rest is balance. A supply that was Disabled and now has credit is Armed.
// An amount beyond the meter's largest balance is lost; a negative one is ignored.
func TopUp(m *fleet.Meter, amount servicerequests.Millipence) {
	amount = max(0, amount)
	c := m.Model.Configuration()
	if m.Mode == servicerequests.Prepayment {
		debt := min(amount, m.Debt, debtPerTopUp)
		m.Debt -= debt
		amount -= debt
		shortfall := min(amount, max(0, c.DisablementThreshold-m.Balance))
		m.Balance += shortfall
		amount -= shortfall
		if m.EmergencyCredit == fleet.Active || m.EmergencyCredit == fleet.Spent {
			// While Spent, EmergencyBalance counts what has been repaid.
			repaid := min(amount, c.EmergencyCreditLimit-m.EmergencyBalance)
			m.EmergencyBalance += repaid
			amount -= repaid
			if m.EmergencyBalance == c.EmergencyCreditLimit {
				m.EmergencyCredit, m.EmergencyBalance = fleet.Unavailable, 0
			}
		}
	}
	m.Balance = max(m.Balance, min(m.Balance+amount, c.MaximumBalance))
	if m.EmergencyCredit == fleet.Available && m.Balance >= c.EmergencyCreditThreshold {
		m.EmergencyCredit = fleet.Unavailable
	}
	if m.Mode == servicerequests.Prepayment && m.Supply == servicerequests.Disabled && !m.Locked &&
		m.Balance > c.DisablementThreshold {
		m.Supply = servicerequests.Armed
	}
}

// capped limits an amount to the range of the wire format.
func capped(amount servicerequests.Millipence) servicerequests.Millipence {
	const limit = 1<<31 - 1
	return max(-limit, min(amount, limit))
}
