package inbox

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
)

var (
	id  = servicerequests.RequestID{Originator: 0x90B3D51F30010000, Target: 0x00DB1234567890A0, Counter: 1000}
	now = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
)

// bench is an inbox with everything around it in view.
type bench struct {
	*Inbox
	registry *prometheus.Registry

	claim    func(raw []byte) (proof.Claim, error) // nil: an answer of the DCC's
	commit   error
	stranger func(*http.Request) bool // nil: nobody is one

	mu        sync.Mutex
	records   []record.Record
	strangers atomic.Int64
}

// taken is how many messages were made durable.
func (b *bench) taken() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.records)
}

func newBench(t testing.TB, change func(*Options)) *bench {
	t.Helper()
	b := &bench{registry: prometheus.NewPedanticRegistry()}
	o := Options{
		Verifier:      b,
		Authenticated: func(r *http.Request) bool { return b.stranger == nil || !b.stranger(r) },
		Receive: func(_ context.Context, r record.Record) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.commit == nil {
				b.records = append(b.records, r)
			}
			return b.commit
		},
		Stranger:   func() { b.strangers.Add(1) },
		Now:        func() time.Time { return now },
		Log:        zap.NewNop(),
		Registerer: b.registry,
	}
	if change != nil {
		change(&o)
	}
	var err error
	if b.Inbox, err = New(o); err != nil {
		t.Fatal(err)
	}
	return b
}

// Claim makes bench the verifier.
func (b *bench) Claim(raw []byte) (proof.Claim, error) {
	if b.claim == nil {
		return proof.Claim{Kind: proof.ClaimResponse, FromDCC: true, ID: id, Device: id.Target, Code: "I0", SRV: "7.4"}, nil
	}
	return b.claim(raw)
}

// File claims nothing of who has signed: the connection has told.
func (b *bench) File(raw []byte) (proof.Claim, error) {
	c, err := b.Claim(raw)
	c.FromDCC = false
	return c, err
}

func everybody(*http.Request) bool { return true }

func claims(c proof.Claim) func([]byte) (proof.Claim, error) {
	return func([]byte) (proof.Claim, error) { return c, nil }
}

func noXML([]byte) (proof.Claim, error) {
	return proof.Claim{}, &proof.Error{Kind: proof.ErrInvalid, Err: errors.New("a telling reason")}
}

func (b *bench) post(contentType string, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, Path, body)
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

func (b *bench) postXML(body string) *httptest.ResponseRecorder {
	return b.post("application/xml; charset=UTF-8", strings.NewReader(body))
}

func TestTaken(t *testing.T) {
	for name, test := range map[string]struct {
		claim proof.Claim
		want  record.Record
	}{
		"response": {
			proof.Claim{Kind: proof.ClaimResponse, FromDCC: true, ID: id, Device: id.Target, Code: "I0", SRV: "1.6"},
			record.Record{Kind: record.Response, Device: id.Target, Service: servicerequests.SwitchToCredit, ID: id, Code: "I0"},
		},
		"no answer": {
			proof.Claim{Kind: proof.ClaimSilence, ID: id, Device: id.Target, Code: "E21", SRV: "6.2.9"},
			record.Record{Kind: record.Response, Device: id.Target, Service: servicerequests.ReadPaymentMode, ID: id, Code: "E21"},
		},
		"response to a service that is none of ours": {
			proof.Claim{Kind: proof.ClaimResponse, FromDCC: true, ID: id, Device: id.Target, Code: "I0", SRV: "11.2"},
			record.Record{Kind: record.Response, Device: id.Target, ID: id, Code: "I0"},
		},
		"device alert": {
			proof.Claim{Kind: proof.ClaimAlert, FromDCC: true, Device: id.Target, Code: "I0", Alert: "8F32"},
			record.Record{Kind: record.Alert, Device: id.Target, Code: "8F32"},
		},
		"DCC Alert": {
			proof.Claim{Kind: proof.ClaimDCCAlert, FromDCC: true, Code: "I0", Alert: "AD1"},
			record.Record{Kind: record.Alert, Code: "AD1"},
		},
		"a response under a certificate that is not known": {
			proof.Claim{Kind: proof.ClaimResponse, ID: id, Device: id.Target, Code: "I0", SRV: "7.4"},
			record.Record{Kind: record.Response, Device: id.Target, Service: servicerequests.ReadSupplyStatus, ID: id, Code: "I0"},
		},
		"what cannot be read": {proof.Claim{Err: errors.New("new")}, record.Record{Kind: record.Received}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.claim = claims(test.claim)
			w := b.postXML("<message/>")
			if w.Code != http.StatusNoContent || w.Body.Len() != 0 {
				t.Errorf("got %d %q", w.Code, w.Body)
			}
			test.want.At, test.want.Body = now, []byte("<message/>")
			if diff := cmp.Diff([]record.Record{test.want}, b.records); diff != "" {
				t.Error(diff)
			}
			if b.records[0].Check() != nil {
				t.Errorf("it cannot be written: %v", b.records[0].Check())
			}
		})
	}
}

