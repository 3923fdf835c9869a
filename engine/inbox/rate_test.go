package inbox

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"safemode/engine/listen"
)

// from posts a message that comes from this address.
func (b *bench) from(remote string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader("<message/>"))
	r.Header.Set("Content-Type", "application/xml")
	r.RemoteAddr = remote
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

// One peer that sends too much is put off, and told when to come again; the others
// are not, as long as all together keep to their limit.
func TestRates(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	b := newBench(t, func(o *Options) {
		o.PerPeer, o.Total, o.Log = Rate{PerSecond: 1e-9, Burst: 3}, Rate{PerSecond: 1e-9, Burst: 5}, zap.New(core)
	})
	for i, want := range []struct {
		from string
		code int
	}{
		{"192.0.2.1:1000", 204},
		{"192.0.2.1:1001", 204},
		{"[::ffff:192.0.2.1]:1002", 204}, // the same one
		{"192.0.2.1:1003", 503},
		{"192.0.2.1:1004", 503}, // costs the others nothing
		{"[2001:db8::1]:1", 204},
		{"[2001:db8::ffff:2]:1", 204}, // the same network
		{"[2001:db8:0:1::1]:1", 503},  // over the limit of all
	} {
		w := b.from(want.from)
		if w.Code != want.code || want.code == 503 && (w.Header().Get("Retry-After") != "1" || w.Body.Len() != 0) {
			t.Errorf("message %d, from %s: got %d %v %q", i, want.from, w.Code, w.Header(), w.Body)
		}
	}
	if peer, total := testutil.ToFloat64(b.metrics.limited.WithLabelValues(listen.OverPeer)), testutil.ToFloat64(b.metrics.limited.WithLabelValues(listen.OverTotal)); peer != 2 || total != 1 {
		t.Errorf("counted %v over a peer's limit and %v over that of all", peer, total)
	}
	if n := logs.FilterMessage("message refused with 503: over the rate limit").Len(); n == 0 {
		t.Error("the log says nothing")
	}
	if b.taken() != 5 || b.strangers.Load() != 0 {
		t.Errorf("%d delivered, %d strangers", b.taken(), b.strangers.Load())
	}
}
