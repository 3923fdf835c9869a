package smkiservice_test

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/devicesim/smkiservice"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/smki/smkitest"

	"github.com/google/go-cmp/cmp"
)

const (
	esme   servicerequests.EUI = 0x00DB1234567890A0
	broken servicerequests.EUI = 0x00DB1234567890AF
)

// devices knows one device, and fails for another.
type devices []*smki.Certificate

func (d devices) Certificates(device servicerequests.EUI) ([]*smki.Certificate, error) {
	switch device {
	case esme:
		return d, nil
	case broken:
		return nil, errors.New("no key")
	}
	return nil, nil
}

func newService(t *testing.T) (http.Handler, *smki.Folder, devices) {
	t.Helper()
	folder := smkitest.Folder(t, smki.TestFolder{Seed: []byte("smkiservice")})
	issuer := smki.Authority{Certificate: folder.DeviceIssuing.Certificate, Key: folder.DeviceIssuing.Key}
	var list devices
	for _, usage := range []smki.Usage{smki.DigitalSignature, smki.KeyAgreement} {
		key, err := smki.DeriveTestKey([]byte("device"), usage.String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := issuer.Issue(smki.Template{
			Device: true, EUI: esme, Usage: usage, NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		}, &key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return smkiservice.New(smkiservice.Options{
		Organisations: []*smki.Certificate{
			folder.Supplier.XMLSigning.Certificate, folder.Supplier.DigitalSigning.Certificate,
			folder.Supplier.KeyAgreement.Certificate, folder.DCC.ACBKeyAgreement.Certificate,
		},
		Authorities: folder.Authorities(),
		Devices:     list,
	}), folder, list
}

func post(h http.Handler, path, body string) (status int, contentType, answer string) {
	r := httptest.NewRequest(http.MethodPost, path+"?apikey=any", strings.NewReader(body))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	b, _ := io.ReadAll(w.Result().Body)
	return w.Code, w.Header().Get("Content-Type"), string(b)
}

type result struct {
	Serial string `xml:"CertificateSerial"`
	Status string `xml:"CertificateStatus"`
	Usage  string `xml:"CertificateUsage"`
	Role   string `xml:"CertificateRole"`
}

func search(t *testing.T, h http.Handler, element, name string) []result {
	t.Helper()
	status, contentType, answer := post(h, "/services/certificatesearch",
		fmt.Sprintf(`<?xml version="1.0" encoding="utf-8"?><CertificateSearchRequest><%s>%s</%[1]s></CertificateSearchRequest>`, element, name))
	if status != http.StatusOK || contentType != "application/xml;charset=utf-8" {
		t.Fatalf("status %d, content type %q", status, contentType)
	}
	var found struct {
		XMLName xml.Name `xml:"CertificateSearchResponse"`
		Results []result `xml:"Result"`
	}
	if err := xml.Unmarshal([]byte(answer), &found); err != nil {
		t.Fatal(err)
	}
	return found.Results
}

func TestSearchAndRetrieve(t *testing.T) {
	h, folder, device := newService(t)
	supplier, deviceCA := folder.Supplier, folder.DeviceIssuing.Certificate
	tests := []struct {
		name, element, query string
		want                 []result
		certificates         []*smki.Certificate
		nameElement          string
	}{
		{
			"organisation", "CertificateSubjectName", smki.TestSupplier.String(),
			[]result{
				{inUpperCase(supplier.XMLSigning.Certificate), "I", "DS", "135"},
				{inUpperCase(supplier.DigitalSigning.Certificate), "I", "DS", "2"},
				{inUpperCase(supplier.KeyAgreement.Certificate), "I", "KA", "2"},
			},
			[]*smki.Certificate{supplier.XMLSigning.Certificate, supplier.DigitalSigning.Certificate, supplier.KeyAgreement.Certificate},
			"<CertificateSubjectName>" + smki.TestSupplier.String(),
		},
		{
			"device, lower case", "CertificateSubjectAltName", strings.ToLower(esme.String()),
			[]result{{inUpperCase(device[0]), "I", "DS", ""}, {inUpperCase(device[1]), "I", "KA", ""}},
			device, "<CertificateSubjectAltName>" + esme.String(),
		},
		{
			"authority", "CertificateSubjectName", deviceCA.CommonName,
			[]result{{inUpperCase(deviceCA), "I", "CS", ""}},
			[]*smki.Certificate{deviceCA},
			"<CertificateSubjectName>" + deviceCA.CommonName,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := search(t, h, test.element, test.query)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Fatalf("search (-want +got):\n%s", diff)
			}
			for i, r := range slices.Concat(got, inLowerCase(got)) {
				i %= len(got)
				status, contentType, answer := post(h, "/services/retrievecertificate",
					"<CertificateDataRequest><CertificateSerial>"+r.Serial+"</CertificateSerial></CertificateDataRequest>")
				if status != http.StatusOK || contentType != "application/xml;charset=utf-8" {
					t.Fatalf("retrieve: status %d, content type %q", status, contentType)
				}
				body := "<CertificateBody>" + base64.StdEncoding.EncodeToString(test.certificates[i].Raw) + "</CertificateBody>"
				if !strings.Contains(answer, body) || !strings.Contains(answer, test.nameElement) {
					t.Errorf("retrieve %s: %s", r.Serial, answer)
				}
			}
		})
	}
}

// inUpperCase is a serial as DCC writes it.
func inUpperCase(c *smki.Certificate) string { return fmt.Sprintf("%032X", c.Serial) }

// inLowerCase is how DCC Boxed's client library asks for a serial that it knows from
// elsewhere.
func inLowerCase(results []result) []result {
	list := slices.Clone(results)
	for i, r := range list {
		n, _ := new(big.Int).SetString(r.Serial, 16)
		list[i].Serial = n.Text(16)
	}
	return list
}

// A serial is a token: one with a leading zero is found with it, and not without.
func TestSerialIsEchoed(t *testing.T) {
	_, folder, list := newService(t)
	for _, test := range []struct {
		name    string
		decimal bool
	}{{"hexadecimal", false}, {"decimal", true}} {
		t.Run(test.name, func(t *testing.T) {
			short := *list[0]
			short.Serial = big.NewInt(0xA1F)
			h := smkiservice.New(smkiservice.Options{
				Authorities: folder.Authorities(), Devices: devices{&short},
				Decimal: func(device servicerequests.EUI) bool { return test.decimal && device == esme },
			})
			got := search(t, h, "CertificateSubjectAltName", esme.String())
			want := "00000000000000000000000000000A1F"
			if test.decimal {
				want = "2591"
			}
			if len(got) != 1 || got[0].Serial != want {
				t.Fatalf("found %+v, want serial %s", got, want)
			}
			for serial, status := range map[string]int{want: http.StatusOK, "a1f": http.StatusOK, "A1F": http.StatusPaymentRequired, "002591": http.StatusPaymentRequired} {
				got, _, _ := post(h, "/services/retrievecertificate",
					"<CertificateDataRequest><CertificateSerial>"+serial+"</CertificateSerial></CertificateDataRequest>")
				if got != status {
					t.Errorf("serial %s: status %d, want %d", serial, got, status)
				}
			}
		})
	}
}

func TestStatus(t *testing.T) {
	h, _, device := newService(t)
	const find, get = "/services/certificatesearch", "/services/retrievecertificate"
	tests := []struct {
		name, path, body string
		want             int
	}{
		{"unknown organisation", find, "<CertificateSearchRequest><CertificateSubjectName>90-B3-D5-1F-30-0F-00-00</CertificateSubjectName></CertificateSearchRequest>", 402},
		{"unknown device", find, "<CertificateSearchRequest><CertificateSubjectAltName>90-B3-D5-1F-30-0F-00-00</CertificateSubjectAltName></CertificateSearchRequest>", 402},
		{"no EUI", find, "<CertificateSearchRequest><CertificateSubjectAltName>meter</CertificateSubjectAltName></CertificateSearchRequest>", 401},
		{"no name", find, "<CertificateSearchRequest></CertificateSearchRequest>", 401},
		{"both names", find, "<CertificateSearchRequest><CertificateSubjectName>a</CertificateSubjectName><CertificateSubjectAltName>b</CertificateSubjectAltName></CertificateSearchRequest>", 401},
		{"other element", find, "<Search/>", 401},
		{"no XML", find, "{}", 401},
		{"too long", find, "<CertificateSearchRequest>" + strings.Repeat(" ", 1<<16) + "</CertificateSearchRequest>", 401},
		{"no certificate to be had", find, "<CertificateSearchRequest><CertificateSubjectAltName>" + broken.String() + "</CertificateSubjectAltName></CertificateSearchRequest>", 500},
		{"unknown serial", get, "<CertificateDataRequest><CertificateSerial>1</CertificateSerial></CertificateDataRequest>", 402},
		{"serial that no search has named", get, "<CertificateDataRequest><CertificateSerial>" + inUpperCase(device[0]) + "</CertificateSerial></CertificateDataRequest>", 402},
		{"no XML for a serial", get, "1", 401},
		{"other path", "/services/other", "<a/>", 404},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, _, _ := post(h, test.path, test.body); got != test.want {
				t.Errorf("status %d, want %d", got, test.want)
			}
		})
	}
}

