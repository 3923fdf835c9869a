package dcc

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// other makes one message of the User's other traffic: it goes to the same inbox, is signed by
// the DCC and answers no request made here. A device's generic alerts have a real proof, like
// all its messages; other proofs of a device or a SMETS1 Service Provider are made up.
type other struct {
	dcc    servicerequests.EUI
	at     time.Time
	meter  fleet.Meter
	raise  func(m fleet.Meter, code meter.AlertCode, at time.Time) ([]byte, error)
	chance *rand.Rand
}

// OtherKind names a kind of other traffic.
type OtherKind string

// The kinds of other traffic.
const (
	OtherRead        OtherKind = "read"        // a read of another system
	OtherScheduled   OtherKind = "scheduled"   // an answer by a schedule of the DCC's
	OtherScheduleID  OtherKind = "schedule_id" // of a schedule that was made
	OtherFirmware    OtherKind = "firmware"    // a device's alert about new firmware
	OtherLongAlert   OtherKind = "long_alert"  // a device's alert that names another party
	OtherRefusal     OtherKind = "refusal"     // a device's generic critical alert, 8F30
	OtherTopUp       OtherKind = "top_up"      // a device's generic alert, 810E
	OtherSMETS1      OtherKind = "smets1"      // a SMETS1 meter's response
	OtherS1SP        OtherKind = "s1sp_alert"  // a SMETS1 Service Provider's alert
	OtherCredentials OtherKind = "credentials" // a DCC Alert about a device
	OtherOutage      OtherKind = "outage"      // a DCC Alert about a hub
)

// others are the kinds, each with what makes it.
var others = [...]struct {
	kind OtherKind
	make func(*other) ([]byte, error)
}{
	{OtherRead, (*other).read},
	{OtherScheduled, (*other).scheduled},
	{OtherScheduleID, (*other).scheduleID},
	{OtherFirmware, (*other).firmware},
	{OtherLongAlert, (*other).longAlert},
	{OtherRefusal, (*other).refusal},
	{OtherTopUp, (*other).topUp},
	{OtherSMETS1, (*other).smets1},
	{OtherS1SP, (*other).s1spAlert},
	{OtherCredentials, (*other).credentials},
	{OtherOutage, (*other).outage},
}

// Other sends the n-th message of other traffic, about a meter. sent gets its kind and the
// very bytes before they go, and what it returns is called when the inbox has taken them.
func (d *DCC) Other(n, seed uint64, m fleet.Meter, sent func(kind OtherKind, body []byte) (arrived func(at time.Time))) error {
	o := other{d.eui, d.stamp(d.Clock.Now()), m, d.Raise, rand.New(rand.NewPCG(seed, n))}
	of := others[o.chance.IntN(len(others))]
	document, err := of.make(&o)
	if document == nil || err != nil {
		return err
	}
	body, err := d.seal(document, d.xmlSigner(), m.Device, "other")
	if err != nil {
		return err
	}
	d.metrics.others.Inc()
	d.send(message{body, sent(of.kind, body)})
	return nil
}

// write writes a response; instead, unless it is empty, is text in place of what it carries,
// which no encoder here has.
func (o *other) write(r duis.Response, instead string) ([]byte, error) {
	r.Code, r.At = servicerequests.Success, o.at
	if instead != "" {
		r.Content = duis.DeviceResponse{Payload: []byte("other")}
	}
	document, err := duis.AppendResponse(nil, r)
	if err != nil || instead == "" {
		return document, err
	}
	from, to := bytes.Index(document, []byte("<sr:GBCSPayload>")), bytes.Index(document, []byte("</sr:ResponseMessage>"))
	return slices.Concat(document[:from], []byte(instead), document[to:]), nil
}

// id names a request of another system of the supplier's, under an identity of its own: no
// counter of this sweep's may be among them.
func (o *other) id() servicerequests.RequestID {
	return servicerequests.RequestID{Originator: o.meter.Supplier ^ 1<<8, Target: o.meter.Device, Counter: 1 + o.chance.Uint64N(1<<40)}
}

func response(id servicerequests.RequestID, reference, srv string) duis.Response {
	return duis.Response{RequestID: id, ResponseID: id.Reversed(), ServiceReference: reference, SRV: srv}
}

