package proof

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/xmltree"
)

// The User's other traffic comes to the same inbox. What the DCC has signed and what is no
// answer to a request of ours is told apart from lies, whatever its form is.
func TestOtherTraffic(t *testing.T) {
	w := newWorld(t)
	var content struct{ Vectors []struct{ Name, Hex string } }
	outside.Decode(t, "gbcs-other-traffic.json", &content)
	documents := map[string][]byte{}
	for _, v := range content.Vectors {
		payload, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		r := duis.Response{Code: servicerequests.Success, Content: duis.DeviceAlert{Code: 0x8F66, Payload: payload}}
		if strings.HasSuffix(v.Name, "RESPONSE") {
			r = answer74(payload)
			r.ServiceReference, r.SRV = "4.8", "4.8.1"
		}
		documents[v.Name] = encode(t, r)
	}
	for _, name := range []string{"smets1/smets1.xml", "smets1/s1alert.xml"} {
		documents[name] = canonical(t, outside.Read(t, name))
	}
	read := string(encode(t, answer74([]byte{0xDF})))
	payload := read[strings.Index(read, "<sr:GBCSPayload>") : strings.Index(read, "</sr:GBCSPayload>")+len("</sr:GBCSPayload>")]
	scheduled := "<sr:DSPScheduledMessage>" + payload + "<sr:DSPScheduleID>17</sr:DSPScheduleID></sr:DSPScheduledMessage>"
	documents["a scheduled message"] = []byte(strings.Replace(read, payload, scheduled, 1))
	documents["a schedule's id"] = []byte(strings.Replace(read, payload, "<sr:DSPScheduleID>17</sr:DSPScheduleID>", 1))
	documents["a later schema"] = []byte(strings.Replace(read, `schemaVersion="5.4"`, `schemaVersion="6.0"`, 1))
	documents["content of a later schema"] = []byte(strings.Replace(read, payload, "<sr:New></sr:New>", 1))

	kinds := map[string]record.OtherKind{
		"ECS22b_4.8.1_SINGLE_SUCCESS_RESPONSE": record.OtherUseCase, "CS06_11.3_8F66_FUTURE_DATED_SUCCESS_ALERT": record.OtherForm,
		"ECS21c_4.6.2_SUCCESS_RESPONSE": record.OtherUseCase, "ECS200_NA_8F88_ALERT": record.OtherForm,
		"smets1/smets1.xml": record.OtherSMETS1, "smets1/s1alert.xml": record.OtherS1SP,
		"a scheduled message": record.OtherService, "a schedule's id": record.OtherService,
		"a later schema": record.OtherSchema, "content of a later schema": record.OtherSchema,
	}
	for name, document := range documents {
		d, err := w.Delivery(t.Context(), signXML(t, w.folder.DCC.XMLSigning, document))
		if err == nil {
			t.Errorf("%s: %+v", name, d)
			continue
		}
		t.Run(name, func(t *testing.T) { wantFault(t, err, ErrOther, true) })
		if kind := kindIn(err); kind != kinds[name] {
			t.Errorf("%s: kind %q, want %q", name, kind, kinds[name])
		}
		// Under no signature of the DCC it is nothing of the kind.
		_, err = w.Delivery(t.Context(), document)
		if _, claim := w.Claim(document); claim != nil || err == nil || strings.Contains(err.Error(), ErrOther.Error()) {
			t.Errorf("%s, unsigned: %v, %v", name, claim, err)
		}
	}
}

// XML that is larger than the tree takes, or has more than DUIS uses, is XML all the same:
// an authenticated peer's is kept. A stranger's is not.
func TestXMLThatIsNotRead(t *testing.T) {
	w := newWorld(t)
	for text, xml := range map[string]bool{
		"<a>" + strings.Repeat("<b/>", 5000) + "</a>":         true,
		"<a><!-- b --></a>":                                   true,
		"\ufeff<?xml version=\"1.0\"?><a><![CDATA[b]]></a>\n": true,
		"<a><?b c?></a>":                                      true,
		"<a><b></a></b>":                                      false,
		"<a></a><b></b>":                                      false,
		"<!-- a -->":                                          false,
		"hello":                                               false,
		"<a/>hello":                                           false,
		"":                                                    false,
		"{}":                                                  false,
		"<a>":                                                 false,
	} {
		if c, err := w.File([]byte(text)); (err == nil) != xml || xml && (c.Kind != ClaimOther || c.Err == nil) {
			t.Errorf("%.40q: %+v, %v", text, c, err)
		}
		if c, err := w.Claim([]byte(text)); err == nil || c.FromDCC {
			t.Errorf("%.40q of a stranger: %+v, %v", text, c, err)
		}
		if _, err := w.Delivery(t.Context(), []byte(text)); err == nil {
			t.Errorf("%.40q is proven", text)
		}
	}
}

// canonical is a document as a signer takes it.
func canonical(t *testing.T, document []byte) []byte {
	t.Helper()
	tree, err := xmltree.Parse(bytes.TrimSpace(document))
	if err != nil {
		t.Fatal(err)
	}
	return tree.AppendCompact(nil, tree.Root(), xmltree.Node{})
}
