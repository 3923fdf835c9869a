package proof

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
)

// forgery is a message that must be refused as a reply and as a delivery.
type forgery struct {
	name    string
	raw     []byte
	because error // what the error wraps, or nil
	fromDCC bool  // a key of the DCC has signed it all the same
}

// refuse gives each forgery to both ways in.
func refuse(t *testing.T, v *Verifier, forgeries []forgery) {
	t.Helper()
	for _, f := range forgeries {
		check := func(t *testing.T, err error) {
			wantFault(t, err, ErrUnverified, f.fromDCC)
			if f.because != nil && !errors.Is(err, f.because) {
				t.Errorf("got %v, want %v", err, f.because)
			}
			if e, ok := errors.AsType[*Error](err); ok && !f.fromDCC && e.ID != (servicerequests.RequestID{}) {
				t.Errorf("a stranger's message names request %s", e.ID)
			}
		}
		t.Run("reply/"+f.name, func(t *testing.T) {
			r, err := v.Reply(f.raw, id)
			check(t, err)
			if r.Code != "" || r.Content != nil {
				t.Errorf("refused, and gives %+v", r)
			}
		})
		t.Run("delivery/"+f.name, func(t *testing.T) {
			d, err := v.Delivery(t.Context(), f.raw)
			check(t, err)
			if d != (Delivery{}) {
				t.Errorf("refused, and gives %+v", d)
			}
		})
	}
}

