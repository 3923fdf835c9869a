package proof

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"safemode/engine/record"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
)

// provider signs a vector's message as a provider would: cut out, as a document of its own.
func (w *world) provider(t *testing.T, name, element string) []byte {
	t.Helper()
	document := string(canonical(t, outside.Read(t, name)))
	const end = "</ds:Signature>"
	unsigned := document[:strings.Index(document, "<ds:Signature>")] + document[strings.Index(document, end)+len(end):]
	from, to := strings.Index(unsigned, "<sr:"+element+" "), strings.Index(unsigned, "</sr:"+element+">")+len("</sr:"+element+">")
	if from < 0 || to < from {
		t.Fatalf("%s has no %s", name, element)
	}
	names := ` xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway"`
	if strings.Contains(unsigned[from:to], "<ra:") {
		names = ` xmlns:ra="http://www.dccinterface.co.uk/ResponseAndAlert"` + names
	}
	own := strings.Replace(unsigned[from:to], "<sr:"+element, "<sr:"+element+names, 1)
	signed := signXML(t, w.folder.Supplier.XMLSigning, []byte(own)) // a key of no role is as good as any
	return canonical(t, []byte(unsigned[:from]+string(signed)+unsigned[to:]))
}

// TestSMETS1 reads and proves what providers say, and finds it other traffic whatever came
// of that: a provider's word is no meter's.
func TestSMETS1(t *testing.T) {
	w := newWorld(t)
	known := newWorld(t)
	var err error
	if known.Verifier, err = New(Options{
		Transform: []*smki.Certificate{w.folder.DCC.Transform.Certificate}, XMLSigning: []*smki.Certificate{w.folder.DCC.XMLSigning.Certificate},
		S1SP: []*smki.Certificate{w.folder.Supplier.XMLSigning.Certificate}, Agreements: w.agreements, Devices: w,
	}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		element, says string
		kind          record.OtherKind
	}{
		"smets1/smets1.xml":  {"SMETS1SignedResponse", "SMETS1: UpdatePaymentModeRsp of 00-DB-12-34-56-78-90-A0, success; ", record.OtherSMETS1},
		"smets1/s1alert.xml": {"S1SPAlert", "SMETS1: provider's alert S1VE1 about 00-DB-12-34-56-78-90-A0; ", record.OtherS1SP},
	} {
		vector, signed := canonical(t, outside.Read(t, name)), w.provider(t, name, c.element)
		changed := bytes.Replace(bytes.Replace(signed, []byte(`"true"`), []byte(`"false"`), 1), []byte("S1VE1"), []byte("S1VE9"), 1)
		answers := bytes.Replace(signed, []byte(":1000</sr:RequestID>"), []byte(":1001</sr:RequestID>"), 1)
		for what, c := range map[string]struct {
			verifier *Verifier
			document []byte
			says     string
			failed   error
		}{
			"without a key":            {w.Verifier, signed, c.says + "no key of a provider is configured", nil},
			"signed":                   {known.Verifier, signed, c.says + "signed by ", nil},
			"signed in another form":   {known.Verifier, vector, c.says + "the provider's signature is not proven: ", xmldsig.ErrProfile},
			"changed by the DCC":       {known.Verifier, changed, "the provider's signature is not proven: ", xmldsig.ErrDigest},
			"another request's":        {known.Verifier, answers, "", nil},
			"something that is unread": {known.Verifier, bytes.Replace(signed, []byte(`schemaVersion="5.4"><sr:SMETS1Response>`), []byte(`schemaVersion="7.0"><sr:SMETS1Response>`), 1), "", nil},
		} {
			d, err := w.deliver(t, c.verifier, c.document)
			fault, ok := errors.AsType[*Error](err)
			if !ok || !errors.Is(err, ErrOther) || !fault.FromDCC || d.DCCAlert != nil {
				t.Errorf("%s, %s: %+v, %v", name, what, d, err)
				continue
			}
			if !strings.Contains(err.Error(), c.says) || c.failed != nil && !errors.Is(err, c.failed) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		if _, err := w.deliver(t, w.Verifier, vector); !strings.Contains(err.Error(), c.says) || errors.As(err, new(*Error)) && kindIn(err) != c.kind {
			t.Errorf("%s: kind %q, %v", name, kindIn(err), err)
		}
	}
}

func kindIn(err error) record.OtherKind {
	fault, _ := errors.AsType[*Error](err)
	return fault.Other
}

func (w *world) deliver(t *testing.T, v *Verifier, document []byte) (Delivery, error) {
	t.Helper()
	return v.Delivery(t.Context(), signXML(t, w.folder.DCC.XMLSigning, document))
}
