package duis

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/xmltree"
)

// Event is what a DCC Alert reports: one of [CommandFailure],
// [QuarantinedRequest], [ChangeOfSupplier], [DeviceStatusChange],
// [PowerOutage], [VersionMismatch], [MessageDiscarded], [OtherEvent].
type Event interface{ event() }

// CommandFailure says that a command could not be delivered.
type CommandFailure struct {
	Request  servicerequests.RequestID
	Schedule string // DSPScheduleID; empty: none
	Device   servicerequests.EUI
}

// QuarantinedRequest says that anomaly detection holds a request back until
// the User decides.
type QuarantinedRequest struct {
	Breach   Breach
	Request  servicerequests.RequestID
	EventRef string // decimal, at most 20 digits
}

// Breach is the limit that a quarantined request went over.
type Breach string

// The breaches, by the names of their elements.
const (
	UserThreshold   Breach = "ADUserThresholdBreach"
	DCCThreshold    Breach = "ADDCCThresholdBreach"
	AttributeLimits Breach = "ADAttributeLimitsBreach"
)

// ChangeOfSupplier reports either the outcome of a request to change supplier
// (Request, ErrorCode) or a device that has changed (Device and what follows).
type ChangeOfSupplier struct {
	Request   servicerequests.RequestID // zero: the second form
	ErrorCode string                    // three characters; empty: none

	Device                                      servicerequests.EUI
	DeviceType                                  string
	ImportMPxN, SecondaryImportMPAN, ExportMPAN string
}

// DeviceStatusChange says how a device's status changed. Change is the name of
// the element, like DeviceSuspended; its content is not read.
type DeviceStatusChange struct {
	Device servicerequests.EUI
	Change string
}

// PowerOutage says that a hub has lost its mains.
type PowerOutage struct {
	Hub   servicerequests.EUI
	Start time.Time
	MPxN  string
}

// VersionMismatch says that the User's DUIS version cannot carry a message:
// a DCC Alert (AlertCode, perhaps Device and Request), or the response to a
// request (Request, ServiceReference, SRV, RequestVersion).
type VersionMismatch struct {
	AlertCode   string // empty: the response to a request
	Device      servicerequests.EUI
	Request     servicerequests.RequestID
	UserVersion string

	ServiceReference, SRV string
	RequestVersion        string
}

// MessageDiscarded says that a dual band hub has dropped a message because its
// radio may not send for so long. It is one of the alerts of such hubs; the others
// are [OtherEvent].
type MessageDiscarded struct {
	Hub         servicerequests.EUI
	AlertCode   uint16 // of the hub's own alert
	MessageCode uint16 // of the GBCS alert; 0: absent on the wire
	Request     servicerequests.RequestID
	Message     Discarded
}

// Discarded is what was dropped, by its CRA flag.
type Discarded string

// What can be dropped.
const (
	DiscardedCommand  Discarded = "Command"
	DiscardedResponse Discarded = "Response"
	DiscardedAlert    Discarded = "Alert"
)

// OtherEvent is an event that the schema knows. This package reads only the first
// Request ID in it, so that a discarded message can be matched. It cannot be
// written.
type OtherEvent struct {
	Element string
	Request servicerequests.RequestID // zero: none
}

func (CommandFailure) event()     {}
func (QuarantinedRequest) event() {}
func (ChangeOfSupplier) event()   {}
func (DeviceStatusChange) event() {}
func (PowerOutage) event()        {}
func (VersionMismatch) event()    {}
func (MessageDiscarded) event()   {}
func (OtherEvent) event()         {}

var (
	otherEvents = []string{
		"DSPScheduleRemoval", "FirmwareDistributionFailure", "UpdateHANDeviceLogResult", "DeviceLogRestored",
		"PPMIDAlert", "SecurityCredentialsUpdated", "PPMIDRemoval", "FirmwareVersionMismatch", "DualBandCHAlert",
		S1SPAlertEvent, "SMETS1CHFirmwareNotification", "ALCSHCALCSConfigurationChange", "FirmwareUpgradeRequested",
		"CSPFirmwareDeliveryStatus", "CommsHubAlert", "ECoSAlert", "CommsHubFirmwareActivation", "CoSCertificateAlert",
	}
	discarded = []string{string(DiscardedCommand), string(DiscardedResponse), string(DiscardedAlert)}
	breaches  = []string{string(UserThreshold), string(DCCThreshold), string(AttributeLimits)}

	// emptyChanges are the changes of a device's status that hold nothing.
	emptyChanges = []string{"DeviceRemovedFromInventory", "CHFDecommissioning", "DeviceSuspended", "DeviceRestored", "RecoveryComplete"}
	fullChanges  = []string{"MeterIdentity", "MeterDecommissioningOrWithdrawal", "RecoveryCompleteACBCredentials"}

	errorCodeLength = length{3, 3}
)

