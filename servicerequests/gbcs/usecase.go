package gbcs

import (
	"errors"
	"slices"

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

// useCases are those of the catalogue, in its order. It is never written to.
var useCases = func() (all []UseCase) {
	for _, v := range servicerequests.Catalogue() {
		for _, device := range [...]servicerequests.DeviceType{esme, gsme} {
			for _, u := range v.UseCases[device] {
				all = append(all, UseCase{
					Name: u.Name, Title: v.Name, SRV: v.SRV, Code: u.Code, Device: device,
					GPF:     slices.Contains(v.UseCases[servicerequests.GPF], u),
					Service: v.Service(), Critical: v.Critical, DateTime: u.DateTime,
				})
			}
		}
	}
	return all
}()

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
