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

	// Every request but that for /healthz needs one of these tokens, as a bearer token or as
	// a browser's Basic password. Token is for orders; the name that comes with it is not
	// checked. LookToken is for looking only. People have tokens and roles of their own. Without
	// any token the console answers under loopback addresses only, and anybody there may give
	// orders. Optional.
	Token     string
	LookToken string
	People    []Person

	Registerer prometheus.Registerer // for the count of refused requests. Optional

	// Course is the last while, second by second, for the page's charts. Optional.
	Course func() []record.Moment

	// Stories tells one meter's story. Optional. Redact hides device ids, MPxNs, Request IDs
	// and messages from readers who may not give orders; without people, from everybody.
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
	tokens, err := newTokens(o)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	c := console{o: o, tokens: tokens, guard: newGuard(o), bodies: make(chan struct{}, largeOrders)}
	c.board = &board{look: c.sheet, ending: o.Closing}
	mux := http.NewServeMux()
	serve := func(needs Role, pattern string, handler http.HandlerFunc) {
		mux.HandleFunc(pattern, c.needing(needs, handler))
	}
	serve(Looks, "GET /{$}", c.page)
	serve(Looks, "GET /live", c.live)
	serve(Looks, "GET /note", c.note)
	serve(Looks, "GET /incident/{name}", c.incident)
	if o.Stories != nil {
		serve(Looks, "GET /meters", c.meters)
		serve(Looks, "GET /meter/{place}", c.meter)
	}
	serve(Looks, "GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{}).ServeHTTP)
	serve(Anyone, "GET /healthz", check(o.Healthy, nil))
	serve(Looks, "GET /readyz", check(o.Ready, o.Pulse))
	serve(Looks, "GET /api/v1/sweep", c.status)
	serve(Looks, "GET /api/v1/openapi.json", openAPI)
	for _, action := range actions {
		serve(Orders, "POST /api/v1/sweep/"+action, c.order(action))
	}
	handler := c.guard.sameOrigin(mux)
	if tokens.none() {
		return c.guard.loopbackHost(handler), nil
	}
	return c.guard.bearer(tokens, handler), nil
}

type console struct {
	o      Options
	tokens tokens
	guard  guard
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
