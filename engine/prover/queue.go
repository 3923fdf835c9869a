package prover

import (
	"cmp"
	"slices"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/clock"
)

// message is a stored message that is not judged. A worker owns it while it is being proven,
// else its queue does.
type message struct {
	seq  uint64
	at   time.Time // of its record
	id   servicerequests.RequestID
	size int    // of the body, in bytes
	body []byte // nil: it is in the journal only

	since    time.Time // by the clock: when the prover got it
	first    bool      // it counts as waiting for its first proof
	reported bool      // Disbelieve was called for it
	stranger bool      // the last try found no such certificate of the DCC; guarded by the prover's mutex
	tries    int
	due      time.Time // by the clock: when it is tried again
}

// queue holds the messages of one device, which are proven one after the other. Device 0 has
// those that name none. The prover's mutex guards it.
type queue struct {
	device    servicerequests.EUI
	storing   []*storing
	waiting   []*message   // to be tried now, in the order of their numbers
	untried   int          // how many of those were never tried
	undecided []*message   // undecided, in the order of their numbers
	working   bool         // a worker has one of its messages
	queued    bool         // it is in the prover's fresh or stale
	timer     *clock.Timer // for the undecided message that is due first; nil: none runs
	fires     time.Time    // when the timer fires, by the clock
}

func byNumber(m *message, seq uint64) int { return cmp.Compare(m.seq, seq) }

// add has a message tried. It is work until it is judged. The caller holds the mutex.
func (p *Prover) add(l *queue, m *message) {
	p.o.Clock.Begin()
	at, _ := slices.BinarySearchFunc(l.waiting, m.seq, byNumber)
	l.waiting = slices.Insert(l.waiting, at, m)
	if m.tries == 0 {
		l.untried++
	}
}

// pop removes and returns the first of those waiting.
func (l *queue) pop() *message {
	m := l.waiting[0]
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
	if m.tries == 0 {
		l.untried--
	}
	return m
}

func (l *queue) keep(m *message) {
	at, _ := slices.BinarySearchFunc(l.undecided, m.seq, byNumber)
	l.undecided = slices.Insert(l.undecided, at, m)
}

// next is the message to be tried now; nil if there is none. A message waits while another is
// being stored that may get a lower number.
func (l *queue) next() *message {
	if len(l.waiting) == 0 || slices.ContainsFunc(l.storing, func(s *storing) bool { return s.from < l.waiting[0].seq }) {
		return nil
	}
	return l.waiting[0]
}

func (l *queue) stopTimer() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

// queueOf finds or makes the queue of a device. The caller holds the mutex.
func (p *Prover) queueOf(device servicerequests.EUI) *queue {
	l := p.queues[device]
	if l == nil {
		l = &queue{device: device}
		p.queues[device] = l
	}
	return l
}

// ready hands a queue to the workers if it has a message to be tried. A queue without any
// message is removed. The caller holds the mutex.
func (p *Prover) ready(l *queue) {
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
	case len(l.waiting)+len(l.undecided)+len(l.storing) == 0:
		delete(p.queues, l.device)
	}
}

// next waits for a queue that is ready and takes its next message; nil when the run has
// ended. Queues with new messages come before others, three times of four.
func (p *Prover) next() (*queue, *message) {
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

// startTimer has the queue's timer fire no later than due. The caller holds the mutex.
func (p *Prover) startTimer(l *queue, due time.Time) {
	if p.ended || l.timer != nil && !due.Before(l.fires) {
		return
	}
	l.stopTimer()
	l.fires = due
	l.timer = p.o.Clock.AfterFunc(due, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if l.timer == nil || p.o.Clock.Now().Before(l.fires) { // it was set again
			return
		}
		l.timer = nil
		now := p.o.Clock.Now()
		// Messages that are nearly due are tried too, so that many take few rounds.
		p.release(l, func(m *message) bool { return !m.due.Add(-p.o.Clock.Span(p.o.Again.after(m.tries)) / 4).After(now) })
	})
}

// release has some undecided messages of a queue tried now. The caller holds the mutex.
func (p *Prover) release(l *queue, which func(*message) bool) {
	if p.ended {
		return
	}
	var first time.Time
	l.undecided = slices.DeleteFunc(l.undecided, func(m *message) bool {
		if which(m) {
			p.add(l, m)
			return true
		}
		if first.IsZero() || m.due.Before(first) {
			first = m.due
		}
		return false
	})
	l.stopTimer()
	if !first.IsZero() {
		p.startTimer(l, first)
	}
	p.ready(l)
}
