package directory

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"safemode/engine/proof"
)

// FuzzAnswers has the SMKI service say anything to a search and to a retrieval. Nothing of
// it is a key, and every error is one that asking again may mend.
func FuzzAnswers(f *testing.F) {
	const search = `<CertificateSearchResponse><Result><CertificateSerial>4DF56E92D528F83544EBA0547068CF8C</CertificateSerial>` +
		`<CertificateStatus>I</CertificateStatus><CertificateUsage>DS</CertificateUsage></Result></CertificateSearchResponse>`
	f.Add(search, "<CertificateDataResponse><CertificateResponse><CertificateBody>AAAA</CertificateBody></CertificateResponse></CertificateDataResponse>")
	f.Add(strings.ReplaceAll(search, "4DF5", "\n00f5"), "<a/>")
	f.Add("\ufeff"+search, "")
	p := newPKI(f, "fuzz")
	var found, got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := found
		if strings.HasSuffix(r.URL.Path, questionRetrieve) {
			body, _ := io.ReadAll(r.Body)
			_, serial, _ := strings.Cut(string(body), "<CertificateSerial>")
			serial, _, _ = strings.Cut(serial, "<")
			if !isSerial(serial) || !strings.Contains(found, serial) {
				f.Errorf("asked for serial %q, the answer was %q", serial, found)
			}
			answer = got
		}
		_, _ = io.WriteString(w, answer)
	}))
	f.Cleanup(server.Close)
	f.Fuzz(func(t *testing.T, searched, retrieved string) {
		found, got = searched, retrieved
		d, err := New(Options{URL: server.URL, Authorities: p.folder.Authorities(), Timeout: 5 * time.Second, Client: server.Client()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Keys(t.Context(), meter)
		if !errors.Is(err, proof.ErrKeysUnavailable) && !errors.Is(err, errNoCertificate) {
			t.Errorf("%v", err)
		}
	})
}
