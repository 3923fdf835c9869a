package duis

import (
	"slices"
	"strings"
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
type Content interface{ element() string }

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

func (PreCommand) element() string       { return "PreCommand" }
func (DeviceResponse) element() string   { return "GBCSPayload" }
func (Inventory) element() string        { return "DSPInventory" }
func (FutureDatedAlert) element() string { return "FutureDatedDeviceAlertMessage" }
func (DeviceAlert) element() string      { return "DeviceAlertMessage" }
func (DCCAlert) element() string         { return "DCCAlertMessage" }
func (o Other) element() string          { return o.Element }

const responseMessage = "ResponseMessage"

// alerts are the messages of a Body beside a ResponseMessage, and contents are what that holds.
var (
	alerts = map[string]variant[Content]{
		DeviceAlert{}.element(): as[Content]((*DeviceAlert).layout),
		DCCAlert{}.element():    as[Content]((*DCCAlert).layout),
	}
	contents = map[string]variant[Content]{
		DeviceResponse{}.element():   as[Content]((*DeviceResponse).layout),
		PreCommand{}.element():       as[Content]((*PreCommand).layout),
		Inventory{}.element():        as[Content]((*Inventory).layout),
		FutureDatedAlert{}.element(): as[Content]((*FutureDatedAlert).layout),
	}
)

// otherContents are the choices of ResponseMessage beyond those decoded here.
var otherContents = []string{
	"CINMessage", "DSPOptIn", "DSPSchedulesRead", "DSPScheduledMessage", "DSPScheduleID",
	"DSPUpdateFirmwareWarning", "DSPUpdatePPMIDFirmwareWarning", "DSPWANMatrix", "LocalCommand",
}

// validCode says whether a code has the form of DUIS 5.4: I, E or W and 1 to 6
// digits.
func validCode(code string) bool {
	return len(code) >= 2 && len(code) <= 7 && strings.Contains("IEW", code[:1]) && digits(code[1:])
}

// AppendResponse appends the response in canonical form, ready to be signed.
// On an error, which wraps [ErrEncode], b comes back as it was.
func AppendResponse(b []byte, r Response) ([]byte, error) {
	e := encoder{b: b}
	e.root("Response")
	r.layout(&layout{e: &e})
	e.close("Response")
	return e.finish(b)
}

func (r *Response) layout(l *layout) {
	l.element("Header", func(l *layout) {
		if l.has("RequestID", r.RequestID != servicerequests.RequestID{}) {
			l.requestID("RequestID", &r.RequestID)
		}
		if l.has("ResponseID", r.ResponseID != servicerequests.RequestID{}) {
			l.requestID("ResponseID", &r.ResponseID)
		}
		l.word("ResponseCode", (*string)(&r.Code), "response code", validCode)
		l.time("ResponseDateTime", &r.At)
	})
	l.element("Body", r.body)
}

func (r *Response) body(l *layout) {
	local := l.next.Local()
	if l.writes() {
		local = responseMessage
		if r.Content != nil && alerts[r.Content.element()] != nil {
			local = r.Content.element()
		}
	}
	of, alert := alerts[local]
	switch {
	case alert && (r.ServiceReference != "" || r.SRV != ""):
		l.fail("Body", "an alert names no service")
	case alert:
		l.element(local, func(l *layout) { of(l, &r.Content) })
	case local == responseMessage:
		l.element(local, func(l *layout) {
			l.serviceReferences(&r.ServiceReference, &r.SRV)
			l.content(&r.Content)
		})
	case local == SMETS1Message: // see [ReadSMETS1]
		r.Content = Other{local}
		l.d.children(l.any())
	default:
		l.d.fail(l.any(), "is no message that a Body holds")
	}
}

func (l *layout) content(content *Content) {
	if l.writes() && *content == nil || !l.writes() && l.next.IsZero() {
		return
	}
	local := l.next.Local()
	if l.writes() {
		local = (*content).element()
	}
	of, known := contents[local]
	switch {
	case known:
		of(l, content)
	case l.writes():
		l.fail(responseMessage, "%T cannot be written", *content)
	case slices.Contains(otherContents, local):
		*content = Other{local}
		l.any()
	default:
		l.d.fail(l.any(), "is nothing that a response carries")
	}
}

func (c *DeviceResponse) layout(l *layout) { l.payload(c.element(), &c.Payload) }

func (c *PreCommand) layout(l *layout) {
	l.element(c.element(), func(l *layout) {
		l.text("GBCSVersion", &c.GBCSVersion, anyText)
		l.payload("GBCSPayload", &c.Payload)
	})
}

func (c *FutureDatedAlert) layout(l *layout) {
	l.element(c.element(), func(l *layout) {
		if l.alertCode("FutureDatedAlertCode", &c.Code); c.Code != 0x8F66 && c.Code != 0x8F67 {
			l.fail("FutureDatedAlertCode", "%04X is neither 8F66 nor 8F67", c.Code)
		}
		l.payload("GBCSPayload", &c.Payload)
		decimal(l, "InstructionNumber", &c.Instruction, 16)
		decimal(l, "TotalCommandInstructions", &c.Total, 16)
	})
}

func (c *DeviceAlert) layout(l *layout) {
	l.alertCode("AlertCode", &c.Code)
	c.Throttled.layout(l)
	l.payload("GBCSPayload", &c.Payload)
}

func (t *Throttled) layout(l *layout) {
	if l.has("ThrottledAlertSequenceId", t.SequenceID != 0) {
		decimal(l, "ThrottledAlertSequenceId", &t.SequenceID, 32)
	}
	if l.has("ThrottledAlertCount", t.Count != 0) {
		decimal(l, "ThrottledAlertCount", &t.Count, 32)
	}
}
