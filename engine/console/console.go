package console

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// Sweep is what is watched and steered. It is used by many goroutines. The
// orders return when they hold, or with ctx's error; another error means that the
// sweep takes no more orders.
type Sweep interface {
	Status() any // encodes as JSON
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error
	Stop(ctx context.Context) error
}

// Options configures the console. Fields are required unless they say otherwise.
type Options struct {
	Sweep    Sweep
	Gatherer prometheus.Gatherer
	Healthy  func() error // nil error: healthy. Optional
	Ready    func() error // nil error: ready. Optional
	Log      *zap.Logger

	// AnyHost lets the console be asked under any host name: for one that does
	// not listen on loopback.
	AnyHost bool
}

// ErrNotLoopback refuses to listen where others could pause or stop a sweep.
var ErrNotLoopback = errors.New("console: not a loopback address")

// Listen opens the console's address, like 127.0.0.1:8090. An address that is
// not loopback needs anyAddress.
func Listen(ctx context.Context, address string, anyAddress bool) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); !anyAddress && (!ok || !tcp.IP.IsLoopback()) {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrNotLoopback, listener.Addr()), listener.Close())
	}
	return listener, nil
}

//go:embed page.html
var page []byte

// New returns the handler of all the console's addresses.
func New(o Options) (http.Handler, error) {
	if o.Sweep == nil || o.Gatherer == nil || o.Log == nil {
		return nil, errors.New("console: sweep, gatherer and log are required")
	}
	c := console{o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", c.page)
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", check(o.Healthy))
	mux.HandleFunc("GET /readyz", check(o.Ready))
	mux.HandleFunc("GET /api/v1/sweep", c.status)
	mux.HandleFunc("POST /api/v1/sweep/pause", c.order("pause", o.Sweep.Pause))
	mux.HandleFunc("POST /api/v1/sweep/resume", c.order("resume", o.Sweep.Resume))
	mux.HandleFunc("POST /api/v1/sweep/stop", c.order("stop", o.Sweep.Stop))
	handler := http.NewCrossOriginProtection().Handler(mux)
	if o.AnyHost {
		return handler, nil
	}
	return loopbackHost(handler), nil
}

type console struct{ o Options }

// loopbackHost refuses requests under a name that is not this machine's own: a
// page elsewhere whose name was made to point here (DNS rebinding).
func loopbackHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		address, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if host != "localhost" && (err != nil || !address.IsLoopback()) {
			http.Error(w, "ask under a loopback address", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c console) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'")
	_, _ = w.Write(page) // the reader has gone if this fails
}

// check answers for a condition; a nil one always holds.
func check(condition func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if condition != nil {
			if err := condition(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		_, _ = fmt.Fprintln(w, "ok")
	}
}

func (c console) status(w http.ResponseWriter, _ *http.Request) {
	body, err := json.Marshal(c.o.Sweep.Status())
	if err != nil {
		c.o.Log.Error("state cannot be written as JSON", zap.Error(err))
		http.Error(w, "state cannot be written as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n'))
}

// order hands an operator's order to the sweep.
func (c console) order(name string, act func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.o.Log.Info("operator's order", zap.String("order", name), zap.String("from", r.RemoteAddr))
		if err := act(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
