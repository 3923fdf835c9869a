package meter

import (
	"safemode/devicesim/fleet"
	"safemode/servicerequests"
)

// State is a meter's state, to compare claims with.
type State struct {
	Mode             servicerequests.PaymentMode `json:"mode"`
	Supply           servicerequests.SupplyState `json:"supply"`
	Balance          servicerequests.Millipence  `json:"balance"`
	CreditModeDue    servicerequests.Millipence  `json:"credit_mode_due"` // GSME
	EmergencyCredit  fleet.EmergencyCredit       `json:"emergency_credit"`
	EmergencyBalance servicerequests.Millipence  `json:"emergency_balance"`
	Debt             servicerequests.Millipence  `json:"debt"`
	Locked           bool                        `json:"locked"`
}

// StateOf returns the meter's state now.
func StateOf(m *fleet.Meter) State {
	return State{
		Mode: m.Mode, Supply: m.Supply, Balance: m.Balance, CreditModeDue: m.CreditModeDue,
		EmergencyCredit: m.EmergencyCredit, EmergencyBalance: m.EmergencyBalance, Debt: m.Debt, Locked: m.Locked,
	}
}
