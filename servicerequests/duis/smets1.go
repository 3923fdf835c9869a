package duis

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/xmltree"
)

// SMETS1 is what a SMETS1 Service Provider (S1SP) says, in the document with which the
// DCC hands it on. Exactly one of Response, DeviceAlert and Alert is set.
type SMETS1 struct {
	Device  servicerequests.EUI       // 0: an Alert that names none
	Request servicerequests.RequestID // that a Response answers or an Alert is about; zero: none
	At      time.Time                 // zero: the message says nothing of it

	Response    *SMETS1Response
	DeviceAlert *SMETS1DeviceAlert
	Alert       *S1SPAlert
}

// SMETS1Response is what a device has answered, in the provider's words. In the fields
// below Name a nil or unknown value was absent.
type SMETS1Response struct {
	Name    string // of the element, like ReadSupplyStatusRsp
	Success bool
	Faults  []SMETS1Fault

	Supply         servicerequests.SupplyState // of ReadSupplyStatusRsp
	Battery        *uint32                     // likewise, gas: remaining capacity
	Mode           servicerequests.PaymentMode // of ReadDeviceConfigurationPaymentModeRsp
	DebtDisabled   *bool                       // likewise: debt is suspended while the supply is disabled
	DebtEmergency  *bool                       // likewise: while emergency credit is in use
	Balance        *int64                      // of ReadMeterBalanceRsp; in which unit is not known
	PrepayBalance  *int64                      // likewise, gas
	SensitiveParts int                         // pieces of GBCSData, which are not looked into
}

// SMETS1Fault is one line of what a provider says of a failure.
type SMETS1Fault struct {
	Code, Position int64
	Text           string
}

// SMETS1DeviceAlert is an alert of a device, in the provider's words.
type SMETS1DeviceAlert struct {
	Code        uint16 // GBCS alert code; 0: none is given
	Description string
}

// S1SPAlert is an alert of the provider's own.
type S1SPAlert struct {
	Code       string // like S1VE1; no public list of them is known
	Additional string // empty: none
	UTRN       string // 20 digits; empty: none
	Schedule   string // DSPScheduleID; empty: none
}

// String says what it is in a few words.
func (m SMETS1) String() string {
	switch {
	case m.Response != nil:
		word := "success"
		if !m.Response.Success {
			word = "no success"
		}
		return fmt.Sprintf("%s of %s, %s", m.Response.Name, m.Device, word)
	case m.DeviceAlert != nil:
		return fmt.Sprintf("alert %04X of %s: %s", m.DeviceAlert.Code, m.Device, m.DeviceAlert.Description)
	case m.Alert != nil:
		return fmt.Sprintf("provider's alert %s about %s", m.Alert.Code, m.Device)
	}
	return "nothing"
}

// The elements that carry a provider's message: of an [Other] and of an [OtherEvent].
const (
	SMETS1Message  = "SMETS1ResponseMessage"
	S1SPAlertEvent = "S1SPAlertDSP"
)

// answerSpace is the namespace of the Message Mapping Catalogue (MMC).
const answerSpace = "http://www.dccinterface.co.uk/ResponseAndAlert"

// ReadSMETS1 reads to the last element a provider's message, which [ReadResponse] only
// recognises as an [Other] or [OtherEvent]. The tree may be without the DCC's Signature;
// the provider's is not read. Errors wrap [ErrFormat].
func ReadSMETS1(doc *xmltree.Document) (SMETS1, error) {
	d := decoder{folded: true}
	top := d.root(doc, "Response")
	top.required("Header")
	body := d.children(top.required("Body"))
	top.skipSignature()
	top.end()
	var m SMETS1
	switch message := body.any(); message.Local() {
	case SMETS1Message:
		m = d.smets1(message)
	case "DCCAlertMessage":
		s := d.children(message)
		s.required("DCCAlertCode")
		d.throttled(&s)
		alert := d.children(s.required("DCCAlert"))
		s.end()
		m = d.s1spAlert(alert.required(S1SPAlertEvent))
		alert.end()
	default:
		d.fail(message, "is no message of a SMETS1 Service Provider")
	}
	body.end()
	if d.err != nil {
		return SMETS1{}, d.err
	}
	return m, nil
}

func (d *decoder) smets1(n xmltree.Node) SMETS1 {
	s := d.children(n)
	switch s.next.Local() {
	case "ServiceReference":
		d.serviceReferences(&s)
	case "ServiceReferenceVariant":
		s.any()
	}
	if schedule := s.optional("DSPScheduleID"); !schedule.IsZero() {
		d.number(schedule, scheduleDigits)
	}
	d.throttled(&s)
	carried := s.with("SMETS1SignedResponse", "schemaVersion")
	d.version(carried)
	s.end()
	signed := d.children(carried)
	response := d.children(signed.required("SMETS1Response"))
	signed.signature()
	signed.end()

	m := d.smets1Header(response.required("Header"))
	said := d.children(response.required("Body"))
	response.end()
	switch message := said.any(); message.Local() {
	case "ResponseMessage":
		m.Response = d.smets1Response(message)
	case "DeviceAlertMessage":
		m.DeviceAlert, m.At = d.smets1DeviceAlert(message)
		m.Request = servicerequests.RequestID{}
	default:
		d.fail(message, "is no message that a SMETS1Response holds")
	}
	said.end()
	return m
}

