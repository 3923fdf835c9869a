package proof

import (
	"testing"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/smki"
)

func preCommandReply() duis.Response {
	return duis.Response{
		RequestID: id, Code: servicerequests.Success, ServiceReference: "7.3", SRV: "7.3",
		Content: duis.PreCommand{GBCSVersion: "4.3", Payload: []byte{0xDF, 0x09}},
	}
}

func inventoryReply() duis.Response {
	return duis.Response{
		RequestID: id, Code: servicerequests.Success, ServiceReference: "8.2", SRV: "8.2",
		Content: duis.Inventory{{ID: meter, Type: "ESME", Manufacturer: "10AF", Model: "00000001"}},
	}
}

func acknowledgement(code servicerequests.ResponseCode) duis.Response {
	return duis.Response{RequestID: id, Code: code, ServiceReference: "7.3", SRV: "7.3"}
}

func TestReply(t *testing.T) {
	w := newWorld(t)
	pre, inventory := preCommandReply(), inventoryReply()
	anonymous := acknowledgement("E65")
	anonymous.RequestID = servicerequests.RequestID{}
	for name, raw := range map[string][]byte{
		"Pre-Command":                    w.signedByTransform(t, pre),
		"inventory":                      w.signedByDCC(t, inventory),
		"acknowledgement":                encode(t, acknowledgement("I99")),
		"error":                          encode(t, acknowledgement("E4")),
		"error without a Request ID":     encode(t, anonymous),
		"signed error":                   w.signedByDCC(t, acknowledgement("E4")),
		"error signed by Transform":      w.signedByTransform(t, acknowledgement("E4")),
		"signed acknowledgement":         w.signedByDCC(t, acknowledgement("I99")),
		"indented acknowledgement":       []byte("<?xml version=\"1.0\"?>\n" + string(tamper(t, encode(t, acknowledgement("I99")), "<sr:Body>", "\n  <sr:Body>\n    "))),
		"acknowledgement of one we lost": encode(t, acknowledgement(servicerequests.DuplicateID)),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := w.Reply(raw, id); err != nil {
				t.Error(err)
			}
		})
	}
	got, err := w.Reply(w.signedByTransform(t, pre), id)
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := got.Content.(duis.PreCommand); !ok || string(c.Payload) != "\xDF\x09" {
		t.Errorf("got %+v", got)
	}
}

func TestReplyRefuses(t *testing.T) {
	w := newWorld(t)
	stranger := newWorldWithOtherKeys(t)
	pre, inventory := preCommandReply(), inventoryReply()
	otherID := pre
	otherID.RequestID.Counter++
	noID := pre
	noID.RequestID = servicerequests.RequestID{}
	failed := pre
	failed.Code = "E4"
	signedPre := w.signedByTransform(t, pre)
	dcc := w.folder.DCC
	for _, test := range []struct {
		name    string
		raw     []byte
		kind    error
		fromDCC bool
	}{
		{"Pre-Command by the XML-signing key", w.signedByDCC(t, pre), ErrUnverified, true},
		{"inventory by the Transform key", w.signedByTransform(t, inventory), ErrUnverified, true},
		{"unsigned Pre-Command", encode(t, pre), ErrUnverified, false},
		{"unsigned inventory", encode(t, inventory), ErrUnverified, false},
		{"Pre-Command by the supplier's XML key", signXML(t, w.folder.Supplier.XMLSigning, encode(t, pre)), ErrUnverified, false},
		{"Pre-Command by the supplier's GBCS key", signXML(t, w.folder.Supplier.DigitalSigning, encode(t, pre)), ErrUnverified, false},
		{"Pre-Command by another PKI", signXML(t, stranger.folder.DCC.Transform, encode(t, pre)), ErrUnverified, false},
		{"another key under Transform's name", signXMLAs(t, stranger.folder.DCC.Transform.Key, dcc.Transform.Certificate, encode(t, pre)), ErrUnverified, false},
		{"the XML-signing key under Transform's name", signXMLAs(t, dcc.XMLSigning.Key, dcc.Transform.Certificate, encode(t, pre)), ErrUnverified, false},
		{"a changed payload", tamper(t, signedPre, ">3wk=<", ">3wo=<"), ErrUnverified, false},
		{"a changed code", tamper(t, signedPre, ">I0<", ">I1<"), ErrUnverified, false},
		{"the answer to another request", w.signedByTransform(t, otherID), ErrUnverified, true},
		{"a signed answer to no request", w.signedByTransform(t, noID), ErrUnverified, true},
		{"a Pre-Command with an error", w.signedByTransform(t, failed), ErrUnverified, true},
		{"success without data", encode(t, acknowledgement("I0")), ErrUnverified, false},
		{"signed success without data", w.signedByDCC(t, acknowledgement("I0")), ErrUnverified, true},
		{"an acknowledgement with a bad signature", tamper(t, w.signedByDCC(t, acknowledgement("I99")), ">I99<", ">E20<"), ErrUnverified, false},
		{"a device's response", w.signedByDCC(t, answer25(critical(t, w.meter.signing, id, 0x0020))), ErrUnverified, true},
		{"no DUIS", []byte("<html></html>"), ErrInvalid, false},
		{"no XML", []byte("out of order"), ErrInvalid, false},
		{"nothing", nil, ErrInvalid, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := w.Reply(test.raw, id)
			wantFault(t, err, test.kind, test.fromDCC)
		})
	}
}

// One certificate may hold both roles, as in DCC Boxed.
func TestReplyWithOneCertificateForBoth(t *testing.T) {
	w := newWorld(t)
	v, err := New(Options{
		Transform:  w.certificates(),
		XMLSigning: w.certificates(),
		Agreements: w.agreements, Devices: w,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []duis.Response{preCommandReply(), inventoryReply()} {
		if _, err := v.Reply(w.signedByTransform(t, r), id); err != nil {
			t.Error(err)
		}
	}
}

// Over a channel that does not prove the DCC an unsigned word may have the engine
// wait or try again, and nothing else.
func TestReplyOverAnUnprovenChannel(t *testing.T) {
	w := newWorld(t)
	v, err := New(Options{
		Transform: []*smki.Certificate{w.folder.DCC.Transform.Certificate}, XMLSigning: []*smki.Certificate{w.folder.DCC.XMLSigning.Certificate},
		Agreements: w.agreements, Devices: w,
	})
	if err != nil {
		t.Fatal(err)
	}
	for code, believed := range map[servicerequests.ResponseCode]bool{
		"I99": true, "E20": true, "E21": true, "E30": true,
		"E1": false, "E2": false, "E3": false, "E4": false, "E5": false, "E11": false, servicerequests.DuplicateID: false, "E999": false,
	} {
		raw := encode(t, acknowledgement(code))
		if _, err := v.Reply(raw, id); (err == nil) != believed {
			t.Errorf("unsigned %s: %v", code, err)
		} else if err != nil {
			wantFault(t, err, ErrUnverified, false)
		}
		if _, err := v.Reply(w.signedByDCC(t, acknowledgement(code)), id); err != nil {
			t.Errorf("signed %s: %v", code, err)
		}
		if _, err := w.Reply(raw, id); err != nil {
			t.Errorf("unsigned %s over a channel that proves the DCC: %v", code, err)
		}
	}
}