// signAs signs with a key under any name.
func signAs(t testing.TB, by smki.SigningIdentity, issuer, serial string, r duis.Response) []byte {
	t.Helper()
	signed, err := (&xmldsig.Signer{Key: by.Key, Issuer: issuer, Serial: serial}).Sign(encode(t, r))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// The right key in the wrong role. What the XML says is true and well signed.
func TestAttackRightKeyWrongRole(t *testing.T) {
	w := newWorld(t)
	response := answer74(w.read74(t, w.meter, id, servicerequests.Enabled))
	emergency := answer25(critical(t, w.meter.signing, id, 0x0020))
	own := w.folder.Supplier
	refuse(t, w.Verifier, []forgery{
		{"Transform key on a device's response", w.signedByTransform(t, response), nil, true},
		{"Transform key on a device's critical response", w.signedByTransform(t, emergency), nil, true},
		{"Transform key on an inventory", w.signedByTransform(t, inventoryReply()), nil, true},
		{"supplier's XML key on a device's response", signXML(t, own.XMLSigning, encode(t, response)), xmldsig.ErrUnknownKey, false},
		{"supplier's XML key on a Pre-Command", signXML(t, own.XMLSigning, encode(t, preCommandReply())), xmldsig.ErrUnknownKey, false},
		{"supplier's XML key on an inventory", signXML(t, own.XMLSigning, encode(t, inventoryReply())), xmldsig.ErrUnknownKey, false},
		{"supplier's XML key on an error", signXML(t, own.XMLSigning, encode(t, acknowledgement("E20"))), xmldsig.ErrUnknownKey, false},
		{"supplier's GBCS key on a Pre-Command", signXML(t, own.DigitalSigning, encode(t, preCommandReply())), xmldsig.ErrUnknownKey, false},
	})
	// XML-signing on a Pre-Command: it is no delivery either, but that is decided first.
	_, err := w.Reply(w.signedByDCC(t, preCommandReply()), id)
	wantFault(t, err, ErrUnverified, true)
}

// The wrong key under every name that a message can give it.
func TestAttackKeyByName(t *testing.T) {
	w, stranger := newWorld(t), newWorldWithOtherKeys(t)
	response := answer74(w.read74(t, w.meter, id, servicerequests.Enabled))
	dcc, other := w.folder.DCC.XMLSigning, stranger.folder.DCC.XMLSigning
	issuer, serial := dcc.Certificate.Issuer, dcc.Certificate.SerialText()
	refuse(t, w.Verifier, []forgery{
		{"unknown serial", signAs(t, dcc, issuer, serial+"1", response), xmldsig.ErrUnknownKey, false},
		{"same serial, other issuer", signAs(t, dcc, "CN=Z1,OU=07", serial, response), xmldsig.ErrUnknownKey, false},
		{"another PKI", signXML(t, other, encode(t, response)), xmldsig.ErrUnknownKey, false},
		{"another PKI's key under the pinned name", signAs(t, other, issuer, serial, response), xmldsig.ErrSignature, false},
		{"Transform's key under XML-signing's name", signAs(t, w.folder.DCC.Transform, issuer, serial, response), xmldsig.ErrSignature, false},
		{"the supplier's key under the pinned name", signAs(t, w.folder.Supplier.XMLSigning, issuer, serial, response), xmldsig.ErrSignature, false},
	})
}

// Two pinned certificates may share a serial if their issuers differ: each name
// has its own key.
func TestAttackSameSerialOtherIssuer(t *testing.T) {
	w, stranger := newWorld(t), newWorldWithOtherKeys(t)
	first := w.folder.DCC.XMLSigning
	second := *first.Certificate
	second.Issuer, second.PublicKey = "CN=Z1,OU=07", stranger.folder.DCC.XMLSigning.Certificate.PublicKey
	v, err := New(Options{
		Transform: w.certificates(), XMLSigning: []*smki.Certificate{first.Certificate, &second},
		Agreements: w.agreements, Devices: w,
	})
	if err != nil {
		t.Fatal(err)
	}
	response := answer74(w.read74(t, w.meter, id, servicerequests.Enabled))
	serial := first.Certificate.SerialText()
	for issuer, by := range map[string]smki.SigningIdentity{first.Certificate.Issuer: first, second.Issuer: stranger.folder.DCC.XMLSigning} {
		if _, err := v.Delivery(t.Context(), signAs(t, by, issuer, serial, response)); err != nil {
			t.Errorf("%s, with its own key: %v", issuer, err)
		}
	}
	refuse(t, v, []forgery{
		{"the first key under the second name", signAs(t, first, second.Issuer, serial, response), xmldsig.ErrSignature, false},
		{"the second key under the first name", signAs(t, stranger.folder.DCC.XMLSigning, first.Certificate.Issuer, serial, response), xmldsig.ErrSignature, false},
	})
}

// A revoked certificate proves nothing from then on, whatever it signed.
func TestAttackRevokedSerial(t *testing.T) {
	w, successor := newWorld(t), newWorldWithOtherKeys(t)
	old, revoked := w.folder.DCC, false
	o := Options{
		Transform:  []*smki.Certificate{old.Transform.Certificate, successor.folder.DCC.Transform.Certificate},
		XMLSigning: []*smki.Certificate{old.XMLSigning.Certificate, successor.folder.DCC.XMLSigning.Certificate},
		Agreements: w.agreements, Devices: w,
		Revoked: func(c *smki.Certificate) bool {
			return revoked && (c == old.Transform.Certificate || c == old.XMLSigning.Certificate)
		},
	}
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	response := answer74(w.read74(t, w.meter, id, servicerequests.Enabled))
	if _, err := v.Delivery(t.Context(), w.signedByDCC(t, response)); err != nil {
		t.Errorf("before it is revoked: %v", err)
	}
	revoked = true
	if _, err := v.Delivery(t.Context(), successor.signedByDCC(t, response)); err != nil {
		t.Errorf("the certificate that is not revoked: %v", err)
	}
	refuse(t, v, []forgery{
		{"device's response", w.signedByDCC(t, response), xmldsig.ErrUnknownKey, false},
		{"inventory", w.signedByDCC(t, inventoryReply()), xmldsig.ErrUnknownKey, false},
		{"Pre-Command", w.signedByTransform(t, preCommandReply()), xmldsig.ErrUnknownKey, false},
		{"acknowledgement, which could have been unsigned", w.signedByDCC(t, acknowledgement("I99")), xmldsig.ErrUnknownKey, false},
	})
	o.Transform = o.Transform[:1]
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "transform: every certificate is revoked") {
		t.Errorf("a role whose certificates are all revoked: %v", err)
	}
}