// The schema allows schedules up to 10^12 and references of 20 digits.
const (
	scheduleDigits = 12
	eventRefDigits = 20
)

const (
	dualBandAlert    = "DualBandCHAlert"
	discardedMessage = "MessageDiscardedDueToDutyCycleManagement"
)

// validAlertCode says whether the schema lists the code: AD1, N1 to N65
// without N32, and N999.
func validAlertCode(code string) bool {
	if code == "AD1" || code == "N999" {
		return true
	}
	n, err := strconv.Atoi(code[min(1, len(code)):])
	return err == nil && n >= 1 && n <= 65 && n != 32 && code == "N"+strconv.Itoa(n)
}

// validNumber says whether text is a number of at most so many digits, without
// sign or leading zeros.
func validNumber(text string, most int) bool {
	return text != "" && len(text) <= most && digits(text) && (text[0] != '0' || text == "0")
}

func digits(text string) bool { return strings.Trim(text, "0123456789") == "" }

func (e *encoder) dccAlert(a DCCAlert) {
	if !validAlertCode(a.Code) {
		e.fail("DCCAlertCode", "%q is no code that the schema knows", a.Code)
	}
	e.open("DCCAlertCode")
	e.b = append(e.b, a.Code...)
	e.close("DCCAlertCode")
	e.throttled(a.Throttled)
	e.open("DCCAlert")
	e.event(a.Event)
	e.close("DCCAlert")
}

func (e *encoder) event(event Event) {
	switch v := event.(type) {
	case CommandFailure:
		e.open("CommandFailure")
		e.requestID("CommandRequestID", v.Request)
		if v.Schedule != "" {
			e.number("DSPScheduleID", v.Schedule, scheduleDigits)
		}
		e.eui("DeviceID", v.Device)
		e.close("CommandFailure")
	case QuarantinedRequest:
		if !slices.Contains(breaches, string(v.Breach)) {
			e.fail("QuarantinedRequest", "%q is no breach", v.Breach)
		}
		e.open("QuarantinedRequest")
		e.open(string(v.Breach))
		e.requestID("RequestID", v.Request)
		e.number("QuarantineEventRef", v.EventRef, eventRefDigits)
		e.close(string(v.Breach))
		e.close("QuarantinedRequest")
	case ChangeOfSupplier:
		e.open("ChangeOfSupplier")
		e.changeOfSupplier(v)
		e.close("ChangeOfSupplier")
	case DeviceStatusChange:
		if !slices.Contains(emptyChanges, v.Change) {
			e.fail("DeviceStatusChange", "%q cannot be written", v.Change)
		}
		e.open("DeviceStatusChangeEvent")
		e.eui("DeviceID", v.Device)
		e.open("DeviceStatusChange")
		e.empty(v.Change)
		e.close("DeviceStatusChange")
		e.close("DeviceStatusChangeEvent")
	case PowerOutage:
		e.open("PowerOutageEvent")
		e.eui("CommsHubDeviceID", v.Hub)
		e.time("StartDateTime", v.Start)
		e.text("MPxN", v.MPxN, length{1, 13})
		e.close("PowerOutageEvent")
	case VersionMismatch:
		e.open("DUISVersionMismatch")
		e.versionMismatch(v)
		e.close("DUISVersionMismatch")
	case MessageDiscarded:
		e.open(dualBandAlert)
		e.eui("CHFDeviceID", v.Hub)
		e.alertCode("DeviceAlertCode", v.AlertCode)
		if v.MessageCode != 0 {
			e.alertCode("GBCSHexadecimalMessageCode", v.MessageCode)
		}
		e.open(discardedMessage)
		e.requestID("RequestID", v.Request)
		e.oneOf("CRAFlag", string(v.Message), discarded)
		e.close(discardedMessage)
		e.close(dualBandAlert)
	default:
		e.fail("DCCAlert", "%T cannot be written", event)
	}
}

