package dcc

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"safemode/devicesim/fault"
)

// gate holds a User's requests to its allocation. Its method may be called from
// any goroutine.
type gate struct {
	interval time.Duration // between requests at the limit; 0: no limit
	ahead    time.Duration // how far requests may run ahead of it

	mu  sync.Mutex
	due time.Time // when the next request would be due at the limit's pace
}

func newGate(a fault.Allocation) *gate {
	if a.PerSecond <= 0 {
		return &gate{}
	}
	interval := max(1, time.Duration(float64(time.Second)/a.PerSecond))
	if a.Burst <= 0 {
		return &gate{interval: interval, ahead: time.Second}
	}
	return &gate{interval: interval, ahead: time.Duration(a.Burst-1) * interval}
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
// says how the DCC does it). The wait is in real time.
func throttle(w http.ResponseWriter, wait time.Duration) {
	seconds := int64((wait + time.Second - 1) / time.Second)
	w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	w.WriteHeader(http.StatusServiceUnavailable)
}
