package inbox

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate is a token bucket of messages.
type Rate struct {
	PerSecond float64 // 0: no limit
	Burst     int     // at one instant; 0: 1
}

func (r Rate) limiter() *rate.Limiter {
	if r.PerSecond == 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(r.PerSecond), max(1, r.Burst))
}

// rememberedPeers bounds the peers whose rates are known, in each of two
// generations. Whoever is forgotten begins with a full burst again: the limit of
// all together holds for those who come from many addresses.
const rememberedPeers = 4096

// limits are the rates of messages, of each peer and of all.
type limits struct {
	perPeer Rate
	total   *rate.Limiter

	mu         sync.Mutex
	young, old map[netip.Addr]*rate.Limiter
}

func newLimits(perPeer, total Rate) *limits {
	return &limits{perPeer: perPeer, total: total.limiter(), young: map[netip.Addr]*rate.Limiter{}}
}

// over says which limit a message of this peer would exceed; empty if none. What a
// peer sends over its own limit costs the others nothing.
func (l *limits) over(peer netip.Addr, now time.Time) (limit string) {
	switch {
	case !l.of(peer).AllowN(now, 1):
		return turnedPeer
	case !l.total.AllowN(now, 1):
		return turnedTotal
	}
	return ""
}

// of returns a peer's limiter.
func (l *limits) of(peer netip.Addr) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limiter, ok := l.young[peer]; ok {
		return limiter
	}
	if len(l.young) >= rememberedPeers {
		l.young, l.old = map[netip.Addr]*rate.Limiter{}, l.young
	}
	limiter, ok := l.old[peer]
	if !ok {
		limiter = l.perPeer.limiter()
	}
	l.young[peer] = limiter
	return limiter
}

// peerOf is who is at the other end: an IPv4 address, or the /64 of an IPv6
// address, within which one host may choose at will. Zero where that is not known.
func peerOf(remote string) netip.Addr {
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
