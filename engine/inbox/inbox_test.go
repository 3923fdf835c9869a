package inbox

import (
	"bytes"
	"context"
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
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

var (
	id  = servicerequests.RequestID{Originator: 0x90B3D51F30010000, Target: 0x00DB1234567890A0, Counter: 1000}
	now = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
)

// bench is an inbox with everything around it in view.
type bench struct {
	*Inbox
	registry *prometheus.Registry

	verify func(raw []byte) (proof.Delivery, error)
	commit error

	mu        sync.Mutex
	log       []string // what happened, in order
	records   []record.Record
	delivered []proof.Delivery
	refused   []*proof.Error
	strangers atomic.Int64
}

func newBench(t testing.TB, change func(*Options)) *bench {
	t.Helper()
	b := &bench{registry: prometheus.NewPedanticRegistry()}
	o := Options{
		Verifier: b,
		Take: func(_ context.Context, r record.Record, d proof.Delivery) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.commit != nil {
				return b.commit
			}
			b.log, b.records, b.delivered = append(b.log, "take"), append(b.records, r), append(b.delivered, d)
			return nil
		},
		Refuse: func(_ context.Context, r record.Record, e *proof.Error) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.commit != nil {
				return b.commit
			}
			b.log, b.records, b.refused = append(b.log, "refuse"), append(b.records, r), append(b.refused, e)
			return nil
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

// Delivery makes bench the verifier.
func (b *bench) Delivery(_ context.Context, raw []byte) (proof.Delivery, error) { return b.verify(raw) }

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

func proven(d proof.Delivery) func([]byte) (proof.Delivery, error) {
	return func([]byte) (proof.Delivery, error) { return d, nil }
}

func unproven(kind error, fromDCC bool) func([]byte) (proof.Delivery, error) {
	return func([]byte) (proof.Delivery, error) {
		e := &proof.Error{Kind: kind, FromDCC: fromDCC, Err: errors.New("a telling reason")}
		if fromDCC {
			e.ID = id
		}
		return proof.Delivery{}, e
	}
}

func TestTaken(t *testing.T) {
	for name, test := range map[string]struct {
		delivery proof.Delivery
		want     record.Record
	}{
		"response": {
			proof.Delivery{ID: id, Device: id.Target, Code: "I0", SRV: "1.6", Signed: true, Result: &gbcs.Response{}},
			record.Record{Kind: record.Response, Device: id.Target, Service: servicerequests.SwitchToCredit, ID: id, Code: "I0"},
		},
		"no answer": {
			proof.Delivery{ID: id, Device: id.Target, Code: "E21", SRV: "6.2.9"},
			record.Record{Kind: record.Response, Device: id.Target, Service: servicerequests.ReadPaymentMode, ID: id, Code: "E21"},
		},
		"response to a service that is none of ours": {
			proof.Delivery{ID: id, Device: id.Target, Code: "I0", SRV: "11.2", Signed: true},
			record.Record{Kind: record.Response, Device: id.Target, ID: id, Code: "I0"},
		},
		"device alert": {
			proof.Delivery{Device: id.Target, Code: "I0", Signed: true, Alert: &gbcs.Alert{Code: 0x8F32}},
			record.Record{Kind: record.Alert, Device: id.Target, Code: "8F32"},
		},
		"DCC Alert": {
			proof.Delivery{Code: "I0", Signed: true, DCCAlert: &duis.DCCAlert{Code: "AD1"}},
			record.Record{Kind: record.Alert, Code: "AD1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.verify = proven(test.delivery)
			w := b.postXML("<message/>")
			if w.Code != http.StatusNoContent || w.Body.Len() != 0 {
				t.Errorf("got %d %q", w.Code, w.Body)
			}
			test.want.At, test.want.Body = now, []byte("<message/>")
			if diff := cmp.Diff([]record.Record{test.want}, b.records); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"take"}, b.log); diff != "" {
				t.Error(diff)
			}
			if len(b.delivered) != 1 || b.delivered[0].ID != test.delivery.ID {
				t.Errorf("delivered %v", b.delivered)
			}
		})
	}
}

// The inbox stays simple: a repetition is answered as the first was.
func TestTwice(t *testing.T) {
	b := newBench(t, nil)
	b.verify = proven(proof.Delivery{ID: id, Device: id.Target, Code: "I0", SRV: "7.4", Signed: true})
	for range 2 {
		if w := b.postXML("<message/>"); w.Code != http.StatusNoContent {
			t.Errorf("got %d", w.Code)
		}
	}
}

