package duis_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

func TestReadSMETS1Vectors(t *testing.T) {
	answered := servicerequests.RequestID{Originator: 0x90B3D51F30010000, Target: 0x00DB1234567890A0, Counter: 1000}
	for name, want := range map[string]duis.SMETS1{
		"smets1.xml": {
			Device: answered.Target, Request: answered,
			Response: &duis.SMETS1Response{
				Name: "UpdatePaymentModeRsp", Success: true, Faults: []duis.SMETS1Fault{{Code: 0, Position: 1, Text: "none"}},
			},
		},
		"s1alert.xml": {
			Device: answered.Target, Request: answered, At: time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC),
			Alert: &duis.S1SPAlert{Code: "S1VE1"},
		},
	} {
		got, err := readSMETS1(t, smets1Vector(t, name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s, -want +got:\n%s", name, diff)
		}
	}
}

// What a provider answers to the services of this module.
func TestReadSMETS1Answers(t *testing.T) {
	const said = `<ra:UpdatePaymentModeRsp MessageSuccess="true"/>`
	vector := smets1Vector(t, "smets1.xml")
	answer := func(data string) string { return strings.Replace(vector, said, data, 1) }
	for data, want := range map[string]duis.SMETS1Response{
		`<ra:ActivateEmergencyCreditRsp MessageSuccess="1"/>`:        {Name: "ActivateEmergencyCreditRsp", Success: true},
		`<ra:ArmSupplyRsp MessageSuccess="false"></ra:ArmSupplyRsp>`: {Name: "ArmSupplyRsp"},
		`<ra:ReadSupplyStatusRsp MessageSuccess="true"><ra:SupplyState>Armed</ra:SupplyState><ra:Gas><ra:RemainingBatteryCapacity>7</ra:RemainingBatteryCapacity></ra:Gas></ra:ReadSupplyStatusRsp>`: {
			Name: "ReadSupplyStatusRsp", Success: true, Supply: servicerequests.Armed, Battery: new(uint32(7)),
		},
		`<ra:ReadSupplyStatusRsp MessageSuccess="false"/>`: {Name: "ReadSupplyStatusRsp"},
		`<ra:ReadDeviceConfigurationPaymentModeRsp MessageSuccess="true"><ra:PaymentMode>Prepayment</ra:PaymentMode><ra:SuspendDebtEmergency>false</ra:SuspendDebtEmergency></ra:ReadDeviceConfigurationPaymentModeRsp>`: {
			Name: "ReadDeviceConfigurationPaymentModeRsp", Success: true, Mode: servicerequests.Prepayment, DebtEmergency: new(false),
		},
		`<ra:ReadMeterBalanceRsp MessageSuccess="true"><ra:MeterBalance>-1250</ra:MeterBalance><ra:Gas><ra:MeterBalancePrepaymentMode>0</ra:MeterBalancePrepaymentMode></ra:Gas></ra:ReadMeterBalanceRsp>`: {
			Name: "ReadMeterBalanceRsp", Success: true, Balance: new(int64(-1250)), PrepayBalance: new(int64(0)),
		},
		`<ra:DisplayMessageRsp MessageSuccess="true"><ra:More x="y">text</ra:More></ra:DisplayMessageRsp>`: {Name: "DisplayMessageRsp", Success: true},
	} {
		got, err := readSMETS1(t, answer(data))
		if err != nil {
			t.Errorf("%s: %v", data, err)
			continue
		}
		want.Faults = []duis.SMETS1Fault{{Position: 1, Text: "none"}}
		if diff := cmp.Diff(&want, got.Response); diff != "" {
			t.Errorf("%s, -want +got:\n%s", data, diff)
		}
	}
	alert := strings.NewReplacer(
		"<sr:ResponseMessage>", "<sr:DeviceAlertMessage>", "</sr:ResponseMessage>", "</sr:DeviceAlertMessage>",
		"<ra:SMETSData>"+said+"</ra:SMETSData>", "", `<ra:DebugInfo><ra:SMETS1Debug><ra:SMETS1Response ResponseCode="0" Position="1"><ra:Error>none</ra:Error></ra:SMETS1Response></ra:SMETS1Debug></ra:DebugInfo>`,
		`<ra:DeviceAlertContent><ra:GBCSHexAlertCode>8F32</ra:GBCSHexAlertCode><ra:AlertDescription>armed</ra:AlertDescription><ra:Timestamp>2026-11-29T09:00:00Z</ra:Timestamp></ra:DeviceAlertContent>`,
	).Replace(vector)
	got, err := readSMETS1(t, alert)
	want := duis.SMETS1{
		Device: 0x00DB1234567890A0, At: time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC),
		DeviceAlert: &duis.SMETS1DeviceAlert{Code: 0x8F32, Description: "armed"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("an alert: %v, -want +got:\n%s", err, diff)
	}
}

// What is absent is an error and never a value, and nothing is passed over. The document
// that carries it is a response or alert of the DCC all the same.
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
		kinds := 0
		for _, there := range []bool{m.Response != nil, m.DeviceAlert != nil, m.Alert != nil} {
			if there {
				kinds++
			}
		}
		if kinds != 1 || m.String() == "nothing" {
			t.Fatalf("%d kinds: %+v", kinds, m)
		}
		if r := m.Response; r != nil && r.Success {
			if r.Name == "ReadSupplyStatusRsp" && r.Supply == servicerequests.UnknownSupply ||
				r.Name == "ReadDeviceConfigurationPaymentModeRsp" && r.Mode == servicerequests.UnknownMode ||
				r.Name == "ReadMeterBalanceRsp" && r.Balance == nil {
				t.Fatalf("an answer without what was asked for: %+v", r)
			}
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
