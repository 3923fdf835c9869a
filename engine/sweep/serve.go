package sweep

import (
	"maps"
	"slices"
	"time"

	"safemode/engine/exchange"
	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// pump does everything that can be done now: it looks at meters that are due, begins new
// meters, and gives out the halves that limits and workers allow.
func (s *Machine) pump() {
	s.wakeUp()
	for len(s.diary.agenda) > 0 && !s.diary.agenda[0].due.After(s.now) {
		m := s.diary.agenda[0]
		s.schedule(m, time.Time{})
		if m.Done && len(m.Open) == 0 {
			s.lineUp(m)
		} else {
			s.look(m)
		}
	}
	s.sleepIdle()
	s.diary.wake = time.Time{}
	if !s.run.begun || !s.open() {
		return
	}
	s.refill()
	for s.open() {
		if s.advanceWave(); !s.open() {
			return
		}
		s.serve()
		if s.run.halt != nil || !s.takeIn() && !s.takeLater() && !s.waves.settled() {
			return
		}
	}
}

// takeIn advances the next meter of each region in which no half of a meter in as great a need
// waits to be POSTed, and says whether there was one. So no home at risk waits for another
// home's reads, and reads do not grow old in a queue.
func (s *Machine) takeIn() (any bool) {
	for region := range s.queues.intake {
		l, i := s.queues.regions[region], &s.queues.intake[region]
		n := s.nextOf(l, i)
		if n == nil || l.pressing(n.need) || n.stage == ledger.ReadingSupply && s.budgets.dryRead(s.now) {
			continue
		}
		s.look(s.takeTurn(i, n))
		any = true
	}
	return any
}

// look decides what to do about a meter, and does it.
func (s *Machine) look(m *meter) {
	s.store.markDirty(m)
	if m.Done && len(m.Open) == 0 {
		return
	}
	s.expire(m)
	if m.Done {
		s.schedule(m, nextDeadline(m))
		return
	}
	until := s.noteWait(m)
	if !s.open() {
		// Nothing new: the meter is looked at again when the sweep goes on.
		s.schedule(m, nextDeadline(m))
		return
	}
	step := s.decide(m)
	if !step.Waiting {
		s.conclude(m)
		return
	}
	if until.IsZero() {
		until = s.noteWait(m) // it has begun just now
	}
	due := nextDeadline(m)
	for _, t := range [...]time.Time{until, step.Wake} {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	s.schedule(m, due)
}

// decide makes the requests that a meter needs at its stage.
func (s *Machine) decide(m *meter) ledger.Step {
	for {
		step := s.o.Policy.Decide(m.Meter, s.now, m.turn)
		for _, service := range step.Ask {
			s.ask(m, service, false)
		}
		if step.Next == ledger.ReadingSupply {
			return step
		}
		come, soon := s.advanceTurn(m, step.Next)
		if !come {
			if !soon.IsZero() && (step.Wake.IsZero() || soon.Before(step.Wake)) {
				step.Wake = soon
			}
			return step
		}
	}
}

// expire ends requests after their deadline, and queues those with bytes that must be POSTed
// again.
func (s *Machine) expire(m *meter) {
	for i := len(m.Open) - 1; i >= 0; i-- {
		switch r := of(m.Open[i]); {
		case r.Phase == ledger.Sent && !s.now.Before(r.Deadline):
			s.end(r, silence(r), "", nil)
		case r.Phase == ledger.Resting && !s.now.Before(r.RetryAt):
			r.RetryAt = time.Time{}
			s.pace.flow.requested++
			s.move(r, ledger.Due)
		}
	}
}

// nextDeadline is the earliest time at which one of a meter's requests needs attention;
// zero if none does.
func nextDeadline(m *meter) (next time.Time) {
	for _, r := range m.Open {
		var t time.Time
		switch r.Phase {
		case ledger.Sent:
			t = r.Deadline
		case ledger.Resting:
			t = r.RetryAt
		}
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// serve gives halves to workers, one region after the other, until their queues are empty
// or a limit blocks each.
func (s *Machine) serve() {
	q := &s.queues
	for progress := true; progress; {
		progress = false
		begin := q.turn
		for i := range q.regions {
			at := (begin + i) % len(q.regions)
			if s.serveRegion(q.regions[at]) {
				progress = true
				q.turn = at + 1 // if a limit allows few, another region comes next
			}
			if s.run.halt != nil {
				return
			}
		}
	}
}

// serveRegion dispatches one half of a region: an urgent one first, and among those the one of
// the home that is most at risk, or has waited longest. So if the User's limit is the one that
// binds, no endpoint of the DCC starves another.
func (s *Machine) serveRegion(l *regionQueue) bool {
	for _, queues := range [...]*byEndpoint{&l.urgent, &l.fresh} {
		var tried [len(record.Endpoints) + 1]bool
		for {
			e, ok := queues.first(&tried)
			if !ok {
				break
			}
			if s.serveOne(l, queues[e][0]) {
				return true
			}
			tried[e] = true
		}
	}
	return false
}

// serveOne dispatches the first half of a queue if nothing is in its way.
func (s *Machine) serveOne(l *regionQueue, r *request) bool {
	e := r.Endpoint()
	switch {
	case s.unwanted(r):
		m := r.m
		s.end(r, withdrawal(r), "", nil)
		s.look(m)
		return true
	case s.pauses.half(r) || s.budgets.isDry(r, s.now):
		s.queues.park(r)
		return true
	case s.workers.busy[e] >= s.o.Workers:
		return false
	case s.now.Before(l.shut[e]):
		s.diary.wakeAt(l.shut[e])
		return false
	case r.Phase == ledger.Queued && !s.counterReady(r.ID.Originator):
		return false
	}
	ok, wait, limit := s.o.Pacer.Take(s.now, r.needs())
	if !ok {
		s.metrics.paced(limit, wait)
		s.diary.wakeAt(s.now.Add(wait))
		if limit == LimitAnomaly { // the other services go on
			s.budgets.dry[r.budget()] = s.now.Add(wait)
			s.queues.park(r)
			return true
		}
		return false
	}
	s.dispatch(r)
	return true
}

// unwanted says whether the reason for a half has gone since it was queued. It is asked
// when the half is about to be signed or POSTed.
func (s *Machine) unwanted(r *request) bool {
	switch {
	case r.m.Bars.Excluded != "":
		return true
	case r.Service != servicerequests.ArmSupply:
		return false
	case r.Command() && r.Phase == ledger.Ready:
		return !s.o.Policy.MayArm(r.m.Meter, r.ID.Counter, s.now)
	default:
		return !s.o.Policy.MayArm(r.m.Meter, 0, s.now)
	}
}

// workers are the halves that workers have.
type workers struct {
	halves map[uint64]*request // by ticket
	ticket uint64              // the last one given out
	busy   [len(record.Endpoints) + 1]int
}

func (w *workers) any() bool { return len(w.halves) > 0 }

// dispatch gives one half to a worker. The counter of a request is taken here, by the one
// goroutine that orders them.
func (s *Machine) dispatch(r *request) {
	m := r.m
	if r.Phase == ledger.Queued {
		r.ID.Counter = s.nextCounter(r.ID.Originator)
		s.budgets.headroom.count(r.Service, s.now)
	}
	event := ledger.Sign
	if r.Phase == ledger.Ready {
		event = ledger.Post
	}
	if !s.move(r, event) {
		return
	}
	r.permit = new(exchange.Permit)
	w := &s.workers
	w.ticket++
	w.halves[w.ticket] = r
	w.busy[r.Endpoint()]++
	s.pace.flow.sent++
	s.emit(Send{w.ticket, exchange.Half{
		Device: m.Device, Place: r.needs(),
		Expected: gbcs.Expected{Service: r.Service, Device: m.Kind(r.Service, r.ID.Target), ID: r.ID},
		Command:  r.Command(), Token: r.token, Body: r.Body, Again: r.Reached, NotAfter: s.notAfter(r), Permit: r.permit,
	}})
}

// recall keeps workers from sending the halves of some requests.
func (s *Machine) recall(which func(*request) bool) {
	for _, ticket := range slices.Sorted(maps.Keys(s.workers.halves)) {
		if r := s.workers.halves[ticket]; which(r) {
			s.emit(Recall{r.permit})
		}
	}
}

// block has the reserved originator counters that are left.
type block struct {
	next, last uint64 // those from next to last may be given out
	asked      bool   // more are asked for
}

// reserveBelow is how many counters are left when more are asked for.
const reserveBelow = 256

// counterReady says whether there is a counter, and asks for more in good time.
func (s *Machine) counterReady(originator servicerequests.EUI) bool {
	b := s.counters[originator]
	left := b.last - b.next + 1
	if b.next == 0 {
		left = 0
	}
	if left < reserveBelow && !b.asked {
		b.asked = true
		s.emit(Reserve{originator})
	}
	return left > 0
}

func (s *Machine) nextCounter(originator servicerequests.EUI) uint64 {
	b := s.counters[originator]
	counter := b.next
	b.next++
	return counter
}

// reserved takes counters in. It skips those that are left of the block before, so that
// counters are never given out out of order.
func (s *Machine) reserved(e Reserved) {
	b, g := s.counters[e.Originator], s.given[e.Originator]
	b.asked = false
	if g.begun == 0 {
		g.begun = e.First
	}
	switch {
	case e.Err != nil:
		s.stop(record.HaltKey, "no originator counter can be reserved", e.Err)
	case b.next != 0 && b.last+1 == e.First:
		b.last = e.Last
	default:
		b.next, b.last = e.First, e.Last
	}
}
