package console

import (
	"cmp"
	"context"
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

	"safemode/engine/listen"
)

// errNotLoopback refuses to listen where others could pause or stop a sweep.
var errNotLoopback = errors.New("console: not a loopback address")

// Address is where the console listens and what guards it there.
type Address struct {
	Listen string      // host:port, like 127.0.0.1:8090
	TLS    *tls.Config // with the server's certificate; nil: no TLS

	// The same as in the Options of New.
	Token, LookToken string
	People           []Person
	Redact           bool

	// How many connections there may be at a time: of peers that are authenticated, and of others.
	// 0: 128 and 256.
	Connections, Unknown int
}

// Listen opens the console's address. One that is not loopback needs TLS and a
// token.
func Listen(ctx context.Context, a Address) (*listen.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.Listen)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	guarded := a.TLS != nil && (a.Token != "" || len(a.People) > 0)
	if tcp, ok := listener.Addr().(*net.TCPAddr); !guarded && (!ok || !tcp.IP.IsLoopback()) {
		return nil, errors.Join(fmt.Errorf("%w: %s: others could stop the sweep there; it needs TLS and a token", errNotLoopback, listener.Addr()),
			listener.Close())
	}
	o := listen.Options{TLS: a.TLS, Known: cmp.Or(a.Connections, 128), Unknown: cmp.Or(a.Unknown, 256), Yield: true}
	o.KnownPerPeer, o.UnknownPerPeer = max(1, o.Known/2), max(1, o.Unknown/2)
	return listen.New(listener, o), nil
}

// Server makes the server for a listener of [Listen]. The caller runs and ends it. Requests and
// answers have time limits, and /live its own: a slower peer loses the connection.
func Server(handler http.Handler, log *zap.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: zap.NewStdLog(log), ConnContext: listen.Context,
	}
}

// asked bounds how often one person, or one address without a person, may ask; all
// orders are taken.
var asked = listen.Rate{PerSecond: 100, Burst: 400}

// Reasons why a request is refused: the values of the label.
const (
	turnedToken  = "token"
	turnedHost   = "host"
	turnedOrigin = "origin"
	turnedRate   = "rate"
	turnedRole   = "role"
)

// guard refuses peers that may not ask.
type guard struct {
	turned *prometheus.CounterVec // reason
	log    *zap.Logger            // writes little of much
	rates  *listen.Rates
}

func newGuard(o Options) guard {
	g := guard{
		rates: listen.NewRates(asked, listen.Rate{}),
		turned: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "safemode_operations_refused_total",
			Help: "Requests to the operations address turned away: without the token, under a foreign host name, from a page of another origin, too many a second, by who may not.",
		}, []string{"reason"}),
		log: o.Log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(core, time.Minute, 10, 10_000)
		})),
	}
	for _, reason := range [...]string{turnedToken, turnedHost, turnedOrigin, turnedRate, turnedRole} {
		g.turned.WithLabelValues(reason)
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(g.turned)
	}
	return g
}

func (g guard) turnAway(w http.ResponseWriter, r *http.Request, status int, reason, remedy string) {
	g.turned.WithLabelValues(reason).Inc()
	g.log.Warn("request refused", zap.String("reason", reason), zap.String("from", r.RemoteAddr))
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

// loopbackHost refuses requests under a name that is not this machine's own: somebody may
// have made the name of their page point here (DNS rebinding).
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
		g.admit(w, as(r, caller{role: Orders}), "", next)
	})
}

// admit lets an authenticated peer ask, and counts its connection among those of the same
// person, or of the address if who is empty.
func (g guard) admit(w http.ResponseWriter, r *http.Request, who string, next http.Handler) {
	if !listen.Admit(r.Context(), who) {
		w.Header().Set("Connection", "close") // it has lost its place
	}
	if who == "" {
		who = listen.PeerOf(r.RemoteAddr).String()
	}
	if r.Method != http.MethodPost && g.rates.Over(who, time.Now()) != "" {
		w.Header().Set("Retry-After", "1")
		g.turnAway(w, r, http.StatusTooManyRequests, turnedRate, "ask less often")
		return
	}
	next.ServeHTTP(w, r)
}

// bearer admits requests with a token, and any request for /healthz and /readyz. A browser cannot
// be given a bearer token: it may send it as the password of Basic, under any name.
func (g guard) bearer(t tokens, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			_, given, ok = r.BasicAuth()
		}
		who, known := t.identify(given)
		switch {
		case ok && known && who.name != "":
			g.admit(w, as(r, who), "person "+who.name, next)
		case ok && known:
			g.admit(w, as(r, who), "token to "+string(who.role), next)
		case r.URL.Path == "/healthz", r.URL.Path == "/readyz":
			w.Header().Set("Connection", "close") // the place is needed by others
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("Connection", "close")
			w.Header().Set("WWW-Authenticate", `Basic realm="safemode operations: the token is the password", charset="UTF-8"`)
			g.turnAway(w, r, http.StatusUnauthorized, turnedToken, "this address asks for the operations token")
		}
	})
}
