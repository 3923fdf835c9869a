package servicerequests

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNotPermitted marks a Service Request outside the permitted set. Nothing
// outside it can be built, signed or sent.
var ErrNotPermitted = errors.New("not in the permitted set")

// Service is one member of the permitted set. The zero value is no service.
type Service uint8

// The permitted set: three commands, none of which turns a supply on or off,
// and five reads.
const (
	ActivateEmergencyCredit     Service = iota + 1 // SRV 2.5
	SwitchToCredit                                 // SRV 1.6, Credit, immediate
	ArmSupply                                      // SRV 7.3
	ReadSupplyStatus                               // SRV 7.4
	ReadPaymentMode                                // SRV 6.2.9
	ReadMeterBalance                               // SRV 4.18
	ReadPrepaymentConfiguration                    // SRV 4.13
	ReadInventory                                  // SRV 8.2
)

// Services lists the permitted set in the order of the constants.
var Services = [...]Service{
	ActivateEmergencyCredit, SwitchToCredit, ArmSupply,
	ReadSupplyStatus, ReadPaymentMode, ReadMeterBalance, ReadPrepaymentConfiguration, ReadInventory,
}

// Variant returns the service's row of the catalogue; ok is false for a value
// that is no member of the permitted set.
func (s Service) Variant() (v Variant, ok bool) {
	if s < ActivateEmergencyCredit || s > ReadInventory {
		return Variant{}, false
	}
	return catalogue[s-1], true
}

// SRV returns the Service Reference Variant, like "6.2.9".
func (s Service) SRV() string {
	v, ok := s.Variant()
	if !ok {
		return fmt.Sprintf("invalid(%d)", uint8(s))
	}
	return v.SRV
}

func (s Service) String() string { return s.SRV() }

// Critical says whether the service needs a Pre-Command signed by the supplier.
func (s Service) Critical() bool {
	v, _ := s.Variant()
	return v.Critical
}

// ParseService finds the member of the permitted set with this Service
// Reference Variant. For 1.6 the mode must be "credit"; for all others it must
// be empty. Everything else that the catalogue knows is refused by name, with
// an error that wraps [ErrNotPermitted].
func ParseService(srv, mode string) (Service, error) {
	for i, v := range catalogue {
		if v.SRV != srv || v.Mode.modeWord() != mode {
			continue
		}
		if s := Service(i + 1); s <= ReadInventory {
			return s, nil
		}
		return 0, fmt.Errorf("SRV %s (%s): %w", srv, v.Name, ErrNotPermitted)
	}
	if slices.ContainsFunc(catalogue[:], func(v Variant) bool { return v.SRV == srv }) {
		if srv == "1.6" {
			return 0, fmt.Errorf("SRV 1.6 with mode %q: %w: the mode must be credit", mode, ErrNotPermitted)
		}
		return 0, fmt.Errorf("SRV %s takes no mode (got %q)", srv, mode)
	}
	return 0, fmt.Errorf("SRV %q: %w", srv, ErrNotPermitted)
}

// modeWord is the mode's name for the variants of 1.6 and empty for the rest.
func (m PaymentMode) modeWord() string {
	if m == UnknownMode {
		return ""
	}
	return m.String()
}

// Role is a User Role of the Smart Energy Code.
type Role string

// The User Roles that may send what the catalogue holds (DUIS 5.4 request matrix).
const (
	ImportSupplier Role = "IS"
	GasSupplier    Role = "GS"
)

// CommandVariant says what the DCC does with a Service Request (DUIS 5.4).
type CommandVariant uint8

// The Command Variants the permitted set uses.
const (
	SendCommand       CommandVariant = 1 // non-critical request, sent to the device
	TransformRequest  CommandVariant = 4 // critical request, answered with a Pre-Command
	SendSignedCommand CommandVariant = 5 // Signed Pre-Command, sent to the device
	DCCOnly           CommandVariant = 8 // answered by the DCC itself
)

// Variant is one row of the catalogue: a Service Request Variant as DUIS 5.4
// and the GBCS use case table have it. For 1.6 each payment mode has a row.
type Variant struct {
	Name             string // the name in DUIS, like "Activate Emergency Credit"
	SRV              string // Service Reference Variant, like "6.2.9"
	ServiceReference string // like "6.2"
	Element          string // the Body child in DUIS
	Mode             PaymentMode
	Critical         bool
	Roles            []Role
	CommandVariants  []CommandVariant // allowed for a User's request, in scope here
	UseCases         map[DeviceType][]UseCase
}

// UseCase is a GBCS use case and its message code. Of two for a device the first is sent, and
// both are accepted.
type UseCase struct {
	Name     string // like "ECS09"
	Code     uint16 // message code, like 0x0020
	DateTime bool   // the header of its Response carries a date-time
}

// Service is the member of the permitted set that the row is; zero: it is none.
func (v Variant) Service() Service {
	for _, s := range Services {
		if row, _ := s.Variant(); row.SRV == v.SRV && row.Mode == v.Mode {
			return s
		}
	}
	return 0
}

// Catalogue returns every Service Request Variant this module knows: the
// permitted set first, in the order of [Services], then those that are only
// recognised: by the refusing side of the engine, and by the simulator.
func Catalogue() []Variant { return slices.Clone(catalogue[:]) }

// FindVariant returns the first row of the catalogue that match takes. It does not
// copy the catalogue, which decoding a request would do each time.
func FindVariant(match func(*Variant) bool) (v Variant, ok bool) {
	for i := range catalogue {
		if match(&catalogue[i]) {
			return catalogue[i], true
		}
	}
	return Variant{}, false
}

