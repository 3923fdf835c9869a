package inbox

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"
)

// Address is where the inbox listens, and who is let in there.
type Address struct {
	Listen string // host:port, like 127.0.0.1:8089

	// TLS has the server's certificate and, as ClientCAs, who may vouch for a
	// client; at least TLS 1.2 is used, and a client must have a certificate. Nil: no
	// TLS, and anybody may knock.
	TLS *tls.Config
	// AllowedNames are the clients that are let in, each by a DNS name or the common
	// name of its certificate. Required with TLS: the authority may vouch for others
	// as well.
	AllowedNames []string

	Connections        int // of authenticated peers, at a time; 0: 512
	ConnectionsPerPeer int // of authenticated peers, at a time from one address; 0: 256

	// Connections on which nobody has been authenticated yet, at a time, and from one
	// address. They count here and not above. 0: 512 and 128.
	Unknown        int
	UnknownPerPeer int
}

// Listen opens the inbox's address. Nothing is answered there before [Inbox.Server] runs.
func Listen(ctx context.Context, a Address) (*Listener, error) {
	switch {
	case a.TLS != nil && (a.TLS.ClientCAs == nil || len(a.AllowedNames) == 0):
		return nil, errors.New("inbox: TLS needs authorities for clients' certificates, and allowed names")
	case a.TLS == nil && len(a.AllowedNames) > 0:
		return nil, errors.New("inbox: allowed names need TLS")
	case a.Connections < 0 || a.ConnectionsPerPeer < 0 || a.Unknown < 0 || a.UnknownPerPeer < 0:
		return nil, errors.New("inbox: connections must not be negative")
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.Listen)
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	l := &Listener{
		Listener: listener,
		known:    pool{total: cmp.Or(a.Connections, 512), perPeer: cmp.Or(a.ConnectionsPerPeer, 256), peers: map[netip.Addr][]*counted{}},
		unknown:  pool{total: cmp.Or(a.Unknown, 512), perPeer: cmp.Or(a.UnknownPerPeer, 128), peers: map[netip.Addr][]*counted{}},
	}
	if a.TLS != nil {
		l.tls = a.TLS.Clone()
		l.tls.MinVersion = max(l.tls.MinVersion, tls.VersionTLS12)
		l.tls.NextProtos = []string{"http/1.1"}
		l.tls.ClientAuth = tls.RequireAndVerifyClientCert
		l.tls.VerifyConnection = allow(a.AllowedNames)
	}
	return l, nil
}

// allow lets in clients whose certificate, which has been verified, has one of
// these names.
func allow(names []string) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		client := s.PeerCertificates[0]
		own := append(slices.Clone(client.DNSNames), client.Subject.CommonName)
		for _, name := range names {
			if slices.ContainsFunc(own, func(n string) bool { return n != "" && strings.EqualFold(n, name) }) {
				return nil
			}
		}
		return fmt.Errorf("the client's certificate is for %q, which is not allowed", own)
	}
}

// Listener is the inbox's address. It closes at once what is over its limits of
// connections, so that who holds many keeps out nobody else.
type Listener struct {
	net.Listener
	tls    *tls.Config         // nil: none
	turned func(reason string) // set by Inbox.Server

	mu      sync.Mutex
	known   pool // of connections that an authenticated peer holds
	unknown pool // of those on which nobody has been authenticated yet
}

// pool is connections within limits.
type pool struct {
	total, perPeer int
	open           int
	peers          map[netip.Addr][]*counted // the oldest first
}

// over says which limit another connection of this peer would exceed; empty if none.
func (p *pool) over(peer netip.Addr) (limit string) {
	switch {
	case len(p.peers[peer]) >= p.perPeer:
		return turnedPeer
	case p.open >= p.total:
		return turnedTotal
	}
	return ""
}

func (p *pool) add(c *counted) {
	p.open++
	p.peers[c.peer] = append(p.peers[c.peer], c)
}

// remove takes a connection out, and says whether it was in.
func (p *pool) remove(c *counted) bool {
	own := p.peers[c.peer]
	at := slices.Index(own, c)
	if at < 0 {
		return false
	}
	p.open--
	if own = slices.Delete(own, at, at+1); len(own) == 0 {
		delete(p.peers, c.peer)
	} else {
		p.peers[c.peer] = own
	}
	return true
}

