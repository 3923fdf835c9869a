package dcc

import (
	"sync"
	"time"

	"safemode/devicesim/fault"
	"safemode/servicerequests"
)

// rules are those in force, with what has been counted against them.
type rules struct {
	fault.Rules

	mu     sync.Mutex
	gates  map[servicerequests.EUI]*gate
	counts map[counted]*count
}

// counted is what anomaly detection counts: the requests of a User for one SRV.
type counted struct {
	user servicerequests.EUI
	srv  string
}

// count is one period of one threshold.
type count struct {
	began time.Time
	n     int
}

// SetRules replaces the rules from now on, and counts from zero. Quarantined
// requests stay quarantined.
func (d *DCC) SetRules(r fault.Rules) {
	r.Windows = withDefaults(r.Windows)
	d.rules.Store(&rules{Rules: r, gates: map[servicerequests.EUI]*gate{}, counts: map[counted]*count{}})
}

// withDefaults fills in the windows that are not given. All are assumptions.
func withDefaults(w fault.Windows) fault.Windows {
	if w.Unreachable == 0 {
		w.Unreachable = 10 * time.Minute
	}
	if w.NoAnswer == 0 {
		w.NoAnswer = 2 * time.Minute
	}
	if w.HubHolds == 0 {
		w.HubHolds = 24 * time.Hour
	}
	return w
}

// pass says whether a request of a User is within its allocation, or how long the
// User should wait.
func (r *rules) pass(user servicerequests.EUI, now time.Time) (wait time.Duration, ok bool) {
	r.mu.Lock()
	g := r.gates[user]
	if g == nil {
		g = newGate(r.Allocation)
		r.gates[user] = g
	}
	r.mu.Unlock()
	return g.pass(now)
}

// anomalous counts a request for a device and says whether it is over the User's
// threshold. A period begins with its first request (assumption).
func (r *rules) anomalous(user servicerequests.EUI, srv string, now time.Time) bool {
	threshold, ok := r.Thresholds[srv]
	if !ok {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := counted{user, srv}
	c := r.counts[key]
	if c == nil || now.Sub(c.began) >= threshold.Per {
		c = &count{began: now}
		r.counts[key] = c
	}
	c.n++
	return c.n > threshold.Limit
}
