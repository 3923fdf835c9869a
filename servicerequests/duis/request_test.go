package duis_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/heaptest"
	"safemode/servicerequests/outside"
)

const (
	supplier servicerequests.EUI = 0x90B3D51F30010000
	dcc      servicerequests.EUI = 0x90B3D51F30000002
	meter    servicerequests.EUI = 0x00DB1234567890A0
)

// allRequests holds one request for each half of each permitted service.
func allRequests() []duis.Request {
	var all []duis.Request
	for _, service := range servicerequests.Services {
		r := duis.Request{Service: service, ID: servicerequests.RequestID{Originator: supplier, Target: meter, Counter: 1700000000000}}
		if service == servicerequests.ReadInventory {
			r.ID.Target, r.InventoryDevice = dcc, meter
		}
		all = append(all, r)
		if service.Critical() {
			r.SignedPreCommand = []byte{0xDF, 0x09, 0x01}
			all = append(all, r)
		}
	}
	return all
}

// TestSampleRequests decodes every published request, and builds every
// permitted one of them again.
func TestSampleRequests(t *testing.T) {
	files := outside.Files(t, "duis/*_REQUEST_DUIS.XML")
	if len(files) < 20 {
		t.Fatalf("%d samples", len(files))
	}
	permitted := 0
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			sample, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sample = outside.Unsigned(t, sample)
			got, err := duis.DecodeRequest(sample)
			if err != nil {
				t.Fatal(err)
			}
			parts := strings.Split(name, "_")
			srv := parts[1]
			if srv == "READ" {
				srv = parts[0]
			}
			if got.SRV != srv || got.Variant.SRV != srv || got.ID.Originator != supplier {
				t.Errorf("decoded %+v", got)
			}
			service, err := got.Service()
			forbidden := srv == "7.1" || srv == "4.3" || strings.HasPrefix(name, "ECS03")
			if forbidden != errors.Is(err, servicerequests.ErrNotPermitted) || (!forbidden && err != nil) {
				t.Fatalf("service %s, %v", service, err)
			}
			if forbidden {
				return
			}
			permitted++
			ours, err := duis.AppendRequest(nil, duis.Request{ID: got.ID, Service: service, InventoryDevice: got.Inventory.Device})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(outside.Elements(t, sample), outside.Elements(t, ours)); diff != "" {
				t.Errorf("sample against ours:\n%s", diff)
			}
		})
	}
	if permitted < 18 {
		t.Errorf("only %d samples are of the permitted set", permitted)
	}
}

func TestSamplePrepayment(t *testing.T) {
	got, err := duis.DecodeRequest(outside.Unsigned(t, outside.Read(t, "duis/ECS03_1.6_IMMEDIATE_SINGLE_SUCCESS_REQUEST_DUIS.XML")))
	if err != nil {
		t.Fatal(err)
	}
	if got.Prepayment == nil || got.Variant.Mode != servicerequests.Prepayment || got.Variant.Name != "Update Payment Mode to Prepayment" {
		t.Errorf("decoded %+v", got)
	}
}

func TestRequestRoundTrip(t *testing.T) {
	for _, r := range allRequests() {
		xml, err := duis.AppendRequest([]byte("kept"), r)
		if err != nil {
			t.Fatal(err)
		}
		xml, ok := bytes.CutPrefix(xml, []byte("kept"))
		if !ok {
			t.Fatal("what was there is gone")
		}
		got, err := duis.DecodeRequest(xml)
		if err != nil {
			t.Fatalf("%s\n%v", xml, err)
		}
		if got.ID != r.ID || got.CommandVariant != r.CommandVariant() || got.Inventory.Device != r.InventoryDevice ||
			!bytes.Equal(got.SignedPreCommand, r.SignedPreCommand) {
			t.Errorf("sent %+v, got %+v", r, got)
		}
		if service, err := got.Service(); err != nil || service != r.Service {
			t.Errorf("SRV %s reads as %s, %v", r.Service, service, err)
		}
		if want := r.Service == servicerequests.SwitchToCredit && r.SignedPreCommand != nil; want != (got.SRV == "1.6" && got.Variant.Mode == servicerequests.UnknownMode) {
			t.Errorf("%s: the XML of a Signed Pre-Command does not say the mode: %+v", r.Service, got.Variant)
		}
	}
}

