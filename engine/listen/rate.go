package listen

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate is a token bucket of messages or requests.
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
// generations. A forgotten peer begins with a full burst again: against a sender with
// many addresses there is the limit for all peers together.
const rememberedPeers = 4096

// Rates are those of each peer and of all. They are used by many goroutines.
type Rates struct {
	perPeer Rate
	total   *rate.Limiter

	mu         sync.Mutex
	young, old map[string]*rate.Limiter
}

// NewRates makes limits that nobody has used up anything of.
func NewRates(perPeer, total Rate) *Rates {
	return &Rates{perPeer: perPeer, total: total.limiter(), young: map[string]*rate.Limiter{}}
}

// Over says which limit a message of this peer would exceed; empty if none. Messages over
// a peer's own limit do not count in the limit of all.
func (l *Rates) Over(peer string, now time.Time) (limit string) {
	switch {
	case !l.of(peer).AllowN(now, 1):
		return OverPeer
	case !l.total.AllowN(now, 1):
		return OverTotal
	}
	return ""
}

// of returns a peer's limiter.
func (l *Rates) of(peer string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limiter, ok := l.young[peer]; ok {
		return limiter
	}
	if len(l.young) >= rememberedPeers {
		l.young, l.old = map[string]*rate.Limiter{}, l.young
	}
	limiter, ok := l.old[peer]
	if !ok {
		limiter = l.perPeer.limiter()
	}
	l.young[peer] = limiter
	return limiter
}
