package gbcs

import (
	"errors"

	"safemode/servicerequests"
)

// ErrUnknownUseCase marks a message code that is not in the table of use cases.
var ErrUnknownUseCase = errors.New("message code of no known use case")

// UseCase is a GBCS use case. GBCS has many more; these are the permitted set,
// what must be recognised to be refused, and 4.3, which the simulator answers.
type UseCase struct {
	Name     string // like "ECS09"
	Title    string // the service's name, like "Activate Emergency Credit"
	SRV      string // Service Reference Variant, like "2.5"
	Code     uint16 // message code
	Device   servicerequests.DeviceType
	GPF      bool                    // the gas proxy answers it too
	Service  servicerequests.Service // zero: outside the permitted set
	Critical bool                    // signed by the supplier, Response signed by the device
	DateTime bool                    // the Response's header carries a date-time
}

// String returns name and title, like "ECS43 Disable Supply".
func (u UseCase) String() string { return u.Name + " " + u.Title }

// Fits says whether a device of this type can be the target.
func (u UseCase) Fits(device servicerequests.DeviceType) bool {
	return device == u.Device || u.GPF && device == servicerequests.GPF
}

// Message codes of the use cases.
const (
	codeECS02  = 0x001A
	codeECS03  = 0x001B
	codeECS09  = 0x0020
	codeECS19  = 0x002D
	codeECS26a = 0x003B
	codeECS42  = 0x004F
	codeECS43  = 0x0050
	codeECS44  = 0x0051
	codeECS45  = 0x0052
	codeECS82  = 0x0069
	codeGCS02  = 0x006C
	codeGCS03  = 0x006D
	codeGCS06  = 0x0070
	codeGCS14  = 0x0075
	codeGCS32  = 0x0081
	codeGCS33  = 0x0082
	codeGCS39  = 0x0085
	codeGCS60  = 0x008D
	codeGCS21b = 0x00B5
	codeECS26j = 0x00BE
	codeGCS21j = 0x00BF
	codeGCS60a = 0x012A
)

const (
	esme = servicerequests.ESME
	gsme = servicerequests.GSME
)

// useCases is never written to. If one service and device have two use cases, the
// first one is sent (GCS60; GCS60a is only accepted: assumption).
var useCases = [...]UseCase{
	{Name: "ECS09", Title: "Activate Emergency Credit", SRV: "2.5", Code: codeECS09, Device: esme, Service: servicerequests.ActivateEmergencyCredit, Critical: true},
	{Name: "GCS06", Title: "Activate Emergency Credit", SRV: "2.5", Code: codeGCS06, Device: gsme, Service: servicerequests.ActivateEmergencyCredit, Critical: true},
	{Name: "ECS02", Title: "Update Payment Mode to Credit", SRV: "1.6", Code: codeECS02, Device: esme, Service: servicerequests.SwitchToCredit, Critical: true, DateTime: true},
	{Name: "GCS02", Title: "Update Payment Mode to Credit", SRV: "1.6", Code: codeGCS02, Device: gsme, Service: servicerequests.SwitchToCredit, Critical: true, DateTime: true},
	{Name: "ECS44", Title: "Arm Supply", SRV: "7.3", Code: codeECS44, Device: esme, Service: servicerequests.ArmSupply, Critical: true},
	{Name: "GCS39", Title: "Arm Supply", SRV: "7.3", Code: codeGCS39, Device: gsme, Service: servicerequests.ArmSupply, Critical: true},
	{Name: "ECS45", Title: "Read Supply Status", SRV: "7.4", Code: codeECS45, Device: esme, Service: servicerequests.ReadSupplyStatus},
	{Name: "GCS33", Title: "Read Supply Status", SRV: "7.4", Code: codeGCS33, Device: gsme, Service: servicerequests.ReadSupplyStatus},
	{Name: "ECS26j", Title: "Read Device Configuration (Payment Mode)", SRV: "6.2.9", Code: codeECS26j, Device: esme, Service: servicerequests.ReadPaymentMode},
	{Name: "GCS21j", Title: "Read Device Configuration (Payment Mode)", SRV: "6.2.9", Code: codeGCS21j, Device: gsme, GPF: true, Service: servicerequests.ReadPaymentMode},
	{Name: "ECS82", Title: "Read Meter Balance", SRV: "4.18", Code: codeECS82, Device: esme, Service: servicerequests.ReadMeterBalance},
	{Name: "GCS60", Title: "Read Meter Balance", SRV: "4.18", Code: codeGCS60, Device: gsme, GPF: true, Service: servicerequests.ReadMeterBalance},
	{Name: "GCS60a", Title: "Read Meter Balance", SRV: "4.18", Code: codeGCS60a, Device: gsme, GPF: true, Service: servicerequests.ReadMeterBalance, DateTime: true},
	{Name: "ECS26a", Title: "Read Prepayment Configuration", SRV: "4.13", Code: codeECS26a, Device: esme, Service: servicerequests.ReadPrepaymentConfiguration},
	{Name: "GCS21b", Title: "Read Prepayment Configuration", SRV: "4.13", Code: codeGCS21b, Device: gsme, GPF: true, Service: servicerequests.ReadPrepaymentConfiguration},
	// Outside the permitted set.
	{Name: "ECS19", Title: "Read Instantaneous Prepay Values", SRV: "4.3", Code: codeECS19, Device: esme, DateTime: true},
	{Name: "GCS14", Title: "Read Instantaneous Prepay Values", SRV: "4.3", Code: codeGCS14, Device: gsme, GPF: true, DateTime: true},
	{Name: "ECS03", Title: "Update Payment Mode to Prepayment", SRV: "1.6", Code: codeECS03, Device: esme, Critical: true, DateTime: true},
	{Name: "GCS03", Title: "Update Payment Mode to Prepayment", SRV: "1.6", Code: codeGCS03, Device: gsme, Critical: true, DateTime: true},
	{Name: "ECS42", Title: "Enable Supply", SRV: "7.1", Code: codeECS42, Device: esme, Critical: true},
	{Name: "ECS43", Title: "Disable Supply", SRV: "7.2", Code: codeECS43, Device: esme, Critical: true},
	{Name: "GCS32", Title: "Disable Supply", SRV: "7.2", Code: codeGCS32, Device: gsme, Critical: true},
}

// LookupUseCase finds the use case of a message code. The codes of Alerts (00CC,
// 00CD, 1000, 1001) are not use cases of their own.
func LookupUseCase(code uint16) (UseCase, bool) {
	for i := range useCases {
		if useCases[i].Code == code {
			return useCases[i], true
		}
	}
	return UseCase{}, false
}
