package inbox

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A message may come packed. Its limits hold for what is in it.
func TestContentEncoding(t *testing.T) {
	const limit = 1 << 12
	message := "<message>" + strings.Repeat("a", 1000) + "</message>"
	packed := zipped(t, message)
	for name, test := range map[string]struct {
		encoding string
		body     []byte
		want     int
	}{
		"as it is":              {"identity", []byte(message), http.StatusNoContent},
		"gzip":                  {"gzip", packed, http.StatusNoContent},
		"gzip by another name":  {"X-GZIP", packed, http.StatusNoContent},
		"gzip that is not said": {"", packed, http.StatusNoContent},
		"gzip that is none":     {"gzip", []byte(message), http.StatusNoContent},
		"cut":                   {"gzip", packed[:len(packed)-9], http.StatusBadRequest},
		"damaged":               {"gzip", append(bytes.Clone(packed[:len(packed)-6]), "broken"...), http.StatusBadRequest},
		"a bomb":                {"gzip", zipped(t, strings.Repeat("a", limit+1)), http.StatusRequestEntityTooLarge},
		"another encoding":      {"br", []byte(message), http.StatusUnsupportedMediaType},
		"two encodings":         {"gzip, gzip", zipped(t, string(packed)), http.StatusUnsupportedMediaType},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(o *Options) { o.MaxBody = limit })
			r := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(test.body))
			r.Header.Set("Content-Type", "application/xml")
			r.Header.Set("Content-Encoding", test.encoding)
			w := httptest.NewRecorder()
			b.ServeHTTP(w, r)
			if w.Code != test.want || b.taken() != map[bool]int{true: 1}[test.want == http.StatusNoContent] {
				t.Fatalf("%d, %d taken, want %d", w.Code, b.taken(), test.want)
			}
			if b.taken() == 1 && string(b.records[0].Body) != message {
				t.Errorf("recorded %q", b.records[0].Body)
			}
		})
	}
}

// Of a Content-Type only the media type counts.
func TestContentType(t *testing.T) {
	for contentType, want := range map[string]int{
		"application/xml; charset":                    http.StatusNoContent,
		"application/xml;charset=utf-8;charset=utf-8": http.StatusNoContent,
		"Application/XML ; charset=\"":                http.StatusNoContent,
		"text/xml;":                                   http.StatusNoContent,
		"application/xmlish":                          http.StatusUnsupportedMediaType,
		"text/html; application/xml":                  http.StatusUnsupportedMediaType,
	} {
		b := newBench(t, nil)
		b.stranger = everybody
		if w := b.post(contentType, strings.NewReader("<message/>")); w.Code != want {
			t.Errorf("%q: %d, want %d", contentType, w.Code, want)
		}
	}
}

// A POST to another path is counted and logged. A peer that floods the inbox with them is
// put off, and few of them are logged.
func TestWrongPath(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	b := newBench(t, func(o *Options) { o.Log, o.PerPeer = zap.New(core), Rate{PerSecond: 0.001, Burst: 30} })
	l, err := Listen(context.Background(), Address{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	handler := b.Server(l, Path).Handler
	for i, path := range []string{Path + "/", "/smartdcc//duis", "/", "/smartdcc/DUIS", "/x%0Ay"} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader("<message/>")))
		if w.Code != http.StatusNotFound || w.Body.Len() != 0 || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d %q, to %q", path, w.Code, w.Body, w.Header().Get("Location"))
		}
		if n := logs.FilterMessageSnippet("unknown path").Len(); n != i+1 {
			t.Errorf("%s: %d lines", path, n)
		}
	}
	const want = `# HELP safemode_inbox_deliveries_total Messages POSTed to the inbox: taken (204), refused (4xx), put off (503), or to another path (404).
# TYPE safemode_inbox_deliveries_total counter
safemode_inbox_deliveries_total{result="put_off"} 0
safemode_inbox_deliveries_total{result="refused"} 0
safemode_inbox_deliveries_total{result="taken"} 0
safemode_inbox_deliveries_total{result="wrong_path"} 5
`
	if err := testutil.GatherAndCompare(b.registry, strings.NewReader(want), "safemode_inbox_deliveries_total"); err != nil {
		t.Error(err)
	}
	for range 100 {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/x", nil))
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, Path, strings.NewReader("<message/>")))
	if n := logs.FilterMessageSnippet("unknown path").Len(); w.Code != http.StatusServiceUnavailable || n > 12 {
		t.Errorf("after a flood: %d, %d lines", w.Code, n)
	}
}

// FuzzBody posts any bytes under any Content-Encoding. What is taken is within the limit,
// and what is not packed is taken as it is.
func FuzzBody(f *testing.F) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte("<message/>"))
	_ = w.Close()
	f.Add("gzip", b.Bytes())
	f.Add("", []byte("<message/>"))
	f.Add("br", []byte{0x1F, 0x8B, 8})
	const limit = 1 << 10
	f.Fuzz(func(t *testing.T, encoding string, body []byte) {
		b := newBench(t, func(o *Options) { o.MaxBody = limit })
		r := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
		r.Header["Content-Encoding"] = []string{encoding}
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		switch {
		case w.Code != http.StatusNoContent:
			if b.taken() != 0 {
				t.Errorf("%d, and taken", w.Code)
			}
		case b.taken() != 1 || len(b.records[0].Body) > limit:
			t.Errorf("%d taken", b.taken())
		case !bytes.HasPrefix(body, []byte{0x1F, 0x8B}) && !bytes.Equal(b.records[0].Body, body):
			t.Errorf("%x is recorded as %x", body, b.records[0].Body)
		}
	})
}
