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

// Write asks the passage, and writes only if it lets the request pass. A connection that no
// request has writes nothing.
func (s *socket) Write(b []byte) (int, error) {
	p := s.pass.Load()
	if p == nil {
		return 0, ErrHeldBack
	}
	if err := p.enter(); err != nil {
		return 0, err
	}
	n, err := s.Conn.Write(b)
	p.leave(n)
	return n, err
}

// passage is one request's way to one socket.
type passage struct {
	*crossing
	asked bool // by the connection's one writer
}

// enter asks, once for each connection that the transport tries: between two of them
// lies a dial, and what held before it may hold no more.
func (p *passage) enter() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.asked {
		p.asked = true
		p.admit()
	}
	if p.refused != nil {
		return ErrHeldBack
	}
	p.writing++
	return nil
}

// leave notes how many bytes a write has given to the network. The rest of a TLS record
// that is cut short is nothing that the peer could read.
func (p *passage) leave(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing--
	p.written = p.written || n > 0
}

// crossing is one POST with all the connections that the transport tries for it.
type crossing struct {
	ctx    context.Context
	cancel context.CancelFunc
	ask    func(context.Context) error // nil: all may pass

	mu       sync.Mutex
	writing  int   // writes under way
	written  bool  // a byte was written
	refused  error // why nothing may pass any more
	panicked any   // what ask panicked with
}

// admit asks whether a connection may be written to. It holds mu: while it is asked, the
// POST does not end.
func (c *crossing) admit() {
	defer func() {
		// The transport's goroutine is no place for a panic: Post hands it to its caller.
		if c.panicked = recover(); c.panicked != nil {
			c.refused = ErrHeldBack
		}
		if c.refused == nil {
			c.refused = c.ctx.Err() // it ended while that was asked
		}
		if c.refused != nil {
			c.cancel() // so that the transport tries no other connection
		}
	}()
	if c.refused == nil && c.ask != nil {
		c.refused = c.ask(c.ctx)
	}
}

// errOver refuses a write that the transport tries after it has given the POST up.
var errOver = errors.New("the POST is over")

// end says how far the POST got: whether the peer may have a byte of it, and else what
// held it back. From then on nothing more is written.
func (c *crossing) end() (written bool, refused error) {
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
