package meter

import (
	"safemode/devicesim/fleet"
	"safemode/servicerequests"
)

// State is what a claim about a meter can be held against.
type State struct {
	Mode             servicerequests.PaymentMode
	Supply           servicerequests.SupplyState
	Balance          servicerequests.Millipence
	CreditModeDue    servicerequests.Millipence // GSME
	EmergencyCredit  fleet.EmergencyCredit
	EmergencyBalance servicerequests.Millipence
	Debt             servicerequests.Millipence
	Locked           bool
}

// StateOf returns the meter's state now.
func StateOf(m *fleet.Meter) State {
	return State{
		Mode: m.Mode, Supply: m.Supply, Balance: m.Balance, CreditModeDue: m.CreditModeDue,
		EmergencyCredit: m.EmergencyCredit, EmergencyBalance: m.EmergencyBalance, Debt: m.Debt, Locked: m.Locked,
	}
}
