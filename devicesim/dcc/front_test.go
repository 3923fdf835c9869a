package dcc_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"safemode/devicesim/dcc"
	"safemode/devicesim/devicepki"
	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/devicesim/hub"
	"safemode/devicesim/schedule"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/smki/smkitest"
	"safemode/servicerequests/xmldsig"
)

// bench is a DCC whose hubs never get anywhere: nobody runs the agenda.
type bench struct {
	t      testing.TB
	fleet  *fleet.Fleet
	folder *smki.Folder
	dcc    *dcc.DCC
	front  http.Handler
	hubs   *hub.Hubs

	esme, gsme, transferred *fleet.Meter
	fates                   map[servicerequests.EUI]dcc.Fate
	suspended               servicerequests.EUI
	refusal                 servicerequests.ResponseCode // of every User
}

func (b *bench) Fate(id servicerequests.RequestID, _ string) dcc.Fate { return b.fates[id.Target] }

func (b *bench) Supplier(meter int) servicerequests.EUI { return b.fleet.Meter(meter).Supplier }

func (b *bench) Suspended(device servicerequests.EUI) bool { return device == b.suspended }

func (b *bench) Refusal(servicerequests.EUI) servicerequests.ResponseCode { return b.refusal }

// meters answers to nothing but its keys.
type meters struct{ *devicepki.PKI }

func (meters) BrokerSecret(servicerequests.EUI) ([32]byte, error) { return [32]byte{1}, nil }

func (meters) Execute(dcc.Command) dcc.Sent { return dcc.Sent{} }

func (meters) Due(dcc.Command) (outcome, others []dcc.Alert) { return nil, nil }

