package xmldsig_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/servicerequests/outside"
	"safemode/servicerequests/xmldsig"
)

func TestVerifySignedByDCC(t *testing.T) {
	tests := []struct {
		file, certificate string
		want              error
	}{
		{"response-11.2-signed.xml", "dsp-xml-signing-older.pem", nil},
		{"response-8.2-signed.xml", "dsp-xml-signing-acb.pem", nil},
		{"response-11.2-badsignature.xml", "dsp-xml-signing-older.pem", xmldsig.ErrSignature},
		{"response-8.2-signed.xml", "dsp-xml-signing-older.pem", xmldsig.ErrUnknownKey},
		{"acknowledgement-error-unsigned.xml", "dsp-xml-signing-older.pem", xmldsig.ErrUnsigned},
	}
	for _, tt := range tests {
		doc := outside.Read(t, "duis/"+tt.file)
		proven, err := verify(t, doc, pinnedPEM(t, outside.Read(t, "duis/"+tt.certificate)))
		if !errors.Is(err, tt.want) {
			t.Errorf("%s with %s: %v, want %v", tt.file, tt.certificate, err, tt.want)
		}
		if err == nil && (!strings.Contains(string(proven.Document), "<sr:ResponseCode>I0<") || strings.Contains(string(proven.Document), "Signature")) {
			t.Errorf("%s: proven %s", tt.file, proven.Document)
		}
	}
}

// DCC's tool drops white space between elements before it digests, so a signed
// document may come indented.
func TestVerifyIndented(t *testing.T) {
	doc := outside.Read(t, "duis/response-8.2-signed.xml")
	keys := pinnedPEM(t, outside.Read(t, "duis/dsp-xml-signing-acb.pem"))
	plain, err := verify(t, doc, keys)
	if err != nil {
		t.Fatal(err)
	}
	indented := strings.ReplaceAll(string(doc), "><", ">\r\n  <")
	proven, err := verify(t, []byte(indented), keys)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plain, proven); diff != "" {
		t.Errorf("proven otherwise when indented:\n%s", diff)
	}
	changed := strings.Replace(indented, "CHF", "GPF", 1)
	if _, err := xmldsig.Verify([]byte(changed), keys); !errors.Is(err, xmldsig.ErrDigest) {
		t.Errorf("changed and indented: %v", err)
	}
}

func TestSignThenVerify(t *testing.T) {
	signer, keys := newSigner(t)
	signed := mustSign(t, signer, request)
	proven, err := xmldsig.Verify([]byte(signed), keys)
	if err != nil {
		t.Fatal(err)
	}
	want := xmldsig.Proven{Document: []byte(request), KeyRef: xmldsig.KeyRef{Issuer: signer.Issuer, Serial: signer.Serial}}
	if diff := cmp.Diff(want, proven); diff != "" {
		t.Error(diff)
	}
	if unsigned := strings.Split(signed, "<ds:Signature ")[0] + "</sr:Request>"; unsigned != request {
		t.Errorf("signing changed the document: %s", unsigned)
	}
}

func TestSignRefuses(t *testing.T) {
	signer, _ := newSigner(t)
	tests := []struct {
		name, doc string
		want      error
	}{
		{"indented", strings.Replace(request, "><", ">\n<", 1), xmldsig.ErrNotCanonical},
		{"XML declaration", `<?xml version="1.0"?>` + request, xmldsig.ErrNotCanonical},
		{"empty-element tag", strings.Replace(request, "></sr:ActivateEmergencyCredit>", "/>", 1), xmldsig.ErrNotCanonical},
		{"signed already", mustSign(t, signer, request), xmldsig.ErrSigned},
		{"not XML", "", nil},
	}
	for _, tt := range tests {
		signed, err := signer.Sign([]byte(tt.doc))
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if signed != nil {
			t.Errorf("%s: signed all the same", tt.name)
		}
	}
}

func TestSignRefusesSigners(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		signer xmldsig.Signer
		want   error
	}{
		{xmldsig.Signer{Key: other, Issuer: "CN=Z1", Serial: "1"}, xmldsig.ErrKey},
		{xmldsig.Signer{Key: newKey(t), Issuer: "", Serial: "1"}, xmldsig.ErrKeyRef},
		{xmldsig.Signer{Key: newKey(t), Issuer: "CN=Z1", Serial: "0x1"}, xmldsig.ErrKeyRef},
	} {
		if _, err := tt.signer.Sign([]byte(request)); !errors.Is(err, tt.want) {
			t.Errorf("got %v, want %v", err, tt.want)
		}
	}
}

