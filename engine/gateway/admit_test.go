package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

func bothWays(t *testing.T, test func(t *testing.T, secure bool)) {
	t.Run("plain", func(t *testing.T) { test(t, false) })
	t.Run("TLS", func(t *testing.T) { test(t, true) })
}

func admitted(t *testing.T, admit func(context.Context) error) Post {
	post := readPost(t)
	post.Admit = admit
	return post
}

// Admit is asked when the connection is there, once for each POST, and before a byte of it.
func TestAdmitIsAskedAtTheSocket(t *testing.T) {
	bothWays(t, func(t *testing.T, secure bool) {
		p := newPeer(t, secure)
		g := p.gateway(0)
		asked := 0
		for i := range 3 { // on the same connection from the second one on
			before := p.bytes.Load()
			if _, err := g.Post(t.Context(), admitted(t, func(context.Context) error {
				asked++
				if n := p.conns.Load(); n > 1 || secure && n == 0 { // without TLS the peer may not know yet
					t.Errorf("POST %d: asked with %d connections", i, n)
				}
				if n := p.bytes.Load(); n != before {
					t.Errorf("POST %d: asked when %d bytes had arrived", i, n-before)
				}
				return nil
			})); err != nil {
				t.Fatal(err)
			}
		}
		p.end(g)
		if n := p.requests.Load(); asked != 3 || n != 3 {
			t.Errorf("asked %d times for 3 POSTs, %d arrived", asked, n)
		}
	})
}

// A request that leaves in more than one write is asked for once.
func TestAdmitIsAskedOnceForAConnection(t *testing.T) {
	asked := 0
	c := &postState{ctx: t.Context(), cancel: func() {}, ask: func(context.Context) error { asked++; return nil }}
	p := &connState{postState: c}
	for range 3 {
		if err := p.checkOnce(); err != nil {
			t.Fatal(err)
		}
		p.noteWritten(4096)
	}
	if written, _ := c.end(); asked != 1 || !written {
		t.Errorf("asked %d times, written %t", asked, written)
	}
}

// If Admit refuses, not a byte reaches the peer, and the error is Admit's.
func TestAdmitHoldsBack(t *testing.T) {
	reason := errors.New("a gate is closed")
	bothWays(t, func(t *testing.T, secure bool) {
		for _, warm := range []bool{false, true} {
			p := newPeer(t, secure)
			g := p.gateway(0)
			if warm {
				if _, err := g.Post(t.Context(), readPost(t)); err != nil {
					t.Fatal(err)
				}
			}
			before, asked := p.bytes.Load(), 0
			_, err := g.Post(t.Context(), admitted(t, func(context.Context) error { asked++; return reason }))
			if !errors.Is(err, ErrNotAdmitted) || !errors.Is(err, reason) || asked != 1 {
				t.Errorf("warm %t: asked %d times: %v", warm, asked, err)
			}
			wantClass(t, err, nil)
			p.end(g)
			if n := p.bytes.Load() - before; n != 0 {
				t.Errorf("warm %t: %d bytes reached the peer", warm, n)
			}
		}
	})
}

// The wall stands before: what is not permitted is not asked for.
func TestAdmitIsNotAskedAtTheWall(t *testing.T) {
	p := newPeer(t, false)
	g := p.gateway(0)
	post := admitted(t, func(context.Context) error { t.Error("asked"); return nil })
	post.ID.Counter++
	_, err := g.Post(t.Context(), post)
	wantClass(t, err, ErrNotPermitted)
	p.end(g)
	if p.conns.Load() != 0 {
		t.Error("a connection was had")
	}
}

// dialled are the client's connections.
type dialled struct {
	mu    sync.Mutex
	conns []*mortal
}

// mortal is a connection that tells when its peer is gone, or is made to break.
type mortal struct {
	net.Conn
	gone   chan struct{} // a read has failed
	once   sync.Once
	broken atomic.Bool // a write takes nothing
}

func (c *mortal) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.once.Do(func() { close(c.gone) })
	}
	return n, err
}

func (c *mortal) Write(b []byte) (int, error) {
	if c.broken.Load() {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(b)
}

func (d *dialled) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &mortal{Conn: conn, gone: make(chan struct{})}
	d.mu.Lock()
	d.conns = append(d.conns, c)
	d.mu.Unlock()
	return &socket{Conn: c}, nil
}

