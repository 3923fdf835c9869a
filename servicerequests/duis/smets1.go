package duis

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"safemode/servicerequests"
	"safemode/servicerequests/xmltree"
)

// SMETS1 is what a SMETS1 Service Provider (S1SP) says, in the document with which the
// DCC hands it on.
type SMETS1 struct {
	Device  servicerequests.EUI       // 0: a provider's alert that names none
	Request servicerequests.RequestID // that is answered, or that a provider's alert is about; zero: none
	Answers bool                      // it is a device's answer to Request

	said string
}

// String says what it is in a few words.
func (m SMETS1) String() string { return m.said }

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
		l := layout{sequence: d.children(message)}
		l.required("DCCAlertCode")
		new(Throttled).layout(&l)
		alert := d.children(l.required("DCCAlert"))
		l.end()
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
	l := layout{sequence: d.children(n)}
	switch l.next.Local() {
	case "ServiceReference":
		d.serviceReferences(&l.sequence)
	case "ServiceReferenceVariant":
		l.any()
	}
	l.schedule()
	new(Throttled).layout(&l)
	carried := l.with("SMETS1SignedResponse", "schemaVersion")
	d.version(carried)
	l.end()
	signed := d.children(carried)
	response := d.children(signed.required("SMETS1Response"))
	signed.signature()
	signed.end()

	m := d.smets1Header(response.required("Header"))
	said := d.children(response.required("Body"))
	response.end()
	switch message := said.any(); message.Local() {
	case responseMessage:
		m.Answers = true
		d.smets1Response(&m, message)
	case "DeviceAlertMessage":
		d.smets1DeviceAlert(&m, message)
		m.Request = servicerequests.RequestID{}
	default:
		d.fail(message, "is no message that a SMETS1Response holds")
	}
	said.end()
	return m
}

