package duis_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/heaptest"
	"safemode/servicerequests/outside"
)

// allResponses holds one response of each form that can be written.
func allResponses() map[string]duis.Response {
	id := servicerequests.RequestID{Originator: supplier, Target: meter, Counter: 1700000000000}
	at := time.Date(2026, 2, 3, 4, 5, 6, 7_000_000, time.UTC)
	answer := func(srv string, content duis.Content) duis.Response {
		return duis.Response{RequestID: id, Code: "I0", At: at, ServiceReference: srv, SRV: srv, Content: content}
	}
	device := answer("6.2", duis.DeviceResponse{Payload: []byte{0xDD, 0, 0}})
	device.SRV, device.ResponseID = "6.2.9", id.Reversed()
	alert := func(code string, event duis.Event) duis.Response {
		return duis.Response{Code: "I0", At: at, Content: duis.DCCAlert{Code: code, Event: event}}
	}
	throttled := alert("N1", duis.PowerOutage{Hub: meter, Start: at, MPxN: "1234567890123"})
	throttled.Content = duis.DCCAlert{
		Code: "N1", Throttled: duis.Throttled{SequenceID: 1, Count: 4294967295},
		Event: duis.PowerOutage{Hub: meter, Start: at, MPxN: "1234567890123"},
	}
	full := duis.Device{
		ID: meter, Type: "ESME", Status: "Commissioned", Manufacturer: "A&B <Ltd>", Model: "M", SMETSCHTSVersion: "V4.2",
		FirmwareVersion: "00000001", FirmwareVersionStatus: "Active", CPLStatus: "Active", DateCommissioned: "2025-12-28Z",
		ImportMPxN: "1234567890123", SecondaryImportMPAN: "1234567890124", ExportMPAN: "1234567890125", ESMEVariant: "ADEF",
		UPRN: "123456789012", PostCode: "AB1 2CD", AddressIdentifier: "12", CSPRegion: "4G North", GBCSVersion: "4.3",
		HANVariant: "Dual Band", SMETS1ServiceProvider: "S", Connectivity: "Cellular",
	}
	return map[string]duis.Response{
		"acknowledgement": {RequestID: id, Code: servicerequests.Acknowledged, At: at, ServiceReference: "2.5", SRV: "2.5"},
		"error":           {RequestID: id, Code: servicerequests.NotRegistered, At: at, ServiceReference: "7.3", SRV: "7.3"},
		"no request ID":   {Code: servicerequests.InvalidFormat, At: at, ServiceReference: "7.3", SRV: "7.3"},
		"8.2 error":       {RequestID: id, Code: "E080201", At: at, ServiceReference: "8.2", SRV: "8.2"},
		"Pre-Command":     answer("2.5", duis.PreCommand{GBCSVersion: "4.3", Payload: []byte{0xDF, 9, 1}}),
		"device response": device,
		"inventory":       answer("8.2", duis.Inventory{full, {ID: dcc, Type: "CHF"}}),
		"future-dated": answer("1.6", duis.FutureDatedAlert{
			Code: 0x8F66, Payload: []byte{1}, Instruction: 1, Total: 2,
		}),
		"device alert": {ResponseID: id.Reversed(), Code: "I0", At: at, Content: duis.DeviceAlert{Code: 0x81BE, Payload: []byte{0xDF}}},
		"throttled device alert": {Code: "I0", At: at, Content: duis.DeviceAlert{
			Code: 0x000A, Throttled: duis.Throttled{SequenceID: 3, Count: 4}, Payload: []byte{0xDF},
		}},
		"power outage, throttled":  throttled,
		"command failure":          alert("N13", duis.CommandFailure{Request: id, Device: meter}),
		"scheduled failure":        alert("N13", duis.CommandFailure{Request: id, Schedule: "999999999999", Device: meter}),
		"quarantined, user":        alert("AD1", duis.QuarantinedRequest{Breach: duis.UserThreshold, Request: id, EventRef: "12345678901234567890"}),
		"quarantined, DCC":         alert("AD1", duis.QuarantinedRequest{Breach: duis.DCCThreshold, Request: id, EventRef: "0"}),
		"quarantined, attributes":  alert("AD1", duis.QuarantinedRequest{Breach: duis.AttributeLimits, Request: id, EventRef: "7"}),
		"change of supplier":       alert("N27", duis.ChangeOfSupplier{Request: id, ErrorCode: "E01"}),
		"supplier of device":       alert("N27", duis.ChangeOfSupplier{Device: meter, DeviceType: "GSME", ImportMPxN: "12345678"}),
		"supplier of twin":         alert("N27", duis.ChangeOfSupplier{Device: meter, DeviceType: "ESME", ImportMPxN: "1234567890123", SecondaryImportMPAN: "1234567890124", ExportMPAN: "1234567890125"}),
		"device suspended":         alert("N28", duis.DeviceStatusChange{Device: meter, Change: "DeviceSuspended"}),
		"device removed":           alert("N28", duis.DeviceStatusChange{Device: meter, Change: "DeviceRemovedFromInventory"}),
		"hub decommissioned":       alert("N28", duis.DeviceStatusChange{Device: meter, Change: "CHFDecommissioning"}),
		"version of alert":         alert("N999", duis.VersionMismatch{AlertCode: "N66", Device: meter, Request: id, UserVersion: "5.4"}),
		"version of alert, alone":  alert("N999", duis.VersionMismatch{AlertCode: "N66", UserVersion: "5.4"}),
		"version of response":      alert("N999", duis.VersionMismatch{Request: id, ServiceReference: "6.2", SRV: "6.2.9", RequestVersion: "5.5", UserVersion: "5.4"}),
		"device restored":          alert("N64", duis.DeviceStatusChange{Device: meter, Change: "DeviceRestored"}),
		"recovery of a device":     alert("N65", duis.DeviceStatusChange{Device: meter, Change: "RecoveryComplete"}),
		"command discarded":        alert("N57", duis.MessageDiscarded{Hub: dcc, AlertCode: 0x8F2C, Request: id, Message: duis.DiscardedCommand}),
		"response discarded":       alert("N57", duis.MessageDiscarded{Hub: dcc, AlertCode: 0x8F2C, MessageCode: 0x1000, Request: id, Message: duis.DiscardedResponse}),
		"change, without its code": alert("N27", duis.ChangeOfSupplier{Request: id}),
	}
}

