package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

const ack = `<?xml version="1.0" encoding="UTF-8"?><Response/>`

var readID = servicerequests.RequestID{Originator: 0x90B3D51F30010000, Target: 0x00DB1234567890A0, Counter: 1000}

// readPost is a permitted POST.
func readPost(t testing.TB) Post {
	t.Helper()
	return Post{Service: record.SendCommand, ID: readID, Body: request(t, duis.Request{ID: readID, Service: servicerequests.ReadSupplyStatus})}
}

func request(t testing.TB, r duis.Request) []byte {
	t.Helper()
	body, err := duis.AppendRequest(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func newGateway(t testing.TB, o Options) *Gateway {
	t.Helper()
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func reply(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/xml;charset=UTF-8")
	_, _ = io.WriteString(w, body)
}

func TestPost(t *testing.T) {
	post := readPost(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(body, post.Body) {
			t.Errorf("body: %v, %q", err, body)
		}
		if r.Method != http.MethodPost || r.URL.Path != "/dcc/api/v1/serviceS" || r.Header.Get("Content-Type") != "application/xml" {
			t.Errorf("got %s %s as %q", r.Method, r.URL, r.Header.Get("Content-Type"))
		}
		reply(w, ack)
	}))
	defer server.Close()
	for _, url := range []string{server.URL + "/dcc", server.URL + "/dcc/"} {
		got, err := newGateway(t, Options{URL: url}).Post(t.Context(), post)
		if err != nil || string(got) != ack {
			t.Errorf("%s: got %q, %v", url, got, err)
		}
	}
}

// Every answer that HTTP can give falls into exactly one class.
func TestOutcome(t *testing.T) {
	t.Parallel()
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, ack)
		}
	}
	hijack := func(write string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, write)
			_ = conn.(*net.TCPConn).SetLinger(0) // close by reset
			_ = conn.Close()
		}
	}
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		want    error
	}{
		{"200 with XML", func(w http.ResponseWriter, _ *http.Request) { reply(w, "\n "+ack) }, nil},
		{"200 with a byte order mark", func(w http.ResponseWriter, _ *http.Request) { reply(w, "\ufeff"+ack) }, nil},
		{"200 with a type that is not well written", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "Application/XML; charset")
			_, _ = io.WriteString(w, ack)
		}, nil},
		{"200 HTML", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>bad gateway</html>")
		}, ErrInDoubt},
		{"200 without a type", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, ack)
		}, ErrInDoubt},
		{"200 that only calls itself XML", func(w http.ResponseWriter, _ *http.Request) { reply(w, "OK") }, ErrInDoubt},
		{"200 empty", func(w http.ResponseWriter, _ *http.Request) { reply(w, "") }, ErrInDoubt},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, ErrInDoubt},
		{"302", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, ErrInDoubt},
		{"307", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, ErrInDoubt},
		{"400", status(http.StatusBadRequest), ErrRejected},
		{"403", status(http.StatusForbidden), ErrRejected},
		{"408", status(http.StatusRequestTimeout), ErrInDoubt},
		{"500", status(http.StatusInternalServerError), ErrInDoubt},
		{"502", status(http.StatusBadGateway), ErrInDoubt},
		{"504", status(http.StatusGatewayTimeout), ErrInDoubt},
		{"oversize", func(w http.ResponseWriter, _ *http.Request) { reply(w, ack+strings.Repeat(" ", 4096)) }, ErrInDoubt},
		{"exactly the limit", func(w http.ResponseWriter, _ *http.Request) {
			reply(w, ack+strings.Repeat(" ", 4096-len(ack)))
		}, nil},
		{"reset after reading", hijack(""), ErrInDoubt},
		{"reset in the header", hijack("HTTP/1.1 200 OK\r\nContent-Ty"), ErrInDoubt},
		{"reset in the body", hijack("HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 999\r\n\r\n<Resp"), ErrInDoubt},
		{"no HTTP", hijack("220 smtp ready\r\n"), ErrInDoubt},
		{"hang", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, ErrInDoubt},
		{"hang in the body", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Length", "100")
			reply(w, "<Resp")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, ErrInDoubt},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				test.handler(w, r)
			}))
			defer server.Close()
			g := newGateway(t, Options{URL: server.URL, Timeout: time.Second, MaxBody: 4096})
			body, err := g.Post(t.Context(), readPost(t))
			if test.want == nil {
				if err != nil || len(body) == 0 {
					t.Errorf("got %q, %v", body, err)
				}
			} else {
				wantClass(t, err, test.want)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("the DCC saw %d requests, want 1", n)
			}
		})
	}
}

// wantClass checks that err is of one class and of no other.
func wantClass(t *testing.T, err, want error) {
	t.Helper()
	for _, class := range []error{ErrNotPermitted, ErrNotWritten, ErrRejected, ErrInDoubt} {
		if got := errors.Is(err, class); got != errors.Is(want, class) {
			t.Errorf("errors.Is(%v, %v) is %v", err, class, got)
		}
	}
}

