package proof

import (
	"errors"
	"fmt"
	"testing"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/smki/smkitest"
)

// newWorldWithOtherKeys is a world whose PKI the first one does not know.
func newWorldWithOtherKeys(t testing.TB) *world {
	t.Helper()
	folder := smkitest.Folder(t, smki.TestFolder{Seed: []byte("stranger")})
	return &world{folder: folder, meter: newDevice(t)}
}

func (w *world) certificates() []*smki.Certificate {
	return []*smki.Certificate{w.folder.DCC.Transform.Certificate}
}

func TestDelivery(t *testing.T) {
	w := newWorld(t)

	d, err := w.Delivery(t.Context(), w.signedByDCC(t, answer74(w.read74(t, w.meter, id, servicerequests.Armed))))
	if err != nil {
		t.Fatal(err)
	}
	if d.Result == nil || d.Result.Supply != servicerequests.Armed || !d.Signed || d.ID != id || d.Device != meter || d.SRV != "7.4" || !d.At.Equal(now) {
		t.Errorf("non-critical response: %+v", d)
	}

	d, err = w.Delivery(t.Context(), w.signedByDCC(t, answer25(critical(t, w.meter.signing, id, 0x0020))))
	if err != nil {
		t.Fatal(err)
	}
	if d.Result == nil || !d.Result.Success || d.ID != id {
		t.Errorf("critical response: %+v", d)
	}

	for _, code := range []servicerequests.ResponseCode{"E20", "E21", "E30"} {
		unsigned := encode(t, duis.Response{RequestID: id, Code: code, ServiceReference: "7.4", SRV: "7.4"})
		if d, err = w.Delivery(t.Context(), unsigned); err != nil {
			t.Fatal(err)
		}
		if d.Signed || d.ID != id || d.Device != meter || d.Code != code || d.Result != nil {
			t.Errorf("unsigned %s: %+v", code, d)
		}
	}
	d, err = w.Delivery(t.Context(), w.signedByDCC(t, duis.Response{RequestID: id, Code: "E4", ServiceReference: "7.4", SRV: "7.4"}))
	if err != nil || !d.Signed || d.Code != "E4" {
		t.Errorf("signed E4: %+v, %v", d, err)
	}
}

func TestDeliveryOfAlerts(t *testing.T) {
	w := newWorld(t)
	for _, a := range []gbcs.Alert{
		{Code: 0x8F32, At: now},            // critical, electricity
		{Code: 0x8F32, Gas: true, At: now}, // critical, gas
		{Code: 0x81AB, At: now},            // with a MAC
	} {
		d, err := w.Delivery(t.Context(), w.signedByDCC(t, duis.Response{
			RequestID: id, Code: servicerequests.Success,
			Content: duis.DeviceAlert{Code: a.Code, Payload: w.alert(t, w.meter, a)},
		}))
		if err != nil {
			t.Fatalf("%04X: %v", a.Code, err)
		}
		if d.Alert == nil || d.Alert.Code != a.Code || d.Device != meter || d.ID != (servicerequests.RequestID{}) {
			t.Errorf("%04X: %+v", a.Code, d)
		}
	}
	future := gbcs.Alert{Code: gbcs.AlertFutureDatedDone, At: now, FutureDated: &gbcs.FutureDated{Code: 0x001B, Counter: 5, Class: 111, Attribute: 13}}
	d, err := w.Delivery(t.Context(), w.signedByDCC(t, duis.Response{
		RequestID: id, Code: servicerequests.Success, ServiceReference: "1.6", SRV: "1.6",
		Content: duis.FutureDatedAlert{Code: future.Code, Payload: w.alert(t, w.meter, future), Instruction: 1, Total: 1},
	}))
	if err != nil || d.Alert == nil || d.Alert.FutureDated == nil || d.Alert.FutureDated.Code != 0x001B {
		t.Errorf("future-dated: %+v, %v", d, err)
	}
	d, err = w.Delivery(t.Context(), w.signedByDCC(t, duis.Response{
		Code: servicerequests.Success,
		Content: duis.DCCAlert{Code: "AD1", Event: duis.QuarantinedRequest{
			Breach: duis.UserThreshold, Request: id, EventRef: "1",
		}},
	}))
	if err != nil || d.DCCAlert == nil || d.DCCAlert.Code != "AD1" {
		t.Errorf("DCC Alert: %+v, %v", d, err)
	}
}

