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
	"testing/fstest"
	"time"

	"safemode/devicesim/smkiservice"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"

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
	files, err := smki.TestFolder{Seed: []byte("smkiservice")}.Files()
	if err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: text}
	}
	folder, err := smki.LoadFolder(tree)
	if err != nil {
		t.Fatal(err)
	}
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
	if status != http.StatusOK || contentType != "application/xml" {
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
				{supplier.XMLSigning.Certificate.SerialText(), "I", "DS", "135"},
				{supplier.DigitalSigning.Certificate.SerialText(), "I", "DS", "2"},
				{supplier.KeyAgreement.Certificate.SerialText(), "I", "KA", "2"},
			},
			[]*smki.Certificate{supplier.XMLSigning.Certificate, supplier.DigitalSigning.Certificate, supplier.KeyAgreement.Certificate},
			"<CertificateSubjectName>" + smki.TestSupplier.String(),
		},
		{
			"device, lower case", "CertificateSubjectAltName", strings.ToLower(esme.String()),
			[]result{{device[0].SerialText(), "I", "DS", ""}, {device[1].SerialText(), "I", "KA", ""}},
			device, "<CertificateSubjectAltName>" + esme.String(),
		},
		{
			"authority", "CertificateSubjectName", deviceCA.CommonName,
			[]result{{deviceCA.SerialText(), "I", "CS", ""}},
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
			for i, r := range slices.Concat(got, inHexadecimal(got)) {
				i %= len(got)
				status, contentType, answer := post(h, "/services/retrievecertificate",
					"<CertificateDataRequest><CertificateSerial>"+r.Serial+"</CertificateSerial></CertificateDataRequest>")
				if status != http.StatusOK || contentType != "application/xml" {
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

// inHexadecimal is how DCC Boxed's client library asks for a serial that it
// knows from elsewhere.
func inHexadecimal(results []result) []result {
	list := slices.Clone(results)
	for i, r := range list {
		n, _ := new(big.Int).SetString(r.Serial, 10)
		list[i].Serial = n.Text(16)
	}
	return list
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
		{"serial that no search has named", get, "<CertificateDataRequest><CertificateSerial>" + device[0].SerialText() + "</CertificateSerial></CertificateDataRequest>", 402},
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
