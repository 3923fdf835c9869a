package sweep_test

import (
	"time"

	"safemode/engine/ledger"
	"safemode/engine/proof"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// seen is what a meter can be seen as.
type seen struct {
	mode   servicerequests.PaymentMode
	supply servicerequests.SupplyState
}

// emergency is a meter's emergency credit.
type emergency uint8

const (
	unavailable emergency = iota
	available
	active
	spent
)

// home is a meter: the truth.
type home struct {
	eui, proxy servicerequests.EUI
	number     int32
	kind       servicerequests.DeviceType
	region     servicerequests.Region
	seen
	balance   servicerequests.Millipence
	emergency emergency
	locked    bool
	stored    bool // somebody left a switch to Prepayment on it
	history   []string
	claimed   servicerequests.PaymentMode

	found    seen
	answered map[uint64]seen // by counter of the request
	last     uint64          // counter of the last command that it carried out
	alerts   uint64          // its own counter
	lacks    bool            // it is off for lack of credit, or was found so
	person   bool            // it is off for another reason: only a person may arm it
	known    bool            // the sweep has been told, or has seen it
	touched  bool            // by a hand, or its stored switch has run
	silent   bool            // it answers nothing
	refused  bool            // it has refused a 7.3, as a locked one does (decision 21)
	readOff  time.Time       // when it answered last that it is Disabled
	excluded bool            // by an order that was answered
	told     []gbcs.Alert    // alerts that it has raised, with their counters
	toldAs   []uint64
}

// carryOut does what a request asks for. The result is the response's success.
func (h *home) carryOut(w *world, s servicerequests.Service, counter uint64) bool {
	if s.Critical() {
		h.last = counter
	}
	was, ok := h.seen, true
	switch s {
	case servicerequests.ActivateEmergencyCredit:
		switch {
		case h.mode == servicerequests.Prepayment && h.emergency == available:
			h.emergency = active
			if h.supply == servicerequests.Disabled && !h.locked && !h.person {
				h.supply = servicerequests.Armed
			}
		case h.emergency == active:
		case h.emergency == spent:
			ok = w.spentSuffice
		default:
			ok = false
		}
	case servicerequests.SwitchToCredit:
		h.mode, h.emergency, h.stored = servicerequests.Credit, unavailable, false
		if w.creditArms && h.supply == servicerequests.Disabled && !h.locked && !h.person {
			h.supply = servicerequests.Armed
		}
	case servicerequests.ArmSupply:
		switch {
		case h.supply != servicerequests.Disabled:
			ok = w.armAnyway
		case h.locked:
			ok = false
		default:
			h.supply = servicerequests.Armed
		}
	case servicerequests.ReadSupplyStatus:
		h.readOff = time.Time{}
		if h.supply == servicerequests.Disabled {
			h.readOff = w.now
		}
	}
	if h.supply < was.supply || h.mode != was.mode && h.mode == servicerequests.Prepayment {
		w.broken(noneWorseOff, "%v: SRV %v makes %v of %v", h.eui, s, h.seen, was)
	}
	h.answered[counter] = h.seen
	return ok
}

// respond is the device's answer.
func (h *home) respond(w *world, s servicerequests.Service, id servicerequests.RequestID, ok bool) proof.Delivery {
	kind := h.kind
	if id.Target == h.proxy {
		kind = servicerequests.GPF
	}
	m := &gbcs.Message{Kind: gbcs.KindResponse, Header: gbcs.Header{
		Counter: id.Counter, Originator: id.Target, Target: id.Originator, Code: w.codeOf(s, kind),
	}}
	result := &gbcs.Response{Success: ok}
	if s.Critical() {
		m.Signature = make([]byte, 64)
	} else {
		m.MAC = make([]byte, 12)
	}
	switch {
	case !ok:
		result.Results = []byte{0, 250}
	case s == servicerequests.ReadSupplyStatus:
		result.Supply = h.supply
	case s == servicerequests.ReadPaymentMode:
		result.Mode = h.mode
	case s == servicerequests.ReadMeterBalance:
		result.HasBalance, result.Balance = true, h.balance
	}
	return proof.Delivery{
		ID: id, Device: id.Target, Code: servicerequests.Success, At: w.now, Signed: true, SRV: s.SRV(), Message: m, Result: result,
	}
}

// raise is an alert of the device, raised at an instant.
func (h *home) raise(code uint16, at time.Time) {
	a := gbcs.Alert{Code: code, At: at}
	if code == ledger.AlertFutureDated {
		a.FutureDated = &gbcs.FutureDated{Code: ledger.CodeECS03}
	}
	h.alerts++
	h.told, h.toldAs = append(h.told, a), append(h.toldAs, h.alerts)
}

// alert is a message with an alert that the device has raised.
func (h *home) alert(i int, now time.Time) proof.Delivery {
	a := h.told[i]
	return proof.Delivery{Device: h.eui, Code: servicerequests.Success, At: now, Signed: true, Alert: &a, Message: &gbcs.Message{
		Kind: gbcs.KindAlert, Header: gbcs.Header{Counter: h.toldAs[i], Originator: h.eui},
	}}
}
