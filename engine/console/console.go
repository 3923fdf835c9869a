package console

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"safemode/engine/record"
)

// Sweep is what is watched and steered. It is used by many goroutines. The
// Order returns when the order holds, or with ctx's error; an order that makes no
// sense wraps [ErrOrder]; another error means that the sweep takes no more orders.
type Sweep interface {
	Status() any // encodes as JSON
	Order(ctx context.Context, o Order) error
}

// Options configures the console. Fields are required unless they say otherwise.
type Options struct {
	Sweep    Sweep
	Gatherer prometheus.Gatherer
	Healthy  func() error  // nil error: healthy. Optional
	Ready    func() error  // nil error: ready. Optional
	Pulse    func() string // what /readyz says besides: when something last happened. Optional
	Log      *zap.Logger

	// Token, or that of one of the People, is demanded with every request but that
	// for /healthz, as a bearer token or as a browser's Basic password. Whoever gives
	// the Token is whom they say they are; People are known by theirs. Without any the
	// console answers under loopback addresses only. Optional.
	Token  string
	People []Person

	Registerer prometheus.Registerer // of the count of who was turned away. Optional

	// Course is the last while, second by second, for the page's charts. Optional.
	Course func() []record.Moment

	// Stories tells one meter's story. Optional. Redact keeps device ids, MPxNs, Request IDs
	// and messages from whoever may not give orders; without people, from everybody.
	Stories Stories
	Redact  bool

	// Incident is the runbook's text of an incident that a task names. Optional.
	Incident func(name string) (text string, known bool)

	Closing <-chan struct{} // closed when the address is about to answer no more. Optional
}

// New returns the handler of all the console's addresses.
func New(o Options) (http.Handler, error) {
	if o.Sweep == nil || o.Gatherer == nil || o.Log == nil {
		return nil, errors.New("console: sweep, gatherer and log are required")
	}
	if o.Stories != nil {
		o.Stories = inTurn{o.Stories, make(chan struct{}, storiesAtOnce)}
	}
	c := console{o: o, bodies: make(chan struct{}, largeOrders)}
	c.board = &board{look: c.sheet, ending: o.Closing}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", c.page)
	mux.HandleFunc("GET /live", c.live)
	mux.HandleFunc("GET /note", c.note)
	mux.HandleFunc("GET /incident/{name}", c.incident)
	if o.Stories != nil {
		mux.HandleFunc("GET /meters", c.meters)
		mux.HandleFunc("GET /meter/{place}", c.meter)
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", check(o.Healthy, nil))
	mux.HandleFunc("GET /readyz", check(o.Ready, o.Pulse))
	mux.HandleFunc("GET /api/v1/sweep", c.status)
	mux.HandleFunc("GET /api/v1/openapi.json", openAPI)
	for _, action := range actions {
		mux.HandleFunc("POST /api/v1/sweep/"+action, c.order(action))
	}
	g := newGuard(o)
	handler := g.sameOrigin(mux)
	if err := checkPeople(o.People); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if o.Token != "" || len(o.People) > 0 {
		return g.bearer(o.Token, o.People, handler), nil
	}
	return g.loopbackHost(handler), nil
}

type console struct {
	o      Options
	board  *board
	bodies chan struct{} // one token for each large order that is being read
}

// check answers for a condition; a nil one always holds. A pulse, if there is one, is said
// on a line of its own.
func check(condition func() error, pulse func() string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		said := ""
		if pulse != nil {
			said = "\n" + pulse()
		}
		if condition != nil {
			if err := condition(); err != nil {
				http.Error(w, err.Error()+said, http.StatusServiceUnavailable)
				return
			}
		}
		_, _ = fmt.Fprintln(w, "ok"+said)
	}
}

//go:embed openapi.json
var openAPIText []byte

// openAPI serves the document of this API.
func openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPIText) // the reader has gone if this fails
}

func (c console) status(w http.ResponseWriter, _ *http.Request) {
	sheet := c.board.read()
	if sheet.fault != nil {
		c.o.Log.Error("state cannot be written as JSON", zap.Error(sheet.fault))
		http.Error(w, "state cannot be written as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(sheet.status)
}