func TestThrottled(t *testing.T) {
	for _, test := range []struct {
		status int
		header string
		min    time.Duration
		max    time.Duration
	}{
		{http.StatusTooManyRequests, "", 0, 0},
		{http.StatusTooManyRequests, "7", 7 * time.Second, 7 * time.Second},
		{http.StatusServiceUnavailable, "120", 2 * time.Minute, 2 * time.Minute},
		{http.StatusServiceUnavailable, "-1", 0, 0},
		{http.StatusServiceUnavailable, "soon", 0, 0},
		{http.StatusServiceUnavailable, "99999999", time.Hour, time.Hour},
		{http.StatusServiceUnavailable, time.Now().Add(time.Minute).UTC().Format(http.TimeFormat), 50 * time.Second, time.Minute},
		{http.StatusServiceUnavailable, "Sun, 06 Nov 1994 08:49:37 GMT", 0, 0},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if test.header != "" {
				w.Header().Set("Retry-After", test.header)
			}
			w.WriteHeader(test.status)
		}))
		_, err := newGateway(t, Options{URL: server.URL}).Post(t.Context(), readPost(t))
		throttled, ok := errors.AsType[*ThrottledError](err)
		if !ok || throttled.Status != test.status || throttled.RetryAfter < test.min || throttled.RetryAfter > test.max {
			t.Errorf("%d with Retry-After %q: got %v", test.status, test.header, err)
		}
		wantClass(t, err, nil)
		server.Close()
	}
}

func TestNotWritten(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := listener.Addr().String()
	listener.Close()
	_, err = newGateway(t, Options{URL: "http://" + refusing}).Post(t.Context(), readPost(t))
	wantClass(t, err, ErrNotWritten)

	// A server with a certificate of no known authority gets no byte of the request.
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the request arrived")
	}))
	defer server.Close()
	server.Config.ErrorLog = nil
	_, err = newGateway(t, Options{URL: server.URL, TLS: &tls.Config{RootCAs: x509.NewCertPool()}}).Post(t.Context(), readPost(t))
	wantClass(t, err, ErrNotWritten)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = newGateway(t, Options{URL: server.URL}).Post(cancelled, readPost(t))
	wantClass(t, err, ErrNotWritten)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not wrap the context's error", err)
	}
}

// A warm connection that the server has closed meanwhile is no reason for doubt:
// the transport notices before it writes, or nothing was written, or the POST is in
// doubt. It never is lost silently or sent twice.
func TestConnectionClosedWhileIdle(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		reply(w, ack)
	}))
	defer server.Close()
	g := newGateway(t, Options{URL: server.URL})
	for i := range int32(20) {
		server.CloseClientConnections()
		before := requests.Load()
		_, err := g.Post(t.Context(), readPost(t))
		if err != nil && !errors.Is(err, ErrInDoubt) && !errors.Is(err, ErrNotWritten) {
			t.Fatalf("POST %d: %v", i, err)
		}
		if n := requests.Load() - before; n > 1 || err == nil && n != 1 || errors.Is(err, ErrNotWritten) && n != 0 {
			t.Fatalf("POST %d: arrived %d times (%v)", i, n, err)
		}
	}
}

func TestConnectionIsCancelledInDoubt(t *testing.T) {
	arrived := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, err := newGateway(t, Options{URL: server.URL}).Post(ctx, readPost(t))
	wantClass(t, err, ErrInDoubt)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not wrap the context's error", err)
	}
}

func TestFewWarmConnections(t *testing.T) {
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		reply(w, ack)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	g := newGateway(t, Options{URL: server.URL, Connections: 3})
	errs := make(chan error)
	for range 8 {
		go func() {
			for range 20 {
				if _, err := g.Post(t.Context(), readPost(t)); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := connections.Load(); n > 3 {
		t.Errorf("%d connections, want 3 at most", n)
	}
}

func TestMutualTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) != 1 {
			t.Errorf("%d client certificates", len(r.TLS.PeerCertificates))
		}
		reply(w, ack)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	config := &tls.Config{RootCAs: roots, Certificates: server.TLS.Certificates}
	if _, err := newGateway(t, Options{URL: server.URL, TLS: config}).Post(t.Context(), readPost(t)); err != nil {
		t.Error(err)
	}
	if config.MinVersion != 0 {
		t.Error("the caller's TLS configuration was changed")
	}
}

func TestOptionsValidate(t *testing.T) {
	for _, o := range []Options{
		{},
		{URL: "dcc.example"},
		{URL: "ftp://dcc.example"},
		{URL: "https://"},
		{URL: "https://user:secret@dcc.example"},
		{URL: "https://dcc.example/?key=1"},
		{URL: "http://dcc.example", TLS: &tls.Config{}},
		{URL: "https://dcc.example", Timeout: -1},
		{URL: "https://dcc.example", MaxBody: -1},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("accepted %+v", o)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
}

func BenchmarkPost(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		reply(w, ack)
	}))
	defer server.Close()
	g, post := newGateway(b, Options{URL: server.URL}), readPost(b)
	for b.Loop() {
		if _, err := g.Post(b.Context(), post); err != nil {
			b.Fatal(fmt.Errorf("post: %w", err))
		}
	}
}
