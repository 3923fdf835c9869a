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
type Event interface{ element() string }

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

// The kinds of message that can be dropped.
const (
	DiscardedCommand  Discarded = "Command"
	DiscardedResponse Discarded = "Response"
	DiscardedAlert    Discarded = "Alert"
)

// OtherEvent is an event that the schema knows. This package checks only the form of
// the first Request ID in it. It cannot be written.
type OtherEvent struct{ Element string }

func (CommandFailure) element() string     { return "CommandFailure" }
func (QuarantinedRequest) element() string { return "QuarantinedRequest" }
func (ChangeOfSupplier) element() string   { return "ChangeOfSupplier" }
func (DeviceStatusChange) element() string { return "DeviceStatusChangeEvent" }
func (PowerOutage) element() string        { return "PowerOutageEvent" }
func (VersionMismatch) element() string    { return "DUISVersionMismatch" }
func (MessageDiscarded) element() string   { return dualBandAlert }
func (e OtherEvent) element() string       { return e.Element }

// events are the events that are looked into, by their elements.
var events = map[string]variant[Event]{
	CommandFailure{}.element():     as[Event]((*CommandFailure).layout),
	QuarantinedRequest{}.element(): as[Event]((*QuarantinedRequest).layout),
	ChangeOfSupplier{}.element():   as[Event]((*ChangeOfSupplier).layout),
	DeviceStatusChange{}.element(): as[Event]((*DeviceStatusChange).layout),
	PowerOutage{}.element():        as[Event]((*PowerOutage).layout),
	VersionMismatch{}.element():    as[Event]((*VersionMismatch).layout),
	MessageDiscarded{}.element():   as[Event]((*MessageDiscarded).layout),
}