func TestRefusedStranger(t *testing.T) {
	for _, kind := range []error{proof.ErrInvalid, proof.ErrUnverified} {
		b := newBench(t, nil)
		b.verify = unproven(kind, false)
		w := b.postXML("<junk/>")
		if w.Code != http.StatusBadRequest || w.Body.Len() != 0 {
			t.Errorf("%v: got %d %q, want 400 without a word", kind, w.Code, w.Body)
		}
		if len(b.log) != 0 {
			t.Errorf("%v: a stranger's junk left a trace: %v", kind, b.log)
		}
		if n := b.strangers.Load(); n != 1 {
			t.Errorf("%v: %d strangers counted, want 1", kind, n)
		}
	}
}

func TestRefusedFromDCC(t *testing.T) {
	b := newBench(t, nil)
	b.verify = unproven(proof.ErrUnverified, true)
	if w := b.postXML("<lie/>"); w.Code != http.StatusBadRequest || w.Body.Len() != 0 {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
	if diff := cmp.Diff([]string{"refuse"}, b.log); diff != "" {
		t.Fatal(diff)
	}
	r := b.records[0]
	body, err := record.Decode[record.RefusedBody](r)
	if err != nil {
		t.Fatal(err)
	}
	if r.Kind != record.Refused || r.Code != record.RefusedUnverified || r.ID != id || r.Device != id.Target ||
		!strings.Contains(body.Reason, "a telling reason") || len(body.SHA256) != 64 {
		t.Errorf("recorded %+v, %+v", r, body)
	}
}

func TestPutOff(t *testing.T) {
	disk := errors.New("disk full")
	for name, test := range map[string]struct {
		verify func([]byte) (proof.Delivery, error)
		commit error
	}{
		"keys cannot be asked for":           {unproven(proof.ErrUndecided, true), nil},
		"journal fails":                      {proven(proof.Delivery{ID: id, Signed: true}), disk},
		"journal fails for a refusal":        {unproven(proof.ErrUnverified, true), disk},
		"verifier fails in a way of its own": {func([]byte) (proof.Delivery, error) { return proof.Delivery{}, disk }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.verify, b.commit = test.verify, test.commit
			if w := b.postXML("<message/>"); w.Code != http.StatusServiceUnavailable || w.Body.Len() != 0 {
				t.Errorf("got %d %q", w.Code, w.Body)
			}
			if len(b.log) != 0 {
				t.Errorf("acted on: %v", b.log)
			}
		})
	}
}

func TestUnsignedThatNobodyAwaits(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Awaits = func(asked servicerequests.RequestID) bool { return asked == id }
	})
	other := id
	other.Counter++
	for _, test := range []struct {
		delivery proof.Delivery
		want     int
	}{
		{proof.Delivery{ID: id, Code: "E21"}, http.StatusNoContent},
		{proof.Delivery{ID: other, Code: "E21"}, http.StatusBadRequest},
		{proof.Delivery{ID: other, Code: "E21", Signed: true}, http.StatusNoContent},
	} {
		b.verify = proven(test.delivery)
		if w := b.postXML("<message/>"); w.Code != test.want {
			t.Errorf("%+v: got %d, want %d", test.delivery, w.Code, test.want)
		}
	}
	if len(b.records) != 2 {
		t.Errorf("%d records, want 2", len(b.records))
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	b := newBench(t, func(o *Options) { o.MaxBody = 16 })
	b.verify = func([]byte) (proof.Delivery, error) {
		t.Error("the verifier was asked")
		return proof.Delivery{}, nil
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
	const want = `# HELP safemode_inbox_deliveries_total Messages POSTed to the inbox: taken (204), refused (4xx), put off (503).
# TYPE safemode_inbox_deliveries_total counter
safemode_inbox_deliveries_total{result="put_off"} 1
safemode_inbox_deliveries_total{result="refused"} 5
safemode_inbox_deliveries_total{result="taken"} 0
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
	b.verify = proven(proof.Delivery{ID: id, Signed: true})
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
	b.verify = func([]byte) (proof.Delivery, error) {
		close(busy)
		<-release
		return proof.Delivery{ID: id, Signed: true}, nil
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
