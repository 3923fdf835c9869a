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

// ErrNotAdmitted means that [Post.Admit] refused the request: nothing was written. The error of
// Admit is wrapped, too.
var ErrNotAdmitted = errors.New("gateway: refused at the socket")

// socket is a connection that calls [Post.Admit] before the first byte of each request is
// written. With TLS it is above the encryption, so a handshake does not call it.
type socket struct {
	net.Conn
	pass atomic.Pointer[connState] // of the request that has the connection
}

// Write writes only if the request is admitted. A connection that no request uses writes
// nothing.
func (s *socket) Write(b []byte) (int, error) {
	p := s.pass.Load()
	if p == nil {
		return 0, ErrNotAdmitted
	}
	if err := p.checkOnce(); err != nil {
		return 0, err
	}
	n, err := s.Conn.Write(b)
	p.noteWritten(n)
	return n, err
}

// connState is one request on one connection.
type connState struct {
	*postState
	asked bool // by the connection's one writer
}

// checkOnce calls Admit once for each connection that the transport tries: there is a dial
// between two of them, and the answer may have changed.
func (p *connState) checkOnce() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.asked {
		p.asked = true
		p.admit()
	}
	if p.refused != nil {
		return ErrNotAdmitted
	}
	p.writing++
	return nil
}

// noteWritten takes in how many bytes a write has given to the network. The peer cannot read
// a TLS record that was cut short.
func (p *connState) noteWritten(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing--
	p.written = p.written || n > 0
}

// postState is the state of one POST over all the connections that the transport tries.
type postState struct {
	ctx    context.Context
	cancel context.CancelFunc
	ask    func(context.Context) error // nil: all may pass

	mu       sync.Mutex
	writing  int   // writes under way
	written  bool  // a byte was written
	refused  error // why nothing may pass any more
	panicked any   // what ask panicked with
}

// admit calls Admit. The caller holds mu, so the POST does not end meanwhile.
func (c *postState) admit() {
	defer func() {
		// A panic must not end the transport's goroutine: Post passes it to its caller.
		if c.panicked = recover(); c.panicked != nil {
			c.refused = ErrNotAdmitted
		}
		if c.refused == nil {
			c.refused = c.ctx.Err() // it ended while Admit ran
		}
		if c.refused != nil {
			c.cancel() // so that the transport tries no other connection
		}
	}()
	if c.refused == nil && c.ask != nil {
		c.refused = c.ask(c.ctx)
	}
}

// errOver is the error for a write that the transport tries after the POST has ended.
var errOver = errors.New("the POST is over")

// end says whether the peer may have a byte of the POST, and if not, why it was refused. From
// then on nothing more is written.
func (c *postState) end() (written bool, refused error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.panicked != nil {
		panic(c.panicked)
	}
	refused = c.refused
	if c.refused == nil {
		c.refused = errOver
	}
	return c.written || c.writing > 0, refused
}

// trace attaches the POST to each connection that the transport uses for it.
func (c *postState) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if s, ok := info.Conn.(*socket); ok {
			s.pass.Store(&connState{postState: c})
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