func (e *encoder) number(local, text string, digits int) {
	if !validNumber(text, digits) {
		e.fail(local, "%q is no number of at most %d digits", text, digits)
	}
	e.open(local)
	e.b = append(e.b, text...)
	e.close(local)
}

func (e *encoder) changeOfSupplier(v ChangeOfSupplier) {
	if v.Request != (servicerequests.RequestID{}) {
		e.requestID("ChangeOfSupplierServiceRequestID", v.Request)
		if v.ErrorCode != "" {
			e.text("ECoSErrorCode", v.ErrorCode, errorCodeLength)
		}
		return
	}
	e.open("DeviceChangeOfSupplier")
	e.eui("DeviceID", v.Device)
	e.oneOf("DeviceType", v.DeviceType, deviceTypes)
	e.open("MPxNs")
	e.text("ImportMPxN", v.ImportMPxN, length{1, 13})
	if v.SecondaryImportMPAN != "" {
		e.text("SecondaryImportMPAN", v.SecondaryImportMPAN, mpanLength)
	}
	if v.ExportMPAN != "" {
		e.text("ExportMPAN", v.ExportMPAN, mpanLength)
	}
	e.close("MPxNs")
	e.close("DeviceChangeOfSupplier")
}

func (e *encoder) versionMismatch(v VersionMismatch) {
	if v.AlertCode != "" {
		e.open("DCCAlertVersionMismatch")
		e.text("DCCAlertCode", v.AlertCode, anyText)
		if v.Device != 0 {
			e.eui("DeviceID", v.Device)
		}
		if v.Request != (servicerequests.RequestID{}) {
			e.requestID("RequestID", v.Request)
		}
		e.close("DCCAlertVersionMismatch")
	} else {
		e.open("ServiceResponseVersionMismatch")
		e.requestID("RequestID", v.Request)
		e.serviceReferences(v.ServiceReference, v.SRV)
		e.text("ServiceRequestDUISVersion", v.RequestVersion, anyText)
		e.close("ServiceResponseVersionMismatch")
	}
	e.text("ServiceUserDUISVersion", v.UserVersion, anyText)
}

func (d *decoder) dccAlert(s *sequence) DCCAlert {
	node := s.required("DCCAlertCode")
	a := DCCAlert{Code: d.text(node), Throttled: d.throttled(s)}
	if d.err == nil && !validAlertCode(a.Code) {
		d.fail(node, "%q is no code that the schema knows", a.Code)
	}
	event := d.children(s.required("DCCAlert"))
	a.Event = d.event(event.any())
	event.end()
	return a
}

func (d *decoder) event(n xmltree.Node) Event {
	if n.Local() == dualBandAlert {
		if v, ok := d.messageDiscarded(n); ok {
			return v
		}
	}
	if slices.Contains(otherEvents, n.Local()) {
		return d.otherEvent(n)
	}
	s := d.children(n)
	var event Event
	switch n.Local() {
	case "CommandFailure":
		v := CommandFailure{Request: d.anyRequestID(s.required("CommandRequestID"))}
		if node := s.optional("DSPScheduleID"); !node.IsZero() {
			v.Schedule = d.number(node, scheduleDigits)
		}
		v.Device = d.eui(s.required("DeviceID"))
		event = v
	case "QuarantinedRequest":
		event = d.quarantined(s.any())
	case "ChangeOfSupplier":
		event = d.changeOfSupplier(&s)
	case "DeviceStatusChangeEvent":
		event = d.statusChange(&s)
	case "PowerOutageEvent":
		event = PowerOutage{
			Hub:   d.eui(s.required("CommsHubDeviceID")),
			Start: d.time(s.required("StartDateTime")),
			MPxN:  d.shortText(s.required("MPxN"), length{1, 13}),
		}
	case "DUISVersionMismatch":
		event = d.versionMismatch(&s)
	default:
		d.fail(n, "is no event that the schema knows")
	}
	s.end()
	return event
}

