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

	Connections        int // at a time; 0: 512
	ConnectionsPerPeer int // at a time from one address; 0: 256
}

// Listen opens the inbox's address. Nothing is answered there before [Inbox.Server] runs.
func Listen(ctx context.Context, a Address) (*Listener, error) {
	switch {
	case a.TLS != nil && (a.TLS.ClientCAs == nil || len(a.AllowedNames) == 0):
		return nil, errors.New("inbox: TLS needs authorities for clients' certificates, and allowed names")
	case a.TLS == nil && len(a.AllowedNames) > 0:
		return nil, errors.New("inbox: allowed names need TLS")
	case a.Connections < 0 || a.ConnectionsPerPeer < 0:
		return nil, errors.New("inbox: connections must not be negative")
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.Listen)
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	l := &Listener{
		Listener: listener, total: cmp.Or(a.Connections, 512), perPeer: cmp.Or(a.ConnectionsPerPeer, 256),
		peers: map[netip.Addr]int{},
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
	tls            *tls.Config // nil: none
	total, perPeer int
	turned         func(reason string) // set by Inbox.Server

	mu    sync.Mutex
	open  int
	peers map[netip.Addr]int
}

// Accept returns the next connection that is within the limits.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer := peerOf(conn.RemoteAddr().String())
		if reason := l.enter(peer); reason != "" {
			l.turned(reason)
			_ = conn.Close() // nothing was said on it
			continue
		}
		conn = &counted{Conn: conn, leave: sync.OnceFunc(func() { l.leave(peer) })}
		if l.tls != nil {
			conn = tls.Server(conn, l.tls)
		}
		return conn, nil
	}
}

func (l *Listener) enter(peer netip.Addr) (over string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.peers[peer] >= l.perPeer:
		return turnedPeer
	case l.open >= l.total:
		return turnedTotal
	}
	l.open++
	l.peers[peer]++
	return ""
}

func (l *Listener) leave(peer netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.peers[peer]--; l.peers[peer] == 0 {
		delete(l.peers, peer)
	}
}

// counted is a connection that gives its place free when it is closed.
type counted struct {
	net.Conn
	leave func()
}

// Close closes the connection.
func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
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
	mux := http.NewServeMux()
	mux.Handle(path, i)
	log := i.strange.WithOptions(zap.AddCallerSkip(1))
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: i.o.Header,
		// Of a whole request; the handler is given its own time once the header is there.
		ReadTimeout:    i.o.Header + i.o.Timeout,
		WriteTimeout:   i.o.Timeout + i.o.Header,
		IdleTimeout:    i.o.Idle,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       zap.NewStdLog(log),
		ConnState:      i.silence(),
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
