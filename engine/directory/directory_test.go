package directory

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"safemode/engine/proof"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/smki/smkitest"
)

const meter = servicerequests.EUI(0x00DB1234567890A0)

var issuedAt = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// offer is a certificate as the service lists it.
type offer struct {
	certificate   *smki.Certificate
	status, usage string
	serial        string // as the service writes it; empty: 32 hexadecimal digits in upper case
}

func (o offer) name() string { return cmp.Or(o.serial, fmt.Sprintf("%032X", o.certificate.Serial)) }

// smkiService is an SMKI service that says what a test tells it.
type smkiService struct {
	*httptest.Server
	requests atomic.Int32
	gate     chan struct{} // if not nil, each search waits for a token

	byName bool // it is asked for organisations

	mu     sync.Mutex
	offers []offer
	answer func(w http.ResponseWriter, path string) bool // true: answered, whatever was asked
}

func newService(t testing.TB) *smkiService {
	t.Helper()
	s := &smkiService{}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *smkiService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.answer != nil && s.answer(w, r.URL.Path):
	case r.Method != http.MethodPost || r.URL.Query().Get("apikey") != "key":
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/services/certificatesearch":
		if s.gate != nil {
			<-s.gate
		}
		s.search(w, string(body))
	case r.URL.Path == "/services/retrievecertificate":
		s.retrieve(w, string(body))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (s *smkiService) search(w http.ResponseWriter, body string) {
	found := false
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\"?>\n<CertificateSearchResponse xmlns=\"urn:smki\">\n")
	for _, o := range s.offers {
		field := subjectDevice
		if s.byName {
			field = subjectOrganisation
		}
		if !strings.Contains(body, "<"+field+">"+o.certificate.EUI.String()+"<") {
			continue
		}
		found = true
		fmt.Fprintf(&b, "  <Result><CertificateSerial>%s</CertificateSerial><CertificateStatus>%s</CertificateStatus><CertificateUsage>%s</CertificateUsage></Result>\n",
			o.name(), o.status, o.usage)
	}
	if !found {
		w.WriteHeader(http.StatusPaymentRequired)
		return
	}
	_, _ = io.WriteString(w, b.String()+"</CertificateSearchResponse>")
}

func (s *smkiService) retrieve(w http.ResponseWriter, body string) {
	for _, o := range s.offers {
		if strings.Contains(body, "<CertificateSerial>"+o.name()+"<") {
			fmt.Fprintf(w, "<CertificateDataResponse><CertificateResponse><CertificateBody>%s</CertificateBody></CertificateResponse></CertificateDataResponse>",
				base64.StdEncoding.EncodeToString(o.certificate.Raw))
			return
		}
	}
	w.WriteHeader(http.StatusPaymentRequired)
}

// pki is a test hierarchy that issues device certificates.
type pki struct {
	folder *smki.Folder
	issuer *smki.Authority
}

func newPKI(t testing.TB, seed string) *pki {
	t.Helper()
	folder := smkitest.Folder(t, smki.TestFolder{Seed: []byte(seed)})
	return &pki{folder, &smki.Authority{Certificate: folder.DeviceIssuing.Certificate, Key: folder.DeviceIssuing.Key}}
}

