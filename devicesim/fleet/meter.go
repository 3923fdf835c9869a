package fleet

import (
	"fmt"

	"safemode/servicerequests"
)

// EmergencyCredit is the state of a meter's emergency credit.
type EmergencyCredit uint8

// The states of emergency credit.
const (
	Unavailable EmergencyCredit = iota // the balance is not below the threshold
	Available                          // offered, not taken
	Active                             // taken, and some is left
	Spent                              // taken and used up; offered again only once it is repaid
)

var emergencyCreditNames = [...]string{"unavailable", "available", "active", "spent"}

func (e EmergencyCredit) String() string {
	if int(e) < len(emergencyCreditNames) {
		return emergencyCreditNames[e]
	}
	return fmt.Sprintf("invalid(%d)", uint8(e))
}

// MPxN is an MPAN or an MPRN in ASCII digits, padded with zero octets.
type MPxN [13]byte

func (n MPxN) String() string {
	end := len(n)
	for end > 0 && n[end-1] == 0 {
		end--
	}
	return string(n[:end])
}

// Meter is one ESME or GSME: its properties and its condition. It has a
// fixed width and contains no pointer. Money is in millipence within the range of
// int32, as on the wire.
type Meter struct {
	Device   servicerequests.EUI
	Hub      servicerequests.EUI
	Supplier servicerequests.EUI // registered as the fleet begins; not the failed supplier's if the meter was transferred

	MPxN      MPxN
	Type      servicerequests.DeviceType // ESME or GSME
	Region    servicerequests.Region
	Model     Model
	Reachable bool

	Condition
}

// Condition is what changes about a meter: all that is kept for one that was touched.
type Condition struct {
	// SupplierCounter is the highest originator counter of a critical command
	// that the meter has accepted from the Supplier role. Not in the fleet file.
	SupplierCounter uint64

	Balance          servicerequests.Millipence // ESME: the one balance. GSME: prepayment mode, credit available
	CreditModeDue    servicerequests.Millipence // GSME: credit mode, money due, never negative. Not in the fleet file
	EmergencyBalance servicerequests.Millipence // what is left of emergency credit while it is active. Not in the fleet file
	Debt             servicerequests.Millipence // Accumulated Debt Register, never negative

	// AsOf is the instant up to which use is charged, and ActAt when the consumer
	// acts next, 0 for not at all; Unix milliseconds. Package meter keeps them, and
	// only in a fleet whose time passes. Not in the fleet file.
	AsOf, ActAt int64

	AlertCounter uint32 // the device's own counter, last used. Not in the fleet file

	// The consumer's last decision: about what, and to do what (package meter); and how
	// often the consumer has thought of taking emergency credit and of topping up, and
	// has pressed the button, each modulo 256. Not in the fleet file.
	Need, Plan             uint8
	Takes, TopUps, Presses uint8

	Mode            servicerequests.PaymentMode // Credit or Prepayment
	Supply          servicerequests.SupplyState // Disabled, Armed or Enabled
	EmergencyCredit EmergencyCredit
	Locked          bool // tamper: reads as Disabled, refuses to be armed
}

// localBit is the universal/local bit of an EUI-64.
const localBit = servicerequests.EUI(0x02) << 56

// GPF returns the EUI of the gas proxy that mirrors this gas meter, and 0 for
// an electricity meter.
func (m *Meter) GPF() servicerequests.EUI {
	if m.Type != servicerequests.GSME {
		return 0
	}
	return m.Device ^ localBit
}

// Model indexes the catalogue of meter models.
type Model uint8

// Configuration is what a supplier has set on a meter. It depends on the model
// alone, which keeps [Meter] small (simulator choice; the figures are those
// that suppliers publish).
type Configuration struct {
	EmergencyCreditLimit     servicerequests.Millipence
	EmergencyCreditThreshold servicerequests.Millipence // emergency credit is offered below it
	LowCreditThreshold       servicerequests.Millipence
	DisablementThreshold     servicerequests.Millipence // supply is disabled at or below it
	MaximumBalance           servicerequests.Millipence
	MaximumTopUp             servicerequests.Millipence
	NonDisablement           Calendar

	// Standing charge and debts are not collected, but owed, while the supply is off
	// and while emergency credit is in use.
	SuspendDebtDisabled, SuspendDebtEmergency bool
}

