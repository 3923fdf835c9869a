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

// Record is what a meter, or a gas proxy, was like each time it answered. The
// zero Record is empty. It does not lock; one is kept for each device that was
// ever asked, and none for the others.
type Record struct{ answers []answered }

type answered struct {
	counter uint64 // originator counter of the command, and so of the Response
	state   State
}

func (r *Record) add(counter uint64, s State) {
	r.answers = append(r.answers, answered{counter, s})
}

// State returns the state just after the command with this originator counter
// was carried out; ok is false if the device never answered it. Of two answers
// under one counter (a read that reached the device twice) the last counts.
func (r *Record) State(counter uint64) (s State, ok bool) {
	for i := len(r.answers) - 1; i >= 0; i-- {
		if r.answers[i].counter == counter {
			return r.answers[i].state, true
		}
	}
	return State{}, false
}