// crowd is the peer with the most connections.
func (p *pool) crowd() (largest netip.Addr) {
	for peer, own := range p.peers {
		if len(own) > len(p.peers[largest]) {
			largest = peer
		}
	}
	return largest
}

// Accept returns the next connection that is within the limits.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		conn := &counted{Conn: accepted, listener: l, peer: peerOf(accepted.RemoteAddr().String())}
		reason, evicted := l.enter(conn)
		if evicted != nil {
			l.turned(turnedTotal)
			_ = evicted.Close() // nobody has been authenticated on it
		}
		if reason != "" {
			l.turned(reason)
			_ = accepted.Close() // nothing was said on it
			continue
		}
		if l.tls != nil {
			return tls.Server(conn, l.tls), nil
		}
		return conn, nil
	}
}

// enter gives a new connection a place among those that are unknown. Where all places are
// taken the peer with the most of them gives its oldest one.
func (l *Listener) enter(c *counted) (over string, evicted *counted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if over = l.known.over(c.peer); over != "" {
		return over, nil // it could not be let in later either
	}
	switch over = l.unknown.over(c.peer); over {
	case turnedPeer:
		return over, nil
	case turnedTotal:
		evicted = l.unknown.peers[l.unknown.crowd()][0]
		l.unknown.remove(evicted)
	}
	l.unknown.add(c)
	return "", evicted
}

// counted is a connection that gives its place free when it is closed.
type counted struct {
	net.Conn
	listener *Listener
	peer     netip.Addr
	known    bool // guarded by the listener's mutex: it has, or had, its place among those that are
}

// admit gives a connection whose peer is authenticated its place among those. It says
// whether there is one.
func (c *counted) admit() bool {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.known {
		return true
	}
	if l.known.over(c.peer) != "" || !l.unknown.remove(c) { // it was evicted, or closed
		return false
	}
	c.known = true
	l.known.add(c)
	return true
}

// Close closes the connection.
func (c *counted) Close() error {
	c.listener.mu.Lock()
	c.listener.unknown.remove(c)
	c.listener.known.remove(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// connection is the key of a request's *counted in its context.
type connection struct{}

// admit gives the connection of a request its place among those of authenticated peers.
// What did not come through a [Listener] needs none.
func admit(ctx context.Context) bool {
	c, ok := ctx.Value(connection{}).(*counted)
	return !ok || c.admit()
}

// URL is where the DCC must deliver to.
func (l *Listener) URL(path string) string {
	if l.tls != nil {
		return "https://" + l.Addr().String() + path
	}
	return "http://" + l.Addr().String() + path
}

// Server makes the server that answers at a listener with this inbox at path, and
// with 404 elsewhere. It is the caller's to run and to end.
func (i *Inbox) Server(l *Listener, path string) *http.Server {
	l.turned = func(reason string) {
		i.metrics.connections.WithLabelValues(reason).Inc()
		i.strange.Warn("connection closed: over the limit", zap.String("limit", reason))
	}
	log := i.strange.WithOptions(zap.AddCallerSkip(1))
	return &http.Server{
		// No ServeMux: it would redirect a path that is nearly right, and the DCC takes any
		// answer under 500 as final.
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				i.ServeHTTP(w, r)
				return
			}
			i.wrongPath(w, r)
		}),
		ReadHeaderTimeout: i.o.Header,
		// Of a whole request; the handler is given its own time once the header is there.
		ReadTimeout:    i.o.Header + i.o.Timeout,
		WriteTimeout:   i.o.Timeout + i.o.Header,
		IdleTimeout:    i.o.Idle,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       zap.NewStdLog(log),
		ConnState:      i.silence(),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if secured, ok := conn.(*tls.Conn); ok {
				conn = secured.NetConn()
			}
			return context.WithValue(ctx, connection{}, conn)
		},
	}
}

// silence counts connections that are closed before a request came: handshakes
// that failed, scans, and those who wait to see how long they may.
func (i *Inbox) silence() func(net.Conn, http.ConnState) {
	var silent sync.Map // of connections; bounded by the listener's limit
	return func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			silent.Store(c, nil)
		case http.StateActive, http.StateHijacked:
			silent.Delete(c)
		case http.StateClosed:
			if _, ok := silent.LoadAndDelete(c); ok {
				i.metrics.connections.WithLabelValues(turnedSilent).Inc()
			}
		}
	}
}