// A warm connection that takes nothing is replaced, and Admit is asked again: between lies
// a dial, in which a gate may have closed.
func TestAdmitIsAskedAgainOnTheNextConnection(t *testing.T) {
	closed := errors.New("a gate has closed")
	for _, refuses := range []bool{false, true} {
		p := newPeer(t, false)
		g := p.gateway(0)
		var d dialled
		g.transport.DialContext = d.dial
		if _, err := g.Post(t.Context(), readPost(t)); err != nil {
			t.Fatal(err)
		}
		d.conns[0].broken.Store(true)
		before, asked := p.bytes.Load(), 0
		_, err := g.Post(t.Context(), admitted(t, func(context.Context) error {
			if asked++; asked == 2 && refuses {
				return closed
			}
			return nil
		}))
		p.end(g)
		if asked != 2 {
			t.Fatalf("asked %d times, %v", asked, err)
		}
		n := p.bytes.Load() - before
		switch {
		case !refuses && (err != nil || n == 0):
			t.Errorf("%v, %d bytes", err, n)
		case refuses && (!errors.Is(err, ErrNotAdmitted) || !errors.Is(err, closed) || n != 0):
			t.Errorf("refused on the second connection: %v, %d bytes reached the peer", err, n)
		case refuses:
			wantClass(t, err, nil)
		}
	}
}

// The same where the peer resets the warm connection while Admit is asked.
func TestConnectionDiesWhileAdmitIsAsked(t *testing.T) {
	closed := errors.New("a gate has closed")
	for range 20 {
		p := newPeer(t, false)
		g := p.gateway(0)
		var d dialled
		g.transport.DialContext = d.dial
		if _, err := g.Post(t.Context(), readPost(t)); err != nil {
			t.Fatal(err)
		}
		before, asked := p.bytes.Load(), 0
		_, err := g.Post(t.Context(), admitted(t, func(context.Context) error {
			if asked++; asked > 1 {
				return closed
			}
			p.mu.Lock()
			_ = p.open[0].SetLinger(0) // a reset
			_ = p.open[0].Close()
			p.mu.Unlock()
			<-d.conns[0].gone
			return nil
		}))
		p.end(g)
		if n := p.bytes.Load() - before; n != 0 {
			t.Errorf("%d bytes reached the peer", n)
		}
		want := ErrNotWritten
		if asked == 2 {
			want = ErrNotAdmitted
		}
		if !errors.Is(err, want) || errors.Is(err, ErrInDoubt) {
			t.Errorf("asked %d times: %v", asked, err)
		}
	}
}

// A byte that is on its way is in doubt, whatever comes then, and never held back.
func TestWrittenIsNotHeldBack(t *testing.T) {
	c := &postState{ctx: t.Context(), cancel: func() {}}
	p := &connState{postState: c}
	if err := p.checkOnce(); err != nil {
		t.Fatal(err)
	}
	if written, refused := c.end(); !written || refused != nil {
		t.Errorf("a write is under way: written %t, %v", written, refused)
	}
	p.noteWritten(0)
	if err := p.checkOnce(); !errors.Is(err, ErrNotAdmitted) {
		t.Errorf("written after the end: %v", err)
	}
	next := &connState{postState: c}
	if err := next.checkOnce(); !errors.Is(err, ErrNotAdmitted) {
		t.Errorf("written after the end, on another connection: %v", err)
	}
	if written, _ := c.end(); written {
		t.Error("a write that took nothing is called written")
	}
	if _, err := (&socket{}).Write([]byte("x")); !errors.Is(err, ErrNotAdmitted) {
		t.Errorf("a connection that no request has: %v", err)
	}
}

