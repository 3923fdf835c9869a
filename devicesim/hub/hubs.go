package hub

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"safemode/devicesim/fault"
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
	Chance float64       // its place where the order is random: the least goes first

	// Do is the exchange itself: called once on one of the caller's workers,
	// when the device has answered. The hub is free when it returns.
	Do func()

	// Until is when the hub drops what a sleeping device has not fetched, which
	// shows when the device next wakes: Dropped is then called in place of Do, and
	// keeps the hub from nothing. Zero: it is kept.
	Until   time.Time
	Dropped func()
}

// Hubs carries exchanges. Its methods may be called from any goroutine.
type Hubs struct {
	wakes  Wakes
	clock  clock.Clock
	agenda *schedule.Agenda
	work   func(func())
	rules  atomic.Pointer[fault.Hubs]

	mu   sync.Mutex
	busy map[servicerequests.EUI]*queue
}

// queue is a hub that has something to do.
type queue struct {
	waiting []Exchange
	inHand  bool
	gas     gasState
	taken   int // since the gas meter woke
}

type gasState uint8

const (
	asleep gasState = iota
	willWake
	awake
)

// New returns hubs that do nothing yet. They call work with each exchange, on the
// agenda's goroutine.
func New(w Wakes, r fault.Hubs, c clock.Clock, a *schedule.Agenda, work func(func())) *Hubs {
	h := &Hubs{
		wakes: w, clock: c, agenda: a, work: work,
		busy: map[servicerequests.EUI]*queue{},
	}
	h.SetRules(r)
	return h
}

// SetRules has other rules hold from now on.
func (h *Hubs) SetRules(r fault.Hubs) { h.rules.Store(&r) }

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
	rules := h.rules.Load()
	if q.gas == awake {
		h.drop(q)
		if rules.PerWake > 0 && q.taken >= rules.PerWake {
			q.gas = asleep
		}
	}
	if i := q.next(rules.Order); i >= 0 {
		e := q.waiting[i]
		q.waiting = slices.Delete(q.waiting, i, i+1)
		q.inHand = true
		if e.Sleeps {
			q.taken++
		}
		h.agenda.At(h.clock.Now().Add(e.Takes), func() { h.work(func() { h.finish(hub, q, e) }) })
	} else if q.gas == awake {
		q.gas = asleep
	}
	if q.gas == asleep {
		h.wakeLater(hub, q)
	}
	if !q.inHand && len(q.waiting) == 0 && q.gas == asleep {
		delete(h.busy, hub)
	}
}

// next returns the index of the exchange whose turn it is, -1 when there is none.
func (q *queue) next(order fault.Order) int {
	turn := slices.IndexFunc(q.waiting, func(e Exchange) bool { return !e.Sleeps || q.gas == awake })
	if turn < 0 || order == fault.FIFO {
		return turn
	}
	for i, e := range q.waiting {
		if i > turn && e.Device == q.waiting[turn].Device && (order == fault.LIFO || e.Chance < q.waiting[turn].Chance) {
			turn = i
		}
	}
	return turn
}

// drop removes what an awake meter has not fetched in time.
func (h *Hubs) drop(q *queue) {
	now := h.clock.Now()
	q.waiting = slices.DeleteFunc(q.waiting, func(e Exchange) bool {
		late := e.Sleeps && !e.Until.IsZero() && now.After(e.Until)
		if late {
			h.agenda.At(now, func() { h.work(e.Dropped) })
		}
		return late
	})
}

// wakeLater has the gas meter wake if something waits for it.
func (h *Hubs) wakeLater(hub servicerequests.EUI, q *queue) {
	i := slices.IndexFunc(q.waiting, func(e Exchange) bool { return e.Sleeps })
	if i < 0 {
		return
	}
	q.gas = willWake
	h.agenda.At(h.wakes.Next(q.waiting[i].Device, h.clock.Now()), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		q.gas, q.taken = awake, 0
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
