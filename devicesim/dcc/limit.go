package dcc

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limit is how many requests the DCC takes from all Users together, in real
// time: it is there to try a User's manners under throttling. The zero Limit
// is none.
type Limit struct {
	PerSecond float64
	Burst     int // requests at once; 0 means one second's worth
}

// gate holds requests to a limit. Its method may be called from any goroutine.
type gate struct {
	interval time.Duration // between requests at the limit; 0: no limit
	ahead    time.Duration // how far requests may run ahead of it

	mu  sync.Mutex
	due time.Time // when the next request would be due at the limit's pace
}

func newGate(l Limit) *gate {
	if l.PerSecond <= 0 {
		return &gate{}
	}
	interval := time.Duration(float64(time.Second) / l.PerSecond)
	if l.Burst <= 0 {
		return &gate{interval: interval, ahead: time.Second}
	}
	return &gate{interval: interval, ahead: time.Duration(l.Burst-1) * interval}
}

// pass says whether a request may pass at now, or how long it should wait.
func (g *gate) pass(now time.Time) (wait time.Duration, ok bool) {
	if g.interval == 0 {
		return 0, true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.due.Before(now) {
		g.due = now
	}
	if wait = g.due.Sub(now) - g.ahead; wait > 0 {
		return wait, false
	}
	g.due = g.due.Add(g.interval)
	return 0, true
}

// throttle answers a request that may not pass (assumption: no public source
// says how the DCC does it).
func throttle(w http.ResponseWriter, wait time.Duration) {
	seconds := int64((wait + time.Second - 1) / time.Second)
	w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	w.WriteHeader(http.StatusServiceUnavailable)
}
