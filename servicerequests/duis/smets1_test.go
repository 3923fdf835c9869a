package duis_test

import (
	"errors"
	"strings"
	"testing"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/heaptest"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/xmltree"
)

func readSMETS1(t *testing.T, text string) (duis.SMETS1, error) {
	t.Helper()
	tree, err := xmltree.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return duis.ReadSMETS1(tree)
}

// smets1Vector is a document that is valid by the schemas, from outside.
func smets1Vector(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(string(outside.Read(t, "smets1/"+name)))
}

const answeredDevice servicerequests.EUI = 0x00DB1234567890A0

func TestReadSMETS1Vectors(t *testing.T) {
	answered := servicerequests.RequestID{Originator: 0x90B3D51F30010000, Target: answeredDevice, Counter: 1000}
	for name, want := range map[string]struct {
		answers bool
		said    string
	}{
		"smets1.xml":  {true, "UpdatePaymentModeRsp of 00-DB-12-34-56-78-90-A0, success"},
		"s1alert.xml": {false, "provider's alert S1VE1 about 00-DB-12-34-56-78-90-A0"},
	} {
		got, err := readSMETS1(t, smets1Vector(t, name))
		if err != nil || got.Device != answeredDevice || got.Request != answered || got.Answers != want.answers || got.String() != want.said {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// A provider's answers to the services of this module are read, and so is an alert.
func TestReadSMETS1Answers(t *testing.T) {
	const said = `<ra:UpdatePaymentModeRsp MessageSuccess="true"/>`
	vector := smets1Vector(t, "smets1.xml")
	for data, want := range map[string]string{
		`<ra:ActivateEmergencyCreditRsp MessageSuccess="1"/>`:        "ActivateEmergencyCreditRsp of 00-DB-12-34-56-78-90-A0, success",
		`<ra:ArmSupplyRsp MessageSuccess="false"></ra:ArmSupplyRsp>`: "ArmSupplyRsp of 00-DB-12-34-56-78-90-A0, no success",
		`<ra:ReadSupplyStatusRsp MessageSuccess="true"><ra:SupplyState>Armed</ra:SupplyState><ra:Gas><ra:RemainingBatteryCapacity>7</ra:RemainingBatteryCapacity></ra:Gas></ra:ReadSupplyStatusRsp>`: "ReadSupplyStatusRsp of 00-DB-12-34-56-78-90-A0, success",
		`<ra:ReadSupplyStatusRsp MessageSuccess="false"/>`: "ReadSupplyStatusRsp of 00-DB-12-34-56-78-90-A0, no success",
		`<ra:ReadDeviceConfigurationPaymentModeRsp MessageSuccess="true"><ra:PaymentMode>Prepayment</ra:PaymentMode><ra:SuspendDebtEmergency>false</ra:SuspendDebtEmergency></ra:ReadDeviceConfigurationPaymentModeRsp>`: "ReadDeviceConfigurationPaymentModeRsp of 00-DB-12-34-56-78-90-A0, success",
		`<ra:ReadMeterBalanceRsp MessageSuccess="true"><ra:MeterBalance>-1250</ra:MeterBalance><ra:Gas><ra:MeterBalancePrepaymentMode>0</ra:MeterBalancePrepaymentMode></ra:Gas></ra:ReadMeterBalanceRsp>`:               "ReadMeterBalanceRsp of 00-DB-12-34-56-78-90-A0, success",
		`<ra:DisplayMessageRsp MessageSuccess="true"><ra:More x="y">text</ra:More></ra:DisplayMessageRsp>`:                                                                                                               "DisplayMessageRsp of 00-DB-12-34-56-78-90-A0, success",
	} {
		if got, err := readSMETS1(t, strings.Replace(vector, said, data, 1)); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", data, got, err)
		}
	}
	alert := strings.NewReplacer(
		"<sr:ResponseMessage>", "<sr:DeviceAlertMessage>", "</sr:ResponseMessage>", "</sr:DeviceAlertMessage>",
		"<ra:SMETSData>"+said+"</ra:SMETSData>", "", `<ra:DebugInfo><ra:SMETS1Debug><ra:SMETS1Response ResponseCode="0" Position="1"><ra:Error>none</ra:Error></ra:SMETS1Response></ra:SMETS1Debug></ra:DebugInfo>`,
		`<ra:DeviceAlertContent><ra:GBCSHexAlertCode>8F32</ra:GBCSHexAlertCode><ra:AlertDescription>armed</ra:AlertDescription><ra:Timestamp>2026-11-29T09:00:00Z</ra:Timestamp></ra:DeviceAlertContent>`,
	).Replace(vector)
	got, err := readSMETS1(t, alert)
	if err != nil || got.Device != answeredDevice || got.Request != (servicerequests.RequestID{}) || got.Answers ||
		got.String() != "alert 8F32 of 00-DB-12-34-56-78-90-A0: armed" {
		t.Errorf("an alert: %+v, %v", got, err)
	}
}

// A message that lacks something, or has more than the schema allows, is an error
// and never a value. The document that carries it is a response or alert of the DCC
// all the same.
func TestReadSMETS1Refuses(t *testing.T) {
	response, alert := smets1Vector(t, "smets1.xml"), smets1Vector(t, "s1alert.xml")
	const said = `<ra:UpdatePaymentModeRsp MessageSuccess="true"/>`
	signature := alert[strings.Index(alert, "<ds:Signature>") : strings.Index(alert, "</ds:Signature>")+len("</ds:Signature>")]
	cut := func(document, part string, with ...string) string {
		t.Helper()
		if !strings.Contains(document, part) {
			t.Fatalf("the vector has no %s", part)
		}
		return strings.Replace(document, part, strings.Join(with, ""), 1)
	}
	for name, document := range map[string]string{
		"no success":                 cut(response, ` MessageSuccess="true"`),
		"success of no kind":         cut(response, `MessageSuccess="true"`, `MessageSuccess="yes"`),
		"another attribute":          cut(response, `MessageSuccess="true"`, `MessageSuccess="true" x="y"`),
		"no data":                    cut(response, said),
		"no SMETSData":               cut(response, "<ra:SMETSData>"+said+"</ra:SMETSData>"),
		"two answers":                cut(response, said, said, said),
		"no answer's name":           cut(response, "UpdatePaymentModeRsp", "UpdatePaymentMode"),
		"no supply state":            cut(response, said, `<ra:ReadSupplyStatusRsp MessageSuccess="true"/>`),
		"an unknown supply state":    cut(response, said, `<ra:ReadSupplyStatusRsp MessageSuccess="true"><ra:SupplyState>Off</ra:SupplyState></ra:ReadSupplyStatusRsp>`),
		"no payment mode":            cut(response, said, `<ra:ReadDeviceConfigurationPaymentModeRsp MessageSuccess="true"/>`),
		"no balance":                 cut(response, said, `<ra:ReadMeterBalanceRsp MessageSuccess="true"><ra:Gas/></ra:ReadMeterBalanceRsp>`),
		"a balance of words":         cut(response, said, `<ra:ReadMeterBalanceRsp MessageSuccess="true"><ra:MeterBalance>low</ra:MeterBalance></ra:ReadMeterBalanceRsp>`),
		"more than there is":         cut(response, said, `<ra:ArmSupplyRsp MessageSuccess="true"><ra:X/></ra:ArmSupplyRsp>`),
		"no device":                  cut(response, `<ra:BusinessOriginatorID>00-DB-12-34-56-78-90-A0</ra:BusinessOriginatorID>`),
		"no counter":                 cut(response, `<ra:OriginatorCounter>1000</ra:OriginatorCounter>`),
		"no signature":               cut(response, signature),
		"no version":                 cut(response, `<sr:SMETS1SignedResponse schemaVersion="5.4">`, `<sr:SMETS1SignedResponse>`),
		"a later version":            cut(response, `<sr:SMETS1SignedResponse schemaVersion="5.4">`, `<sr:SMETS1SignedResponse schemaVersion="6.0">`),
		"the header in DUIS's name":  cut(response, `<ra:OriginatorCounter>1000</ra:OriginatorCounter>`, `<sr:OriginatorCounter>1000</sr:OriginatorCounter>`),
		"a fault without position":   cut(response, ` Position="1"`),
		"faults that are none":       cut(response, `<ra:SMETS1Response ResponseCode="0" Position="1"><ra:Error>none</ra:Error></ra:SMETS1Response>`),
		"an alert without a code":    cut(alert, `<sr:S1SPAlertCode>S1VE1</sr:S1SPAlertCode>`),
		"an alert with an empty":     cut(alert, `S1VE1`),
		"an alert without a time":    cut(alert, `<sr:DateTime>2026-11-29T10:00:00.00Z</sr:DateTime>`),
		"an alert unsigned":          cut(alert, signature),
		"an alert with a short UTRN": cut(alert, `<sr:DateTime>`, `<sr:UTRN>1234</sr:UTRN><sr:DateTime>`),
	} {
		if m, err := readSMETS1(t, document); !errors.Is(err, duis.ErrFormat) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
		if _, err := duis.DecodeResponse([]byte(document)); err != nil {
			t.Errorf("%s: its document is refused as well: %v", name, err)
		}
	}
	for name, document := range map[string]string{
		"an acknowledgement": responseHead + responseHeader + `<sr:Body><sr:ResponseMessage>` + sr25 + `</sr:ResponseMessage></sr:Body>` + responseFoot,
		"no response":        `<a/>`,
	} {
		if m, err := readSMETS1(t, document); !errors.Is(err, duis.ErrFormat) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

func FuzzReadSMETS1(f *testing.F) {
	seedSamples(f, "smets1/*.xml")
	f.Add([]byte(responseHead + responseHeader + `<sr:Body><sr:SMETS1ResponseMessage><sr:X/></sr:SMETS1ResponseMessage></sr:Body>` + responseFoot))
	f.Fuzz(func(t *testing.T, document []byte) {
		tree, err := xmltree.Parse(document)
		if err != nil {
			return
		}
		var m duis.SMETS1
		heaptest.Limit(t, len(document), func() { m, err = duis.ReadSMETS1(tree) })
		if err != nil {
			if !errors.Is(err, duis.ErrFormat) {
				t.Fatalf("foreign error %v", err)
			}
			return
		}
		if m.String() == "" || m.Answers && m.Device == 0 {
			t.Fatalf("read without a word: %+v", m)
		}
		if r, err := duis.DecodeResponse(document); err == nil {
			switch r.Content.(type) {
			case duis.Other, duis.DCCAlert:
			default:
				t.Fatalf("a provider's message in a document that is a %T", r.Content)
			}
		}
	})
}
