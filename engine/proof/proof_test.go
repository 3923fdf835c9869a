package proof

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/smki/smkitest"
	"safemode/servicerequests/xmldsig"
)

const (
	supplier = smki.TestSupplier
	dcc      = smki.TestDCC
	meter    = servicerequests.EUI(0x00DB1234567890A0)
)

var (
	id  = servicerequests.RequestID{Originator: supplier, Target: meter, Counter: 1000}
	now = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
)

// device is a meter's private keys.
type device struct {
	signing   *ecdsa.PrivateKey
	agreement *ecdh.PrivateKey
}

// world is a verifier with a PKI and one meter behind it.
type world struct {
	*Verifier
	folder *smki.Folder
	meter  device
	lookup error // what the directory answers instead of the meter's keys

	remembered []device // what Keys answers with, if anything, until Refresh was asked
	refreshed  int
	tooSoon    error // what Refresh answers instead
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{meter: newDevice(t), folder: smkitest.Folder(t, smki.TestFolder{Seed: []byte("proof")})}
	var err error
	w.Verifier, err = New(Options{
		Transform:    []*smki.Certificate{w.folder.DCC.Transform.Certificate},
		XMLSigning:   []*smki.Certificate{w.folder.DCC.XMLSigning.Certificate},
		Agreements:   map[servicerequests.EUI]gbcs.Agreement{supplier: gbcs.AgreementOf(w.folder.Supplier.KeyAgreement.Key)},
		Devices:      w,
		ServerProven: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newDevice(t testing.TB) device {
	t.Helper()
	signing, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	agreement, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return device{signing, agreement}
}

// Keys makes world the directory: it knows one meter.
func (w *world) Keys(ctx context.Context, eui servicerequests.EUI) (DeviceKeys, error) {
	switch {
	case w.lookup != nil:
		return DeviceKeys{}, w.lookup
	case eui != meter:
		return DeviceKeys{}, errors.New("unknown device")
	case w.remembered != nil:
		return keysOf(w.remembered...), nil
	}
	keys := keysOf(w.meter)
	keys.Fresh = true
	return keys, nil
}

// Refresh forgets what was remembered.
func (w *world) Refresh(ctx context.Context, eui servicerequests.EUI) (DeviceKeys, error) {
	w.refreshed++
	if w.tooSoon != nil {
		return DeviceKeys{}, w.tooSoon
	}
	w.remembered = nil
	return w.Keys(ctx, eui)
}

func keysOf(devices ...device) (keys DeviceKeys) {
	for _, d := range devices {
		keys.DigitalSignature = append(keys.DigitalSignature, &d.signing.PublicKey)
		keys.KeyAgreement = append(keys.KeyAgreement, d.agreement.PublicKey())
	}
	return keys
}

func encode(t testing.TB, r duis.Response) []byte {
	t.Helper()
	if r.At.IsZero() {
		r.At = now
	}
	b, err := duis.AppendResponse(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func signXML(t testing.TB, by smki.SigningIdentity, doc []byte) []byte {
	t.Helper()
	return signXMLAs(t, by.Key, by.Certificate, doc)
}

// signXMLAs signs with a key and names a certificate, which need not fit.
func signXMLAs(t testing.TB, key crypto.Signer, named *smki.Certificate, doc []byte) []byte {
	t.Helper()
	s := xmldsig.Signer{Key: key, Issuer: named.Issuer, Serial: named.SerialText()}
	signed, err := s.Sign(doc)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func (w *world) signedByTransform(t testing.TB, r duis.Response) []byte {
	return signXML(t, w.folder.DCC.Transform, encode(t, r))
}

func (w *world) signedByDCC(t testing.TB, r duis.Response) []byte {
	return signXML(t, w.folder.DCC.XMLSigning, encode(t, r))
}

// header is that of a request's Command.
func header(id servicerequests.RequestID, code uint16) gbcs.Header {
	return gbcs.Header{CRA: gbcs.CRACommand, Counter: id.Counter, Originator: id.Originator, Target: id.Target, Code: code}
}

// critical is the signed response of a meter; Supply counts where the use case
// has one.
func critical(t testing.TB, key *ecdsa.PrivateKey, id servicerequests.RequestID, code uint16) []byte {
	t.Helper()
	h := header(id, code).Response(gbcs.NewDateTime(now, gbcs.ClockUnspecified))
	payload, err := gbcs.AppendResponsePayload(nil, h, gbcs.Response{Supply: servicerequests.Enabled})
	if err != nil {
		t.Fatal(err)
	}
	message, err := gbcs.AppendSigned(nil, h, payload, key)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// read74 is a response to 7.4 with a MAC.
func (w *world) read74(t testing.TB, d device, id servicerequests.RequestID, supply servicerequests.SupplyState) []byte {
	t.Helper()
	h := header(id, 0x0052).Response(gbcs.DateTime{})
	payload, err := gbcs.AppendResponsePayload(nil, h, gbcs.Response{Supply: supply})
	if err != nil {
		t.Fatal(err)
	}
	return w.mac(t, d, h, payload, gbcs.ModeResponse)
}

func (w *world) mac(t testing.TB, d device, h gbcs.Header, payload []byte, mode gbcs.Mode) []byte {
	t.Helper()
	z, err := gbcs.SharedSecret(d.agreement, w.folder.Supplier.KeyAgreement.Key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	key := gbcs.DeriveKeyFromSecret(z, mode, h.Originator, h.Counter, h.Target)
	return gbcs.AppendMAC(nil, gbcs.AppendNull(nil, h, payload), h.Originator, key)
}

// alert is a meter's alert, signed or with a MAC as its code demands.
func (w *world) alert(t testing.TB, d device, a gbcs.Alert) []byte {
	t.Helper()
	h := gbcs.Header{CRA: gbcs.CRAAlert, Counter: 77, Originator: meter, Target: supplier, Code: a.MessageCode()}
	payload, err := gbcs.AppendAlertPayload(nil, h.Counter, a)
	if err != nil {
		t.Fatal(err)
	}
	if !a.Critical() {
		return w.mac(t, d, h, payload, gbcs.ModeAlert)
	}
	message, err := gbcs.AppendSigned(nil, h, payload, d.signing)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// answer74 is the DUIS response around a device's answer to 7.4.
func answer74(message []byte) duis.Response {
	return duis.Response{
		RequestID: id, ResponseID: id.Reversed(), Code: servicerequests.Success,
		ServiceReference: "7.4", SRV: "7.4", Content: duis.DeviceResponse{Payload: message},
	}
}

func answer25(message []byte) duis.Response {
	r := answer74(message)
	r.ServiceReference, r.SRV = "2.5", "2.5"
	return r
}

// wantFault checks an error's kind and whether it is laid at the DCC's door.
func wantFault(t *testing.T, err, kind error, fromDCC bool) {
	t.Helper()
	for _, k := range []error{ErrInvalid, ErrUnverified, ErrUndecided} {
		if errors.Is(err, k) != errors.Is(kind, k) {
			t.Errorf("got %v, want %v", err, kind)
			return
		}
	}
	if e, ok := errors.AsType[*Error](err); !ok || e.FromDCC != fromDCC {
		t.Errorf("%v: from the DCC: want %v", err, fromDCC)
	}
}

// tamper replaces the only occurrence of a text.
func tamper(t *testing.T, raw []byte, old, replacement string) []byte {
	t.Helper()
	if bytes.Count(raw, []byte(old)) != 1 {
		t.Fatalf("%q is not there once in %s", old, raw)
	}
	return bytes.Replace(raw, []byte(old), []byte(replacement), 1)
}

func TestNewRefusesCertificatesOfTheWrongRole(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]*smki.Certificate{
		"supplier XML signing":     w.folder.Supplier.XMLSigning.Certificate,
		"supplier digital signing": w.folder.Supplier.DigitalSigning.Certificate,
		"supplier key agreement":   w.folder.Supplier.KeyAgreement.Certificate,
		"broker key agreement":     w.folder.DCC.ACBKeyAgreement.Certificate,
		"authority":                w.folder.Issuing.Certificate,
	} {
		good := []*smki.Certificate{w.folder.DCC.Transform.Certificate}
		own := map[servicerequests.EUI]gbcs.Agreement{supplier: gbcs.AgreementOf(w.folder.Supplier.KeyAgreement.Key)}
		for _, o := range []Options{
			{Transform: []*smki.Certificate{c}, XMLSigning: good, Agreements: own, Devices: w},
			{Transform: good, XMLSigning: []*smki.Certificate{c}, Agreements: own, Devices: w},
		} {
			if _, err := New(o); !errors.Is(err, smki.ErrPurpose) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Error("nothing at all was accepted")
	}
}

// DCC's own test system has signed this inventory.
func TestInventoryOfTheOutsideVectors(t *testing.T) {
	raw := outside.Read(t, "duis/response-8.2-signed.xml")
	c, err := smki.ParseCertificatePEM(outside.Read(t, "duis/dsp-xml-signing-acb.pem"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	v, err := New(Options{
		Transform: []*smki.Certificate{c}, XMLSigning: []*smki.Certificate{c},
		Agreements: w.agreements, Devices: w,
	})
	if err != nil {
		t.Fatal(err)
	}
	proven, err := xmldsig.Verify(raw, v.either)
	if err != nil {
		t.Fatal(err)
	}
	r, err := duis.DecodeResponse(proven.Document)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Reply(raw, r.RequestID)
	if err != nil {
		t.Fatal(err)
	}
	if inventory, ok := got.Content.(duis.Inventory); !ok || len(inventory) == 0 {
		t.Errorf("got %T", got.Content)
	}
	other := r.RequestID
	other.Counter++
	_, err = v.Reply(raw, other)
	wantFault(t, err, ErrUnverified, true)
	_, err = w.Reply(raw, r.RequestID) // whose DCC has other keys
	wantFault(t, err, ErrUnverified, false)
}

func BenchmarkDelivery(b *testing.B) {
	w := newWorld(b)
	for name, raw := range map[string][]byte{
		"signature": w.signedByDCC(b, answer25(critical(b, w.meter.signing, id, 0x0020))),
		"MAC":       w.signedByDCC(b, answer74(w.read74(b, w.meter, id, servicerequests.Enabled))),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Delivery(b.Context(), raw); err != nil {
					b.Fatal(fmt.Errorf("delivery: %w", err))
				}
			}
		})
	}
}