// The inbox stays simple: a repetition is answered as the first was.
func TestTwice(t *testing.T) {
	b := newBench(t, nil)
	for range 2 {
		if w := b.postXML("<message/>"); w.Code != http.StatusNoContent {
			t.Errorf("got %d", w.Code)
		}
	}
}

// 204 is said when the record is durable, and not before.
func TestAnswersAfterItIsDurable(t *testing.T) {
	durable := make(chan struct{})
	var written atomic.Bool
	b := newBench(t, func(o *Options) {
		o.Receive = func(context.Context, record.Record) error {
			<-durable
			written.Store(true)
			return nil
		}
	})
	answer := make(chan int)
	go func() { answer <- b.postXML("<message/>").Code }()
	select {
	case status := <-answer:
		t.Fatalf("%d before it was durable", status)
	case <-time.After(50 * time.Millisecond):
	}
	close(durable)
	if status := <-answer; status != http.StatusNoContent || !written.Load() {
		t.Errorf("got %d", status)
	}
}

// A peer that is not authenticated gets in only messages that the DCC has signed.
func TestStrangers(t *testing.T) {
	for name, test := range map[string]struct {
		claim func([]byte) (proof.Claim, error)
		want  int
	}{
		"no XML":                                {noXML, http.StatusBadRequest},
		"what nobody signed":                    {claims(proof.Claim{Kind: proof.ClaimSilence, ID: id, Code: "E21"}), http.StatusBadRequest},
		"another document":                      {claims(proof.Claim{Err: errors.New("a telling reason")}), http.StatusBadRequest},
		"the DCC's message":                     {nil, http.StatusNoContent},
		"the DCC's message that cannot be read": {claims(proof.Claim{FromDCC: true, Err: errors.New("new")}), http.StatusNoContent},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.claim, b.stranger = test.claim, everybody
			w := b.postXML("<message/>")
			if w.Code != test.want || w.Body.Len() != 0 {
				t.Errorf("got %d %q, want %d without a word", w.Code, w.Body, test.want)
			}
			taken := test.want == http.StatusNoContent
			if got := b.taken() == 1; got != taken {
				t.Errorf("recorded: %v, want %v", got, taken)
			}
			if got := b.strangers.Load() == 0; got != taken {
				t.Errorf("%d strangers counted", b.strangers.Load())
			}
			if w.Header().Get("Connection") != "close" {
				t.Error("a stranger keeps the connection")
			}
		})
	}
}

// All XML of an authenticated peer is kept.
func TestAuthenticatedPeer(t *testing.T) {
	b := newBench(t, nil)
	b.claim = noXML
	if w := b.postXML("hello"); w.Code != http.StatusBadRequest || b.strangers.Load() != 0 || b.taken() != 0 {
		t.Errorf("no XML: %d, %d strangers", w.Code, b.strangers.Load())
	}
	b.claim = nil
	for _, media := range []string{"text/xml", "application/soap+xml", ""} {
		if w := b.post(media, strings.NewReader("<message/>")); w.Code != http.StatusNoContent {
			t.Errorf("as %q: %d", media, w.Code)
		}
	}
}

