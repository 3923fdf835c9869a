package dcc

import (
	"net/http"
	"sync"
	"time"
)

// Both spans are assumptions. The first is of the simulator's clock, the others
// are real: a User's time-out is.
const (
	keptBack     = 5 * time.Minute
	longestDelay = 5 * time.Second
	headStart    = 250 * time.Millisecond // for a Response on its way to the inbox
)

// message is a message for the inbox, with what to call when it has arrived.
type message struct {
	body    []byte
	arrived func(at time.Time) // nil: nobody
}

func (d *DCC) send(m message) { d.Send(m.body, m.arrived) }

// order keeps messages back that are to come after others. Its methods may be
// called from any goroutine.
type order struct {
	mu   sync.Mutex
	held map[int]*message // by meter's index in the fleet
}

// hold keeps a message back until the meter's next, unless one is kept already.
func (o *order) hold(meter int, m message) (held *message, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held[meter] != nil {
		return nil, false
	}
	if o.held == nil {
		o.held = map[int]*message{}
	}
	o.held[meter] = &m
	return &m, true
}

// release returns the message that is kept back for the meter: that one, or any if
// that is nil.
func (o *order) release(meter int, that *message) (m message, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	held := o.held[meter]
	if held == nil || that != nil && that != held {
		return message{}, false
	}
	delete(o.held, meter)
	return *held, true
}

// keepBack has the message follow the meter's next, or go when keptBack has
// passed. It is false where another is kept back already.
func (d *DCC) keepBack(meter int, m message) bool {
	held, ok := d.order.hold(meter, m)
	if !ok {
		return false
	}
	d.Agenda.At(d.Clock.Now().Add(keptBack), func() { d.letFollow(meter, held) })
	return true
}

// letFollow sends what was kept back. Messages travel side by side, so it starts
// only when the one before it has had time to arrive.
func (d *DCC) letFollow(meter int, that *message) {
	if m, ok := d.order.release(meter, that); ok {
		d.Agenda.At(d.Clock.Now().Add(d.Clock.Span(headStart)), func() { d.send(m) })
	}
}

// wait keeps an acknowledgement back until its Response has gone to the inbox,
// as long as the User is there and may still be waiting.
func (d *DCC) wait(r *http.Request, gone <-chan struct{}) {
	longest := d.Clock.NewTimer()
	longest.Reset(d.Clock.Now().Add(d.Clock.Span(longestDelay)))
	defer longest.Stop()
	went := false
	d.Clock.Apart(func() {
		select {
		case <-gone:
			went = true
		case <-longest.C:
		case <-r.Context().Done():
		}
	})
	if went {
		_ = d.Clock.Sleep(r.Context(), d.Clock.Now().Add(d.Clock.Span(headStart))) // a User that has gone waits for nothing
	}
}