// message is a GBCS message of another use case, with supplementary values and a payload of
// some length. Its signature or MAC is noise.
func (o *other) message(h gbcs.Header, critical bool, supplementary ...uint64) []byte {
	payload := make([]byte, 40+o.chance.IntN(1200))
	for i := range payload {
		payload[i] = byte(o.chance.Uint32())
	}
	b := gbcs.AppendMessage(nil, h, payload)
	if n := len(supplementary); n > 0 {
		const at = 30 // other-information, where there is no date-time
		b[at] += byte(8 * n)
		var values []byte
		for _, value := range supplementary {
			values = binary.BigEndian.AppendUint64(values, value)
		}
		b = append(b[:at+3], append(values, b[at+3:]...)...)
	}
	noise := make([]byte, 64)
	for i := range noise {
		noise[i] = byte(o.chance.Uint32())
	}
	if critical {
		return append(append(b, byte(len(noise))), noise...)
	}
	return gbcs.AppendMAC(nil, append(b, 0), h.Originator, [16]byte(noise))
}

// read answers a profile read of another system.
func (o *other) read() ([]byte, error) {
	id := o.id()
	r := response(id, "4.8", "4.8.1")
	r.Content = duis.DeviceResponse{Payload: o.message(gbcs.Header{
		CRA: gbcs.CRAResponse, Counter: id.Counter, Originator: id.Target, Target: id.Originator, Code: 0x0037,
	}, false)}
	return o.write(r, "")
}

// scheduled is an answer by a schedule that the DCC keeps: the DCC asks, and the message has
// the User's EUI beside the message code, with a counter.
func (o *other) scheduled() ([]byte, error) {
	id := o.id()
	id.Originator = o.dcc
	message := o.message(gbcs.Header{
		CRA: gbcs.CRAResponse, Counter: id.Counter, Originator: id.Target, Target: o.dcc, Code: 0x0035,
	}, false, uint64(o.id().Originator), id.Counter)
	return o.write(response(id, "4.6", "4.6.2"), fmt.Sprintf(
		"<sr:DSPScheduledMessage><sr:GBCSPayload>%s</sr:GBCSPayload><sr:DSPScheduleID>%d</sr:DSPScheduleID></sr:DSPScheduledMessage>",
		base64.StdEncoding.EncodeToString(message), 1+o.chance.IntN(1e9)))
}

// scheduleID answers a User that has made a schedule.
func (o *other) scheduleID() ([]byte, error) {
	return o.write(response(o.id(), "5.1", "5.1"), fmt.Sprintf("<sr:DSPScheduleID>%d</sr:DSPScheduleID>", 1+o.chance.IntN(1e9)))
}

// alert is a device's alert of a form that is not decoded here.
func (o *other) alert(code, messageCode uint16, supplementary ...uint64) ([]byte, error) {
	h := gbcs.Header{
		CRA: gbcs.CRAAlert, Counter: 1 + o.chance.Uint64N(1<<40), Originator: o.meter.Device, Target: o.meter.Supplier, Code: messageCode,
	}
	return o.write(duis.Response{Content: duis.DeviceAlert{Code: code, Payload: o.message(h, true, supplementary...)}}, "")
}

// firmware is an alert about new firmware.
func (o *other) firmware() ([]byte, error) { return o.alert(0x8F72, 0x00CA) }

// longAlert is an alert that names another party beside the message code.
func (o *other) longAlert() ([]byte, error) { return o.alert(0x8F88, 0x0123, uint64(o.meter.Supplier)) }

// generic is a device's alert of the generic form, with a real proof. A device sends none if the
// simulator does not have its supplier's keys.
func (o *other) generic(code meter.AlertCode) ([]byte, error) {
	if o.raise == nil {
		return nil, nil
	}
	m := o.meter
	m.AlertCounter += 1 << 24 // beyond those of the meter's own life
	m.AlertCounter += o.chance.Uint32N(1 << 24)
	payload, err := o.raise(m, code, o.at)
	if payload == nil || err != nil {
		return nil, err
	}
	return o.write(duis.Response{Content: duis.DeviceAlert{Code: uint16(code), Payload: payload}}, "")
}

