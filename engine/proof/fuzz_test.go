package proof

import (
	"errors"
	"testing"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/heaptest"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/xmltree"
)

func FuzzDelivery(f *testing.F) {
	w := newWorld(f)
	f.Add(w.signedByDCC(f, answer74(w.read74(f, w.meter, id, servicerequests.Enabled))))
	f.Add(w.signedByDCC(f, answer25(critical(f, w.meter.signing, id, 0x0020))))
	f.Add(encode(f, duis.Response{RequestID: id, Code: servicerequests.NoResponse, ServiceReference: "7.4", SRV: "7.4"}))
	f.Add([]byte("<Response/>"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var d Delivery
		var err error
		heaptest.Limit(t, len(raw), func() { d, err = w.Delivery(t.Context(), raw) })
		if _, none := w.Claim(raw); none != nil && err == nil {
			t.Errorf("proven, and no XML: %v", none)
		}
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Errorf("%T is not this package's error: %v", err, err)
			}
			return
		}
		if !d.Signed && (d.Result != nil || d.Alert != nil || d.DCCAlert != nil) {
			t.Error("data without a signature")
		}
	})
}

// FuzzDeliveredMessage signs whatever it is given as the DCC: the meter's own
// proof must still hold, so nothing but the meter's two messages is a result.
func FuzzDeliveredMessage(f *testing.F) {
	w := newWorld(f)
	mac, signed := w.read74(f, w.meter, id, servicerequests.Enabled), critical(f, w.meter.signing, id, 0x0020)
	f.Add("7.4", mac)
	f.Add("2.5", signed)
	f.Fuzz(func(t *testing.T, srv string, message []byte) {
		r := answer74(message)
		r.ServiceReference, r.SRV = srv, srv
		raw, err := duis.AppendResponse(nil, r)
		if err != nil {
			return
		}
		d, err := w.Delivery(t.Context(), signXML(t, w.folder.DCC.XMLSigning, raw))
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || !e.FromDCC {
				t.Errorf("%T is not this package's error about the DCC: %v", err, err)
			}
			return
		}
		if got := said(t, message); got != said(t, mac) && got != said(t, signed) || d.Result == nil {
			t.Errorf("believed what the meter never said: %x", message)
		}
	})
}

// said is a message without what protects it.
func said(t *testing.T, message []byte) string {
	t.Helper()
	m, err := gbcs.Parse(message)
	if err != nil {
		t.Fatal(err)
	}
	return string(gbcs.AppendMessage(nil, m.Header, m.Payload))
}

func FuzzReply(f *testing.F) {
	w := newWorld(f)
	f.Add(encode(f, duis.Response{RequestID: id, Code: servicerequests.Acknowledged, ServiceReference: "7.4", SRV: "7.4"}))
	f.Add(w.signedByDCC(f, answer74(w.read74(f, w.meter, id, servicerequests.Enabled))))
	f.Add([]byte("<html></html>"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r duis.Response
		var err error
		heaptest.Limit(t, len(raw), func() { r, err = w.Reply(raw, id) })
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Errorf("%T is not this package's error: %v", err, err)
			}
			return
		}
		// The seeds hold no signed reply, so nothing that is taken carries data.
		if r.Content != nil || r.Code.Class() == servicerequests.CodeSuccess {
			t.Errorf("believed %+v", r)
		}
	})
}

// FuzzFile files anything: XML is kept whatever it says, and nothing else is. A stranger's
// claim counts for nothing.
func FuzzFile(f *testing.F) {
	w := newWorld(f)
	f.Add(w.signedByDCC(f, answer74(w.read74(f, w.meter, id, servicerequests.Enabled))))
	f.Add([]byte("\ufeff<?xml version=\"1.0\"?><a><![CDATA[b]]></a>\n"))
	f.Add([]byte("<a><!-- b --></a>"))
	if outside.HasVectors(f) {
		f.Add(outside.Read(f, "smets1/smets1.xml"))
		f.Add(outside.Read(f, "smets1/s1alert.xml"))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var c Claim
		var err error
		heaptest.Limit(t, len(raw), func() { c, err = w.File(raw) })
		tree, syntax := xmltree.Parse(raw)
		if syntax == nil {
			tree.Release()
		}
		if (err == nil) != (syntax == nil || wellFormed(raw)) || err != nil && !errors.Is(err, ErrInvalid) {
			t.Fatalf("filed: %v; XML: %v", err, syntax)
		}
		if c.FromDCC || (c.Kind == ClaimOther) != (c.Err != nil) && err == nil {
			t.Fatalf("%+v", c)
		}
		if _, err := w.Delivery(t.Context(), raw); err == nil && c.Kind == ClaimOther {
			t.Fatalf("proven, and filed as %v", c.Err)
		}
	})
}
