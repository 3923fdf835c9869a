package meter

import (
	"time"

	"safemode/devicesim/fleet"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// Fault is what goes wrong in the execution of one command.
type Fault struct {
	HardwareFailure   bool // the device answers that it failed
	PartialModeChange bool // a 1.6 to an ESME is answered with success, failure, failure; others are not affected
	Applied           bool // with either: the command took effect all the same
}

// Execution is what became of a command.
type Execution struct {
	Response  gbcs.Response
	Alerts    []AlertCode
	Forbidden bool // it was none of the permitted set, or not immediate
	Done      bool // it took effect, or was accepted for later, whatever the Response says
}

// Execute carries out a command that has been authenticated. It changes nothing
// but m, and answers a read from m alone, so that a copy of a meter answers for
// the gas proxy that mirrors it.
func Execute(m *fleet.Meter, c gbcs.Command, now time.Time, b Behaviour, f Fault) Execution {
	e := Execution{
		Response:  gbcs.Response{UseCase: c.UseCase},
		Forbidden: !permitted(c),
	}
	failed := f.HardwareFailure || f.PartialModeChange && modeChange(c) && m.Type == servicerequests.ESME
	if failed {
		e.Response.Results = failure(m.Type, c.UseCase)
		if !c.UseCase.Critical { // attributes that did not fail still answer
			answer(&e.Response, m, c, now)
		}
		if !f.HardwareFailure {
			// As in the test data: the first set succeeds, the second breaks, and
			// without the third, the activation, nothing takes effect.
			rest := failure(m.Type, c.UseCase)
			e.Response.Results = append([]byte{0}, rest[:len(rest)-1]...)
		}
		if !f.Applied {
			return e
		}
	}
	done, alerts := apply(m, c, now, b)
	e.Alerts, e.Done = alerts, done
	switch {
	case failed:
	case !done:
		e.Response.Results = []byte{refused(m.Type)}
	default:
		answer(&e.Response, m, c, now)
	}
	return e
}

// permitted says whether the command is of the permitted set, or the one read
// outside it that this simulator answers.
func permitted(c gbcs.Command) bool {
	return (c.UseCase.Service != 0 || !c.UseCase.Critical) && c.When == gbcs.Immediate
}

func modeChange(c gbcs.Command) bool { return c.Mode != servicerequests.UnknownMode }

// failure is a device that fails at the first of a use case's items. On a gas meter the
// attributes of the same Read Attributes still answer, and later components are not
// executed (as in the test data); an ESME stops.
func failure(kind servicerequests.DeviceType, u gbcs.UseCase) []byte {
	first, rest, answering := byte(gbcs.ResultHardwareFault), byte(gbcs.ResultOtherReason), 1
	if kind == servicerequests.GSME {
		first, rest, answering = gbcs.StatusHardwareFailure, gbcs.StatusFailure, u.FirstRead()
	}
	results := make([]byte, u.Items())
	for i := answering; i < len(results); i++ {
		results[i] = rest
	}
	results[0] = first
	return results
}

// refused is the code of a meter that says no (GBCS, ECS09 and GCS06; for the
// other commands an assumption).
func refused(kind servicerequests.DeviceType) byte {
	if kind == servicerequests.GSME {
		return gbcs.StatusFailure
	}
	return gbcs.ResultOtherReason
}

// apply puts the command through the state machine. Reads are always done.
func apply(m *fleet.Meter, c gbcs.Command, now time.Time, b Behaviour) (done bool, alerts []AlertCode) {
	switch {
	case c.When != gbcs.Immediate:
		return true, nil // accepted: [Devices.CarryOut] does it when its time has come
	case modeChange(c):
		return change(m, c, now, b)
	}
	switch c.UseCase.SRV {
	case "2.5":
		return ActivateEmergencyCredit(m, b)
	case "7.3":
		return ArmSupply(m, now, b)
	case "7.1":
		return EnableSupply(m), nil
	case "7.2":
		DisableSupply(m)
	}
	return true, nil
}

// change is a 1.6 that takes effect.
func change(m *fleet.Meter, c gbcs.Command, now time.Time, b Behaviour) (done bool, alerts []AlertCode) {
	if c.Mode == servicerequests.Credit {
		return true, SwitchToCredit(m, b)
	}
	return true, SwitchToPrepayment(m, now)
}

// answer fills in what a successful Response tells.
func answer(r *gbcs.Response, m *fleet.Meter, c gbcs.Command, now time.Time) {
	configuration := m.Model.Configuration()
	issued := gbcs.SupplyChange{IssuerEventID: secondsSince2000(c.IssuedAt)}
	switch c.UseCase.SRV {
	case "1.6":
		r.ModeChange = gbcs.ModeChange{
			FriendlyCredit: configuration.NonDisablement.Suspends(now), CalendarID: calendarID,
			EmergencyCreditLimit:     configuration.EmergencyCreditLimit,
			EmergencyCreditThreshold: configuration.EmergencyCreditThreshold,
		}
	case "7.3":
		// The Supply Status Response is a success with this state only.
		r.Supply, r.SupplyChange = servicerequests.Armed, issued
	case "7.2":
		r.Supply, r.SupplyChange = servicerequests.Disabled, issued
	case "7.4":
		r.Supply, r.BatteryDays = m.Supply, batteryDays(m)
	case "6.2.9":
		r.Mode = m.Mode
		if r.HasSuspendDebt = m.Type == servicerequests.GSME && m.Mode == servicerequests.Prepayment; r.HasSuspendDebt {
			r.SuspendDebtDisabled, r.SuspendDebtEmergency = configuration.SuspendDebtDisabled, configuration.SuspendDebtEmergency
		}
	case "4.18":
		r.HasBalance, r.Balance = true, m.Balance
		r.HasCreditModeBalance, r.CreditModeBalance = m.Type == servicerequests.GSME, m.CreditModeDue
	case "4.13":
		r.Configuration = prepaymentConfiguration(m, configuration)
	}
}

// batteryDays is what is left of a gas meter's battery (simulator choice).
func batteryDays(m *fleet.Meter) uint16 {
	return 500 + uint16(uint64(m.Device)%3000)
}

// secondsSince2000 is an instant as ZigBee has it; 0 for the zero time.
func secondsSince2000(t time.Time) uint32 {
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	return uint32(max(0, t.Unix()-epoch.Unix()))
}

// prepayValues is what 4.3 reads. Simulated meters have no time-based and no
// payment-based debt registers.
func prepayValues(m *fleet.Meter) gbcs.PrepayValues {
	v := gbcs.PrepayValues{MeterBalance: m.Balance, AccumulatedDebt: m.Debt}
	if m.EmergencyCredit == fleet.Active {
		v.EmergencyCreditBalance = m.EmergencyBalance
	}
	return v
}