func TestResponseRoundTrip(t *testing.T) {
	for name, want := range allResponses() {
		xml, err := duis.AppendResponse([]byte("kept"), want)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		xml, ok := bytes.CutPrefix(xml, []byte("kept"))
		if !ok {
			t.Errorf("%s: what was there is gone", name)
		}
		got, err := duis.DecodeResponse(xml)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, xml)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		for i := range xml { // nothing can be cut off
			if _, err := duis.DecodeResponse(xml[:i]); !errors.Is(err, duis.ErrFormat) {
				t.Fatalf("%s: cut to %d bytes: %v", name, i, err)
			}
		}
	}
}

func TestSampleResponses(t *testing.T) {
	read := func(name string) duis.Response {
		t.Helper()
		r, err := duis.DecodeResponse(outside.Unsigned(t, outside.Read(t, "duis/"+name)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return r
	}
	r := read("response-8.2-signed.xml")
	inventory, ok := r.Content.(duis.Inventory)
	if !ok || len(inventory) != 3 || r.Code != servicerequests.Success || r.RequestID.Counter != 1766940660265 {
		t.Fatalf("8.2: %+v", r)
	}
	hub, display, proxy := inventory[0], inventory[1], inventory[2]
	if hub.DeviceType() != servicerequests.CHF || hub.CSPRegion != "4G Central" || hub.Status != "Commissioned" || hub.SMETS1() {
		t.Errorf("hub %+v", hub)
	}
	if display.DeviceType() != servicerequests.UnknownDevice || display.Type != "CAD" || display.Status != "" || display.CSPRegion != "Central" {
		t.Errorf("display %+v", display)
	}
	if proxy.DeviceType() != servicerequests.GPF || proxy.PostCode != "1111-111" || proxy.ID.String() != "88-73-84-CC-6A-10-02-DB" {
		t.Errorf("proxy %+v", proxy)
	}
	// We write it as the sample has it, but for the declared namespaces.
	xml, err := duis.AppendResponse(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(outside.Elements(t, outside.Unsigned(t, outside.Read(t, "duis/response-8.2-signed.xml"))), outside.Elements(t, xml)); diff != "" {
		t.Errorf("sample against ours:\n%s", diff)
	}

	r = read("response-11.2-signed.xml")
	if device, ok := r.Content.(duis.DeviceResponse); !ok || len(device.Payload) == 0 || device.Payload[0] != 0xDD || r.SRV != "11.2" || r.ResponseID != r.RequestID.Reversed() {
		t.Errorf("11.2: %+v", r)
	}
	r = read("acknowledgement-error-unsigned.xml")
	if r.Content != nil || r.Code != "E65" || r.RequestID.Counter != 1658482675800 {
		t.Errorf("acknowledgement: %+v", r)
	}
	// The acknowledgement is unsigned and indented, and is read as it came.
	if _, err := duis.DecodeResponse(outside.Read(t, "duis/acknowledgement-error-unsigned.xml")); err != nil {
		t.Error(err)
	}
	// A signed response is refused until its Signature is proven and taken out.
	if _, err := duis.DecodeResponse(outside.Read(t, "duis/response-8.2-signed.xml")); !errors.Is(err, duis.ErrFormat) {
		t.Errorf("signed: %v", err)
	}
}

// A response to change.
const (
	responseHead   = `<sr:Response xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway" schemaVersion="5.4">`
	responseID     = `<sr:RequestID>90-B3-D5-1F-30-01-00-00:00-DB-12-34-56-78-90-A0:7</sr:RequestID>`
	codeAndTime    = `<sr:ResponseCode>I0</sr:ResponseCode><sr:ResponseDateTime>2026-02-03T04:05:06.007Z</sr:ResponseDateTime>`
	responseFoot   = `</sr:Response>`
	responseHeader = `<sr:Header>` + responseID + codeAndTime + `</sr:Header>`
)

func message(content string) string {
	return responseHead + responseHeader + `<sr:Body><sr:ResponseMessage>` + sr25 + content + `</sr:ResponseMessage></sr:Body>` + responseFoot
}

func TestDecodeResponseIsStrict(t *testing.T) {
	const payload = `<sr:GBCSPayload>3QA=</sr:GBCSPayload>`
	good := message(payload)
	alert := func(code, event string) string {
		return responseHead + responseHeader + `<sr:Body><sr:DCCAlertMessage><sr:DCCAlertCode>` + code + `</sr:DCCAlertCode><sr:DCCAlert>` +
			event + `</sr:DCCAlert></sr:DCCAlertMessage></sr:Body>` + responseFoot
	}
	const removal = `<sr:PPMIDRemoval><sr:DeviceID>x</sr:DeviceID></sr:PPMIDRemoval>`
	quarantined := func(ref string) string {
		return `<sr:QuarantinedRequest><sr:ADUserThresholdBreach>` + responseID + `<sr:QuarantineEventRef>` + ref + `</sr:QuarantineEventRef></sr:ADUserThresholdBreach></sr:QuarantinedRequest>`
	}
	device := func(content string) string {
		return message(`<sr:DSPInventory><sr:Device><sr:DeviceID>00-DB-12-34-56-78-90-A0</sr:DeviceID>` + content + `</sr:Device></sr:DSPInventory>`)
	}
	const typed, made = `<sr:DeviceType>ESME</sr:DeviceType>`, `<sr:DeviceManufacturer/><sr:DeviceModel/>`

	for name, xml := range map[string]string{
		"plain":              good,
		"folded base64":      message("<sr:GBCSPayload>3Q\r\n A=\n</sr:GBCSPayload>"),
		"other service":      strings.ReplaceAll(message(`<sr:DSPWANMatrix><sr:X/></sr:DSPWANMatrix>`), "2.5", "12.1"),
		"other event":        alert("N40", removal),
		"an offset":          strings.Replace(good, "007Z", "007+01:00", 1),
		"no fraction":        strings.Replace(good, ".007Z", "Z", 1),
		"top-up counter":     strings.Replace(good, ":7<", ":18446744073709551615<", 1),
		"quarantined":        alert("AD1", quarantined("99999999999999999999")),
		"meter withdrawn":    alert("N2", `<sr:DeviceStatusChangeEvent><sr:DeviceID>00-DB-12-34-56-78-90-A0</sr:DeviceID><sr:DeviceStatusChange><sr:MeterDecommissioningOrWithdrawal><sr:X/></sr:MeterDecommissioningOrWithdrawal></sr:DeviceStatusChange></sr:DeviceStatusChangeEvent>`),
		"SMETS1":             responseHead + responseHeader + `<sr:Body><sr:SMETS1ResponseMessage><sr:X/></sr:SMETS1ResponseMessage></sr:Body>` + responseFoot,
		"least of a device":  device(typed + made),
		"device, and region": device(typed + made + `<sr:CSPRegion>SMETS1</sr:CSPRegion>`),
	} {
		if _, err := duis.DecodeResponse([]byte(xml)); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
	seventeen := strings.Repeat(`<sr:Device><sr:DeviceID>00-DB-12-34-56-78-90-A0</sr:DeviceID>`+typed+made+`</sr:Device>`, 17)
	for name, xml := range map[string]string{
		"nothing":            "",
		"request":            strings.NewReplacer("<sr:Response ", "<sr:Request ", "</sr:Response>", "</sr:Request>").Replace(good),
		"other namespace":    strings.Replace(good, "ServiceUserGateway", "ResponseAndAlert", 1),
		"foreign payload":    strings.Replace(good, "<sr:GBCSPayload>", `<sr:GBCSPayload xmlns:sr="urn:x">`, 1),
		"signature":          strings.Replace(good, responseFoot, `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>`+responseFoot, 1),
		"no code":            strings.Replace(good, `<sr:ResponseCode>I0</sr:ResponseCode>`, "", 1),
		"two codes":          strings.Replace(good, `<sr:ResponseCode>`, `<sr:ResponseCode>I0</sr:ResponseCode><sr:ResponseCode>`, 1),
		"code X0":            strings.Replace(good, ">I0<", ">X0<", 1),
		"code I":             strings.Replace(good, ">I0<", ">I<", 1),
		"time of day":        strings.Replace(good, "2026-02-03T04:05:06.007Z", "04:05:06", 1),
		"no zone":            strings.Replace(good, "007Z", "007", 1),
		"comma":              strings.Replace(good, "06.007Z", "06,007Z", 1),
		"30 February":        strings.Replace(good, "02-03", "02-30", 1),
		"reordered header":   strings.Replace(good, responseID+codeAndTime, codeAndTime+responseID, 1),
		"no ID but a blank":  strings.Replace(good, responseID, `<sr:RequestID> </sr:RequestID>`, 1),
		"counter of 65 bits": strings.Replace(good, ":7<", ":18446744073709551616<", 1),
		"counter 07":         strings.Replace(good, ":7<", ":07<", 1),
		"no service":         strings.Replace(good, sr25, "", 1),
		"service mixed":      strings.Replace(good, "Variant>2.5", "Variant>2.51", 1),
		"two payloads":       message(payload + payload),
		"bad base64":         message(`<sr:GBCSPayload>3Q!=</sr:GBCSPayload>`),
		"no padding":         message(`<sr:GBCSPayload>3QA</sr:GBCSPayload>`),
		"more padding":       message(`<sr:GBCSPayload>3QA==</sr:GBCSPayload>`),
		"empty payload":      message(`<sr:GBCSPayload/>`),
		"payload with child": message(`<sr:GBCSPayload><sr:X/></sr:GBCSPayload>`),
		"unknown content":    message(`<sr:Surprise/>`),
		"Pre-Command, bare":  message(`<sr:PreCommand>` + payload + `</sr:PreCommand>`),
		"Pre-Command, more":  message(`<sr:PreCommand><sr:GBCSVersion>4.3</sr:GBCSVersion>` + payload + payload + `</sr:PreCommand>`),
		"future, 8F65":       message(`<sr:FutureDatedDeviceAlertMessage><sr:FutureDatedAlertCode>8F65</sr:FutureDatedAlertCode>` + payload + `<sr:InstructionNumber>1</sr:InstructionNumber><sr:TotalCommandInstructions>1</sr:TotalCommandInstructions></sr:FutureDatedDeviceAlertMessage>`),
		"future, 65536":      message(`<sr:FutureDatedDeviceAlertMessage><sr:FutureDatedAlertCode>8F66</sr:FutureDatedAlertCode>` + payload + `<sr:InstructionNumber>65536</sr:InstructionNumber><sr:TotalCommandInstructions>1</sr:TotalCommandInstructions></sr:FutureDatedDeviceAlertMessage>`),
		"no devices":         message(`<sr:DSPInventory/>`),
		"18 devices":         message(`<sr:DSPInventory>` + seventeen + seventeen[:len(seventeen)/17] + `</sr:DSPInventory>`),
		"device, no model":   device(typed + `<sr:DeviceManufacturer/>`),
		"device, reordered":  device(made + typed),
		"device, unknown":    device(`<sr:DeviceType>TOASTER</sr:DeviceType>` + made),
		"device, region":     device(typed + made + `<sr:CSPRegion>Wales</sr:CSPRegion>`),
		"device, more":       device(typed + made + `<sr:Colour>red</sr:Colour>`),
		"device, no address": device(typed + made + `<sr:PropertyFilter><sr:PostCode>AB1 2CD</sr:PostCode></sr:PropertyFilter>`),
		"alert N32":          alert("N32", removal),
		"alert AD2":          alert("AD2", removal),
		"alert, no event":    alert("N40", ""),
		"alert, two events":  alert("N40", removal+removal),
		"alert, unknown":     alert("N40", `<sr:Surprise/>`),
		"quarantined, ref":   alert("AD1", quarantined("100000000000000000000")),
		"quarantined, minus": alert("AD1", quarantined("-1")),
		"quarantined, other": alert("AD1", strings.ReplaceAll(quarantined("1"), "ADUser", "ADMy")),
		"status, unknown":    alert("N2", `<sr:DeviceStatusChangeEvent><sr:DeviceID>00-DB-12-34-56-78-90-A0</sr:DeviceID><sr:DeviceStatusChange><sr:X/></sr:DeviceStatusChange></sr:DeviceStatusChangeEvent>`),
		"alert code of one":  responseHead + responseHeader + `<sr:Body><sr:DeviceAlertMessage><sr:AlertCode>81</sr:AlertCode>` + payload + `</sr:DeviceAlertMessage></sr:Body>` + responseFoot,
		"unknown message":    responseHead + responseHeader + `<sr:Body><sr:Surprise/></sr:Body>` + responseFoot,
		"two messages":       strings.Replace(good, "</sr:Body>", `<sr:ResponseMessage>`+sr25+`</sr:ResponseMessage></sr:Body>`, 1),
		"two bodies":         strings.Replace(good, responseFoot, `<sr:Body/>`+responseFoot, 1),
	} {
		if r, err := duis.DecodeResponse([]byte(xml)); !errors.Is(err, duis.ErrFormat) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestDiscardedMessageIsMatched(t *testing.T) {
	xml := responseHead + `<sr:Header>` + codeAndTime + `</sr:Header><sr:Body><sr:DCCAlertMessage><sr:DCCAlertCode>N57</sr:DCCAlertCode><sr:DCCAlert>` +
		`<sr:DualBandCHAlert><sr:CHFDeviceID>00-DB-12-34-56-78-90-A2</sr:CHFDeviceID><sr:DeviceAlertCode>8F2C</sr:DeviceAlertCode>` +
		`<sr:MessageDiscardedDueToDutyCycleManagement>` + responseID + `<sr:CRAFlag>Command</sr:CRAFlag></sr:MessageDiscardedDueToDutyCycleManagement>` +
		`</sr:DualBandCHAlert></sr:DCCAlert></sr:DCCAlertMessage></sr:Body>` + responseFoot
	r, err := duis.DecodeResponse([]byte(xml))
	if err != nil {
		t.Fatal(err)
	}
	want := duis.MessageDiscarded{
		Hub: 0x00DB1234567890A2, AlertCode: 0x8F2C, Message: duis.DiscardedCommand,
		Request: servicerequests.RequestID{Originator: supplier, Target: meter, Counter: 7},
	}
	if diff := cmp.Diff(duis.DCCAlert{Code: "N57", Event: want}, r.Content); diff != "" {
		t.Error(diff)
	}
}

func TestAppendResponseRefuses(t *testing.T) {
	good := allResponses()
	change := func(name string, f func(*duis.Response)) duis.Response {
		r := good[name]
		f(&r)
		return r
	}
	for name, r := range map[string]duis.Response{
		"nothing":           {},
		"no time":           change("error", func(r *duis.Response) { r.At = time.Time{} }),
		"no code":           change("error", func(r *duis.Response) { r.Code = "" }),
		"half an ID":        change("error", func(r *duis.Response) { r.RequestID.Target = 0 }),
		"no service":        change("error", func(r *duis.Response) { r.SRV = "" }),
		"alert of service":  change("device alert", func(r *duis.Response) { r.SRV, r.ServiceReference = "2.5", "2.5" }),
		"other":             change("error", func(r *duis.Response) { r.Content = duis.Other{Element: "CINMessage"} }),
		"empty payload":     change("error", func(r *duis.Response) { r.Content = duis.DeviceResponse{} }),
		"no devices":        change("inventory", func(r *duis.Response) { r.Content = duis.Inventory{} }),
		"control bytes":     change("inventory", func(r *duis.Response) { r.Content = duis.Inventory{{ID: 1, Type: "CHF", Model: "\x01"}} }),
		"not UTF-8":         change("inventory", func(r *duis.Response) { r.Content = duis.Inventory{{ID: 1, Type: "CHF", Model: "\xff"}} }),
		"post code":         change("inventory", func(r *duis.Response) { r.Content = duis.Inventory{{ID: 1, Type: "CHF", AddressIdentifier: "1"}} }),
		"alert N32":         change("error", func(r *duis.Response) { r.Content = duis.DCCAlert{Code: "N32"} }),
		"alert, no event":   {Code: "I0", At: good["error"].At, Content: duis.DCCAlert{Code: "N1"}},
		"other event":       {Code: "I0", At: good["error"].At, Content: duis.DCCAlert{Code: "N1", Event: duis.OtherEvent{Element: "ECoSAlert"}}},
		"message of a kind": {Code: "I0", At: good["error"].At, Content: duis.DCCAlert{Code: "N57", Event: duis.MessageDiscarded{Hub: 1, Request: good["error"].RequestID, Message: "Reply"}}},
		"8F68":              change("error", func(r *duis.Response) { r.Content = duis.FutureDatedAlert{Code: 0x8F68, Payload: []byte{1}} }),
	} {
		if b, err := duis.AppendResponse([]byte("kept"), r); !errors.Is(err, duis.ErrEncode) || string(b) != "kept" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

func FuzzDecodeResponse(f *testing.F) {
	for _, r := range allResponses() {
		xml, err := duis.AppendResponse(nil, r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(xml)
	}
	seedSamples(f, "duis/*.xml")
	f.Fuzz(func(t *testing.T, xml []byte) {
		var r duis.Response
		var err error
		heaptest.Limit(t, len(xml), func() { r, err = duis.DecodeResponse(xml) })
		if err != nil {
			if !errors.Is(err, duis.ErrFormat) {
				t.Fatalf("foreign error %v", err)
			}
			return
		}
		once, err := duis.AppendResponse(nil, r)
		if errors.Is(err, duis.ErrEncode) { // content that is only recognised, or a counter beyond GBCS's
			return
		}
		if err != nil {
			t.Fatalf("foreign error %v", err)
		}
		again, err := duis.DecodeResponse(once)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, once)
		}
		if diff := cmp.Diff(r, again); diff != "" {
			t.Fatalf("read against written and read:\n%s", diff)
		}
		twice, err := duis.AppendResponse(nil, again)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%v\n%s\n%s", err, once, twice)
		}
	})
}
