package sweeptest

import (
	"time"

	"safemode/engine/proof"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// Questions are the open ones about what meters do (assumptions).
type Questions struct {
	CreditArms   bool // 1.6 arms a supply that is off for lack of credit
	ArmAnyway    int  // 7.3 on a supply that is not Disabled: 0 refused, 1 no change, 2 opened to Armed
	ArmRefused   bool // 7.3 is refused in Prepayment without credit
	SpentSuffice bool // 2.5 succeeds where emergency credit is spent
}

// Emergency is a meter's emergency credit.
type Emergency uint8

// States of emergency credit.
const (
	Unavailable Emergency = iota
	Available
	Active
	Spent
)

// State is what a meter can be seen as.
type State struct {
	Mode   servicerequests.PaymentMode
	Supply servicerequests.SupplyState
}

// Device is a meter: the truth.
type Device struct {
	EUI, Proxy servicerequests.EUI
	Claim      servicerequests.EUI // the gas proxy that the portfolio names; 0: none
	Home       servicerequests.EUI // its hub; 0: the one of all
	Kind       servicerequests.DeviceType
	State
	Balance   servicerequests.Millipence
	Emergency Emergency
	Locked    bool
	Stored    bool // the supplier left a switch to Prepayment on it
	History   []string
	Claimed   servicerequests.PaymentMode

	Found       State
	Answered    map[uint64]State // by counter of the request
	LastCommand uint64
	DisabledAt  time.Time // when it last answered that it is Disabled, and nothing came after
	Person      bool      // only a person may arm it
	Pressed     bool      // the button, after its verdict
}

// Healthy is an electricity meter in Prepayment with credit in hand.
func Healthy() *Device {
	return &Device{
		EUI: 0x00DB123456780001, Kind: servicerequests.ESME,
		State: State{servicerequests.Prepayment, servicerequests.Enabled}, Balance: 10 * servicerequests.Pound,
	}
}

// CutOff is a meter that is off for lack of credit and has no emergency credit left.
func CutOff() *Device {
	return &Device{
		EUI: 0x00DB123456780001, Kind: servicerequests.ESME,
		State: State{servicerequests.Prepayment, servicerequests.Disabled}, Balance: -5 * servicerequests.Pound, Emergency: Spent,
	}
}

// carryOut does what a request asks for. The result is the response's success.
func (d *Device) carryOut(w *World, s servicerequests.Service, id servicerequests.RequestID) bool {
	if s.Critical() {
		if id.Counter <= d.LastCommand {
			w.Fault("%v: command under counter %d after %d", d.EUI, id.Counter, d.LastCommand)
		}
		d.LastCommand = id.Counter
	}
	was := d.Supply
	ok := true
	switch s {
	case servicerequests.ActivateEmergencyCredit:
		switch {
		case d.Mode == servicerequests.Prepayment && d.Emergency == Available:
			d.Emergency = Active
			if d.Supply == servicerequests.Disabled && !d.Locked {
				d.Supply = servicerequests.Armed
			}
		case d.Emergency == Active:
		case d.Emergency == Spent:
			ok = w.Questions.SpentSuffice
		default:
			ok = false
		}
	case servicerequests.SwitchToCredit:
		d.Mode, d.Emergency, d.Stored = servicerequests.Credit, Unavailable, false
		if w.Questions.CreditArms && d.Supply == servicerequests.Disabled && !d.Locked && !d.Person {
			d.Supply = servicerequests.Armed
		}
	case servicerequests.ArmSupply:
		switch {
		case d.Supply != servicerequests.Disabled:
			ok = w.Questions.ArmAnyway != 0
			if w.Questions.ArmAnyway == 2 {
				d.Supply = servicerequests.Armed
			}
		case d.Locked, w.Questions.ArmRefused && d.Mode == servicerequests.Prepayment && d.Balance <= 0:
			ok = false
		default:
			d.Supply = servicerequests.Armed
		}
	case servicerequests.ReadSupplyStatus:
		d.DisabledAt = time.Time{}
		if d.Supply == servicerequests.Disabled {
			d.DisabledAt = w.Clock()
		}
	}
	if d.Supply < was || d.Found.Supply > d.Supply {
		w.Fault("%v: %v makes it %v, was %v and was found %v", d.EUI, s, d.Supply, was, d.Found.Supply)
	}
	d.Answered[id.Counter] = d.State
	return ok
}

// Respond is the device's answer at an instant.
func (d *Device) Respond(now time.Time, s servicerequests.Service, id servicerequests.RequestID, ok bool) proof.Delivery {
	kind := d.Kind
	if d.Proxy != 0 && id.Target == d.Proxy {
		kind = servicerequests.GPF
	}
	m := &gbcs.Message{Kind: gbcs.KindResponse, Header: gbcs.Header{
		Counter: id.Counter, Originator: id.Target, Target: id.Originator, Code: codeOf(s, kind),
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
		result.Supply = d.Supply
	case s == servicerequests.ReadPaymentMode:
		result.Mode = d.Mode
	case s == servicerequests.ReadMeterBalance:
		result.HasBalance, result.Balance = true, d.Balance
	case s == servicerequests.ReadPrepaymentConfiguration:
		result.Configuration = new(gbcs.PrepaymentConfiguration)
	}
	return proof.Delivery{
		ID: id, Device: id.Target, Code: servicerequests.Success, At: now, Signed: true, SRV: s.SRV(),
		Message: m, Result: result,
	}
}

// Alert is one of the device, under a counter of its own; 0: not known.
func (d *Device) Alert(at time.Time, code uint16, counter uint64) proof.Delivery {
	a := proof.Delivery{Device: d.EUI, Signed: true, At: at, Alert: &gbcs.Alert{Code: code, At: at}}
	if counter != 0 {
		a.Message = &gbcs.Message{Kind: gbcs.KindAlert, Header: gbcs.Header{Counter: counter, Originator: d.EUI}}
	}
	return a
}

type useCase struct {
	service servicerequests.Service
	kind    servicerequests.DeviceType
}

// useCases are the message codes of services on kinds of devices.
var useCases = func() map[useCase]uint16 {
	all := map[useCase]uint16{}
	for code := range uint16(0x200) {
		u, ok := gbcs.LookupUseCase(code)
		if !ok || u.Service == 0 {
			continue
		}
		for _, kind := range [...]servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME, servicerequests.GPF} {
			if _, known := all[useCase{u.Service, kind}]; !known && u.Fits(kind) {
				all[useCase{u.Service, kind}] = code
			}
		}
	}
	return all
}()

// codeOf is the message code of a service on a kind of device.
func codeOf(s servicerequests.Service, kind servicerequests.DeviceType) uint16 {
	return useCases[useCase{s, kind}]
}

// ServiceOf is the service that a delivery claims to answer; 0: none.
func ServiceOf(d proof.Delivery) servicerequests.Service {
	if d.Message == nil {
		return 0
	}
	u, _ := gbcs.LookupUseCase(d.Message.Code)
	return u.Service
}