func newBench(t testing.TB, changes ...func(*dcc.Options)) *bench {
	t.Helper()
	b := &bench{t: t, folder: testFolder(t, smki.TestFolder{Seed: []byte("front")}), fates: map[servicerequests.EUI]dcc.Fate{}}
	var err error
	if b.fleet, err = fleet.Generate(fleet.Options{Meters: 200, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	for i := range b.fleet.Len() {
		switch m := b.fleet.Meter(i); {
		case m.Supplier != smki.TestSupplier:
			b.transferred = &m
		case !m.Reachable:
		case m.Type == servicerequests.ESME:
			b.esme = &m
		default:
			b.gsme = &m
		}
	}
	pki, err := devicepki.New(1, b.folder.DeviceIssuing)
	if err != nil {
		t.Fatal(err)
	}
	agenda := schedule.New(clock.Clock{})
	b.hubs = hub.New(hub.Wakes{}, fault.Hubs{}, clock.Clock{}, agenda, func(func()) {})
	supplier := b.folder.Supplier
	o := dcc.Options{
		Agenda: agenda, Hubs: b.hubs, Fleet: b.fleet, Meters: meters{pki}, Line: b, Register: b, Send: func([]byte, func(time.Time)) {},
		Transform: b.folder.DCC.Transform, XMLSigning: b.folder.DCC.XMLSigning, KeyAgreement: b.folder.DCC.ACBKeyAgreement,
		Users: []dcc.User{{
			XMLSigning: supplier.XMLSigning.Certificate, DigitalSigning: supplier.DigitalSigning.Certificate,
			KeyAgreement: supplier.KeyAgreement.Certificate,
		}},
	}
	for _, change := range changes {
		change(&o)
	}
	b.dcc, err = dcc.New(o)
	if err != nil {
		t.Fatal(err)
	}
	b.front = b.dcc.Handler()
	return b
}

func testFolder(t testing.TB, description smki.TestFolder) *smki.Folder {
	t.Helper()
	return smkitest.Folder(t, description)
}

// message is a request in the words of the wire, so that it can also be wrong.
type message struct {
	id       servicerequests.RequestID
	variant  int
	service  string // Service Reference; empty: as srv
	srv      string
	sequence string // inside the Header, after the RequestID
	body     string
}

func (m message) document() []byte {
	if m.service == "" {
		m.service = m.srv
	}
	return fmt.Appendf(nil, `<sr:Request xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway" schemaVersion="5.4">`+
		`<sr:Header><sr:RequestID>%s</sr:RequestID>%s<sr:CommandVariant>%d</sr:CommandVariant>`+
		`<sr:ServiceReference>%s</sr:ServiceReference><sr:ServiceReferenceVariant>%s</sr:ServiceReferenceVariant></sr:Header>`+
		`<sr:Body>%s</sr:Body></sr:Request>`, m.id, m.sequence, m.variant, m.service, m.srv, m.body)
}

func signWith(t testing.TB, identity smki.SigningIdentity, document []byte) []byte {
	t.Helper()
	s := xmldsig.Signer{Key: identity.Key, Issuer: identity.Certificate.Issuer, Serial: identity.Certificate.SerialText()}
	signed, err := s.Sign(document)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func (b *bench) sign(m message) []byte {
	b.t.Helper()
	return signWith(b.t, b.folder.Supplier.XMLSigning, m.document())
}

// post returns status and body.
func (b *bench) post(path string, body []byte) (int, []byte) {
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/xml; charset=utf-8")
	w := httptest.NewRecorder()
	b.front.ServeHTTP(w, r)
	return w.Code, w.Body.Bytes()
}

// unsigned posts and reads an answer that carries no signature.
func (b *bench) unsigned(path string, body []byte) duis.Response {
	b.t.Helper()
	status, answer := b.post(path, body)
	if status != http.StatusOK {
		b.t.Fatalf("status %d", status)
	}
	r, err := duis.DecodeResponse(answer)
	if err != nil {
		b.t.Fatalf("%v: %s", err, answer)
	}
	return r
}

const (
	serviceT = "/api/v1/serviceT"
	serviceS = "/api/v1/serviceS"
	serviceD = "/api/v1/serviceD"

	toCredit = "<sr:UpdatePaymentMode><sr:Credit></sr:Credit></sr:UpdatePaymentMode>"
	read     = "<sr:ReadSupplyStatus></sr:ReadSupplyStatus>"
	arm      = "<sr:ArmSupply></sr:ArmSupply>"
	counter  = 1_700_000_000_000
)

func (b *bench) id(target servicerequests.EUI) servicerequests.RequestID {
	return servicerequests.RequestID{Originator: smki.TestSupplier, Target: target, Counter: counter}
}

func TestRefusals(t *testing.T) {
	b := newBench(t)
	id := b.id
	inventory := func(device servicerequests.EUI) string {
		return "<sr:ReadInventory><sr:DeviceID>" + device.String() + "</sr:DeviceID></sr:ReadInventory>"
	}
	tests := []struct {
		name, path string
		m          message
		want       servicerequests.ResponseCode
	}{
		{"read to Transform", serviceT, message{id: id(b.esme.Device), variant: 1, srv: "7.4", body: read}, servicerequests.WrongService},
		{"transform to Send Command", serviceS, message{id: id(b.esme.Device), variant: 4, srv: "1.6", body: toCredit}, servicerequests.WrongService},
		{"read to Non-Device", serviceD, message{id: id(b.esme.Device), variant: 1, srv: "7.4", body: read}, servicerequests.WrongService},
		{"read as critical", serviceT, message{id: id(b.esme.Device), variant: 4, srv: "7.4", body: read}, servicerequests.WrongVariant},
		{"critical as read", serviceS, message{id: id(b.esme.Device), variant: 1, srv: "7.3", body: arm}, servicerequests.WrongVariant},
		{"local delivery", serviceS, message{id: id(b.esme.Device), variant: 3, srv: "7.4", body: read}, servicerequests.NotLocal},
		{"critical for local delivery", serviceD, message{id: id(b.esme.Device), variant: 6, srv: "7.3", body: "<sr:SignedPreCommand><sr:GBCSPayload>3wkB</sr:GBCSPayload></sr:SignedPreCommand>"}, servicerequests.NotLocal},
		{"inventory for local delivery", serviceD, message{id: id(smki.TestDCC), variant: 2, srv: "8.2", body: inventory(b.esme.Device)}, servicerequests.WrongVariant},
		{"another's originator", serviceT, message{id: servicerequests.RequestID{Originator: 0x90B3D51F30030000, Target: b.esme.Device, Counter: counter}, variant: 4, srv: "7.3", body: arm}, servicerequests.NotAUser},
		{"unknown device", serviceT, message{id: id(0x00DB12FFFFFFFFFF), variant: 4, srv: "7.3", body: arm}, servicerequests.NoSuchDevice},
		{"hub as target", serviceT, message{id: id(b.esme.Hub), variant: 4, srv: "7.3", body: arm}, servicerequests.NoSuchDevice},
		{"gas proxy armed", serviceT, message{id: id(b.gsme.GPF()), variant: 4, srv: "7.3", body: arm}, servicerequests.TypeMismatch},
		{"gas enabled", serviceT, message{id: id(b.gsme.Device), variant: 4, srv: "7.1", body: "<sr:EnableSupply></sr:EnableSupply>"}, servicerequests.TypeMismatch},
		{"supply status of a gas proxy", serviceS, message{id: id(b.gsme.GPF()), variant: 1, srv: "7.4", body: read}, servicerequests.TypeMismatch},
		{"transferred meter", serviceT, message{id: id(b.transferred.Device), variant: 4, srv: "1.6", body: toCredit}, servicerequests.NotRegistered},
		{"sequence", serviceT, message{id: id(b.esme.Device), variant: 4, srv: "7.3", body: arm, sequence: "<sr:FirstInSequence>true</sr:FirstInSequence>"}, "E999999"},
		{"dated by the DCC", serviceS, message{id: id(b.esme.Device), variant: 1, srv: "4.18", body: "<sr:ReadMeterBalance><sr:ExecutionDateTime>2030-01-01T00:00:00Z</sr:ExecutionDateTime></sr:ReadMeterBalance>"}, "E999999"},
		{"inventory not of the DCC", serviceD, message{id: id(b.esme.Device), variant: 8, srv: "8.2", body: inventory(b.esme.Device)}, servicerequests.NoSuchDevice},
		{"inventory of an unknown device", serviceD, message{id: id(smki.TestDCC), variant: 8, srv: "8.2", body: inventory(0x00DB12FFFFFFFFFF)}, "E080201"},
		{"Signed Pre-Command out of the blue", serviceS, message{id: id(b.esme.Device), variant: 5, srv: "7.3", body: "<sr:SignedPreCommand><sr:GBCSPayload>" + b.signedPreCommand(servicerequests.ArmSupply, id(b.esme.Device)) + "</sr:GBCSPayload></sr:SignedPreCommand>"}, servicerequests.OutOfOrder},
		{"Signed Pre-Command that is none", serviceS, message{id: id(b.esme.Device), variant: 5, srv: "7.3", body: "<sr:SignedPreCommand><sr:GBCSPayload>3wkB</sr:GBCSPayload></sr:SignedPreCommand>"}, servicerequests.InvalidFormat},
		{"body that the service has not", serviceT, message{id: id(b.esme.Device), variant: 4, srv: "7.3", body: toCredit}, "E999999"},
		{"service that is not simulated", serviceS, message{id: id(b.esme.Device), variant: 1, srv: "4.8.1", service: "4.8", body: "<sr:ReadActiveImportProfileData></sr:ReadActiveImportProfileData>"}, "E999999"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := b.unsigned(test.path, b.sign(test.m))
			if r.Code != test.want || r.RequestID != test.m.id || r.SRV != test.m.srv || r.Content != nil {
				t.Errorf("%s for %s %s with %v, want %s", r.Code, r.SRV, r.RequestID, r.Content, test.want)
			}
		})
	}
	if n := b.hubs.Waiting(); n != 0 {
		t.Errorf("%d refused requests wait at hubs", n)
	}
}

// signedPreCommand is what a User makes of a Pre-Command, in base64.
func (b *bench) signedPreCommand(s servicerequests.Service, id servicerequests.RequestID) string {
	b.t.Helper()
	pre, err := gbcs.AppendPreCommand(nil, gbcs.Expected{Service: s, Device: servicerequests.ESME, ID: id}, b.folder.Supplier.XMLSigning.Certificate.NotBefore)
	if err != nil {
		b.t.Fatal(err)
	}
	signed, err := gbcs.Sign(pre, b.folder.Supplier.DigitalSigning.Key)
	if err != nil {
		b.t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(signed)
}

func TestRoles(t *testing.T) {
	b := newBench(t, func(o *dcc.Options) { o.Users[0].Roles = []servicerequests.Role{servicerequests.GasSupplier} })
	for _, test := range []struct {
		name string
		m    message
		path string
		want servicerequests.ResponseCode
	}{
		{"electricity by a gas supplier", message{id: b.id(b.esme.Device), variant: 1, srv: "7.4", body: read}, serviceS, servicerequests.NotInRole},
		{"enable is for import suppliers", message{id: b.id(b.esme.Device), variant: 4, srv: "7.1", body: "<sr:EnableSupply></sr:EnableSupply>"}, serviceT, servicerequests.NotInRole},
		{"gas by a gas supplier", message{id: b.id(b.gsme.Device), variant: 1, srv: "7.4", body: read}, serviceS, servicerequests.Acknowledged},
	} {
		if r := b.unsigned(test.path, b.sign(test.m)); r.Code != test.want {
			t.Errorf("%s: %s, want %s", test.name, r.Code, test.want)
		}
	}
}

// The DCC knows its other Users, and a User's other certificate.
func TestOtherUsers(t *testing.T) {
	operator := testFolder(t, smki.TestFolder{Seed: []byte("front"), Supplier: 0x90B3D51F30020000}).Supplier.XMLSigning
	var second smki.SigningIdentity // of the supplier's key
	b := newBench(t, func(o *dcc.Options) {
		folder := testFolder(t, smki.TestFolder{Seed: []byte("front")})
		issuing := smki.Authority{Certificate: folder.Issuing.Certificate, Key: folder.Issuing.Key}
		first := folder.Supplier.XMLSigning
		certificate, err := issuing.Issue(smki.Template{
			EUI: first.Certificate.EUI, Role: smki.UserXMLSigning, Usage: smki.DigitalSignature,
			NotBefore: first.Certificate.NotBefore.AddDate(0, 1, 0), NotAfter: first.Certificate.NotAfter,
		}, first.Certificate.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		second = smki.SigningIdentity{Certificate: certificate, Key: first.Key}
		o.Others = []*smki.Certificate{operator.Certificate, certificate}
	})
	m := message{id: b.id(b.esme.Device), variant: 1, srv: "7.4", body: read}
	if r := b.unsigned(serviceS, signWith(t, second, m.document())); r.Code != servicerequests.Acknowledged {
		t.Errorf("the supplier's other certificate: %s", r.Code)
	}
	m.id.Originator = operator.Certificate.EUI
	if r := b.unsigned(serviceS, signWith(t, operator, m.document())); r.Code != servicerequests.NotAUser {
		t.Errorf("a network operator: %s, want E1", r.Code)
	}
}

func TestUnprovenRequests(t *testing.T) {
	b := newBench(t)
	m := message{id: b.id(b.esme.Device), variant: 1, srv: "7.4", body: read}
	good := b.sign(m)
	stranger := testFolder(t, smki.TestFolder{Seed: []byte("another hierarchy")}).Supplier.XMLSigning
	for name, body := range map[string][]byte{
		"unsigned":          m.document(),
		"changed":           bytes.Replace(good, []byte(":1700000000000<"), []byte(":1700000000001<"), 1),
		"unknown signer":    signWith(t, stranger, m.document()),
		"signed by the DCC": signWith(t, b.folder.DCC.XMLSigning, m.document()),
	} {
		if r := b.unsigned(serviceS, body); r.Code != servicerequests.InvalidFormat {
			t.Errorf("%s: %s, want E48", name, r.Code)
		}
	}
	for name, body := range map[string]string{
		"no XML":  "{}",
		"nothing": "",
		"other":   "<a/>",
	} {
		if status, answer := b.post(serviceS, []byte(body)); status != http.StatusBadRequest || len(answer) != 0 {
			t.Errorf("%s: status %d, body %q; want 400 and none", name, status, answer)
		}
	}
	if n := b.hubs.Waiting(); n != 0 {
		t.Errorf("%d unproven requests wait at hubs", n)
	}
}

func TestHTTPRefusals(t *testing.T) {
	b := newBench(t)
	tests := []struct {
		name, method, path, contentType, body string
		want                                  int
	}{
		{"other type", "POST", serviceS, "text/plain", "<a/>", http.StatusUnsupportedMediaType},
		{"no type", "POST", serviceS, "", "<a/>", http.StatusUnsupportedMediaType},
		{"too long", "POST", serviceS, "application/xml", strings.Repeat(" ", 1<<20+1), http.StatusRequestEntityTooLarge},
		{"other method", "GET", serviceS, "application/xml", "", http.StatusMethodNotAllowed},
		{"other path", "POST", "/api/v1/serviceX", "application/xml", "", http.StatusNotFound},
	}
	for _, test := range tests {
		r := httptest.NewRequest(test.method, test.path, strings.NewReader(test.body))
		r.Header.Set("Content-Type", test.contentType)
		w := httptest.NewRecorder()
		b.front.ServeHTTP(w, r)
		if w.Code != test.want {
			t.Errorf("%s: status %d, want %d", test.name, w.Code, test.want)
		}
	}
}

func TestDuplicateRequests(t *testing.T) {
	b := newBench(t)
	m := message{id: b.id(b.esme.Device), variant: 1, srv: "7.4", body: read}
	body := b.sign(m)
	_, first := b.post(serviceS, body)
	if r := b.unsigned(serviceS, body); r.Code != servicerequests.Acknowledged {
		t.Fatalf("the same bytes again: %s, want I99", r.Code)
	}
	if _, again := b.post(serviceS, body); !bytes.Equal(first, again) {
		t.Errorf("not the first acknowledgement:\n%s\n%s", first, again)
	}
	if n := b.hubs.Waiting(); n != 1 {
		t.Errorf("%d exchanges under way, want 1", n)
	}
	if r := b.unsigned(serviceS, b.sign(m)); r.Code != servicerequests.DuplicateID { // ECDSA: other bytes
		t.Errorf("other bytes: %s, want E49", r.Code)
	}
	m.variant, m.srv, m.body = 4, "7.3", arm
	if r := b.unsigned(serviceT, b.sign(m)); r.Code != servicerequests.DuplicateID {
		t.Errorf("another service under the same Request ID: %s, want E49", r.Code)
	}
	if n := b.dcc.Duplicates(); n != 2 {
		t.Errorf("%d duplicates counted, want 2", n)
	}
}

func TestSignedPreCommandMustBeWhatTransformGave(t *testing.T) {
	b := newBench(t)
	id := b.id(b.esme.Device)
	if status, _ := b.post(serviceT, b.sign(message{id: id, variant: 4, srv: "7.3", body: arm})); status != http.StatusOK {
		t.Fatalf("transform: status %d", status)
	}
	send := func(payload string) servicerequests.ResponseCode {
		return b.unsigned(serviceS, b.sign(message{
			id: id, variant: 5, srv: "7.3",
			body: "<sr:SignedPreCommand><sr:GBCSPayload>" + payload + "</sr:GBCSPayload></sr:SignedPreCommand>",
		})).Code
	}
	if code := send(b.signedPreCommand(servicerequests.SwitchToCredit, id)); code != servicerequests.OutOfOrder {
		t.Errorf("another command: %s, want E100", code)
	}
	good := b.signedPreCommand(servicerequests.ArmSupply, id)
	octets, err := base64.StdEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	octets[len(octets)-1] ^= 1
	if code := send(base64.StdEncoding.EncodeToString(octets)); code != servicerequests.InvalidFormat {
		t.Errorf("wrong GBCS signature: %s, want E48", code)
	}
	if code := send(good); code != servicerequests.Acknowledged {
		t.Errorf("what Transform gave: %s, want I99", code)
	}
}

func TestAcknowledgementLost(t *testing.T) {
	b := newBench(t)
	b.fates[b.esme.Device] = dcc.Fate{AcknowledgementLost: true}
	body := b.sign(message{id: b.id(b.esme.Device), variant: 1, srv: "7.4", body: read})
	server := httptest.NewServer(b.front)
	defer server.Close()
	if r, err := http.Post(server.URL+serviceS, "application/xml", bytes.NewReader(body)); err == nil {
		r.Body.Close()
		t.Errorf("status %d, want a broken connection", r.StatusCode)
	}
	if r := b.unsigned(serviceS, body); r.Code != servicerequests.Acknowledged {
		t.Errorf("the same bytes again: %s, want I99", r.Code)
	}
	if n := b.hubs.Waiting(); n != 1 {
		t.Errorf("%d exchanges under way, want 1", n)
	}
}

func TestThrottled(t *testing.T) {
	b := newBench(t, func(o *dcc.Options) { o.Rules.Allocation = fault.Allocation{PerSecond: 0.5, Burst: 1} })
	body := b.sign(message{id: b.id(b.esme.Device), variant: 1, srv: "7.4", body: read})
	if r := b.unsigned(serviceS, body); r.Code != servicerequests.Acknowledged {
		t.Fatalf("first: %s", r.Code)
	}
	r := httptest.NewRequest(http.MethodPost, serviceS, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/xml")
	w := httptest.NewRecorder()
	b.front.ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "2" {
		t.Errorf("second: status %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
}

func BenchmarkTransform(b *testing.B) {
	bench := newBench(b)
	m := message{id: bench.id(bench.esme.Device), variant: 4, srv: "7.3", body: arm}
	body := bench.sign(m)
	for b.Loop() {
		if status, _ := bench.post(serviceT, body); status != http.StatusOK {
			b.Fatal(status)
		}
	}
}

func BenchmarkSendSigned(b *testing.B) {
	bench := newBench(b)
	id := bench.id(bench.esme.Device)
	bench.post(serviceT, bench.sign(message{id: id, variant: 4, srv: "7.3", body: arm}))
	body := bench.sign(message{id: id, variant: 5, srv: "7.3", body: "<sr:SignedPreCommand><sr:GBCSPayload>" +
		bench.signedPreCommand(servicerequests.ArmSupply, id) + "</sr:GBCSPayload></sr:SignedPreCommand>"})
	for b.Loop() {
		if status, _ := bench.post(serviceS, body); status != http.StatusOK {
			b.Fatal(status)
		}
	}
}
