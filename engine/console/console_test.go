package console

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/servicerequests"
)

// fakeSweep notes the orders it gets.
type fakeSweep struct {
	status any
	orders []string
	last   Order
	err    error
}

func (s *fakeSweep) Status() any { return s.status }

func (s *fakeSweep) Order(_ context.Context, o Order) error {
	s.orders = append(s.orders, o.Action)
	s.last = o
	return s.err
}

func newConsole(t *testing.T, s Sweep, change func(*Options)) http.Handler {
	t.Helper()
	registry := prometheus.NewRegistry()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "safemode_eta_seconds"})
	gauge.Set(7)
	registry.MustRegister(gauge)
	o := Options{Sweep: s, Gatherer: registry, Log: zap.NewNop()}
	if change != nil {
		change(&o)
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ask(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:8090"+path, nil)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestReading(t *testing.T) {
	h := newConsole(t, &fakeSweep{status: map[string]int{"done": 3}}, nil)
	for _, test := range []struct {
		method, path string
		code         int
		contains     string
	}{
		{"GET", "/", 200, "<h1>Safe mode sweep </h1>"},
		{"GET", "/metrics", 200, "safemode_eta_seconds 7"},
		{"GET", "/healthz", 200, "ok"},
		{"GET", "/readyz", 200, "ok"},
		{"GET", "/api/v1/sweep", 200, `{"done":3}`},
		{"GET", "/nothing", 404, ""},
		{"POST", "/api/v1/sweep", 405, ""},
		{"GET", "/api/v1/sweep/stop", 405, ""},
		{"DELETE", "/api/v1/sweep", 405, ""},
	} {
		w := ask(h, test.method, test.path)
		if w.Code != test.code || !strings.Contains(w.Body.String(), test.contains) {
			t.Errorf("%s %s: got %d %q", test.method, test.path, w.Code, w.Body)
		}
	}
	if got := ask(h, "GET", "/api/v1/sweep").Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("state comes as %q", got)
	}
}

func TestConditions(t *testing.T) {
	h := newConsole(t, &fakeSweep{}, func(o *Options) {
		o.Healthy = func() error { return errors.New("the journal has failed") }
		o.Ready = func() error { return errors.New("paused") }
	})
	for path, reason := range map[string]string{"/healthz": "the journal has failed", "/readyz": "paused"} {
		if w := ask(h, "GET", path); w.Code != 503 || !strings.Contains(w.Body.String(), reason) {
			t.Errorf("%s: got %d %q", path, w.Code, w.Body)
		}
	}
}

// Without a token a balancer learns whether the sweep is ready or stands by, and nothing else.
func TestReadyWithoutAToken(t *testing.T) {
	var says error
	h := newConsole(t, &fakeSweep{}, func(o *Options) {
		o.Token = token
		o.Ready, o.Pulse = func() error { return says }, func() string { return "turned" }
	})
	for _, c := range []struct {
		says        error
		code        int
		short, long string
	}{
		{nil, 200, "ok\n", "ok\nturned\n"},
		{fmt.Errorf("%w for the first machine", ErrStandsBy), 503, "standing by\n", "standing by for the first machine\nturned\n"},
		{errors.New("the journal has failed"), 503, "not ready\n", "the journal has failed\nturned\n"},
	} {
		says = c.says
		for authorization, want := range map[string]string{"": c.short, "Bearer " + token[1:]: c.short, "Bearer " + token: c.long} {
			if w := ask(h, "GET", "/readyz", "Authorization", authorization); w.Code != c.code || w.Body.String() != want {
				t.Errorf("%v: got %d %q, want %d %q", c.says, w.Code, w.Body, c.code, want)
			}
		}
	}
}

func TestOrders(t *testing.T) {
	for _, name := range actions {
		if forGood[name] {
			continue
		}
		s := &fakeSweep{}
		h := newConsole(t, s, nil)
		if w := ask(h, "POST", "/api/v1/sweep/"+name); w.Code != 204 || len(s.orders) != 1 || s.orders[0] != name {
			t.Errorf("%s: got %d, orders %v", name, w.Code, s.orders)
		}
		s.err = errors.New("the sweep has ended")
		if w := ask(h, "POST", "/api/v1/sweep/"+name); w.Code != 409 || !strings.Contains(w.Body.String(), "has ended") {
			t.Errorf("%s after the end: got %d %q", name, w.Code, w.Body)
		}
	}
}