type modelRow struct {
	name string
	kind servicerequests.DeviceType
	Configuration
	other bool // one of those that [Options].OtherModels asks for
}

// Name returns the model's name in the fleet file.
func (m Model) Name() string {
	if int(m) >= len(models) {
		return fmt.Sprintf("invalid(%d)", uint8(m))
	}
	return models[m].name
}

// Configuration returns what is set on meters of the model, and the zero
// Configuration for a model that is not in the catalogue.
func (m Model) Configuration() Configuration {
	if int(m) >= len(models) {
		return Configuration{}
	}
	return models[m].Configuration
}

func parseModel(name string, kind servicerequests.DeviceType) (Model, error) {
	for i, row := range models {
		if row.name == name && row.kind == kind {
			return Model(i), nil
		}
	}
	return 0, fmt.Errorf("model %q: no %s of that name", name, kind)
}

// pickModel chooses one of the models for a device type, an ordinary one or one of the
// others; choice is any number.
func pickModel(kind servicerequests.DeviceType, choice uint64, other bool) Model {
	fitting := electricModels
	switch {
	case kind == servicerequests.GSME && other:
		fitting = otherGasModels
	case kind == servicerequests.GSME:
		fitting = gasModels
	case other:
		fitting = otherElectricModels
	}
	return fitting[choice%uint64(len(fitting))]
}

var (
	electricModels, otherElectricModels = modelsFor(servicerequests.ESME, false), modelsFor(servicerequests.ESME, true)
	gasModels, otherGasModels           = modelsFor(servicerequests.GSME, false), modelsFor(servicerequests.GSME, true)
)

func modelsFor(kind servicerequests.DeviceType, other bool) (fitting []Model) {
	for i, row := range models {
		if row.kind == kind && row.other == other {
			fitting = append(fitting, Model(i))
		}
	}
	return fitting
}

// models is the catalogue. Emergency credit of 5, 10 and 15 pounds offered
// below 1 or 2 pounds is what suppliers publish; the rest is simulator choice. The others
// cut off above or below nothing, and collect what the ordinary ones suspend.
var models = [...]modelRow{
	{"sim-e10", servicerequests.ESME, configuration(10, 2, eveningsAndSundays), false},
	{"sim-e15", servicerequests.ESME, configuration(15, 1, eveningsAndSundays), false},
	{"sim-e5", servicerequests.ESME, configuration(5, 1, nights), false},
	{"sim-g10", servicerequests.GSME, configuration(10, 2, eveningsAndSundays), false},
	{"sim-g15", servicerequests.GSME, configuration(15, 1, nights), false},
	{"sim-e10-under", servicerequests.ESME, configuration(10, 2, eveningsAndSundays).cutsOffAt(-5*servicerequests.Pound, false, false), true},
	{"sim-e5-over", servicerequests.ESME, configuration(5, 1, nights).cutsOffAt(servicerequests.Pound/2, true, false), true},
	{"sim-g10-under", servicerequests.GSME, configuration(10, 2, eveningsAndSundays).cutsOffAt(-2*servicerequests.Pound, false, true), true},
	{"sim-g15-over", servicerequests.GSME, configuration(15, 1, nights).cutsOffAt(servicerequests.Pound/4, false, false), true},
}

// cutsOffAt is the configuration with another threshold and other debt settings.
func (c Configuration) cutsOffAt(threshold servicerequests.Millipence, suspendDisabled, suspendEmergency bool) Configuration {
	c.DisablementThreshold, c.SuspendDebtDisabled, c.SuspendDebtEmergency = threshold, suspendDisabled, suspendEmergency
	return c
}

func configuration(limit, threshold servicerequests.Millipence, calendar Calendar) Configuration {
	return Configuration{
		EmergencyCreditLimit:     limit * servicerequests.Pound,
		EmergencyCreditThreshold: threshold * servicerequests.Pound,
		LowCreditThreshold:       5 * servicerequests.Pound,
		DisablementThreshold:     0,
		MaximumBalance:           300 * servicerequests.Pound,
		MaximumTopUp:             50 * servicerequests.Pound,
		NonDisablement:           calendar,
		SuspendDebtDisabled:      true,
		SuspendDebtEmergency:     true,
	}
}