func TestRequestBytes(t *testing.T) {
	r := allRequests()[2]
	xml, err := duis.AppendRequest(nil, r)
	want := `<sr:Request xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway" schemaVersion="5.4"><sr:Header>` +
		`<sr:RequestID>90-B3-D5-1F-30-01-00-00:00-DB-12-34-56-78-90-A0:1700000000000</sr:RequestID>` +
		`<sr:CommandVariant>4</sr:CommandVariant><sr:ServiceReference>1.6</sr:ServiceReference>` +
		`<sr:ServiceReferenceVariant>1.6</sr:ServiceReferenceVariant></sr:Header>` +
		`<sr:Body><sr:UpdatePaymentMode><sr:Credit></sr:Credit></sr:UpdatePaymentMode></sr:Body></sr:Request>`
	if diff := cmp.Diff(want, string(xml)); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestAppendRequestRefuses(t *testing.T) {
	id := servicerequests.RequestID{Originator: supplier, Target: meter, Counter: 1}
	for name, test := range map[string]struct {
		r  duis.Request
		is error
	}{
		"no service":              {duis.Request{ID: id}, servicerequests.ErrNotPermitted},
		"beyond the set":          {duis.Request{ID: id, Service: servicerequests.ReadInventory + 1}, servicerequests.ErrNotPermitted},
		"no ID":                   {duis.Request{Service: servicerequests.ArmSupply}, duis.ErrEncode},
		"no counter":              {duis.Request{Service: servicerequests.ArmSupply, ID: servicerequests.RequestID{Originator: supplier, Target: meter}}, duis.ErrEncode},
		"counter of 64 bits":      {duis.Request{Service: servicerequests.ArmSupply, ID: servicerequests.RequestID{Originator: supplier, Target: meter, Counter: 1 << 63}}, duis.ErrEncode},
		"signed read":             {duis.Request{ID: id, Service: servicerequests.ReadSupplyStatus, SignedPreCommand: []byte{1}}, duis.ErrEncode},
		"empty Pre-Command":       {duis.Request{ID: id, Service: servicerequests.ArmSupply, SignedPreCommand: []byte{}}, duis.ErrEncode},
		"8.2 without device":      {duis.Request{ID: id, Service: servicerequests.ReadInventory}, duis.ErrEncode},
		"7.3 with 8.2's device":   {duis.Request{ID: id, Service: servicerequests.ArmSupply, InventoryDevice: meter}, duis.ErrEncode},
		"8.2 with a Pre-Command":  {duis.Request{ID: id, Service: servicerequests.ReadInventory, InventoryDevice: meter, SignedPreCommand: []byte{1}}, duis.ErrEncode},
		"a read that is 255":      {duis.Request{ID: id, Service: 255}, servicerequests.ErrNotPermitted},
		"originator alone":        {duis.Request{Service: servicerequests.ArmSupply, ID: servicerequests.RequestID{Originator: supplier, Counter: 1}}, duis.ErrEncode},
		"target alone":            {duis.Request{Service: servicerequests.ArmSupply, ID: servicerequests.RequestID{Target: meter, Counter: 1}}, duis.ErrEncode},
		"4.18 with 8.2's device":  {duis.Request{ID: id, Service: servicerequests.ReadMeterBalance, InventoryDevice: meter}, duis.ErrEncode},
		"7.4 and an empty signed": {duis.Request{ID: id, Service: servicerequests.ReadSupplyStatus, SignedPreCommand: []byte{}}, duis.ErrEncode},
	} {
		if b, err := duis.AppendRequest([]byte("kept"), test.r); !errors.Is(err, test.is) || string(b) != "kept" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

// A request to change: header and body in parts, so that each test alters one.
const (
	head   = `<sr:Request xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway" schemaVersion="5.4">`
	id     = `<sr:RequestID>90-B3-D5-1F-30-01-00-00:00-DB-12-34-56-78-90-A0:7</sr:RequestID>`
	cv4    = `<sr:CommandVariant>4</sr:CommandVariant>`
	cv5    = `<sr:CommandVariant>5</sr:CommandVariant>`
	sr25   = `<sr:ServiceReference>2.5</sr:ServiceReference><sr:ServiceReferenceVariant>2.5</sr:ServiceReferenceVariant>`
	sr16   = `<sr:ServiceReference>1.6</sr:ServiceReference><sr:ServiceReferenceVariant>1.6</sr:ServiceReferenceVariant>`
	sr72   = `<sr:ServiceReference>7.2</sr:ServiceReference><sr:ServiceReferenceVariant>7.2</sr:ServiceReferenceVariant>`
	body25 = `<sr:Body><sr:ActivateEmergencyCredit/></sr:Body>`
	foot   = `</sr:Request>`
)

func header(parts ...string) string {
	return head + `<sr:Header>` + strings.Join(parts, "") + `</sr:Header>`
}

func TestDecodeRequestIsStrict(t *testing.T) {
	good := header(id, cv4, sr25) + body25 + foot
	signed := func(content string) string {
		return header(id, cv5, sr25) + `<sr:Body><sr:SignedPreCommand>` + content + `</sr:SignedPreCommand></sr:Body>` + foot
	}
	body := func(service, content string) string {
		return header(id, cv4, service) + `<sr:Body>` + content + `</sr:Body>` + foot
	}
	for name, xml := range map[string]string{
		"plain":         good,
		"other prefix":  strings.NewReplacer("sr:", "x:", ":sr=", ":x=").Replace(good),
		"indented":      strings.ReplaceAll(good, "><", ">\n  <"),
		"lower case":    strings.Replace(good, "00-DB", "00-db", 1),
		"sequence":      header(id, `<sr:FirstInSequence>true</sr:FirstInSequence>`, cv4, sr25) + body25 + foot,
		"signed":        signed(`<sr:GBCSPayload>3wk=</sr:GBCSPayload>`),
		"future signed": signed(`<sr:ExecutionDateTime>3000-12-31T00:00:00.00Z</sr:ExecutionDateTime><sr:GBCSPayload>3wk=</sr:GBCSPayload>`),
		"disable":       body(sr72, `<sr:DisableSupply/>`),
		"future credit": body(sr16, `<sr:UpdatePaymentMode><sr:ExecutionDateTime>3000-12-31T00:00:00.00Z</sr:ExecutionDateTime><sr:Credit/></sr:UpdatePaymentMode>`),
	} {
		if name == "indented" { // the empty element must stay empty
			xml = strings.Replace(xml, "<sr:ActivateEmergencyCredit/>\n  ", "<sr:ActivateEmergencyCredit/>", 1)
		}
		if _, err := duis.DecodeRequest([]byte(xml)); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
	for name, xml := range map[string]string{
		"nothing":             "",
		"no XML":              "hello",
		"response":            strings.ReplaceAll(good, "sr:Request>", "sr:Response>"),
		"other root":          strings.NewReplacer("<sr:Request ", "<sr:Response ", "</sr:Request>", "</sr:Response>").Replace(good),
		"other namespace":     strings.Replace(good, "ServiceUserGateway", "ResponseAndAlert", 1),
		"no version":          strings.Replace(good, ` schemaVersion="5.4"`, "", 1),
		"version 6":           strings.Replace(good, "5.4", "6.0", 1),
		"attribute on root":   strings.Replace(good, ` schemaVersion`, ` a="1" schemaVersion`, 1),
		"attribute inside":    strings.Replace(good, "<sr:Body>", `<sr:Body Id="x">`, 1),
		"no ID":               header(cv4, sr25) + body25 + foot,
		"two IDs":             header(id, id, cv4, sr25) + body25 + foot,
		"reordered header":    header(cv4, id, sr25) + body25 + foot,
		"unknown in header":   header(id, cv4, sr25, `<sr:Extra/>`) + body25 + foot,
		"foreign in header":   header(id, cv4, sr25, `<x:ServiceReference xmlns:x="urn:x"/>`) + body25 + foot,
		"foreign namesake":    header(strings.Replace(id, "<sr:RequestID>", `<sr:RequestID xmlns:sr="urn:x">`, 1), cv4, sr25) + body25 + foot,
		"two headers":         good[:len(good)-len(body25+foot)] + header(id, cv4, sr25)[len(head):] + body25 + foot,
		"two bodies":          header(id, cv4, sr25) + body25 + body25 + foot,
		"body first":          head + body25 + header(id, cv4, sr25)[len(head):] + foot,
		"two services":        body(sr25, `<sr:ActivateEmergencyCredit/><sr:ActivateEmergencyCredit/>`),
		"empty body":          body(sr25, ``),
		"text in body":        body(sr25, `x`),
		"other body":          body(sr25, `<sr:ArmSupply/>`),
		"body not empty":      body(sr25, `<sr:ActivateEmergencyCredit><sr:Credit/></sr:ActivateEmergencyCredit>`),
		"blank not empty":     body(sr25, `<sr:ActivateEmergencyCredit> </sr:ActivateEmergencyCredit>`),
		"no mode":             body(sr16, `<sr:UpdatePaymentMode/>`),
		"two modes":           body(sr16, `<sr:UpdatePaymentMode><sr:Credit/><sr:Credit/></sr:UpdatePaymentMode>`),
		"time last":           body(sr16, `<sr:UpdatePaymentMode><sr:Credit/><sr:ExecutionDateTime>3000-12-31T00:00:00Z</sr:ExecutionDateTime></sr:UpdatePaymentMode>`),
		"zero time":           body(sr16, `<sr:UpdatePaymentMode><sr:ExecutionDateTime>0001-01-01T00:00:00Z</sr:ExecutionDateTime><sr:Credit/></sr:UpdatePaymentMode>`),
		"empty Prepayment":    body(sr16, `<sr:UpdatePaymentMode><sr:Prepayment/></sr:UpdatePaymentMode>`),
		"variant of another":  strings.Replace(good, "Variant>2.5", "Variant>7.3", 1),
		"unknown service":     strings.ReplaceAll(good, "2.5", "9.9"),
		"CV 9":                strings.Replace(good, ">4<", ">9<", 1),
		"CV 0":                strings.Replace(good, ">4<", ">0<", 1),
		"CV 04":               strings.Replace(good, ">4<", ">04<", 1),
		"CV 5 without signed": header(id, cv5, sr25) + body25 + foot,
		"CV 4 with signed":    strings.Replace(signed(`<sr:GBCSPayload>3wk=</sr:GBCSPayload>`), cv5, cv4, 1),
		"counter 0":           strings.Replace(good, ":7<", ":0<", 1),
		"counter 07":          strings.Replace(good, ":7<", ":07<", 1),
		"counter above 2^63":  strings.Replace(good, ":7<", ":9223372036854775808<", 1),
		"no payload":          signed(``),
		"two payloads":        signed(`<sr:GBCSPayload>3wk=</sr:GBCSPayload><sr:GBCSPayload>3wk=</sr:GBCSPayload>`),
		"empty payload":       signed(`<sr:GBCSPayload></sr:GBCSPayload>`),
		"no padding":          signed(`<sr:GBCSPayload>3wk</sr:GBCSPayload>`),
		"stray bits":          signed(`<sr:GBCSPayload>3wl=</sr:GBCSPayload>`),
		"folded base64":       signed("<sr:GBCSPayload>3w\nk=</sr:GBCSPayload>"),
		"URL base64":          signed(`<sr:GBCSPayload>_-8=</sr:GBCSPayload>`),
		"signature":           strings.Replace(good, foot, `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>`+foot, 1),
		"comment":             strings.Replace(good, "<sr:Body>", "<!-- --><sr:Body>", 1),
		"DTD":                 "<!DOCTYPE x>" + good,
	} {
		if _, err := duis.DecodeRequest([]byte(xml)); !errors.Is(err, duis.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestServiceRefuses(t *testing.T) {
	execution := `<sr:ExecutionDateTime>3000-12-31T00:00:00.00Z</sr:ExecutionDateTime>`
	body := func(cv, service, content string) string {
		return header(id, cv, service) + `<sr:Body>` + content + `</sr:Body>` + foot
	}
	sr := func(reference, variant string) string {
		return `<sr:ServiceReference>` + reference + `</sr:ServiceReference><sr:ServiceReferenceVariant>` + variant + `</sr:ServiceReferenceVariant>`
	}
	cv := func(n string) string { return strings.Replace(cv4, "4", n, 1) }
	for name, xml := range map[string]string{
		"enable":            body(cv4, sr("7.1", "7.1"), `<sr:EnableSupply/>`),
		"disable":           body(cv4, sr72, `<sr:DisableSupply/>`),
		"disable, signed":   body(cv5, sr72, `<sr:SignedPreCommand><sr:GBCSPayload>3wk=</sr:GBCSPayload></sr:SignedPreCommand>`),
		"prepayment":        body(cv4, sr16, `<sr:UpdatePaymentMode><sr:Prepayment><sr:SuspendDebtDisabled>false</sr:SuspendDebtDisabled><sr:SuspendDebtEmergency>1</sr:SuspendDebtEmergency><sr:DisablementThreshold>-5</sr:DisablementThreshold></sr:Prepayment></sr:UpdatePaymentMode>`),
		"future credit":     body(cv4, sr16, `<sr:UpdatePaymentMode>`+execution+`<sr:Credit/></sr:UpdatePaymentMode>`),
		"future signed":     body(cv5, sr16, `<sr:SignedPreCommand>`+execution+`<sr:GBCSPayload>3wk=</sr:GBCSPayload></sr:SignedPreCommand>`),
		"future read":       body(cv("1"), sr("4.18", "4.18"), `<sr:ReadMeterBalance>`+execution+`</sr:ReadMeterBalance>`),
		"encrypted read":    body(cv("1"), sr("4.3", "4.3"), `<sr:ReadInstantaneousPrepayValues/>`),
		"local command":     body(cv("6"), sr25, `<sr:SignedPreCommand><sr:GBCSPayload>3wk=</sr:GBCSPayload></sr:SignedPreCommand>`),
		"critical as read":  body(cv("1"), sr25, `<sr:ActivateEmergencyCredit/>`),
		"read as transform": body(cv4, sr("7.4", "7.4"), `<sr:ReadSupplyStatus/>`),
		"first of sequence": header(id, `<sr:FirstInSequence>1</sr:FirstInSequence>`, cv4, sr25) + body25 + foot,
		"later of sequence": header(id, strings.ReplaceAll(id, "RequestID", "PrecedingServiceRequestID"), cv4, sr25) + body25 + foot,
		"inventory of MPxN": body(cv("8"), sr("8.2", "8.2"), `<sr:ReadInventory><sr:MPxN>1</sr:MPxN></sr:ReadInventory>`),
		"inventory of UPRN": body(cv("8"), sr("8.2", "8.2"), `<sr:ReadInventory><sr:UPRN>1</sr:UPRN></sr:ReadInventory>`),
		"inventory of home": body(cv("8"), sr("8.2", "8.2"), `<sr:ReadInventory><sr:PropertyFilter><sr:PostCode>AB1 2CD</sr:PostCode><sr:AddressIdentifier>1</sr:AddressIdentifier></sr:PropertyFilter></sr:ReadInventory>`),
	} {
		r, err := duis.DecodeRequest([]byte(xml))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if service, err := r.Service(); service != 0 || !errors.Is(err, servicerequests.ErrNotPermitted) {
			t.Errorf("%s: service %s, %v", name, service, err)
		}
	}
}

func TestInspect(t *testing.T) {
	for _, name := range []string{"ECS42_7.1_SUCCESS", "ECS44_7.3_SUCCESS"} {
		sample := outside.Read(t, "duis/"+name+"_REQUEST_DUIS.XML")
		start := bytes.Index(sample, []byte("<!--"))
		end := bytes.Index(sample, []byte("-->")) + len("-->")
		sample = slices.Delete(sample, start, end)
		r, err := duis.Inspect(sample)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Service(); errors.Is(err, servicerequests.ErrNotPermitted) != strings.Contains(name, "7.1") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := duis.DecodeRequest(sample); !errors.Is(err, duis.ErrFormat) {
			t.Errorf("a Signature was taken for content: %v", err)
		}
	}
	two := header(id, cv4, sr25) + body25 + strings.Repeat(`<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"/>`, 2) + foot
	if _, err := duis.Inspect([]byte(two)); !errors.Is(err, duis.ErrFormat) {
		t.Errorf("two Signatures: %v", err)
	}
}

func TestRefusedRequestIsStillNamed(t *testing.T) {
	r, err := duis.DecodeRequest([]byte(strings.ReplaceAll(header(id, cv4, sr25)+body25+foot, "2.5", "9.9")))
	if !errors.Is(err, duis.ErrFormat) || r.ID.Counter != 7 || r.SRV != "9.9" || !r.ExecutionDateTime.Equal(time.Time{}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// foldedTree is the element tree without the schema's minor version and without
// case.
func foldedTree(tb testing.TB, xml []byte) string {
	tb.Helper()
	_, tree, _ := strings.Cut(outside.Elements(tb, xml), "\n")
	return strings.ToUpper(tree)
}

func FuzzDecodeRequest(f *testing.F) {
	for _, r := range allRequests() {
		xml, err := duis.AppendRequest(nil, r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(xml)
	}
	seedSamples(f, "duis/*_REQUEST_DUIS.XML")
	f.Fuzz(func(t *testing.T, xml []byte) {
		var r duis.ReceivedRequest
		var err error
		heaptest.Limit(t, len(xml), func() { r, err = duis.DecodeRequest(xml) })
		if err != nil {
			if !errors.Is(err, duis.ErrFormat) {
				t.Fatalf("foreign error %v", err)
			}
			return
		}
		service, err := r.Service()
		if err != nil {
			if !errors.Is(err, servicerequests.ErrNotPermitted) {
				t.Fatalf("foreign error %v", err)
			}
			return
		}
		again, err := duis.AppendRequest(nil, duis.Request{
			ID: r.ID, Service: service, SignedPreCommand: r.SignedPreCommand, InventoryDevice: r.Inventory.Device,
		})
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		// Nothing was dropped: but for the version and the case of EUIs the trees are one.
		if diff := cmp.Diff(foldedTree(t, xml), foldedTree(t, again)); diff != "" {
			t.Fatalf("read against written:\n%s", diff)
		}
		if got, err := duis.DecodeRequest(again); err != nil || got.ID != r.ID || !bytes.Equal(got.SignedPreCommand, r.SignedPreCommand) {
			t.Fatalf("second reading: %+v, %v", got, err)
		}
	})
}

// Who keeps an SRV, as the simulator does for each meter, does not keep the message.
func TestDecodedRequestIsNoPartOfItsMessage(t *testing.T) {
	for _, r := range allRequests() {
		document, err := duis.AppendRequest(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := duis.DecodeRequest(document)
		if err != nil {
			t.Fatal(err)
		}
		for text, known := range map[string]string{got.SRV: got.Variant.SRV, got.ServiceReference: got.Variant.ServiceReference} {
			if unsafe.StringData(text) != unsafe.StringData(known) {
				t.Errorf("%s: %q is not the catalogue's", r.Service, text)
			}
		}
	}
}