// Every answer, and every certificate in it, has the fields that the DCC's has, in the
// order of the DCC's tools, also those that our own client does not read. No AuditReference
// is used twice.
func TestFieldsOfAnswers(t *testing.T) {
	h, folder, device := newService(t)
	names := func(answer string) (list []string) {
		t.Helper()
		d := xml.NewDecoder(strings.NewReader(answer))
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				return list
			}
			if err != nil {
				t.Fatal(err)
			}
			if begin, ok := token.(xml.StartElement); ok {
				list = append(list, begin.Name.Local)
			}
		}
	}
	said := []string{"ResponseCode", "ResponseMessage", "AuditReference"}
	one := func(subject string, role ...string) []string {
		return slices.Concat([]string{"Result", "CertificateSerial", "CertificateStatus", "CertificateUsage"}, role, []string{subject, "ManufacturingFlag"})
	}
	references := map[string]bool{}
	for _, c := range []struct {
		path, body string
		want       []string
	}{
		{
			"/services/certificatesearch", "<CertificateSearchRequest><CertificateSubjectAltName>" + esme.String() + "</CertificateSubjectAltName></CertificateSearchRequest>",
			slices.Concat([]string{"CertificateSearchResponse"}, said, one("CertificateSubjectAltName"), one("CertificateSubjectAltName")),
		},
		{
			"/services/certificatesearch", "<CertificateSearchRequest><CertificateSubjectName>" + folder.DeviceIssuing.Certificate.CommonName + "</CertificateSubjectName></CertificateSearchRequest>",
			slices.Concat([]string{"CertificateSearchResponse"}, said, one("CertificateSubjectName")),
		},
		{
			"/services/certificatesearch", "<CertificateSearchRequest><CertificateSubjectName>" + smki.TestSupplier.String() + "</CertificateSubjectName></CertificateSearchRequest>",
			slices.Concat([]string{"CertificateSearchResponse"}, said, one("CertificateSubjectName", "CertificateRole"),
				one("CertificateSubjectName", "CertificateRole"), one("CertificateSubjectName", "CertificateRole")),
		},
		{
			"/services/retrievecertificate", "<CertificateDataRequest><CertificateSerial>" + inUpperCase(device[0]) + "</CertificateSerial></CertificateDataRequest>",
			slices.Concat([]string{"CertificateDataResponse"}, said, []string{"CertificateResponse", "CertificateBody", "CertificateSubjectAltName"}),
		},
	} {
		status, contentType, answer := post(h, c.path, c.body)
		if status != http.StatusOK || contentType != "application/xml;charset=utf-8" {
			t.Fatalf("status %d, content type %q", status, contentType)
		}
		if diff := cmp.Diff(c.want, names(answer)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.body, diff)
		}
		if !strings.Contains(answer, "<ResponseCode>0</ResponseCode><ResponseMessage>Success</ResponseMessage><AuditReference>") {
			t.Errorf("%s: %s", c.body, answer)
		}
		if strings.Contains(answer, "<Result>") && !strings.Contains(answer, "<ManufacturingFlag>false</ManufacturingFlag></Result>") {
			t.Errorf("%s: %s", c.body, answer)
		}
		_, rest, _ := strings.Cut(answer, "<AuditReference>")
		reference, _, _ := strings.Cut(rest, "<")
		if references[reference] || reference == "" {
			t.Errorf("AuditReference %q stands twice, or is empty", reference)
		}
		references[reference] = true
	}
}