// messageDiscarded reads a dual band hub's alert; ok is false if it is of something
// else.
func (d *decoder) messageDiscarded(n xmltree.Node) (v MessageDiscarded, ok bool) {
	for below := range n.Descendants() {
		ok = ok || below.Is(namespace, discardedMessage)
	}
	if !ok {
		return v, false
	}
	s := d.children(n)
	v.Hub = d.eui(s.required("CHFDeviceID"))
	v.AlertCode = d.alertCode(s.required("DeviceAlertCode"))
	if code := s.optional("GBCSHexadecimalMessageCode"); !code.IsZero() {
		if v.MessageCode = d.alertCode(code); d.err == nil && v.MessageCode == 0 {
			d.fail(code, "0000 is no message code")
		}
	}
	message := d.children(s.required(discardedMessage))
	s.end()
	v.Request = d.anyRequestID(message.required("RequestID"))
	v.Message = Discarded(d.oneOf(message.required("CRAFlag"), discarded))
	message.end()
	return v, true
}

func (d *decoder) otherEvent(n xmltree.Node) OtherEvent {
	other := OtherEvent{Element: n.Local()}
	for below := range n.Descendants() {
		if below.Is(namespace, "RequestID") {
			other.Request = d.anyRequestID(below)
			break
		}
	}
	return other
}

func (d *decoder) number(n xmltree.Node, digits int) string {
	text := d.text(n)
	if d.err == nil && !validNumber(text, digits) {
		d.fail(n, "%q is no number of at most %d digits", text, digits)
	}
	return text
}

func (d *decoder) quarantined(n xmltree.Node) QuarantinedRequest {
	if d.err == nil && !slices.Contains(breaches, n.Local()) {
		d.fail(n, "is no breach that the schema knows")
	}
	s := d.children(n)
	q := QuarantinedRequest{
		Breach:   Breach(n.Local()),
		Request:  d.anyRequestID(s.required("RequestID")),
		EventRef: d.number(s.required("QuarantineEventRef"), eventRefDigits),
	}
	s.end()
	return q
}

func (d *decoder) changeOfSupplier(s *sequence) ChangeOfSupplier {
	var v ChangeOfSupplier
	if n := s.optional("ChangeOfSupplierServiceRequestID"); !n.IsZero() {
		v.Request = d.anyRequestID(n)
		if n := s.optional("ECoSErrorCode"); !n.IsZero() {
			v.ErrorCode = d.shortText(n, errorCodeLength)
		}
		return v
	}
	change := d.children(s.required("DeviceChangeOfSupplier"))
	v.Device = d.eui(change.required("DeviceID"))
	v.DeviceType = d.oneOf(change.required("DeviceType"), deviceTypes)
	numbers := d.children(change.required("MPxNs"))
	change.end()
	v.ImportMPxN = d.shortText(numbers.required("ImportMPxN"), length{1, 13})
	if n := numbers.optional("SecondaryImportMPAN"); !n.IsZero() {
		v.SecondaryImportMPAN = d.shortText(n, mpanLength)
	}
	if n := numbers.optional("ExportMPAN"); !n.IsZero() {
		v.ExportMPAN = d.shortText(n, mpanLength)
	}
	numbers.end()
	return v
}

func (d *decoder) statusChange(s *sequence) DeviceStatusChange {
	v := DeviceStatusChange{Device: d.eui(s.required("DeviceID"))}
	changes := d.children(s.required("DeviceStatusChange"))
	change := changes.any()
	changes.end()
	v.Change = change.Local()
	switch {
	case slices.Contains(emptyChanges, v.Change):
		d.empty(change)
	case !slices.Contains(fullChanges, v.Change):
		d.fail(change, "is no change that the schema knows")
	}
	return v
}

func (d *decoder) versionMismatch(s *sequence) VersionMismatch {
	var v VersionMismatch
	if n := s.optional("DCCAlertVersionMismatch"); !n.IsZero() {
		alert := d.children(n)
		v.AlertCode = d.shortText(alert.required("DCCAlertCode"), anyText)
		if n := alert.optional("DeviceID"); !n.IsZero() {
			v.Device = d.eui(n)
		}
		if n := alert.optional("RequestID"); !n.IsZero() {
			v.Request = d.anyRequestID(n)
		}
		alert.end()
	} else {
		response := d.children(s.required("ServiceResponseVersionMismatch"))
		v.Request = d.anyRequestID(response.required("RequestID"))
		v.ServiceReference, v.SRV = d.serviceReferences(&response)
		v.RequestVersion = d.shortText(response.required("ServiceRequestDUISVersion"), anyText)
		response.end()
	}
	v.UserVersion = d.shortText(s.required("ServiceUserDUISVersion"), anyText)
	return v
}
