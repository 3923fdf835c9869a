package schedule

import (
	"context"
	"sync"
	"time"

	"safemode/servicerequests/clock"
	"safemode/servicerequests/priority"
)

// Agenda has functions and the instants at which to run them. All methods may be
// called from any goroutine, also from a function that it runs.
type Agenda struct {
	clock clock.Clock
	wake  chan struct{} // one slot: the head of the heap has changed

	mu      sync.Mutex
	entries priority.Heap[entry, earliest]
	next    uint64 // orders entries of one instant by their arrival
}

// New returns an empty agenda on c. Nothing is done before Run.
func New(c clock.Clock) *Agenda {
	return &Agenda{clock: c, wake: make(chan struct{}, 1)}
}

// At has do called at the instant at of the agenda's clock, or as soon as
// possible when that is past. Entries of one instant keep their order.
func (a *Agenda) At(at time.Time, do func()) {
	a.mu.Lock()
	a.next++
	a.entries.Add(entry{at: at, order: a.next, do: do})
	first := a.entries[0].order == a.next
	a.mu.Unlock()
	if first {
		a.rouse()
	}
}

// Len returns how many entries wait.
func (a *Agenda) Len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.entries)
}

// Run runs what is due until ctx ends. It never runs what waits then.
func (a *Agenda) Run(ctx context.Context) {
	timer := a.clock.NewTimer()
	defer timer.Stop()
	roused := false
	for ctx.Err() == nil {
		do, next := a.due(a.clock.Now())
		if do != nil {
			do()
			continue
		}
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(next)
		}
		if roused {
			roused = false
			a.clock.End()
		}
		select {
		case <-ctx.Done():
		case <-a.wake:
			roused = true
		case <-timer.C:
		}
	}
}

// due takes the first entry if it is due. Otherwise next is the time of the first entry,
// zero when there is none.
func (a *Agenda) due(now time.Time) (do func(), next time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.entries) == 0 {
		return nil, time.Time{}
	}
	if first := a.entries[0].at; first.After(now) {
		return nil, first
	}
	return a.entries.Take().do, time.Time{}
}

func (a *Agenda) rouse() {
	a.clock.Begin() // until the timer is set again
	select {
	case a.wake <- struct{}{}:
	default: // already roused
		a.clock.End()
	}
}

type entry struct {
	at    time.Time
	order uint64
	do    func()
}

// earliest orders entries.
type earliest struct{}

func (earliest) Before(a, b entry) bool {
	if !a.at.Equal(b.at) {
		return a.at.Before(b.at)
	}
	return a.order < b.order
}

func (earliest) Moved(entry, int) {}
