package console

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// ErrNotLoopback refuses to listen where others could pause or stop a sweep.
var ErrNotLoopback = errors.New("console: not a loopback address")

// Address is where the console listens and what guards it there.
type Address struct {
	Listen string      // host:port, like 127.0.0.1:8090
	TLS    *tls.Config // with the server's certificate; nil: no TLS
	Token  string      // what New was given; empty: none
	People []Person    // what New was given
	Redact bool        // what New is given
}

// Listen opens the console's address. One that is not loopback needs TLS and a
// token.
func Listen(ctx context.Context, a Address) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.Listen)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	guarded := a.TLS != nil && (a.Token != "" || len(a.People) > 0)
	if tcp, ok := listener.Addr().(*net.TCPAddr); !guarded && (!ok || !tcp.IP.IsLoopback()) {
		return nil, errors.Join(fmt.Errorf("%w: %s: others could stop the sweep there; it needs TLS and a token", ErrNotLoopback, listener.Addr()),
			listener.Close())
	}
	if a.TLS == nil {
		return listener, nil
	}
	c := a.TLS.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	c.NextProtos = []string{"http/1.1"}
	return tls.NewListener(listener, c), nil
}

// Why a request is turned away: the label's values.
const (
	turnedToken  = "token"
	turnedHost   = "host"
	turnedOrigin = "origin"
)

// guard turns away who may not ask.
type guard struct {
	turned *prometheus.CounterVec // reason
	log    *zap.Logger            // writes little of much
}

func newGuard(o Options) guard {
	g := guard{
		turned: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "safemode_operations_refused_total",
			Help: "Requests to the operations address turned away: without the token, under a foreign host name, from a page of another origin.",
		}, []string{"reason"}),
		log: o.Log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(core, time.Minute, 10, 10_000)
		})),
	}
	for _, reason := range [...]string{turnedToken, turnedHost, turnedOrigin} {
		g.turned.WithLabelValues(reason)
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(g.turned)
	}
	return g
}

func (g guard) turnAway(w http.ResponseWriter, r *http.Request, status int, reason, remedy string) {
	g.turned.WithLabelValues(reason).Inc()
	g.log.Warn("turned away", zap.String("reason", reason), zap.String("from", r.RemoteAddr))
	http.Error(w, remedy, status)
}

// sameOrigin refuses orders that a page of another origin has a browser give.
func (g guard) sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.turnAway(w, r, http.StatusForbidden, turnedOrigin, "a page of another origin may not ask this")
	}))
	return protection.Handler(next)
}

// loopbackHost refuses requests under a name that is not this machine's own: a
// page elsewhere whose name was made to point here (DNS rebinding).
func (g guard) loopbackHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		address, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if host != "localhost" && (err != nil || !address.IsLoopback()) {
			g.turnAway(w, r, http.StatusForbidden, turnedHost, "ask under a loopback address")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// bearer lets pass who has the token or one of their own, and anybody to /healthz. A
// browser cannot be told a bearer token: it may send it as the password of Basic,
// under any name.
func (g guard) bearer(token string, people []Person, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(token)) // equal lengths, so that comparing takes the same time for all
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			_, given, ok = r.BasicAuth()
		}
		if person, known := identify(people, given); ok && known {
			next.ServeHTTP(w, as(r, person))
			return
		}
		got := sha256.Sum256([]byte(given))
		if right := token != "" && subtle.ConstantTimeCompare(got[:], want[:]) == 1; !(ok && right) && r.URL.Path != "/healthz" {
			w.Header().Set("WWW-Authenticate", `Basic realm="safemode operations: the token is the password", charset="UTF-8"`)
			g.turnAway(w, r, http.StatusUnauthorized, turnedToken, "this address asks for the operations token")
			return
		}
		next.ServeHTTP(w, r)
	})
}