// Whether the Response of a use case carries a date-time.
const timed, untimed = true, false

var (
	suppliers   = []Role{ImportSupplier, GasSupplier}
	critical    = []CommandVariant{TransformRequest, SendSignedCommand}
	nonCritical = []CommandVariant{SendCommand}
)

// Sources: DUIS schema 5.4 (elements, Command Variants), the DUIS request
// matrix (roles), GBCS mapping table and test data 4.5.0 (use cases, codes).
var catalogue = [...]Variant{
	{
		Name: "Activate Emergency Credit", SRV: "2.5", ServiceReference: "2.5", Element: "ActivateEmergencyCredit",
		Critical: true, Roles: suppliers, CommandVariants: critical,
		UseCases: map[DeviceType][]UseCase{ESME: {{"ECS09", 0x0020, untimed}}, GSME: {{"GCS06", 0x0070, untimed}}},
	},
	{
		Name: "Update Payment Mode to Credit", SRV: "1.6", ServiceReference: "1.6", Element: "UpdatePaymentMode", Mode: Credit,
		Critical: true, Roles: suppliers, CommandVariants: critical,
		UseCases: map[DeviceType][]UseCase{ESME: {{"ECS02", 0x001A, timed}}, GSME: {{"GCS02", 0x006C, timed}}},
	},
	{
		Name: "Arm Supply", SRV: "7.3", ServiceReference: "7.3", Element: "ArmSupply",
		Critical: true, Roles: suppliers, CommandVariants: critical,
		UseCases: map[DeviceType][]UseCase{ESME: {{"ECS44", 0x0051, untimed}}, GSME: {{"GCS39", 0x0085, untimed}}},
	},
	{
		Name: "Read Supply Status", SRV: "7.4", ServiceReference: "7.4", Element: "ReadSupplyStatus",
		Roles: suppliers, CommandVariants: nonCritical,
		UseCases: map[DeviceType][]UseCase{ESME: {{"ECS45", 0x0052, untimed}}, GSME: {{"GCS33", 0x0082, untimed}}},
	},
	{
		Name: "Read Device Configuration (Payment Mode)", SRV: "6.2.9", ServiceReference: "6.2", Element: "ReadDeviceConfigurationPaymentMode",
		Roles: suppliers, CommandVariants: nonCritical,
		UseCases: map[DeviceType][]UseCase{ESME: {{"ECS26j", 0x00BE, untimed}}, GSME: {{"GCS21j", 0x00BF, untimed}}, GPF: {{"GCS21j", 0x00BF, untimed}}},
	},
	{
		Name: "Read Meter Balance", SRV: "4.18", ServiceReference: "4.18", Element: "ReadMeterBalance",
		Roles: suppliers, CommandVariants: nonCritical,
		UseCases: map[DeviceType][]UseCase{
			ESME: {{"ECS82", 0x0069, untimed}},
			// Which of the two the DCC sends for which device is not known (assumption).
			GSME: {{"GCS60", 0x008D, untimed}, {"GCS60a", 0x012A, timed}},
			GPF:  {{"GCS60", 0x008D, untimed}, {"GCS60a", 0x012A, timed}},
		},
	},
	{
		Name: "Read Prepayment Configuration", SRV: "4.13", ServiceReference: "4.13", Element: "ReadPrepaymentConfiguration",
		Roles: suppliers, CommandVariants: nonCritical,
		UseCases: map[DeviceType][]UseCase{ESME: {{"ECS26a", 0x003B, untimed}}, GSME: {{"GCS21b", 0x00B5, untimed}}, GPF: {{"GCS21b", 0x00B5, untimed}}},
	},
	{
		Name: "Read Inventory", SRV: "8.2", ServiceReference: "8.2", Element: "ReadInventory",
		Roles: suppliers, CommandVariants: []CommandVariant{DCCOnly},
	},
	// Recognised, never permitted.
	{
		Name: "Update Payment Mode to Prepayment", SRV: "1.6", ServiceReference: "1.6", Element: "UpdatePaymentMode", Mode: Prepayment,
		Critical: true, Roles: suppliers, CommandVariants: critical,
		UseCases: map[DeviceType][]UseCase{ESME: {{"ECS03", 0x001B, timed}}, GSME: {{"GCS03", 0x006D, timed}}},
	},
	{
		Name: "Enable Supply", SRV: "7.1", ServiceReference: "7.1", Element: "EnableSupply",
		Critical: true, Roles: []Role{ImportSupplier}, CommandVariants: critical,
		UseCases: map[DeviceType][]UseCase{ESME: {{"ECS42", 0x004F, untimed}}},
	},
	{
		Name: "Disable Supply", SRV: "7.2", ServiceReference: "7.2", Element: "DisableSupply",
		Critical: true, Roles: suppliers, CommandVariants: critical,
		UseCases: map[DeviceType][]UseCase{ESME: {{"ECS43", 0x0050, untimed}}, GSME: {{"GCS32", 0x0081, untimed}}},
	},
	{
		Name: "Read Instantaneous Prepay Values", SRV: "4.3", ServiceReference: "4.3", Element: "ReadInstantaneousPrepayValues",
		Roles: suppliers, CommandVariants: nonCritical,
		UseCases: map[DeviceType][]UseCase{ESME: {{"ECS19", 0x002D, timed}}, GSME: {{"GCS14", 0x0075, timed}}, GPF: {{"GCS14", 0x0075, timed}}},
	},
}
