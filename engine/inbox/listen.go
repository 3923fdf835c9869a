package inbox

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"go.uber.org/zap"

	"safemode/engine/listen"
)

// Address is where the inbox listens, and who is let in there.
type Address struct {
	Listen string // host:port, like 127.0.0.1:8089

	// TLS has the server's certificate and, as ClientCAs, the authorities that may issue
	// a client's; at least TLS 1.2 is used, and a client must have a certificate. Nil: no
	// TLS, and anybody may connect.
	TLS *tls.Config
	// AllowedNames are the clients that are let in; see checkClient. Required with TLS,
	// because the authority may issue certificates to others as well.
	AllowedNames []string
	// Revoked says why a client's chain is revoked: its own certificate comes first and the
	// root last. Nil: none is revoked.
	Revoked func(chain []*x509.Certificate) error

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
	l := &Listener{turned: func(string) {}}
	o := listen.Options{
		Known: cmp.Or(a.Connections, 512), KnownPerPeer: cmp.Or(a.ConnectionsPerPeer, 256),
		Unknown: cmp.Or(a.Unknown, 512), UnknownPerPeer: cmp.Or(a.UnknownPerPeer, 128),
		Turned: func(limit string) { l.turned(limit) },
	}
	if a.TLS != nil {
		o.TLS = a.TLS.Clone()
		o.TLS.ClientAuth = tls.RequireAndVerifyClientCert
		o.TLS.VerifyConnection = a.admits
	}
	l.Listener, l.secured = listen.New(listener, o), a.TLS != nil
	return l, nil
}

// Listener is the inbox's address. It closes at once connections over its limits, so that
// a peer with many keeps out nobody else.
type Listener struct {
	*listen.Listener
	secured bool                // by TLS
	turned  func(reason string) // set by Inbox.Server
}

// URL is where the DCC must deliver to.
func (l *Listener) URL(path string) string {
	if l.secured {
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
		// For a whole request; the handler gets its own time once the header is there.
		ReadTimeout:    i.o.Header + i.o.Timeout,
		WriteTimeout:   i.o.Timeout + i.o.Header,
		IdleTimeout:    i.o.Idle,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       zap.NewStdLog(log),
		ConnState:      i.silence(),
		ConnContext:    listen.Context,
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
