package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
)

// ErrHeldBack says that [Post.Admit] let nothing pass: nothing was written. The error of
// Admit is wrapped, too.
var ErrHeldBack = errors.New("gateway: held back at the socket")

// socket is a connection that asks before the first byte of each request is written.
// Under TLS it stands above the encryption, so that a handshake asks for nothing.
type socket struct {
	net.Conn
	pass atomic.Pointer[passage] // of the request that has the connection
}

// Write asks the passage, and writes only if it lets the request pass.
func (s *socket) Write(b []byte) (int, error) {
	if p := s.pass.Load(); p != nil {
		if err := p.enter(); err != nil {
			return 0, err
		}
	}
	return s.Conn.Write(b)
}

// passage is one request's way to one socket.
type passage struct {
	*crossing
	asked    bool // only the connection's one writer looks at it
	admitted bool
}

// enter asks, once for each connection that the transport tries: between two of them
// lies a dial, and what held before it may hold no more.
func (p *passage) enter() error {
	if !p.asked {
		p.asked = true
		p.admitted = p.admit()
	}
	if !p.admitted {
		return ErrHeldBack
	}
	return nil
}

// crossing is one POST with all the connections that the transport tries for it.
type crossing struct {
	ctx    context.Context
	cancel context.CancelFunc
	ask    func(context.Context) error // nil: all may pass

	mu      sync.Mutex
	written bool  // a byte may have been written
	refused error // why nothing may pass any more
}

func (c *crossing) admit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil && c.ask != nil {
		c.refused = c.ask(c.ctx)
	}
	if c.refused != nil {
		c.cancel() // so that the transport tries no other connection
		return false
	}
	c.written = true
	return true
}

// errOver refuses a write that the transport tries after it has given the POST up.
var errOver = errors.New("the POST is over")

// end says how far the POST got. From then on nothing more is written.
func (c *crossing) end() (written bool, refused error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	refused = c.refused
	if c.refused == nil {
		c.refused = errOver
	}
	return c.written, refused
}

// trace gives each connection that the transport takes for the POST its passage.
func (c *crossing) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if s, ok := info.Conn.(*socket); ok {
			s.pass.Store(&passage{crossing: c})
		}
	}}
}

// dial opens a socket without TLS.
func dial(d *net.Dialer) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &socket{Conn: conn}, nil
	}
}

// dialTLS opens a socket with TLS; the handshake is done.
func dialTLS(d *net.Dialer, config *tls.Config) func(context.Context, string, string) (net.Conn, error) {
	secure := &tls.Dialer{NetDialer: d, Config: config}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := secure.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &socket{Conn: conn}, nil
	}
}