// An order that cannot be undone needs the sweep's own id, and a person: in a live sweep one
// who is proven. Otherwise the sweep does not hear of it.
func TestOrdersThatCannotBeUndone(t *testing.T) {
	people := func(o *Options) {
		o.People = []Person{{Name: "Ada", TokenSHA256: sha256.Sum256([]byte("ada's token")), Role: Orders}}
	}
	shared := func(o *Options) { o.Token = "the shared one" }
	for name, c := range map[string]struct {
		environment, body, person, token string
		change                           func(*Options)
		code                             int
		says                             string
	}{
		"nobody":                {"simulator", `{"confirm":"0123456789ab"}`, "", "", nil, 422, "the name of a person"},
		"no id":                 {"simulator", "", "Ada", "", nil, 422, "confirm must be the sweep's id, 0123456789ab"},
		"another's id":          {"simulator", `{"confirm":"ba9876543210"}`, "Ada", "", nil, 422, "confirm must be the sweep's id"},
		"a drill":               {"simulator", `{"confirm":"0123456789ab"}`, "Ada", "", nil, 204, ""},
		"live, on one's word":   {"live", `{"confirm":"0123456789ab"}`, "Ada", "", nil, 422, "a token of their own"},
		"live, shared token":    {"live", `{"confirm":"0123456789ab"}`, "Ada", "the shared one", shared, 422, "a token of their own"},
		"not known to be drill": {"", `{"confirm":"0123456789ab"}`, "Ada", "", nil, 422, "a token of their own"},
		"live, proven":          {"live", `{"confirm":"0123456789ab"}`, "", "ada's token", people, 204, ""},
		"live, proven, no id":   {"live", "", "", "ada's token", people, 422, "confirm must be"},
	} {
		s := &fakeSweep{status: map[string]any{"environment": c.environment, "sweep_id": "0123456789ab", "state": "running"}}
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8090/api/v1/sweep/cease", strings.NewReader(c.body))
		if c.person != "" {
			r.Header.Set(PersonHeader, c.person)
		}
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		w := httptest.NewRecorder()
		newConsole(t, s, c.change).ServeHTTP(w, r)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.says) || (len(s.orders) == 1) != (c.code == 204) {
			t.Errorf("%s: %d %q, orders %v", name, w.Code, w.Body, s.orders)
		}
	}
}

// A page in a browser on the same machine must not stop a sweep.
func TestForeignPages(t *testing.T) {
	s := &fakeSweep{}
	h := newConsole(t, s, nil)
	for _, headers := range [][]string{
		{"Origin", "https://elsewhere.example"},
		{"Sec-Fetch-Site", "cross-site"},
		{"Host", "rebound.example:8090"},
		{"Host", "10.0.0.1"},
		{"Host", ""},
	} {
		if w := ask(h, "POST", "/api/v1/sweep/stop", headers...); w.Code != 403 {
			t.Errorf("%v: got %d", headers, w.Code)
		}
	}
	if len(s.orders) != 0 {
		t.Errorf("orders %v", s.orders)
	}
	for _, host := range []string{"localhost:8090", "127.0.0.1", "[::1]:8090", "127.9.9.9:1"} {
		if w := ask(h, "GET", "/healthz", "Host", host); w.Code != 200 {
			t.Errorf("under %s: got %d", host, w.Code)
		}
	}
}

func TestStateThatIsNoJSON(t *testing.T) {
	h := newConsole(t, &fakeSweep{status: func() {}}, nil)
	if w := ask(h, "GET", "/api/v1/sweep"); w.Code != 500 {
		t.Errorf("got %d", w.Code)
	}
}

func TestOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("accepted nothing at all")
	}
}