func TestDeliveryRefuses(t *testing.T) {
	w := newWorld(t)
	impostor := newDevice(t)
	other := id
	other.Counter++
	read := w.read74(t, w.meter, id, servicerequests.Enabled)
	emergency := critical(t, w.meter.signing, id, 0x0020)
	flip := func(message []byte, fromEnd int) []byte {
		changed := append([]byte{}, message...)
		changed[len(changed)-fromEnd] ^= 1
		return changed
	}
	edit := func(r duis.Response, change func(*duis.Response)) duis.Response { change(&r); return r }
	command := gbcs.AppendMessage(nil, header(id, 0x0020), []byte{0})
	for _, test := range []struct {
		name    string
		raw     []byte
		kind    error
		fromDCC bool
	}{
		// The XML.
		{"unsigned response", encode(t, answer74(read)), ErrUnverified, false},
		{"response by the Transform key", w.signedByTransform(t, answer74(read)), ErrUnverified, true},
		{"response by the supplier's key", signXML(t, w.folder.Supplier.XMLSigning, encode(t, answer74(read))), ErrUnverified, false},
		{"alert by the Transform key", w.signedByTransform(t, duis.Response{Code: "I0", Content: duis.DeviceAlert{Code: 0x8F32, Payload: w.alert(t, w.meter, gbcs.Alert{Code: 0x8F32, At: now})}}), ErrUnverified, true},
		{"unsigned DCC Alert", encode(t, duis.Response{Code: "I0", Content: duis.DCCAlert{Code: "AD1", Event: duis.QuarantinedRequest{Breach: duis.UserThreshold, Request: id, EventRef: "1"}}}), ErrUnverified, false},
		{"a Request ID changed after signing", tamper(t, w.signedByDCC(t, edit(answer74(read), func(r *duis.Response) { r.ResponseID = servicerequests.RequestID{} })), ":1000<", ":1001<"), ErrUnverified, false},
		{"unsigned I0 without data", encode(t, acknowledgement("I0")), ErrUnverified, false},
		{"unsigned I99", encode(t, acknowledgement("I99")), ErrUnverified, false},
		{"unsigned E4", encode(t, acknowledgement("E4")), ErrUnverified, false},
		{"unsigned E1", encode(t, acknowledgement("E1")), ErrUnverified, false},
		{"unsigned E21 for nothing", encode(t, duis.Response{Code: "E21", ServiceReference: "7.4", SRV: "7.4"}), ErrInvalid, false},
		{"E21 with a bad signature", tamper(t, w.signedByDCC(t, acknowledgement("E4")), ">E4<", ">E21<"), ErrUnverified, false},
		{"a Pre-Command", w.signedByTransform(t, preCommandReply()), ErrInvalid, true},
		{"an inventory", w.signedByDCC(t, inventoryReply()), ErrInvalid, true},
		{"junk", []byte("<a><b></a>"), ErrInvalid, false},

		// The XML contradicts the message in it.
		{"an error code with a device's response", w.signedByDCC(t, edit(answer74(read), func(r *duis.Response) { r.Code = "E21" })), ErrUnverified, true},
		{"the answer to another request", w.signedByDCC(t, edit(answer74(read), func(r *duis.Response) { r.RequestID, r.ResponseID = other, other.Reversed() })), ErrUnverified, true},
		{"another Response ID", w.signedByDCC(t, edit(answer74(read), func(r *duis.Response) { r.ResponseID = other.Reversed() })), ErrUnverified, true},
		{"another service", w.signedByDCC(t, edit(answer74(read), func(r *duis.Response) { r.ServiceReference, r.SRV = "6.2", "6.2.9" })), ErrUnverified, true},
		{"another alert code", w.signedByDCC(t, duis.Response{Code: "I0", Content: duis.DeviceAlert{Code: 0x8F0F, Payload: w.alert(t, w.meter, gbcs.Alert{Code: 0x8F32, At: now})}}), ErrUnverified, true},
		{"a Pre-Command in place of a response", w.signedByDCC(t, answer25(command)), ErrUnverified, true},
		{"an alert in place of a response", w.signedByDCC(t, answer25(w.alert(t, w.meter, gbcs.Alert{Code: 0x8F32, At: now}))), ErrUnverified, true},
		{"no GBCS message", w.signedByDCC(t, answer74([]byte("nonsense"))), ErrInvalid, true},

		// The message itself: the DCC cannot speak for a meter.
		{"MAC of another device", w.signedByDCC(t, answer74(w.read74(t, impostor, id, servicerequests.Enabled))), ErrUnverified, true},
		{"signature of another device", w.signedByDCC(t, answer25(critical(t, impostor.signing, id, 0x0020))), ErrUnverified, true},
		{"a bit of the payload under the MAC", w.signedByDCC(t, answer74(flip(read, 12+1+4))), ErrUnverified, true},
		{"a bit of the MAC", w.signedByDCC(t, answer74(flip(read, 1))), ErrUnverified, true},
		{"a bit of the payload under the signature", w.signedByDCC(t, answer25(flip(emergency, 64+1+1))), ErrUnverified, true},
		{"a bit of the signature", w.signedByDCC(t, answer25(flip(emergency, 1))), ErrUnverified, true},
		{"alert of another device", w.signedByDCC(t, duis.Response{Code: "I0", Content: duis.DeviceAlert{Code: 0x81AB, Payload: w.alert(t, impostor, gbcs.Alert{Code: 0x81AB, At: now})}}), ErrUnverified, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := w.Delivery(t.Context(), test.raw)
			wantFault(t, err, test.kind, test.fromDCC)
		})
	}
}