// refusal is an alert of a command that came from somebody without authority.
func (o *other) refusal() ([]byte, error) { return o.generic(meter.SourceAuthority) }

// topUp is an alert of credit that was added at the meter.
func (o *other) topUp() ([]byte, error) { return o.generic(meter.CreditAdded) }

// innerSignature is that of a SMETS1 Service Provider, made up.
const innerSignature = `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo>` +
	`<ds:CanonicalizationMethod Algorithm="a"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="b"></ds:SignatureMethod>` +
	`<ds:Reference URI=""><ds:DigestMethod Algorithm="c"></ds:DigestMethod><ds:DigestValue>AA==</ds:DigestValue></ds:Reference>` +
	`</ds:SignedInfo><ds:SignatureValue>AA==</ds:SignatureValue></ds:Signature>`

// smets1 is a response of a SMETS1 meter, by its provider.
func (o *other) smets1() ([]byte, error) {
	id := o.id()
	document, err := o.write(response(id, "1.6", "1.6"), "said")
	if err != nil {
		return nil, err
	}
	said := fmt.Sprintf(`<sr:SMETS1SignedResponse xmlns:ra="http://www.dccinterface.co.uk/ResponseAndAlert" schemaVersion="5.4"><sr:SMETS1Response><sr:Header>`+
		`<ra:BusinessOriginatorID>%s</ra:BusinessOriginatorID><ra:BusinessTargetID>%s</ra:BusinessTargetID>`+
		`<ra:OriginatorCounter>%d</ra:OriginatorCounter></sr:Header><sr:Body><sr:ResponseMessage><ra:SMETSData>`+
		`<ra:UpdatePaymentModeRsp MessageSuccess="true"></ra:UpdatePaymentModeRsp></ra:SMETSData><ra:DebugInfo><ra:SMETS1Debug>`+
		`<ra:SMETS1Response Position="1" ResponseCode="0"><ra:Error>none</ra:Error></ra:SMETS1Response></ra:SMETS1Debug></ra:DebugInfo>`+
		`</sr:ResponseMessage></sr:Body></sr:SMETS1Response>%s</sr:SMETS1SignedResponse>`, id.Target, id.Originator, id.Counter, innerSignature)
	document = bytes.ReplaceAll(document, []byte("sr:ResponseMessage>"), []byte("sr:SMETS1ResponseMessage>"))
	return bytes.Replace(document, []byte("said"), []byte(said), 1), nil
}

// s1spAlert is an alert of a SMETS1 Service Provider.
func (o *other) s1spAlert() ([]byte, error) {
	document, err := o.status("DeviceRestored")
	if err != nil {
		return nil, err
	}
	const tag = "DeviceStatusChangeEvent>"
	from, to := bytes.Index(document, []byte("<sr:"+tag)), bytes.Index(document, []byte("</sr:"+tag))+len("</sr:"+tag)
	return slices.Concat(document[:from], fmt.Appendf(nil, `<sr:S1SPAlertDSP><sr:S1SPAlert schemaVersion="5.4"><sr:RequestID>%s</sr:RequestID>`+
		`<sr:DeviceID>%s</sr:DeviceID><sr:S1SPAlertCode>S1VE1</sr:S1SPAlertCode><sr:DateTime>%s</sr:DateTime>%s</sr:S1SPAlert></sr:S1SPAlertDSP>`,
		o.id(), o.meter.Device, o.at.UTC().Format("2006-01-02T15:04:05.00Z"), innerSignature), document[to:]), nil
}

// status is a DCC Alert about a device's status.
func (o *other) status(change string) ([]byte, error) {
	return o.write(duis.Response{Content: duis.DCCAlert{Code: "N17", Event: duis.DeviceStatusChange{Device: o.meter.Device, Change: change}}}, "")
}

// credentials is a DCC Alert about a device's credentials.
func (o *other) credentials() ([]byte, error) { return o.status("RecoveryComplete") }

// outage is a hub's word that it has lost its mains.
func (o *other) outage() ([]byte, error) {
	return o.write(duis.Response{Content: duis.DCCAlert{Code: "AD1", Event: duis.PowerOutage{
		Hub: o.meter.Hub, Start: o.at.Add(-time.Minute), MPxN: o.meter.MPxN.String(),
	}}}, "")
}