func (p *pki) issue(t testing.TB, device servicerequests.EUI, usage smki.Usage, from time.Time) *smki.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.issuer.Issue(smki.Template{Device: true, EUI: device, Usage: usage, NotBefore: from}, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pair is both certificates of a device, as they should be offered.
func (p *pki) pair(t testing.TB, device servicerequests.EUI) (signing, agreement offer) {
	t.Helper()
	return offer{p.issue(t, device, smki.DigitalSignature, issuedAt), "I", "DS", ""}, offer{p.issue(t, device, smki.KeyAgreement, issuedAt), "I", "KA", ""}
}

func newDirectory(t testing.TB, s *smkiService, p *pki, change func(*Options)) *Directory {
	t.Helper()
	o := Options{URL: s.URL, APIKey: "key", Authorities: p.folder.Authorities()}
	if change != nil {
		change(&o)
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// wantKeys checks the keys against certificates of both purposes.
func wantKeys(t *testing.T, got proof.DeviceKeys, certificates ...*smki.Certificate) {
	t.Helper()
	var signing, agreement int
	for _, c := range certificates {
		var err error
		switch {
		case c.Usage == smki.DigitalSignature && signing < len(got.DigitalSignature):
			err = c.CheckKey(got.DigitalSignature[signing])
			signing++
		case c.Usage == smki.KeyAgreement && agreement < len(got.KeyAgreement):
			err = c.CheckKey(got.KeyAgreement[agreement])
			agreement++
		default:
			t.Errorf("%v: no key more", c.Usage)
		}
		if err != nil {
			t.Errorf("%v: %v", c.Usage, err)
		}
	}
	if signing != len(got.DigitalSignature) || agreement != len(got.KeyAgreement) {
		t.Errorf("%d and %d keys, want %d and %d", len(got.DigitalSignature), len(got.KeyAgreement), signing, agreement)
	}
}

func TestKeys(t *testing.T) {
	s, p := newService(t), newPKI(t, "a")
	signing, agreement := p.pair(t, meter)
	old := offer{p.issue(t, meter, smki.DigitalSignature, issuedAt.AddDate(-1, 0, 0)), "I", "DS", ""} // in use as well
	expired := offer{p.issue(t, meter, smki.KeyAgreement, issuedAt.AddDate(1, 0, 0)), "E", "KA", ""}
	s.offers = []offer{old, signing, expired, agreement}
	d := newDirectory(t, s, p, nil)
	for i := range 3 {
		got, err := d.Keys(t.Context(), meter)
		if err != nil {
			t.Fatal(err)
		}
		wantKeys(t, got, signing.certificate, old.certificate, agreement.certificate) // the youngest first
		if got.Fresh != (i == 0) {
			t.Errorf("time %d: fresh %v", i, got.Fresh)
		}
	}
	if n := s.requests.Load(); n != 4 { // one search, three certificates in use
		t.Errorf("the service was asked %d times, want 4", n)
	}
}

func TestCertificatesThatAreNotBelieved(t *testing.T) {
	p, stranger := newPKI(t, "a"), newPKI(t, "b")
	signing, agreement := p.pair(t, meter)
	otherMeter, _ := p.pair(t, meter+1)
	otherCA, _ := stranger.pair(t, meter)
	organisation := p.folder.Supplier.DigitalSigning.Certificate
	as := func(c *smki.Certificate) offer {
		// The service lists it as the meter's, whatever it is.
		listed := *c
		listed.EUI = meter
		return offer{&listed, "I", "DS", ""}
	}
	for name, offers := range map[string][]offer{
		"none":                     nil,
		"no digital signature":     {agreement},
		"no key agreement":         {signing},
		"not in use":               {{signing.certificate, "P", "DS", ""}, agreement},
		"of another meter":         {as(otherMeter.certificate), agreement},
		"by another authority":     {otherCA, agreement},
		"of an organisation":       {as(organisation), agreement},
		"for another purpose":      {{agreement.certificate, "I", "DS", ""}, agreement},
		"an authority's own":       {as(p.folder.DeviceIssuing.Certificate), agreement},
		"the purposes interchange": {{signing.certificate, "I", "KA", ""}, {agreement.certificate, "I", "DS", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			s.offers = offers
			_, err := newDirectory(t, s, p, nil).Keys(t.Context(), meter)
			if !errors.Is(err, errNoCertificate) || errors.Is(err, errUnavailable) {
				t.Errorf("got %v, want ErrNoCertificate", err)
			}
		})
	}
	// An invalid one does not hide a valid one.
	s := newService(t)
	s.offers = []offer{otherCA, signing, agreement}
	got, err := newDirectory(t, s, p, nil).Keys(t.Context(), meter)
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, got, signing.certificate, agreement.certificate)
}

func TestUnavailable(t *testing.T) {
	p := newPKI(t, "a")
	signing, agreement := p.pair(t, meter)
	write := func(status int, body string) func(http.ResponseWriter, string) bool {
		return func(w http.ResponseWriter, _ string) bool {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return true
		}
	}
	for name, answer := range map[string]func(http.ResponseWriter, string) bool{
		"500": write(http.StatusInternalServerError, ""),
		"401": write(http.StatusUnauthorized, ""),
		"redirect": func(w http.ResponseWriter, _ string) bool {
			w.Header().Set("Location", "/")
			w.WriteHeader(http.StatusFound)
			return true
		},
		"no XML":     write(http.StatusOK, "<html><br></html>"),
		"too large":  write(http.StatusOK, strings.Repeat(" ", maxReply+1)),
		"odd serial": write(http.StatusOK, "<R><Result><CertificateSerial>1 or 2</CertificateSerial><CertificateStatus>I</CertificateStatus><CertificateUsage>DS</CertificateUsage></Result></R>"),
		"no body": func(w http.ResponseWriter, path string) bool {
			return path == "/services/retrievecertificate" && write(http.StatusOK, "<CertificateDataResponse/>")(w, path)
		},
		"bad base64": func(w http.ResponseWriter, path string) bool {
			return path == "/services/retrievecertificate" && write(http.StatusOK, "<R><CertificateBody>?</CertificateBody></R>")(w, path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			s.offers, s.answer = []offer{signing, agreement}, answer
			d := newDirectory(t, s, p, nil)
			_, err := d.Keys(t.Context(), meter)
			if !errors.Is(err, errUnavailable) || errors.Is(err, errNoCertificate) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
			// Trouble is not kept.
			s.mu.Lock()
			s.answer = nil
			s.mu.Unlock()
			if _, err := d.Keys(t.Context(), meter); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
	s := newService(t)
	d := newDirectory(t, s, p, func(o *Options) { o.APIKey = "secret" })
	s.Close()
	if _, err := d.Keys(t.Context(), meter); !errors.Is(err, errUnavailable) || strings.Contains(err.Error(), "secret") {
		t.Errorf("refused connection: %v", err)
	}
}

func TestManyAskAtOnce(t *testing.T) {
	s, p := newService(t), newPKI(t, "a")
	signing, agreement := p.pair(t, meter)
	s.offers = []offer{signing, agreement}
	s.gate = make(chan struct{})
	d := newDirectory(t, s, p, nil)

	// The one who asks first goes away; the others still get the answer.
	impatient, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { _, err := d.Keys(impatient, meter); gone <- err }()
	for s.requests.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := d.Keys(t.Context(), meter); err != nil {
				t.Error(err)
			}
		})
	}
	cancel()
	if err := <-gone; !errors.Is(err, errUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	close(s.gate)
	wg.Wait()
	if n := s.requests.Load(); n != 3 {
		t.Errorf("the service was asked %d times, want 3", n)
	}
}

func TestTimeout(t *testing.T) {
	s, p := newService(t), newPKI(t, "a")
	s.gate = make(chan struct{})
	defer close(s.gate)
	d := newDirectory(t, s, p, func(o *Options) { o.Timeout = 50 * time.Millisecond })
	if _, err := d.Keys(t.Context(), meter); !errors.Is(err, errUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyTheLastUsedAreKept(t *testing.T) {
	s, p := newService(t), newPKI(t, "a")
	for i := range servicerequests.EUI(3) {
		signing, agreement := p.pair(t, meter+i)
		s.offers = append(s.offers, signing, agreement)
	}
	d := newDirectory(t, s, p, func(o *Options) { o.Devices = 2 })
	ask := func(device servicerequests.EUI) (questions int32) {
		before := s.requests.Load()
		if _, err := d.Keys(t.Context(), device); err != nil {
			t.Fatal(err)
		}
		return s.requests.Load() - before
	}
	ask(meter)
	ask(meter + 1)
	ask(meter)
	ask(meter + 2) // in place of meter+1
	if n := ask(meter); n != 0 {
		t.Errorf("the device used last but one was forgotten")
	}
	if n := ask(meter + 1); n != 3 {
		t.Errorf("the device used longest ago was kept")
	}
}

// offer changes what the service lists.
func (s *smkiService) offer(offers ...offer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offers = offers
}

// A device's new certificate is learnt when a message fails under the old one.
func TestRotatedCertificate(t *testing.T) {
	s, p := newService(t), newPKI(t, "a")
	signing, agreement := p.pair(t, meter)
	s.offer(signing, agreement)
	var learnt atomic.Int32
	d := newDirectory(t, s, p, func(o *Options) {
		o.Again = time.Nanosecond
		o.Learnt = func(device servicerequests.EUI) {
			if device == meter {
				learnt.Add(1)
			}
		}
	})
	keys := func(ask func(context.Context, servicerequests.EUI) (proof.DeviceKeys, error)) proof.DeviceKeys {
		t.Helper()
		got, err := ask(t.Context(), meter)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	keys(d.Keys)
	renewed := offer{p.issue(t, meter, smki.DigitalSignature, issuedAt.AddDate(0, 6, 0)), "I", "DS", ""}
	s.offer(signing, renewed, agreement)
	wantKeys(t, keys(d.Keys), signing.certificate, agreement.certificate) // no message has failed yet
	got := keys(d.Refresh)
	wantKeys(t, got, renewed.certificate, signing.certificate, agreement.certificate)
	if !got.Fresh {
		t.Error("asked for, and not fresh")
	}
	signing.status = "E"
	s.offer(signing, renewed, agreement)
	wantKeys(t, keys(d.Refresh), renewed.certificate, agreement.certificate)
	wantKeys(t, keys(d.Keys), renewed.certificate, agreement.certificate)
	keys(d.Refresh)
	for deadline := time.Now().Add(10 * time.Second); learnt.Load() != 3 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if n := learnt.Load(); n != 3 { // the first time, and each time that they changed
		t.Errorf("learnt %d times", n)
	}
	// Trouble leaves what is kept.
	s.offer()
	if _, err := d.Refresh(t.Context(), meter); !errors.Is(err, errNoCertificate) {
		t.Errorf("none any more: %v", err)
	}
	wantKeys(t, keys(d.Keys), renewed.certificate, agreement.certificate)
}

// However many messages fail, the service is asked once in a while.
func TestRefreshIsBounded(t *testing.T) {
	s, p := newService(t), newPKI(t, "a")
	signing, agreement := p.pair(t, meter)
	s.offer(signing, agreement)
	d := newDirectory(t, s, p, func(o *Options) { o.Again = 300 * time.Millisecond })
	if _, err := d.Keys(t.Context(), meter); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := d.Refresh(t.Context(), meter); !errors.Is(err, proof.ErrKeysUnavailable) {
			t.Errorf("at once: %v", err)
		}
	}
	if n := s.requests.Load(); n != 3 {
		t.Errorf("the service was asked %d times, want 3", n)
	}
	time.Sleep(400 * time.Millisecond)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { d.Refresh(t.Context(), meter) })
	}
	wg.Wait()
	if n := s.requests.Load(); n != 6 {
		t.Errorf("later: the service was asked %d times, want 6", n)
	}
}

// A 402 is of today.
func TestNoCertificateYet(t *testing.T) {
	s, p := newService(t), newPKI(t, "a")
	d := newDirectory(t, s, p, nil)
	if _, err := d.Keys(t.Context(), meter); !errors.Is(err, errNoCertificate) {
		t.Errorf("none: %v", err)
	}
	signing, agreement := p.pair(t, meter)
	s.offer(signing, agreement)
	got, err := d.Keys(t.Context(), meter)
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, got, signing.certificate, agreement.certificate)
}

func TestOptionsValidate(t *testing.T) {
	p := newPKI(t, "a")
	for _, o := range []Options{
		{},
		{URL: "http://smki.example"},
		{URL: "smki.example", Authorities: p.folder.Authorities()},
		{URL: "http://smki.example", Authorities: p.folder.Authorities(), Devices: -1},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("accepted %+v", o)
		}
	}
}