// A critical response must be signed and a read must not be: one protection
// cannot stand in for the other.
func TestDeliveryRefusesTheWrongProtection(t *testing.T) {
	w := newWorld(t)
	h := header(id, 0x0020).Response(gbcs.DateTime{})
	payload, err := gbcs.AppendResponsePayload(nil, h, gbcs.Response{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Delivery(t.Context(), w.signedByDCC(t, answer25(w.mac(t, w.meter, h, payload, gbcs.ModeResponse))))
	wantFault(t, err, ErrUnverified, true)

	_, err = w.Delivery(t.Context(), w.signedByDCC(t, answer74(critical(t, w.meter.signing, id, 0x0052))))
	wantFault(t, err, ErrUnverified, true)
}

func TestDeliveryToAnotherUser(t *testing.T) {
	w := newWorld(t)
	foreign := id
	foreign.Originator++
	r := answer25(critical(t, w.meter.signing, foreign, 0x0020))
	r.RequestID, r.ResponseID = foreign, foreign.Reversed()
	_, err := w.Delivery(t.Context(), w.signedByDCC(t, r))
	wantFault(t, err, ErrOther, true)
	r.Content, r.Code = nil, servicerequests.NoResponse
	_, err = w.Delivery(t.Context(), w.signedByDCC(t, r))
	wantFault(t, err, ErrOther, true)
	_, err = w.Delivery(t.Context(), encode(t, r))
	wantFault(t, err, ErrUnverified, false)
}

func TestDeliveryWithoutTheDevicesKeys(t *testing.T) {
	w := newWorld(t)
	raw := w.signedByDCC(t, answer74(w.read74(t, w.meter, id, servicerequests.Enabled)))
	w.lookup = fmt.Errorf("search: %w", ErrKeysUnavailable)
	_, err := w.Delivery(t.Context(), raw)
	wantFault(t, err, ErrUndecided, true)
	w.lookup = errors.New("none in use") // today
	_, err = w.Delivery(t.Context(), raw)
	wantFault(t, err, ErrUndecided, true)
	if !Undecided(err) {
		t.Errorf("final: %v", err)
	}
	w.lookup = nil
	if _, err = w.Delivery(t.Context(), raw); err != nil {
		t.Errorf("when there are keys: %v", err)
	}
}

// Messages of a device with new keys, or several, are proven under each key in use.
func TestDeliveryUnderEveryKeyInUse(t *testing.T) {
	w := newWorld(t)
	old, other := newDevice(t), newDevice(t)
	messages := map[string]func(device) []byte{
		"signature": func(d device) []byte { return w.signedByDCC(t, answer25(critical(t, d.signing, id, 0x0020))) },
		"MAC": func(d device) []byte {
			return w.signedByDCC(t, answer74(w.read74(t, d, id, servicerequests.Enabled)))
		},
	}
	for name, by := range messages {
		t.Run(name, func(t *testing.T) {
			// Both are in use, whichever the device has already.
			for _, d := range []device{old, w.meter} {
				w.remembered, w.refreshed = []device{w.meter, old}, 0
				if _, err := w.Delivery(t.Context(), by(d)); err != nil || w.refreshed != 0 {
					t.Errorf("both in use: %v, asked %d times", err, w.refreshed)
				}
			}
			// The new one is not known yet.
			w.remembered, w.refreshed = []device{old}, 0
			if _, err := w.Delivery(t.Context(), by(w.meter)); err != nil || w.refreshed != 1 {
				t.Errorf("a new key: %v, asked %d times", err, w.refreshed)
			}
			// For a message of somebody else the keys are asked for once, and it is refused.
			w.remembered, w.refreshed = []device{old}, 0
			_, err := w.Delivery(t.Context(), by(other))
			wantFault(t, err, ErrUnverified, true)
			if Undecided(err) || w.refreshed != 1 {
				t.Errorf("somebody else's: %v, asked %d times", err, w.refreshed)
			}
			// Keys that were asked for just now are not asked for again.
			w.refreshed = 0
			_, err = w.Delivery(t.Context(), by(other))
			wantFault(t, err, ErrUnverified, true)
			if w.refreshed != 0 {
				t.Errorf("fresh keys: asked %d times", w.refreshed)
			}
			// Who may not ask again so soon has decided nothing.
			w.remembered, w.tooSoon = []device{old}, ErrKeysUnavailable
			_, err = w.Delivery(t.Context(), by(other))
			wantFault(t, err, ErrUndecided, true)
			w.tooSoon = nil
		})
	}
}

// A certificate that is not configured may be the DCC's new one, one that is revoked is
// not.
func TestUnknownSigner(t *testing.T) {
	w, stranger := newWorld(t), newWorldWithOtherKeys(t)
	response := answer74(w.read74(t, w.meter, id, servicerequests.Enabled))
	_, err := w.Delivery(t.Context(), signXML(t, stranger.folder.DCC.XMLSigning, encode(t, response)))
	wantFault(t, err, ErrUnverified, false)
	if !errors.Is(err, ErrUnknownSigner) || !Undecided(err) {
		t.Errorf("another certificate: %v", err)
	}
	revoked := w.either.revoked
	w.either.revoked = func(*smki.Certificate) bool { return true }
	_, err = w.Delivery(t.Context(), w.signedByDCC(t, response))
	w.either.revoked = revoked
	if !errors.Is(err, ErrUnverified) || Undecided(err) {
		t.Errorf("a revoked certificate: %v", err)
	}
}

func TestClaim(t *testing.T) {
	w, stranger := newWorld(t), newWorldWithOtherKeys(t)
	w.lookup = errors.New("nobody is asked")
	impostor := newDevice(t)
	read := answer74(w.read74(t, impostor, id, servicerequests.Enabled))
	alarm := duis.Response{RequestID: id, Code: "I0", Content: duis.DeviceAlert{Code: 0x8F32, Payload: w.alert(t, w.meter, gbcs.Alert{Code: 0x8F32, At: now})}}
	quarantine := duis.Response{Code: "I0", Content: duis.DCCAlert{Code: "AD1", Event: duis.QuarantinedRequest{Breach: duis.UserThreshold, Request: id, EventRef: "1"}}}
	claimed := Claim{Kind: ClaimResponse, ID: id, Device: meter, Code: "I0", SRV: "7.4"}
	byDCC := claimed
	byDCC.FromDCC = true
	for _, test := range []struct {
		name string
		raw  []byte
		want Claim
	}{
		{"a response", w.signedByDCC(t, read), byDCC},
		{"in the wrong role", w.signedByTransform(t, read), byDCC},
		{"by somebody else", signXML(t, stranger.folder.DCC.XMLSigning, encode(t, read)), claimed},
		{"unsigned", encode(t, read), claimed},
		{"changed", tamper(t, w.signedByDCC(t, read), ">I0<", ">I1<"), Claim{Kind: ClaimResponse, ID: id, Device: meter, Code: "I1", SRV: "7.4"}},
		{"no answer", encode(t, duis.Response{RequestID: id, Code: "E21", ServiceReference: "7.4", SRV: "7.4"}), Claim{Kind: ClaimSilence, ID: id, Device: meter, Code: "E21", SRV: "7.4"}},
		{"an alert", w.signedByDCC(t, alarm), Claim{Kind: ClaimAlert, FromDCC: true, Device: meter, Code: "I0", Alert: "8F32"}},
		{"a DCC Alert", w.signedByDCC(t, quarantine), Claim{Kind: ClaimDCCAlert, FromDCC: true, Code: "I0", Alert: "AD1"}},
		{"an inventory", w.signedByDCC(t, inventoryReply()), Claim{Kind: ClaimOther, FromDCC: true, ID: inventoryReply().RequestID, Code: "I0", SRV: "8.2"}},
		{"another document", []byte("<a>b</a>"), Claim{}},
	} {
		got, err := w.Claim(test.raw)
		if (got.Err != nil) != (test.want.Kind == ClaimOther) {
			t.Errorf("%s: says %v", test.name, got.Err)
		}
		got.Err = nil
		if err != nil || got != test.want {
			t.Errorf("%s: got %+v, %v, want %+v", test.name, got, err, test.want)
		}
		filed, err := w.File(test.raw)
		filed.Err = nil
		if test.want.FromDCC = false; err != nil || filed != test.want {
			t.Errorf("%s: filed as %+v, %v, want %+v", test.name, filed, err, test.want)
		}
	}
	_, err := w.Claim([]byte("hello"))
	wantFault(t, err, ErrInvalid, false)
}
