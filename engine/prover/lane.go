package prover

import (
	"cmp"
	"slices"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/clock"
)

// message is a stored message that is not judged. While it is being proven it belongs to
// the worker, else to the lane.
type message struct {
	seq  uint64
	at   time.Time // of its record
	id   servicerequests.RequestID
	size int    // of the body, in bytes
	body []byte // nil: it is in the journal only

	since time.Time // by the clock: when it was taken up
	first bool      // it counts among those that wait for their first proof
	told  bool      // Disbelieve knows of it
	tries int
	due   time.Time // by the clock: when it is tried again
}

// lane is the messages of one device: they are proven one after the other. Device 0 has
// those that name none. It is guarded by the prover's mutex.
type lane struct {
	device  servicerequests.EUI
	storing []*storing
	waiting []*message   // to be tried now, in the order of their numbers
	untried int          // of those: never tried before
	held    []*message   // undecided, in the order of their numbers
	working bool         // a worker has one of its messages
	queued  bool         // it is among those that are ready
	timer   *clock.Timer // for the first of those held that is due; nil: none runs
	fires   time.Time    // by the clock
}

func byNumber(m *message, seq uint64) int { return cmp.Compare(m.seq, seq) }

// add has a message tried. It is work until it is judged. The caller holds the mutex.
func (p *Prover) add(l *lane, m *message) {
	p.o.Clock.Begin()
	at, _ := slices.BinarySearchFunc(l.waiting, m.seq, byNumber)
	l.waiting = slices.Insert(l.waiting, at, m)
	if m.tries == 0 {
		l.untried++
	}
}

// pop takes the first of those waiting.
func (l *lane) pop() *message {
	m := l.waiting[0]
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
	if m.tries == 0 {
		l.untried--
	}
	return m
}

func (l *lane) hold(m *message) {
	at, _ := slices.BinarySearchFunc(l.held, m.seq, byNumber)
	l.held = slices.Insert(l.held, at, m)
}

// next is the message to be tried now, nil if there is none. One whose number is higher
// than a message may get that is being stored has to wait for that.
func (l *lane) next() *message {
	if len(l.waiting) == 0 || slices.ContainsFunc(l.storing, func(s *storing) bool { return s.from < l.waiting[0].seq }) {
		return nil
	}
	return l.waiting[0]
}

func (l *lane) disarm() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

// lane finds or makes the lane of a device. The caller holds the mutex.
func (p *Prover) lane(device servicerequests.EUI) *lane {
	l := p.lanes[device]
	if l == nil {
		l = &lane{device: device}
		p.lanes[device] = l
	}
	return l
}

// ready gives a lane to the workers if it has a message to be tried. One that has nothing
// at all is forgotten. The caller holds the mutex.
func (p *Prover) ready(l *lane) {
	switch {
	case p.ended || l.working || l.queued:
	case l.next() != nil:
		l.queued = true
		if l.untried > 0 {
			p.fresh = append(p.fresh, l)
		} else {
			p.stale = append(p.stale, l)
		}
		p.work.Signal()
	case len(l.waiting)+len(l.held)+len(l.storing) == 0:
		delete(p.lanes, l.device)
	}
}

// take waits for a lane that is ready and takes its next message; nil when the run has
// ended. Lanes with new messages come before others, but for every fourth time.
func (p *Prover) take() (*lane, *message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.ended && len(p.fresh)+len(p.stale) == 0 {
		p.work.Wait()
	}
	if p.ended {
		return nil, nil
	}
	p.turns++
	from := &p.fresh
	if len(p.fresh) == 0 || p.turns%4 == 0 && len(p.stale) > 0 {
		from = &p.stale
	}
	l := (*from)[0]
	(*from)[0] = nil
	*from = (*from)[1:]
	l.queued, l.working = false, true
	return l, l.pop()
}

// arm has the lane's timer fire at the latest when this message is due. The caller holds
// the mutex.
func (p *Prover) arm(l *lane, due time.Time) {
	if p.ended || l.timer != nil && !due.Before(l.fires) {
		return
	}
	l.disarm()
	l.fires = due
	l.timer = p.o.Clock.AfterFunc(due, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if l.timer == nil || p.o.Clock.Now().Before(l.fires) { // it was set again
			return
		}
		l.timer = nil
		now := p.o.Clock.Now()
		// Those that are nearly due come along, so that many make few rounds.
		p.release(l, func(m *message) bool { return !m.due.Add(-p.o.Clock.Span(p.o.Again.after(m.tries)) / 4).After(now) })
	})
}

// release has undecided messages of a lane tried now. The caller holds the mutex.
func (p *Prover) release(l *lane, which func(*message) bool) {
	if p.ended {
		return
	}
	var first time.Time
	l.held = slices.DeleteFunc(l.held, func(m *message) bool {
		if which(m) {
			p.add(l, m)
			return true
		}
		if first.IsZero() || m.due.Before(first) {
			first = m.due
		}
		return false
	})
	l.disarm()
	if !first.IsZero() {
		p.arm(l, first)
	}
	p.ready(l)
}