// Where people are named, an order bears the name of whose token came with it, and who
// may only look gives none. Elsewhere the name is the caller's word.
func TestOrdersBearAName(t *testing.T) {
	const ada, eye = "ada's token, long enough to be one", "a viewer's token, long enough as well"
	people := []Person{
		{Name: "Ada", TokenSHA256: sha256.Sum256([]byte(ada)), Role: Orders},
		{Name: "Eye", TokenSHA256: sha256.Sum256([]byte(eye)), Role: Looks},
	}
	s := &fakeSweep{status: 1}
	named := newConsole(t, s, func(o *Options) { o.People = people })
	for _, test := range []struct {
		method, path, token string
		code                int
	}{
		{"POST", "/api/v1/sweep/pause", "", 401},
		{"POST", "/api/v1/sweep/pause", "another token, long enough to be one", 401},
		{"POST", "/api/v1/sweep/pause", eye, 403},
		{"GET", "/api/v1/sweep", eye, 200},
		{"POST", "/api/v1/sweep/pause", ada, 204},
	} {
		if w := ask(named, test.method, test.path, "Authorization", "Bearer "+test.token, PersonHeader, "Mallory"); w.Code != test.code {
			t.Errorf("%s %s as %q: got %d %s", test.method, test.path, test.token, w.Code, w.Body)
		}
	}
	if len(s.orders) != 1 || s.last.By != "Ada" || !s.last.Authenticated {
		t.Errorf("orders %v, last %+v", s.orders, s.last)
	}
	for _, name := range []string{"safemode", "Safe Mode", "a\tb", "a\u202eb"} {
		if w := ask(newConsole(t, s, nil), "POST", "/api/v1/sweep/pause", PersonHeader, name); w.Code != 400 {
			t.Errorf("an order by %q: %d", name, w.Code)
		}
	}
	if checkPeople([]Person{{Name: "safemode"}}) == nil || checkPeople([]Person{{Name: "Ann"}, {Name: "ann", TokenSHA256: [32]byte{1}}}) == nil {
		t.Error("people who are not told apart")
	}
	if w := ask(newConsole(t, s, nil), "POST", "/api/v1/sweep/pause", PersonHeader, "Bob"); w.Code != 204 || s.last.By != "Bob" || s.last.Authenticated {
		t.Errorf("got %d, %+v", w.Code, s.last)
	}
	s.err = fmt.Errorf("%w: wave 7", ErrOrder)
	if w := ask(newConsole(t, s, nil), "POST", "/api/v1/sweep/pause"); w.Code != 422 {
		t.Errorf("an order that makes no sense: %d", w.Code)
	}
	if _, err := New(Options{Sweep: s, Gatherer: prometheus.NewRegistry(), Log: zap.NewNop(), People: append(people, people[0])}); err == nil {
		t.Error("accepted the same person twice")
	}
}

func TestReadOrder(t *testing.T) {
	o, err := readOrder(strings.NewReader(`{"region":"North","now":true,"reason":"calls"}`))
	if err != nil || o.Region != servicerequests.North || !o.Now || o.Reason != "calls" {
		t.Errorf("got %+v, %v", o, err)
	}
	if o, err := readOrder(strings.NewReader("")); err != nil || o.Wave != 0 {
		t.Errorf("no body: %+v, %v", o, err)
	}
	for _, body := range []string{`{"regio":"North"}`, `{"region":"Mars"}`, `{} {}`, `[]`, `{"reason":"two\nlines"}`, `{"by":"Ada"}`} {
		if _, err := readOrder(strings.NewReader(body)); err == nil {
			t.Errorf("accepted %s", body)
		}
	}
}

// The first line is what the check says, and the next is the pulse, ready or not.
func TestReadyTellsThePulse(t *testing.T) {
	var stuck error
	handler, err := New(Options{
		Sweep: &fakeSweep{}, Gatherer: prometheus.NewRegistry(), Log: zap.NewNop(),
		Ready: func() error { return stuck }, Pulse: func() string { return "the core last turned 3ms ago" },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		stuck  error
		status int
		want   string
	}{
		{nil, http.StatusOK, "ok\nthe core last turned 3ms ago\n"},
		{errors.New("the core has not turned for 6s"), http.StatusServiceUnavailable, "the core has not turned for 6s\nthe core last turned 3ms ago\n"},
	} {
		stuck = c.stuck
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/readyz", nil)
		r.Host = "127.0.0.1"
		handler.ServeHTTP(w, r)
		if w.Code != c.status || w.Body.String() != c.want {
			t.Errorf("%d %q", w.Code, w.Body.String())
		}
	}
}
