package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options bounds the connections of one address. All numbers are of connections that are
// open at a time, and 1 or more.
type Options struct {
	TLS *tls.Config // of the server; TLS 1.2 at least is used, and HTTP/1.1. Nil: none

	Known        int // of peers that were admitted
	KnownPerPeer int // of one of them
	Unknown      int // on which nobody was admitted yet
	// UnknownPerPeer is of one address: an IPv4 address, or the /64 of an IPv6 one.
	UnknownPerPeer int

	// Yield gives a new connection the place of an older one: of the same peer's oldest if the
	// peer has used up its places, and of the oldest of the peer with most connections if all
	// places are taken. Without it new connections are refused, and admitted ones keep their
	// places; only in the pool of unknown peers as a whole does a new one always replace an old.
	Yield bool

	// Turned is called for each connection that is closed for a limit, which is [OverPeer] or
	// [OverTotal]. It is called by many goroutines. Optional.
	Turned func(limit string)
}

// leastStay is how long no new connection replaces a peer's, so that the peer has time to
// authenticate. It also bounds how many connections are accepted in a second.
const leastStay = 100 * time.Millisecond

// The limits.
const (
	OverPeer  = "peer"
	OverTotal = "total"
)

// Listener closes at once what is over its limits of connections.
type Listener struct {
	net.Listener
	o Options

	mu             sync.Mutex
	known, unknown pool
}

// New bounds a listener, which is closed with it.
func New(l net.Listener, o Options) *Listener {
	if o.TLS != nil {
		o.TLS = o.TLS.Clone()
		o.TLS.MinVersion = max(o.TLS.MinVersion, tls.VersionTLS12)
		o.TLS.NextProtos = []string{"http/1.1"}
	}
	return &Listener{
		Listener: l, o: o,
		known:   pool{total: o.Known, perPeer: o.KnownPerPeer, peers: map[string][]*conn{}},
		unknown: pool{total: o.Unknown, perPeer: o.UnknownPerPeer, peers: map[string][]*conn{}},
	}
}

// Lend lends the listener to a server that ends before it does: the loan's Close has its
// Accept return, and the listener goes on. One loan may be out at a time.
func (l *Listener) Lend() net.Listener { return &loan{Listener: l} }

type loan struct {
	*Listener
	returned atomic.Bool
}

// deadline bounds how long an Accept may wait: one that has passed ends a loan's.
type deadline interface{ SetDeadline(time.Time) error }

// Accept returns the next connection that is within the limits.
func (l *loan) Accept() (net.Conn, error) {
	for !l.returned.Load() {
		c, err := l.accept()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return c, err
		}
		if err := l.goOn(); err != nil { // the deadline is this loan's, or was of one before
			return nil, err
		}
	}
	return nil, net.ErrClosed
}

// Close has Accept return.
func (l *loan) Close() error {
	bounded, ok := l.Listener.Listener.(deadline)
	if !ok {
		return fmt.Errorf("%T cannot be lent", l.Listener.Listener)
	}
	if l.returned.Swap(true) {
		return nil
	}
	return bounded.SetDeadline(time.Unix(1, 0))
}

// goOn takes back the deadline that a loan has left: nobody may have been in its Accept.
func (l *Listener) goOn() error {
	return l.Listener.(deadline).SetDeadline(time.Time{})
}

// pool is connections within limits.
type pool struct {
	total, perPeer int
	open           int
	peers          map[string][]*conn // the oldest first
}

// over says which limit another connection of this peer would exceed; empty if none.
func (p *pool) over(peer string) (limit string) {
	switch {
	case len(p.peers[peer]) >= p.perPeer:
		return OverPeer
	case p.open >= p.total:
		return OverTotal
	}
	return ""
}

func (p *pool) add(peer string, c *conn) {
	p.open++
	p.peers[peer] = append(p.peers[peer], c)
	c.pool, c.owner = p, peer
}

// remove takes a connection out, and says whether it was in.
func (p *pool) remove(c *conn) bool {
	if c.pool != p {
		return false
	}
	p.open--
	own := p.peers[c.owner]
	if at := slices.Index(own, c); len(own) == 1 {
		delete(p.peers, c.owner)
	} else {
		p.peers[c.owner] = slices.Delete(own, at, at+1)
	}
	c.pool = nil
	return true
}

// oldest is the oldest connection of a peer, or, where the limit is that of all, of the
// peer with the most.
func (p *pool) oldest(peer, limit string) *conn {
	if limit == OverTotal {
		for other, own := range p.peers {
			if len(own) > len(p.peers[peer]) {
				peer = other
			}
		}
	}
	return p.peers[peer][0]
}

