package main

import (
	"fmt"

	"safemode/devicesim/meter"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// deviceState is what a simulated meter was like at one of its answers.
type deviceState = meter.State

// claim is what a report says of one meter.
type claim struct {
	device  servicerequests.EUI
	verdict record.VerdictBody
}

// world is the simulator's truth.
type world interface {
	// Truth is the state of a device at its answer to the request with a counter.
	Truth(device servicerequests.EUI, counter uint64) (deviceState, bool)
	// Registered says whether the meter is still the failed supplier's.
	Registered(device servicerequests.EUI) bool
}

// mismatch is a claim that the truth contradicts.
type mismatch struct {
	Device  servicerequests.EUI `json:"device_id"`
	Verdict string              `json:"verdict"`
	Reason  string              `json:"reason"`
}

// holdAgainstTruth compares each claim with the meter's state at the counter of
// the response that the claim rests on.
func holdAgainstTruth(claims []claim, w world) []mismatch {
	var wrong []mismatch
	for _, c := range claims {
		if reason := contradiction(c, w); reason != "" {
			wrong = append(wrong, mismatch{c.device, c.verdict.Verdict, reason})
		}
	}
	return wrong
}

// contradiction says what is wrong with a claim; nothing if the truth bears it out.
func contradiction(c claim, w world) string {
	v := c.verdict
	switch v.Verdict {
	case record.VerdictExcluded:
		if w.Registered(c.device) {
			return "excluded, but still registered to the supplier"
		}
		return ""
	case record.VerdictUnknown:
		if v.ModeCounter != 0 && v.SupplyCounter != 0 {
			return "unknown, though a valid read-back was accepted"
		}
		return ""
	}
	mode, ok := w.Truth(c.device, v.ModeCounter)
	if !ok {
		return fmt.Sprintf("no answer under counter %d, on which the mode rests", v.ModeCounter)
	}
	supply, ok := w.Truth(c.device, v.SupplyCounter)
	if !ok {
		return fmt.Sprintf("no answer under counter %d, on which the supply state rests", v.SupplyCounter)
	}
	if mode.Mode != v.End.Mode || supply.Supply != v.End.Supply {
		return fmt.Sprintf("claimed %v and %v, was %v and %v", v.End.Mode, v.End.Supply, mode.Mode, supply.Supply)
	}
	safe := mode.Mode == servicerequests.Credit
	var want string
	switch {
	case safe && supply.Supply == servicerequests.Enabled:
		want = record.VerdictOnSupply
	case safe && supply.Supply == servicerequests.Armed:
		want = record.VerdictArmed
	default:
		want = record.VerdictNotSafe
	}
	if v.Verdict != want {
		return fmt.Sprintf("called %s, is %s", v.Verdict, want)
	}
	return ""
}