func TestPutOff(t *testing.T) {
	b := newBench(t, nil)
	b.commit = errors.New("disk full")
	if w := b.postXML("<message/>"); w.Code != http.StatusServiceUnavailable || w.Body.Len() != 0 {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}

func TestWhoIsAuthenticated(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, Path, nil)
	for remote, want := range map[string]bool{
		"127.0.0.1:99": true, "127.3.0.1:99": true, "[::1]:99": true, "[::ffff:127.0.0.1]:99": true,
		"192.0.2.1:99": false, "[2001:db8::1]:99": false, "[::2]:99": false, "": false, "localhost:99": false,
	} {
		if r.RemoteAddr = remote; OverLoopback(r) != want {
			t.Errorf("%q: want %v", remote, want)
		}
	}
	for name, state := range map[string]*tls.ConnectionState{
		"no TLS":         nil,
		"no certificate": {HandshakeComplete: true},
		"not yet":        {VerifiedChains: [][]*x509.Certificate{{}}},
	} {
		if r.TLS = state; OverMutualTLS(r) {
			t.Errorf("%s: authenticated", name)
		}
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	b := newBench(t, func(o *Options) { o.MaxBody = 16 })
	b.stranger = everybody
	b.claim = func([]byte) (proof.Claim, error) {
		t.Error("the verifier was asked")
		return proof.Claim{}, nil
	}
	get := httptest.NewRecorder()
	b.ServeHTTP(get, httptest.NewRequest(http.MethodGet, Path, nil))
	if get.Code != http.StatusMethodNotAllowed || get.Header().Get("Allow") != http.MethodPost {
		t.Errorf("GET: %d", get.Code)
	}
	for _, test := range []struct {
		name, contentType string
		body              io.Reader
		want              int
	}{
		{"JSON", "application/json", strings.NewReader("{}"), http.StatusUnsupportedMediaType},
		{"no type", "", strings.NewReader("<a/>"), http.StatusUnsupportedMediaType},
		{"too large, and says so", "application/xml", bytes.NewReader(make([]byte, 17)), http.StatusRequestEntityTooLarge},
		{"too large, without a length", "application/xml", io.MultiReader(bytes.NewReader(make([]byte, 17))), http.StatusRequestEntityTooLarge},
		{"cut short", "application/xml", io.MultiReader(strings.NewReader("<a"), failingReader{}), http.StatusServiceUnavailable},
	} {
		if w := b.post(test.contentType, test.body); w.Code != test.want {
			t.Errorf("%s: got %d, want %d", test.name, w.Code, test.want)
		}
	}
	const want = `# HELP safemode_inbox_deliveries_total Messages POSTed to the inbox: taken (204), refused (4xx), put off (503), or to another path (404).
# TYPE safemode_inbox_deliveries_total counter
safemode_inbox_deliveries_total{result="put_off"} 1
safemode_inbox_deliveries_total{result="refused"} 5
safemode_inbox_deliveries_total{result="taken"} 0
safemode_inbox_deliveries_total{result="wrong_path"} 0
`
	if err := testutil.GatherAndCompare(b.registry, strings.NewReader(want), "safemode_inbox_deliveries_total"); err != nil {
		t.Error(err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// One who sends a byte and then nothing is let go, and holds no place of those
// who have something to say.
func TestSlowSender(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Timeout, o.Concurrent = 200*time.Millisecond, 1 })
	server := httptest.NewServer(b)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST "+Path+" HTTP/1.1\r\nHost: inbox\r\nContent-Type: application/xml\r\nContent-Length: 100\r\n\r\n<"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(server.URL+Path, "application/xml", strings.NewReader("<message/>"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Errorf("beside a slow sender: %d", resp.StatusCode)
	}
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 503")) {
		t.Errorf("slow sender: %q, %v", answer, err)
	}
}

// When every place is taken, the DCC is asked to send again; nothing queues
// without end.
func TestOverload(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Timeout, o.Concurrent = 50*time.Millisecond, 1 })
	busy, release := make(chan struct{}), make(chan struct{})
	b.claim = func([]byte) (proof.Claim, error) {
		close(busy)
		<-release
		return proof.Claim{Kind: proof.ClaimResponse, ID: id}, nil
	}
	done := make(chan int)
	go func() { done <- b.postXML("<first/>").Code }()
	<-busy
	if w := b.postXML("<second/>"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("got %d", w.Code)
	}
	close(release)
	if code := <-done; code != http.StatusNoContent {
		t.Errorf("the first one got %d", code)
	}
}

func TestOptionsValidate(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("accepted nothing at all")
	}
	if _, err := New(Options{Limits: Limits{MaxBody: -1}}); err == nil {
		t.Error("accepted a negative limit")
	}
}