func TestNewKeyRef(t *testing.T) {
	want := xmldsig.KeyRef{Issuer: "CN=Z1,OU=07", Serial: "12"}
	for _, issuer := range []string{"CN=Z1,OU=07", "CN=Z1, OU=07", " cn = Z1 ,ou=07 "} {
		if got, err := xmldsig.NewKeyRef(issuer, "12"); err != nil || got != want {
			t.Errorf("%q: %v, %v", issuer, got, err)
		}
	}
	for _, issuer := range []string{"OU=07,CN=Z1", "CN=z1,OU=07", "CN=Z1"} {
		if got, err := xmldsig.NewKeyRef(issuer, "12"); err != nil || got == want {
			t.Errorf("%q is taken for %v (%v)", issuer, want, err)
		}
	}
	for _, bad := range []xmldsig.KeyRef{
		{"", "1"},
		{"CN", "1"},
		{"CN=", "1"},
		{"=Z1", "1"},
		{"CN=Z1,", "1"},
		{`CN="Z1"`, "1"},
		{`CN=Z\,1`, "1"},
		{"CN=Z1", ""},
		{"CN=Z1", "0"},
		{"CN=Z1", "00"},
		{"CN=Z1", strings.Repeat("0", 64) + "1"},
		{"CN=Z1", "-1"},
		{"CN=Z1", "+1"},
		{"CN=Z1", "1 "},
		{"CN=Z1", "a"},
		{"CN=Z1", strings.Repeat("9", 50)},
	} {
		if _, err := xmldsig.NewKeyRef(bad.Issuer, bad.Serial); !errors.Is(err, xmldsig.ErrKeyRef) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// Other writers of XML may add a byte order mark and an XML declaration, and write the
// certificate's serial number and issuer in other forms. That changes nothing of what was
// signed, and the proven document is the same canonical text.
func TestOtherWriters(t *testing.T) {
	signer, keys := newSigner(t)
	signed := mustSign(t, signer, request)
	plain, err := xmldsig.Verify([]byte(signed), keys)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(string) string{
		"byte order mark":                 func(s string) string { return "\ufeff" + s },
		"byte order mark and declaration": func(s string) string { return "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n" + s },
		"serial with leading zeros":       replace("1234567890", "0001234567890"),
		"white space around the serial":   replace("1234567890", "\n  1234567890\r\n"),
		"white space around the issuer":   replace("CN=Z1,OU=07", "\n  CN=Z1,OU=07\n"),
	} {
		proven, err := xmldsig.Verify([]byte(change(signed)), keys)
		if err != nil || string(proven.Document) != string(plain.Document) || proven.KeyRef != plain.KeyRef {
			t.Errorf("%s: %v, %v", name, proven.KeyRef, err)
		}
	}
}

// A message of a SMETS1 Service Provider has its own Signature, in a document that the DCC
// signs as a whole. That inner Signature proves nothing here, and may stand nowhere else.
func TestMessageOfAnotherSigner(t *testing.T) {
	signer, keys := newSigner(t)
	inner := `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo></ds:SignedInfo></ds:Signature>`
	for _, element := range []string{"SMETS1SignedResponse", "S1SPAlert"} {
		document := strings.Replace(request, body, "<sr:Body><sr:"+element+"><sr:Said></sr:Said>"+inner+"</sr:"+element+"></sr:Body>", 1)
		if document == request {
			t.Fatal("the request has another Body")
		}
		signed := mustSign(t, signer, document)
		proven, err := xmldsig.Verify([]byte(signed), keys)
		if err != nil || string(proven.Document) != document {
			t.Errorf("%s: %v, proven %s", element, err, proven.Document)
		}
		for name, bad := range map[string]struct {
			document string
			want     error
		}{
			"the message changed":        {strings.Replace(signed, "sr:Said", "sr:Lied", 2), xmldsig.ErrDigest},
			"its Signature dropped":      {strings.Replace(signed, inner, "", 1), xmldsig.ErrDigest},
			"the DCC's dropped":          {document, xmldsig.ErrUnsigned},
			"in an element of its own":   {strings.ReplaceAll(signed, "sr:"+element, "sr:Extension"), xmldsig.ErrProfile},
			"in another's namespace":     {strings.Replace(signed, "<sr:"+element+">", `<sr:`+element+` xmlns:sr="urn:other">`, 1), xmldsig.ErrProfile},
			"a second at the root's end": {strings.Replace(signed, "</sr:Request>", inner+"</sr:Request>", 1), xmldsig.ErrProfile},
		} {
			if proven, err := xmldsig.Verify([]byte(bad.document), keys); !errors.Is(err, bad.want) || proven.Document != nil {
				t.Errorf("%s, %s: %v, want %v", element, name, err, bad.want)
			}
		}
	}
}
