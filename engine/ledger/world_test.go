package ledger

import (
	"testing"

	"safemode/servicerequests"
)

// questions are the open ones about what meters do (assumptions).
type questions struct {
	creditArms   bool // 1.6 arms a supply that is off for lack of credit
	armAnyway    int  // 7.3 on a supply that is not Disabled: 0 refused, 1 no change, 2 opened to Armed
	armRefused   bool // 7.3 is refused in Prepayment without credit
	spentSuffice bool // 2.5 succeeds where emergency credit is spent
}

// emergency is a meter's emergency credit.
type emergency uint8

const (
	unavailable emergency = iota
	available
	active
	spent
)

// state is what a meter can be seen as.
type state struct {
	mode   servicerequests.PaymentMode
	supply servicerequests.SupplyState
}

// device is a meter: the truth.
type device struct {
	eui, gpf servicerequests.EUI
	claim    servicerequests.EUI        // the gas proxy that the portfolio names; 0: none
	estimate servicerequests.Millipence // the portfolio's balance of two days before; 0: none
	kind     servicerequests.DeviceType
	state
	balance   servicerequests.Millipence
	emergency emergency
	locked    bool
	stored    bool // the supplier left a switch to Prepayment on it
	history   []string
	claimed   servicerequests.PaymentMode

	found       state
	lastCommand uint64
	person      bool // only a person may arm it
}

// carryOut does what a request asks for. The result is the response's success.
func (d *device) carryOut(w *world, s servicerequests.Service, id servicerequests.RequestID) bool {
	if s.Critical() {
		if id.Counter <= d.lastCommand {
			w.t.Errorf("%v: command under counter %d after %d", d.eui, id.Counter, d.lastCommand)
		}
		d.lastCommand = id.Counter
	}
	was := d.supply
	ok := true
	switch s {
	case servicerequests.ActivateEmergencyCredit:
		switch {
		case d.mode == servicerequests.Prepayment && d.emergency == available:
			d.emergency = active
			if d.supply == servicerequests.Disabled && !d.locked {
				d.supply = servicerequests.Armed
			}
		case d.emergency == active:
		case d.emergency == spent:
			ok = w.questions.spentSuffice
		default:
			ok = false
		}
	case servicerequests.SwitchToCredit:
		d.mode, d.emergency, d.stored = servicerequests.Credit, unavailable, false
		if w.questions.creditArms && d.supply == servicerequests.Disabled && !d.locked && !d.person {
			d.supply = servicerequests.Armed
		}
	case servicerequests.ArmSupply:
		switch {
		case d.supply != servicerequests.Disabled:
			ok = w.questions.armAnyway != 0
			if w.questions.armAnyway == 2 {
				d.supply = servicerequests.Armed
			}
		case d.locked, w.questions.armRefused && d.mode == servicerequests.Prepayment && d.balance <= 0:
			ok = false
		default:
			d.supply = servicerequests.Armed
		}
	}
	if d.supply < was || d.found.supply > d.supply {
		w.t.Errorf("%v: %v makes it %v, was %v and was found %v", d.eui, s, d.supply, was, d.found.supply)
	}
	return ok
}

// world is everything outside the ledger.
type world struct {
	t         testing.TB
	questions questions
}

// fate is what becomes of one POST; also a DUIS code, which is then the reply.
type fate string

const (
	taken      fate = "taken"
	lostBefore fate = "in doubt, not applied"
	lostAfter  fate = "in doubt, applied"
)