// schedule skips the DCC's schedule, if there is one.
func (l *layout) schedule() {
	var schedule string
	if l.has("DSPScheduleID", false) {
		l.number("DSPScheduleID", &schedule, scheduleDigits)
	}
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
		d.time(at)
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
func (d *decoder) smets1Response(m *SMETS1, n xmltree.Node) {
	s := d.childrenIn(n, answerSpace)
	d.sensitive(&s)
	data := d.childrenIn(s.required("SMETSData"), answerSpace)
	answer := data.one("MessageSuccess")
	data.end()
	success, word := false, "no success"
	switch d.attribute(answer, "MessageSuccess", booleans) {
	case "true", "1":
		success, word = true, "success"
	case "":
		d.fail(answer, "does not say whether it succeeded")
	}
	name := answer.Local()
	m.said = fmt.Sprintf("%s of %s, %s", name, m.Device, word)
	if read, known := smets1Answers[name]; known {
		fields := d.childrenIn(answer, answerSpace)
		read(d, &fields, success)
		fields.end()
	} else if len(name) < 4 || name[len(name)-3:] != "Rsp" {
		d.fail(answer, "is no answer that the schema knows")
	}
	if debug := s.optional("DebugInfo"); !debug.IsZero() {
		d.smets1Faults(debug)
	}
	s.end()
}

// sensitive passes over pieces of GBCSData, which are not looked into.
func (d *decoder) sensitive(s *sequence) {
	for n := 1; d.err == nil && s.next.Local() == "GBCSData"; n++ {
		if n > 100 {
			d.fail(s.next, "more than 100 of them")
		}
		s.with("GBCSData", "format", "sequence", "name", "type")
	}
}

// smets1Answers check the answers to this module's services. Others are known by name only.
var smets1Answers = map[string]func(d *decoder, s *sequence, success bool){
	"UpdatePaymentModeRsp":       func(*decoder, *sequence, bool) {},
	"ActivateEmergencyCreditRsp": func(*decoder, *sequence, bool) {},
	"ArmSupplyRsp":               func(*decoder, *sequence, bool) {},
	"ReadSupplyStatusRsp": func(d *decoder, s *sequence, success bool) {
		if state := s.asked("SupplyState", success); !state.IsZero() {
			d.oneOf(state, []string{"Enabled", "Disabled", "Armed"})
		}
		s.gas("RemainingBatteryCapacity", func(capacity xmltree.Node) { d.uint(capacity, 32) })
	},
	"ReadDeviceConfigurationPaymentModeRsp": func(d *decoder, s *sequence, success bool) {
		if mode := s.asked("PaymentMode", success); !mode.IsZero() {
			d.oneOf(mode, []string{"Credit", "Prepayment"})
		}
		for _, debt := range [...]string{"SuspendDebtEmergency", "SuspendDebtDisabled"} {
			if suspended := s.optional(debt); !suspended.IsZero() {
				d.boolean(suspended)
			}
		}
	},
	"ReadMeterBalanceRsp": func(d *decoder, s *sequence, success bool) {
		if balance := s.asked("MeterBalance", success); !balance.IsZero() {
			d.integer(balance, d.text(balance))
		}
		s.gas("MeterBalancePrepaymentMode", func(balance xmltree.Node) { d.integer(balance, d.text(balance)) })
	},
}

// asked takes what a service asks for: it must be there if the service has succeeded.
func (s *sequence) asked(local string, success bool) xmltree.Node {
	if success {
		return s.required(local)
	}
	return s.optional(local)
}

// gas takes what gas meters alone say, one value, if they do.
func (s *sequence) gas(local string, read func(xmltree.Node)) {
	gas := s.optional("Gas")
	if gas.IsZero() {
		return
	}
	fields := s.d.childrenIn(gas, answerSpace)
	if value := fields.optional(local); !value.IsZero() {
		read(value)
	}
	fields.end()
}

// smets1Faults checks what a provider says of a failure.
func (d *decoder) smets1Faults(debug xmltree.Node) {
	kinds := d.childrenIn(debug, answerSpace)
	lines := d.childrenIn(kinds.required("SMETS1Debug"), answerSpace)
	kinds.end()
	for n := 0; d.err == nil && (n == 0 || !lines.next.IsZero()); n++ {
		line := lines.with("SMETS1Response", "ResponseCode", "Position")
		code, coded := line.Attr("ResponseCode")
		position, placed := line.Attr("Position")
		if d.err == nil && (!coded || !placed) {
			d.fail(line, "without ResponseCode or Position")
		}
		d.integer(line, code)
		if at := d.integer(line, position); d.err == nil && at < 1 {
			d.fail(line, "Position is %d", at)
		}
		fields := d.childrenIn(line, answerSpace)
		d.shortText(fields.required("Error"), length{0, 250})
		fields.end()
	}
}

func (d *decoder) smets1DeviceAlert(m *SMETS1, n xmltree.Node) {
	s := d.childrenIn(n, answerSpace)
	d.sensitive(&s)
	content := d.childrenIn(s.required("DeviceAlertContent"), answerSpace)
	s.end()
	var alert uint16
	if code := content.optional("GBCSHexAlertCode"); !code.IsZero() {
		alert = d.alertCode(code)
	}
	m.said = fmt.Sprintf("alert %04X of %s: %s", alert, m.Device, d.shortText(content.required("AlertDescription"), length{0, 250}))
	d.time(content.required("Timestamp"))
	content.optional("Payload") // depends on the alert; not looked into
	content.end()
}

func (d *decoder) s1spAlert(n xmltree.Node) (m SMETS1) {
	outer := layout{sequence: d.children(n)}
	carried := outer.with("S1SPAlert", "schemaVersion")
	d.version(carried)
	outer.schedule()
	outer.end()
	s := d.children(carried)
	if id := s.optional("RequestID"); !id.IsZero() {
		m.Request = d.anyRequestID(id)
		m.Device = m.Request.Target
	}
	if device := s.optional("DeviceID"); !device.IsZero() {
		m.Device = d.eui(device)
	}
	m.said = fmt.Sprintf("provider's alert %s about %s", d.shortText(s.required("S1SPAlertCode"), anyText), m.Device)
	if more := s.optional("AdditionalInformation"); !more.IsZero() {
		d.text(more)
	}
	if utrn := s.optional("UTRN"); !utrn.IsZero() {
		if number := d.text(utrn); d.err == nil && (len(number) != 20 || !digits(number)) {
			d.fail(utrn, "%q is no number of 20 digits", number)
		}
	}
	d.time(s.required("DateTime"))
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