var (
	otherEvents = []string{
		"DSPScheduleRemoval", "FirmwareDistributionFailure", "UpdateHANDeviceLogResult", "DeviceLogRestored",
		"PPMIDAlert", "SecurityCredentialsUpdated", "PPMIDRemoval", "FirmwareVersionMismatch", "DualBandCHAlert",
		S1SPAlertEvent, "SMETS1CHFirmwareNotification", "ALCSHCALCSConfigurationChange", "FirmwareUpgradeRequested",
		"CSPFirmwareDeliveryStatus", "CommsHubAlert", "ECoSAlert", "CommsHubFirmwareActivation", "CoSCertificateAlert",
	}
	discarded = []string{string(DiscardedCommand), string(DiscardedResponse), string(DiscardedAlert)}
	breaches  = []Breach{UserThreshold, DCCThreshold, AttributeLimits}

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

func (a *DCCAlert) layout(l *layout) {
	l.word("DCCAlertCode", &a.Code, "code that the schema knows", validAlertCode)
	a.Throttled.layout(l)
	l.element("DCCAlert", func(l *layout) { l.event(&a.Event) })
}

func (l *layout) event(event *Event) {
	if l.writes() && *event == nil {
		l.fail("DCCAlert", "without an event")
		return
	}
	local := l.next.Local()
	if l.writes() {
		local = (*event).element()
	}
	of, known := events[local]
	switch {
	case !l.writes() && slices.Contains(otherEvents, local) && !discards(l.next):
		*event = l.d.otherEvent(l.any())
	case known:
		l.element(local, func(l *layout) { of(l, event) })
	case l.writes():
		l.fail("DCCAlert", "%T cannot be written", *event)
	default:
		l.d.fail(l.any(), "is no event that the schema knows")
	}
}

// discards says whether an alert is of a dual band hub that has dropped a message.
func discards(n xmltree.Node) bool {
	for below := range n.Descendants() {
		if n.Local() == dualBandAlert && below.Is(namespace, discardedMessage) {
			return true
		}
	}
	return false
}

func (d *decoder) otherEvent(n xmltree.Node) OtherEvent {
	for below := range n.Descendants() {
		if below.Is(namespace, "RequestID") {
			d.anyRequestID(below)
			break
		}
	}
	return OtherEvent{n.Local()}
}

func (v *CommandFailure) layout(l *layout) {
	l.requestID("CommandRequestID", &v.Request)
	if l.has("DSPScheduleID", v.Schedule != "") {
		l.number("DSPScheduleID", &v.Schedule, scheduleDigits)
	}
	l.eui("DeviceID", &v.Device)
}

func (v *QuarantinedRequest) layout(l *layout) {
	if !l.writes() {
		v.Breach = Breach(l.next.Local())
	}
	if !slices.Contains(breaches, v.Breach) {
		l.fail("QuarantinedRequest", "%q is no breach that the schema knows", v.Breach)
	}
	l.element(string(v.Breach), func(l *layout) {
		l.requestID("RequestID", &v.Request)
		l.number("QuarantineEventRef", &v.EventRef, eventRefDigits)
	})
}

func (v *ChangeOfSupplier) layout(l *layout) {
	const request = "ChangeOfSupplierServiceRequestID"
	if l.has(request, v.Request != servicerequests.RequestID{}) {
		l.requestID(request, &v.Request)
		l.optionalText("ECoSErrorCode", &v.ErrorCode, errorCodeLength)
		return
	}
	l.element("DeviceChangeOfSupplier", func(l *layout) {
		l.eui("DeviceID", &v.Device)
		l.oneOf("DeviceType", &v.DeviceType, deviceTypes)
		l.element("MPxNs", func(l *layout) {
			l.text("ImportMPxN", &v.ImportMPxN, length{1, 13})
			l.optionalText("SecondaryImportMPAN", &v.SecondaryImportMPAN, mpanLength)
			l.optionalText("ExportMPAN", &v.ExportMPAN, mpanLength)
		})
	})
}

func (v *DeviceStatusChange) layout(l *layout) {
	l.eui("DeviceID", &v.Device)
	l.element("DeviceStatusChange", func(l *layout) {
		if l.writes() {
			if !slices.Contains(emptyChanges, v.Change) {
				l.fail("DeviceStatusChange", "%q cannot be written", v.Change)
			}
			l.e.word(v.Change, "")
			return
		}
		change := l.any()
		v.Change = change.Local()
		switch {
		case slices.Contains(emptyChanges, v.Change):
			l.d.empty(change)
		case !slices.Contains(fullChanges, v.Change):
			l.d.fail(change, "is no change that the schema knows")
		}
	})
}

func (v *PowerOutage) layout(l *layout) {
	l.eui("CommsHubDeviceID", &v.Hub)
	l.time("StartDateTime", &v.Start)
	l.text("MPxN", &v.MPxN, length{1, 13})
}

func (v *VersionMismatch) layout(l *layout) {
	const ofAlert = "DCCAlertVersionMismatch"
	if l.has(ofAlert, v.AlertCode != "") {
		l.element(ofAlert, func(l *layout) {
			l.text("DCCAlertCode", &v.AlertCode, anyText)
			if l.has("DeviceID", v.Device != 0) {
				l.eui("DeviceID", &v.Device)
			}
			if l.has("RequestID", v.Request != servicerequests.RequestID{}) {
				l.requestID("RequestID", &v.Request)
			}
		})
	} else {
		l.element("ServiceResponseVersionMismatch", func(l *layout) {
			l.requestID("RequestID", &v.Request)
			l.serviceReferences(&v.ServiceReference, &v.SRV)
			l.text("ServiceRequestDUISVersion", &v.RequestVersion, anyText)
		})
	}
	l.text("ServiceUserDUISVersion", &v.UserVersion, anyText)
}

func (v *MessageDiscarded) layout(l *layout) {
	const messageCode = "GBCSHexadecimalMessageCode"
	l.eui("CHFDeviceID", &v.Hub)
	l.alertCode("DeviceAlertCode", &v.AlertCode)
	if l.has(messageCode, v.MessageCode != 0) {
		if l.alertCode(messageCode, &v.MessageCode); v.MessageCode == 0 {
			l.fail(messageCode, "0000 is no message code")
		}
	}
	l.element(discardedMessage, func(l *layout) {
		l.requestID("RequestID", &v.Request)
		l.oneOf("CRAFlag", (*string)(&v.Message), discarded)
	})
}