// smets1Header reads the MMC's Header: sender, recipient and counter.
func (d *decoder) smets1Header(n xmltree.Node) (m SMETS1) {
	s := d.childrenIn(n, answerSpace)
	m.Device = d.eui(s.required("BusinessOriginatorID"))
	m.Request = servicerequests.RequestID{Target: m.Device, Originator: d.eui(s.required("BusinessTargetID"))}
	m.Request.Counter = d.uint(s.required("OriginatorCounter"), 64)
	if party := s.optional("SupplementaryRemotePartyID"); !party.IsZero() {
		d.eui(party)
	}
	d.uint(s.optional("SupplementaryRemotePartyCounter"), 64)
	d.uint(s.optional("SupplementaryOriginatorCounter"), 64)
	if code := s.optional("GBCSHexadecimalMessageCode"); !code.IsZero() {
		d.hexadecimal(code)
	}
	s.optional("ServiceReference")
	s.optional("ServiceReferenceVariant")
	if s.next.Local() == "Timestamp" {
		at := s.with("Timestamp", "isFromGSME", "ClockStatus")
		m.At = d.time(at)
		d.attribute(at, "isFromGSME", booleans)
		d.attribute(at, "ClockStatus", []string{"reliable", "invalid", "unreliable"})
	}
	s.end()
	return m
}

var booleans = []string{"true", "false", "1", "0"}

// attribute returns an attribute's text, which must be one of values; empty if it is not
// there.
func (d *decoder) attribute(n xmltree.Node, name string, values []string) string {
	text, there := n.Attr(name)
	if there && d.err == nil && !slices.Contains(values, text) {
		d.fail(n, "%s is %q", name, text)
	}
	return text
}

// smets1Response reads a device's answer. The requested value must be there: the
// schema alone would accept an empty answer.
func (d *decoder) smets1Response(n xmltree.Node) *SMETS1Response {
	s := d.childrenIn(n, answerSpace)
	r := &SMETS1Response{SensitiveParts: d.sensitive(&s)}
	data := d.childrenIn(s.required("SMETSData"), answerSpace)
	answer := data.one("MessageSuccess")
	data.end()
	r.Name = answer.Local()
	switch d.attribute(answer, "MessageSuccess", booleans) {
	case "true", "1":
		r.Success = true
	case "":
		d.fail(answer, "does not say whether it succeeded")
	}
	if read, known := smets1Answers[r.Name]; known {
		fields := d.childrenIn(answer, answerSpace)
		read(d, r, &fields)
		fields.end()
	} else if len(r.Name) < 4 || r.Name[len(r.Name)-3:] != "Rsp" {
		d.fail(answer, "is no answer that the schema knows")
	}
	if debug := s.optional("DebugInfo"); !debug.IsZero() {
		d.smets1Faults(r, debug)
	}
	s.end()
	return r
}

// sensitive counts pieces of GBCSData.
func (d *decoder) sensitive(s *sequence) (n int) {
	for d.err == nil && s.next.Local() == "GBCSData" {
		if n++; n > 100 {
			d.fail(s.next, "more than 100 of them")
		}
		s.with("GBCSData", "format", "sequence", "name", "type")
	}
	return n
}

// smets1Answers read the answers to this module's services. Others are known by name only.
var smets1Answers = map[string]func(*decoder, *SMETS1Response, *sequence){
	"UpdatePaymentModeRsp":       func(*decoder, *SMETS1Response, *sequence) {},
	"ActivateEmergencyCreditRsp": func(*decoder, *SMETS1Response, *sequence) {},
	"ArmSupplyRsp":               func(*decoder, *SMETS1Response, *sequence) {},
	"ReadSupplyStatusRsp": func(d *decoder, r *SMETS1Response, s *sequence) {
		if state := s.asked("SupplyState", r.Success); !state.IsZero() {
			r.Supply, _ = servicerequests.ParseSupplyState(lower(d.oneOf(state, []string{"Enabled", "Disabled", "Armed"})))
		}
		if gas := s.optional("Gas"); !gas.IsZero() {
			fields := d.childrenIn(gas, answerSpace)
			if capacity := fields.optional("RemainingBatteryCapacity"); !capacity.IsZero() {
				r.Battery = new(uint32(d.uint(capacity, 32)))
			}
			fields.end()
		}
	},
	"ReadDeviceConfigurationPaymentModeRsp": func(d *decoder, r *SMETS1Response, s *sequence) {
		if mode := s.asked("PaymentMode", r.Success); !mode.IsZero() {
			r.Mode, _ = servicerequests.ParsePaymentMode(lower(d.oneOf(mode, []string{"Credit", "Prepayment"})))
		}
		if debt := s.optional("SuspendDebtEmergency"); !debt.IsZero() {
			r.DebtEmergency = new(d.boolean(debt))
		}
		if debt := s.optional("SuspendDebtDisabled"); !debt.IsZero() {
			r.DebtDisabled = new(d.boolean(debt))
		}
	},
	"ReadMeterBalanceRsp": func(d *decoder, r *SMETS1Response, s *sequence) {
		if balance := s.asked("MeterBalance", r.Success); !balance.IsZero() {
			r.Balance = new(d.integer(balance, d.text(balance)))
		}
		if gas := s.optional("Gas"); !gas.IsZero() {
			fields := d.childrenIn(gas, answerSpace)
			if balance := fields.optional("MeterBalancePrepaymentMode"); !balance.IsZero() {
				r.PrepayBalance = new(d.integer(balance, d.text(balance)))
			}
			fields.end()
		}
	},
}

