package duis

import (
	"time"

	"safemode/servicerequests"
)

// Response is a message from the DCC: the answer to a request, or an alert.
type Response struct {
	RequestID  servicerequests.RequestID // zero: none
	ResponseID servicerequests.RequestID // zero: none; a device's response has one, target and originator changed about
	Code       servicerequests.ResponseCode
	At         time.Time // ResponseDateTime; milliseconds on the wire

	// ServiceReference (like 6.2) and SRV (like 6.2.9) name the service that is
	// answered; both empty in alerts.
	ServiceReference string
	SRV              string

	// Content is nil in a plain acknowledgement or error.
	Content Content
}

// Content is what a response carries: one of [PreCommand], [DeviceResponse],
// [Inventory], [FutureDatedAlert], [DeviceAlert], [DCCAlert], [Other].
type Content interface{ content() }

// PreCommand answers the first half of a critical request.
type PreCommand struct {
	GBCSVersion string // like "4.3"
	Payload     []byte // the GBCS message to be signed
}

// DeviceResponse is the device's GBCS response. That it is there says nothing
// of the outcome, which stands inside it.
type DeviceResponse struct{ Payload []byte }

// Inventory answers 8.2 with 1 to 17 devices.
type Inventory []Device

// FutureDatedAlert says that a device has carried out, or failed, a command
// that was dated ahead.
type FutureDatedAlert struct {
	Code        uint16 // 0x8F66 or 0x8F67
	Payload     []byte // GBCS alert
	Instruction uint16 // this is number Instruction of Total
	Total       uint16
}

// DeviceAlert is an alert that a device has sent.
type DeviceAlert struct {
	Code      uint16
	Throttled Throttled
	Payload   []byte // GBCS alert
}

// DCCAlert is an alert of the DCC's own.
type DCCAlert struct {
	Code      string // like "N13" or "AD1"
	Throttled Throttled
	Event     Event
}

// Throttled says how many like alerts the DCC has held back. Zero fields are
// absent on the wire.
type Throttled struct{ SequenceID, Count uint32 }

// Other is content that the schema knows and this package does not look into.
// It cannot be written.
type Other struct{ Element string }

func (PreCommand) content()       {}
func (DeviceResponse) content()   {}
func (Inventory) content()        {}
func (FutureDatedAlert) content() {}
func (DeviceAlert) content()      {}
func (DCCAlert) content()         {}
func (Other) content()            {}

// otherContents are the choices of ResponseMessage beyond those decoded here.
var otherContents = []string{
	"CINMessage", "DSPOptIn", "DSPSchedulesRead", "DSPScheduledMessage", "DSPScheduleID",
	"DSPUpdateFirmwareWarning", "DSPUpdatePPMIDFirmwareWarning", "DSPWANMatrix", "LocalCommand",
}

// validCode says whether a code has the form of DUIS 5.4: I, E or W and 1 to 6
// digits.
func validCode(code servicerequests.ResponseCode) bool {
	if len(code) < 2 || len(code) > 7 || (code[0] != 'I' && code[0] != 'E' && code[0] != 'W') {
		return false
	}
	for i := 1; i < len(code); i++ {
		if code[i] < '0' || code[i] > '9' {
			return false
		}
	}
	return true
}

// AppendResponse appends the response in canonical form, ready to be signed.
// On an error, which wraps [ErrEncode], b comes back as it was.
func AppendResponse(b []byte, r Response) ([]byte, error) {
	e := encoder{b: b}
	e.root("Response")
	e.open("Header")
	if r.RequestID != (servicerequests.RequestID{}) {
		e.requestID("RequestID", r.RequestID)
	}
	if r.ResponseID != (servicerequests.RequestID{}) {
		e.requestID("ResponseID", r.ResponseID)
	}
	if !validCode(r.Code) {
		e.fail("ResponseCode", "%q has not the form of one", r.Code)
	}
	e.open("ResponseCode")
	e.b = append(e.b, r.Code...)
	e.close("ResponseCode")
	e.time("ResponseDateTime", r.At)
	e.close("Header")
	e.open("Body")
	e.body(r)
	e.close("Body")
	e.close("Response")
	return e.finish(b)
}

func (e *encoder) body(r Response) {
	switch c := r.Content.(type) {
	case DeviceAlert:
		e.open("DeviceAlertMessage")
		e.alertCode("AlertCode", c.Code)
		e.throttled(c.Throttled)
		e.payload("GBCSPayload", c.Payload)
		e.close("DeviceAlertMessage")
	case DCCAlert:
		e.open("DCCAlertMessage")
		e.dccAlert(c)
		e.close("DCCAlertMessage")
	default:
		e.open("ResponseMessage")
		e.serviceReferences(r.ServiceReference, r.SRV)
		e.responseContent(c)
		e.close("ResponseMessage")
		return
	}
	if r.ServiceReference != "" || r.SRV != "" {
		e.fail("Body", "an alert names no service")
	}
}

func (e *encoder) responseContent(content Content) {
	switch c := content.(type) {
	case nil:
	case PreCommand:
		e.open("PreCommand")
		e.text("GBCSVersion", c.GBCSVersion, anyText)
		e.payload("GBCSPayload", c.Payload)
		e.close("PreCommand")
	case DeviceResponse:
		e.payload("GBCSPayload", c.Payload)
	case Inventory:
		e.inventory(c)
	case FutureDatedAlert:
		if c.Code != 0x8F66 && c.Code != 0x8F67 {
			e.fail("FutureDatedAlertCode", "%04X is neither 8F66 nor 8F67", c.Code)
		}
		e.open("FutureDatedDeviceAlertMessage")
		e.alertCode("FutureDatedAlertCode", c.Code)
		e.payload("GBCSPayload", c.Payload)
		e.uint("InstructionNumber", uint64(c.Instruction))
		e.uint("TotalCommandInstructions", uint64(c.Total))
		e.close("FutureDatedDeviceAlertMessage")
	default:
		e.fail("ResponseMessage", "%T cannot be written", content)
	}
}

func (e *encoder) throttled(t Throttled) {
	if t.SequenceID != 0 {
		e.uint("ThrottledAlertSequenceId", uint64(t.SequenceID))
	}
	if t.Count != 0 {
		e.uint("ThrottledAlertCount", uint64(t.Count))
	}
}