// Data is read from the bytes whose digest was proven. Those bytes are another
// text than what came, and what came cannot be read as data at all.
func TestAttackDataFromUnprovenBytes(t *testing.T) {
	w := newWorld(t)
	for name, raw := range map[string][]byte{
		"inventory":                w.signedByDCC(t, inventoryReply()),
		"Pre-Command":              w.signedByTransform(t, preCommandReply()),
		"indented Pre-Command":     bytes.ReplaceAll(w.signedByTransform(t, preCommandReply()), []byte("><sr:"), []byte(">\n<sr:")),
		"declaration before it":    append([]byte("<?xml version='1.0'?>\n"), w.signedByDCC(t, inventoryReply())...),
		"space after the document": append(w.signedByDCC(t, inventoryReply()), " \n"...),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := duis.DecodeResponse(raw); !errors.Is(err, duis.ErrFormat) {
				t.Errorf("data can be read past the signature: %v", err)
			}
			if _, err := w.Reply(raw, id); err != nil {
				t.Error(err)
			}
		})
	}
}

// Another document around, beside or within the proven one is never the one that
// is read, and an unproven one is never read in its place.
func TestAttackWrappedData(t *testing.T) {
	w := newWorld(t)
	read := func(s servicerequests.SupplyState) []byte {
		return w.signedByDCC(t, answer74(w.read74(t, w.meter, id, s)))
	}
	signed, evil := string(read(servicerequests.Disabled)), string(encode(t, answer74(w.read74(t, w.meter, id, servicerequests.Enabled))))
	cut := strings.Index(signed, "<ds:Signature ")
	signature := strings.TrimSuffix(signed[cut:], "</sr:Response>")
	doc := signed[:cut] + "</sr:Response>"
	within := func(root, text string) []byte {
		return []byte(strings.TrimSuffix(root, "</sr:Response>") + text + "</sr:Response>")
	}
	body := doc[strings.Index(doc, "<sr:Body>"):strings.Index(doc, "</sr:Response>")]
	evilBody := evil[strings.Index(evil, "<sr:Body>"):strings.Index(evil, "</sr:Response>")]
	refuse(t, w.Verifier, []forgery{
		{"another root around it", within(evil, signed), xmldsig.ErrProfile, false},
		{"another root around its parts", within(evil, doc+signature), xmldsig.ErrDigest, false},
		{"another root with its signature", within(evil, signature), xmldsig.ErrDigest, false},
		{"another Body before", within(strings.Replace(doc, body, evilBody+body, 1), signature), xmldsig.ErrDigest, false},
		{"another Body after", within(doc, evilBody+signature), xmldsig.ErrDigest, false},
		{"another Body after the signature", within(doc, signature+evilBody), xmldsig.ErrProfile, false},
		{"another Body with the signed one in the signature", within(strings.Replace(doc, body, evilBody, 1), strings.Replace(signature, "</ds:Signature>", body+"</ds:Signature>", 1)), xmldsig.ErrProfile, false},
		{"the unsigned document, signed one as an Object", within(evil, strings.Replace(signature, "</ds:Signature>", "<ds:Object>"+doc+"</ds:Object></ds:Signature>", 1)), xmldsig.ErrProfile, false},
		{"without its signature", []byte(doc), nil, false},
	})
	// A Signature in another namespace is none, and no part of DUIS either.
	_, err := w.Delivery(t.Context(), []byte(strings.Replace(signed, "2000/09/xmldsig#\"", "2000/09/xmldsig\"", 1)))
	wantFault(t, err, ErrInvalid, false)
}