// Where the context ends while Admit is asked, nothing is written later, whatever Admit
// says.
func TestContextEndsWhileAdmitIsAsked(t *testing.T) {
	bothWays(t, func(t *testing.T, secure bool) {
		for _, says := range []error{nil, context.Canceled} {
			p := newPeer(t, secure)
			g := p.gateway(0)
			ctx, cancel := context.WithCancel(t.Context())
			_, err := g.Post(ctx, admitted(t, func(inner context.Context) error {
				cancel()
				<-inner.Done()
				return says
			}))
			if !errors.Is(err, ErrNotAdmitted) || !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			wantClass(t, err, nil)
			p.end(g)
			if n := p.bytes.Load(); n != 0 {
				t.Errorf("%d bytes reached the peer", n)
			}
		}
		// The gateway's own time-out ends the question, too.
		p := newPeer(t, secure)
		g := p.gateway(50 * time.Millisecond)
		_, err := g.Post(t.Context(), admitted(t, func(inner context.Context) error { <-inner.Done(); return inner.Err() }))
		if !errors.Is(err, ErrNotAdmitted) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		p.end(g)
		if n := p.bytes.Load(); n != 0 {
			t.Errorf("%d bytes reached the peer", n)
		}
	})
}

// A slow dial or handshake holds no admission: it is asked for afterwards.
func TestSlowConnectionHoldsNoAdmission(t *testing.T) {
	p := newPeer(t, true)
	p.pause = make(chan struct{})
	g := p.gateway(0)
	var asked atomic.Int32
	done := make(chan error)
	go func() {
		_, err := g.Post(t.Context(), admitted(t, func(context.Context) error { asked.Add(1); return nil }))
		done <- err
	}()
	<-p.begun // its first byte is here, and waits for an answer
	if n := asked.Load(); n != 0 {
		t.Errorf("asked %d times before the handshake", n)
	}
	close(p.pause)
	if err := <-done; err != nil || asked.Load() != 1 {
		t.Errorf("asked %d times, %v", asked.Load(), err)
	}
	p.end(g)

	// One that never ends was never admitted.
	p = newPeer(t, true)
	p.pause = make(chan struct{})
	g = p.gateway(50 * time.Millisecond)
	_, err := g.Post(t.Context(), admitted(t, func(context.Context) error { t.Error("asked"); return nil }))
	wantClass(t, err, ErrNotWritten)
	close(p.pause)
	p.end(g)

	p = newPeer(t, false)
	g = p.gateway(50 * time.Millisecond)
	g.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	_, err = g.Post(t.Context(), admitted(t, func(context.Context) error { t.Error("asked"); return nil }))
	wantClass(t, err, ErrNotWritten)
	p.end(g)
}

// A panic of Admit reaches the caller of Post, and not a goroutine that nobody guards.
func TestAdmitPanics(t *testing.T) {
	bothWays(t, func(t *testing.T, secure bool) {
		p := newPeer(t, secure)
		g := p.gateway(0)
		func() {
			defer func() {
				if v := recover(); v != "the gate panics" {
					t.Errorf("recovered %v", v)
				}
			}()
			_, err := g.Post(t.Context(), admitted(t, func(context.Context) error { panic("the gate panics") }))
			t.Errorf("no panic, %v", err)
		}()
		if _, err := g.Post(t.Context(), readPost(t)); err != nil { // and the gateway goes on
			t.Error(err)
		}
		p.end(g)
		if n := p.requests.Load(); n != 1 {
			t.Errorf("%d requests arrived", n)
		}
	})
}

// Many POSTs over few connections: each is asked for itself, and what is refused is not
// sent for another.
func TestAdmitOfManyPosts(t *testing.T) {
	var arrived sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if request, err := duis.Inspect(body); err == nil {
			arrived.Store(request.ID.Counter, true)
		}
		reply(w, ack)
	}))
	defer server.Close()
	g := newGateway(t, Options{URL: server.URL, Connections: 3})
	refused := errors.New("odd")
	var all sync.WaitGroup
	for n := uint64(1); n <= 100; n++ {
		id := readID
		id.Counter = n
		body := request(t, duis.Request{ID: id, Service: servicerequests.ReadSupplyStatus})
		all.Go(func() {
			_, err := g.Post(t.Context(), Post{Service: record.SendCommand, ID: id, Body: body, Admit: func(context.Context) error {
				if n%2 == 1 {
					return refused
				}
				return nil
			}})
			if (n%2 == 1) != errors.Is(err, refused) || n%2 == 0 && err != nil {
				t.Errorf("%d: %v", n, err)
			}
		})
	}
	all.Wait()
	for n := uint64(1); n <= 100; n++ {
		if _, ok := arrived.Load(n); ok != (n%2 == 0) {
			t.Errorf("%d arrived: %t", n, ok)
		}
	}
}