// give takes out the oldest connection.
func (p *pool) give(peer, limit string) *conn {
	oldest := p.oldest(peer, limit)
	p.remove(oldest)
	return oldest
}

// Accept returns the next connection that is within the limits.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.accept()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return c, err
		}
		if err := l.goOn(); err != nil {
			return nil, err
		}
	}
}

func (l *Listener) accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: accepted, listener: l, peer: PeerOf(accepted.RemoteAddr().String()).String()}
		limit, evicted := l.enter(c)
		for limit == "" && c.wait > 0 { // the next ones wait in the system's queue
			<-time.After(c.wait)
			limit, evicted = l.enter(c)
		}
		if evicted != nil {
			l.turned(OverTotal)
			_ = evicted.Conn.Close() // nobody has been authenticated on it
		}
		if limit != "" {
			l.turned(limit)
			_ = accepted.Close() // nothing was said on it
			continue
		}
		if l.o.TLS != nil {
			return tls.Server(c, l.o.TLS), nil
		}
		return c, nil
	}
}

func (l *Listener) turned(limit string) {
	if l.o.Turned != nil {
		l.o.Turned(limit)
	}
}

// enter gives a new connection a place among those of unknown peers. If all places are taken,
// the peer with most of them loses its oldest one.
func (l *Listener) enter(c *conn) (over string, evicted *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.wait = 0
	if !l.o.Yield {
		if over = l.known.over(c.peer); over != "" {
			return over, nil // it could not be let in later either
		}
	}
	switch over = l.unknown.over(c.peer); {
	case over == OverPeer && !l.o.Yield:
		return over, nil
	case over != "" && l.o.Yield:
		if c.wait = leastStay - time.Since(l.unknown.oldest(c.peer, over).since); c.wait > 0 {
			return "", nil
		}
		fallthrough
	case over != "":
		evicted = l.unknown.give(c.peer, over)
	}
	c.since = time.Now()
	l.unknown.add(c.peer, c)
	return "", evicted
}

// conn is a connection that gives its place free when it is closed.
type conn struct {
	net.Conn
	listener *Listener
	peer     string
	wait     time.Duration // that enter wants before it is asked again; Accept's alone
	since    time.Time     // it has been among the unknown

	// Guarded by the listener's mutex.
	pool  *pool  // that it has its place in; nil: it is closed, or has lost it
	owner string // under which it is in it
}

// admit gives a connection its place among those of admitted peers.
func (c *conn) admit(who string) bool {
	l := c.listener
	l.mu.Lock()
	if c.pool != &l.unknown { // it was admitted, or evicted, or closed
		defer l.mu.Unlock()
		return c.pool == &l.known
	}
	var evicted *conn
	if over := l.known.over(who); over != "" && !l.o.Yield {
		l.mu.Unlock()
		return false
	} else if over != "" {
		evicted = l.known.give(who, over)
	}
	l.unknown.remove(c)
	l.known.add(who, c)
	l.mu.Unlock()
	if evicted != nil {
		l.turned(OverPeer)
		_ = evicted.Conn.Close() // its peer has many others
	}
	return true
}

// Close closes the connection.
func (c *conn) Close() error {
	l := c.listener
	l.mu.Lock()
	if c.pool != nil {
		c.pool.remove(c)
	}
	l.mu.Unlock()
	return c.Conn.Close()
}

// connection is the key of a request's *conn in its context.
type connection struct{}

// Context notes the connection of a request in its context, as [net/http.Server]'s
// ConnContext is to.
func Context(ctx context.Context, c net.Conn) context.Context {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	return context.WithValue(ctx, connection{}, c)
}

// Admit gives the connection of a request a place among those of admitted peers. The connections
// of one who are counted together; empty: those of the same address. It says whether there is
// a place. With [Options].Yield there is one, unless the connection has lost its own meanwhile.
// A request that did not come through a [Listener] needs none.
func Admit(ctx context.Context, who string) bool {
	c, ok := ctx.Value(connection{}).(*conn)
	if !ok {
		return true
	}
	if who == "" {
		who = c.peer
	}
	return c.admit(who)
}

// PeerOf names the peer: by its IPv4 address, or by the /64 of its IPv6 address, within
// which one host may choose at will. Zero if that is not known.
func PeerOf(remote string) netip.Addr {
	port, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	addr := port.Addr().Unmap().WithZone("")
	if addr.Is6() {
		return netip.PrefixFrom(addr, 64).Masked().Addr()
	}
	return addr
}
