package hub

import (
	"sync"
	"time"

	"safemode/devicesim/schedule"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
)

// Exchange is one Command and its Response.
type Exchange struct {
	Hub    servicerequests.EUI
	Device servicerequests.EUI
	Sleeps bool          // the device is a GSME: it must wake first
	Takes  time.Duration // from the hub's turn to the answer, the simulator's time

	// Do is the exchange itself: called once on one of the caller's workers,
	// when the device has answered. The hub is free when it returns.
	Do func()
}

// Hubs carries exchanges. Its methods may be called from any goroutine.
type Hubs struct {
	wakes  Wakes
	clock  clock.Clock
	agenda *schedule.Agenda
	work   func(func())

	mu   sync.Mutex
	busy map[servicerequests.EUI]*queue
}

// queue is a hub that has something to do.
type queue struct {
	waiting []Exchange
	inHand  bool
	gas     gasState
}

type gasState uint8

const (
	asleep gasState = iota
	willWake
	awake
)

// New returns hubs that do nothing yet. What an exchange does is handed to
// work, on the agenda's goroutine.
func New(w Wakes, c clock.Clock, a *schedule.Agenda, work func(func())) *Hubs {
	return &Hubs{
		wakes: w, clock: c, agenda: a, work: work,
		busy: map[servicerequests.EUI]*queue{},
	}
}

// Put queues an exchange at its hub.
func (h *Hubs) Put(e Exchange) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.busy[e.Hub]
	if q == nil {
		q = &queue{}
		h.busy[e.Hub] = q
	}
	q.waiting = append(q.waiting, e)
	h.step(e.Hub, q)
}

// Waiting returns how many exchanges wait or are in hand.
func (h *Hubs) Waiting() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, q := range h.busy {
		n += len(q.waiting)
		if q.inHand {
			n++
		}
	}
	return n
}

// step starts the next exchange if the hub is free, and sees that a gas meter
// for which something waits will wake.
func (h *Hubs) step(hub servicerequests.EUI, q *queue) {
	if q.inHand {
		return
	}
	if i := q.next(); i >= 0 {
		e := q.waiting[i]
		q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
		q.inHand = true
		h.agenda.At(h.clock.Now().Add(e.Takes), func() { h.work(func() { h.finish(hub, q, e) }) })
		return
	}
	if q.gas == awake {
		q.gas = asleep
	}
	if len(q.waiting) == 0 {
		if q.gas == asleep {
			delete(h.busy, hub)
		}
		return
	}
	if q.gas == asleep {
		h.wakeLater(hub, q)
	}
}

// next returns the index of the exchange whose turn it is, -1 when there is none.
func (q *queue) next() int {
	for i, e := range q.waiting {
		if !e.Sleeps || q.gas == awake {
			return i
		}
	}
	return -1
}

func (h *Hubs) wakeLater(hub servicerequests.EUI, q *queue) {
	q.gas = willWake
	h.agenda.At(h.wakes.Next(q.waiting[0].Device, h.clock.Now()), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		q.gas = awake
		h.step(hub, q)
	})
}

func (h *Hubs) finish(hub servicerequests.EUI, q *queue, e Exchange) {
	e.Do()
	h.mu.Lock()
	defer h.mu.Unlock()
	q.inHand = false
	h.step(hub, q)
}