// asked takes what a service asks for: it must be there if the service has succeeded.
func (s *sequence) asked(local string, success bool) xmltree.Node {
	if success {
		return s.required(local)
	}
	return s.optional(local)
}

// lower is a word of the MMC as this module writes it.
func lower(word string) string {
	if word == "" {
		return ""
	}
	return string(word[0]|0x20) + word[1:]
}

// smets1Faults reads what a provider says of a failure.
func (d *decoder) smets1Faults(r *SMETS1Response, debug xmltree.Node) {
	kinds := d.childrenIn(debug, answerSpace)
	lines := d.childrenIn(kinds.required("SMETS1Debug"), answerSpace)
	kinds.end()
	for d.err == nil && (len(r.Faults) == 0 || !lines.next.IsZero()) {
		line := lines.with("SMETS1Response", "ResponseCode", "Position")
		code, coded := line.Attr("ResponseCode")
		position, placed := line.Attr("Position")
		if d.err == nil && (!coded || !placed) {
			d.fail(line, "without ResponseCode or Position")
		}
		f := SMETS1Fault{Code: d.integer(line, code), Position: d.integer(line, position)}
		if d.err == nil && f.Position < 1 {
			d.fail(line, "Position is %d", f.Position)
		}
		fields := d.childrenIn(line, answerSpace)
		f.Text = d.shortText(fields.required("Error"), length{0, 250})
		fields.end()
		r.Faults = append(r.Faults, f)
	}
}

func (d *decoder) smets1DeviceAlert(n xmltree.Node) (*SMETS1DeviceAlert, time.Time) {
	s := d.childrenIn(n, answerSpace)
	d.sensitive(&s)
	content := d.childrenIn(s.required("DeviceAlertContent"), answerSpace)
	s.end()
	var a SMETS1DeviceAlert
	if code := content.optional("GBCSHexAlertCode"); !code.IsZero() {
		a.Code = d.alertCode(code)
	}
	a.Description = d.shortText(content.required("AlertDescription"), length{0, 250})
	at := d.time(content.required("Timestamp"))
	content.optional("Payload") // depends on the alert; not looked into
	content.end()
	return &a, at
}

func (d *decoder) s1spAlert(n xmltree.Node) (m SMETS1) {
	outer := d.children(n)
	carried := outer.with("S1SPAlert", "schemaVersion")
	d.version(carried)
	m.Alert = &S1SPAlert{}
	if schedule := outer.optional("DSPScheduleID"); !schedule.IsZero() {
		m.Alert.Schedule = d.number(schedule, scheduleDigits)
	}
	outer.end()
	s := d.children(carried)
	if id := s.optional("RequestID"); !id.IsZero() {
		m.Request = d.anyRequestID(id)
		m.Device = m.Request.Target
	}
	if device := s.optional("DeviceID"); !device.IsZero() {
		m.Device = d.eui(device)
	}
	m.Alert.Code = d.shortText(s.required("S1SPAlertCode"), anyText)
	if more := s.optional("AdditionalInformation"); !more.IsZero() {
		m.Alert.Additional = d.text(more)
	}
	if utrn := s.optional("UTRN"); !utrn.IsZero() {
		if m.Alert.UTRN = d.text(utrn); d.err == nil && (len(m.Alert.UTRN) != 20 || !digits(m.Alert.UTRN)) {
			d.fail(utrn, "%q is no number of 20 digits", m.Alert.UTRN)
		}
	}
	m.At = d.time(s.required("DateTime"))
	s.signature()
	s.end()
	return m
}

// integer reads an xs:integer of 64 bits, without a plus sign or leading zeros.
func (d *decoder) integer(n xmltree.Node, text string) int64 {
	if d.err != nil {
		return 0
	}
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(number, 10) != text {
		d.fail(n, "%q is no number of 64 bits", text)
	}
	return number
}

// hexadecimal checks xs:hexBinary of at least one octet.
func (d *decoder) hexadecimal(n xmltree.Node) {
	text := d.text(n)
	if octets, err := hex.DecodeString(text); d.err == nil && (err != nil || len(octets) == 0) {
		d.fail(n, "%q is not hexadecimal", text)
	}
}
