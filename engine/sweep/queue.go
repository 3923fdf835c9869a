package sweep

import (
	"container/heap"
	"time"

	"safemode/engine/gateway"
	"safemode/servicerequests"
)

// rank is a leg's place in a queue, fixed when it is put there or moved up.
type rank struct {
	after bool // asked of a meter that has its verdict: after all else
	retry bool // asked before without an answer: after all that is asked the first time
	risk  risk
	turn  int // among equals what has waited longest goes first
}

func (r rank) before(other rank) bool {
	if r.after != other.after {
		return !r.after
	}
	if r.retry != other.retry {
		return !r.retry
	}
	if c := r.risk.compare(other.risk); c != 0 {
		return c < 0
	}
	return r.turn < other.turn
}

// queue is a heap of requests by rank.
type queue []*request

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].rank.before(q[j].rank) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *queue) Push(x any) {
	r := x.(*request)
	r.place = len(*q)
	*q = append(*q, r)
}

func (q *queue) Pop() any {
	old := *q
	r := old[len(old)-1]
	old[len(old)-1] = nil
	r.place = nowhere
	*q = old[:len(old)-1]
	return r
}

// nowhere is the place of a request that is in no queue.
const nowhere = -1

func (q queue) peek() *request { return q[0] }
func (q *queue) pop() *request { return heap.Pop(q).(*request) }

// lane is what waits to be POSTed in one region: second legs, repetitions and
// what rests on a fresh read first, then new requests. Each of the DCC's services
// has its own queues, so that one in trouble does not hold up the others.
type lane struct {
	region   servicerequests.Region
	inFlight int // requests with a counter that have not ended
	pushed   int // requests ever pushed
	urgent   [len(gateway.Services) + 1]queue
	fresh    [len(gateway.Services) + 1]queue
}

// push queues the next leg of a request whose meter is at this risk.
func (l *lane) push(r *request, at risk) {
	r.queued = true
	l.pushed++
	r.rank = rank{after: r.after, retry: r.retry, risk: at, turn: l.pushed}
	heap.Push(l.queue(r), r)
}

// move gives a queued leg its place anew.
func (l *lane) move(r *request, at risk) {
	if r.place != nowhere {
		r.rank.risk = at
		heap.Fix(l.queue(r), r.place)
	}
}

// remove takes a queued leg out.
func (l *lane) remove(r *request) {
	heap.Remove(l.queue(r), r.place)
	r.queued = false
}

func (l *lane) queue(r *request) *queue {
	if r.urgent() {
		return &l.urgent[r.endpoint()]
	}
	return &l.fresh[r.endpoint()]
}

// first is the service whose queue is headed by the leg that goes before the
// others', of those not tried; ok is false if none waits.
func first(queues *[len(gateway.Services) + 1]queue, tried *[len(gateway.Services) + 1]bool) (service gateway.Service, ok bool) {
	for _, e := range gateway.Services {
		if tried[e] || queues[e].Len() == 0 {
			continue
		}
		if !ok || queues[e].peek().rank.before(queues[service].peek().rank) {
			service, ok = e, true
		}
	}
	return service, ok
}

// backlog is how much waits for one of the DCC's services.
func (l *lane) backlog(e gateway.Service) int { return l.urgent[e].Len() + l.fresh[e].Len() }

// pressing says whether a leg waits that must go before the first reads of a home of
// which nothing is known: that home may be dark, so all goes before them but retries
// and what a home with credit in hand waits for.
func (l *lane) pressing() bool {
	for _, e := range [...]gateway.Service{gateway.Transform, gateway.SendCommand} {
		if l.urgent[e].Len() > 0 {
			return true
		}
		if l.fresh[e].Len() > 0 {
			if head := l.fresh[e].peek().rank; !head.after && !head.retry && head.risk.need <= unseen {
				return true
			}
		}
	}
	return false
}

func (l *lane) len() (n int) {
	for _, e := range gateway.Services {
		n += l.backlog(e)
	}
	return n
}

// hubKey names the part of a communications hub that one fuel's meter uses: a
// gas command that waits in the hub does not hold up the home's electricity.
type hubKey struct {
	hub servicerequests.EUI
	gas bool
}

// hub bounds the open requests behind one communications hub.
type hub struct {
	open    int
	waiting []*request
}

// agenda is a heap of meters by the time they are due.
type agenda []*meter

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].due.Before(a[j].due) }
func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].position, a[j].position = i, j
}

func (a *agenda) Push(x any) {
	m := x.(*meter)
	m.position = len(*a)
	*a = append(*a, m)
}

func (a *agenda) Pop() any {
	old := *a
	m := old[len(old)-1]
	old[len(old)-1] = nil
	m.position = nowhere
	*a = old[:len(old)-1]
	return m
}

// remove takes a meter out.
func (a *agenda) remove(m *meter) { heap.Remove(a, m.position) }

// nap is when a sleeping meter is to be looked at again. Where it was woken earlier,
// and has another time by now, the nap is void.
type nap struct {
	due  time.Time
	seat int32
}

// naps is a heap of naps by their end.
type naps []nap

func (n naps) Len() int           { return len(n) }
func (n naps) Less(i, j int) bool { return n[i].due.Before(n[j].due) }
func (n naps) Swap(i, j int)      { n[i], n[j] = n[j], n[i] }
func (n *naps) Push(x any)        { *n = append(*n, x.(nap)) }

func (n *naps) Pop() any {
	old := *n
	last := old[len(old)-1]
	*n = old[:len(old)-1]
	return last
}

func (n *naps) push(one nap) { heap.Push(n, one) }

// wakeUp wakes the meters whose naps have ended.
func (s *Sweep) wakeUp(now time.Time) {
	for len(s.naps) > 0 && !s.naps[0].due.After(now) {
		ended := heap.Pop(&s.naps).(nap)
		if s.roll.awake[ended.seat] == nil {
			s.meter(ended.seat) // puts it on the agenda, if this nap is not void
		}
	}
}

// intake is the places in the plan of a region's meters that have not begun, in the
// plan's order but for those that an alert has moved up.
type intake struct {
	ahead   []int32
	waiting []int32
}

// takeOn puts a meter into the intake of its region.
func (s *Sweep) takeOn(seat int32, m head) {
	i := &s.intake[m.region]
	s.roll.waits(seat, true, m.ahead)
	if m.raised && !s.o.Policy.PlanOrder {
		i.ahead = append(i.ahead, seat)
	} else {
		i.waiting = append(i.waiting, seat)
	}
}

// moveAhead puts a meter that waits in an intake before those that nothing has moved.
func (s *Sweep) moveAhead(m *meter) {
	if m.waits && !m.ahead && !m.done {
		m.ahead = true
		i := &s.intake[m.target.Region]
		i.ahead = append(i.ahead, m.seat)
	}
}

// nextOf takes the first meter out of an intake; nil if none waits, or it must not
// begin.
func (s *Sweep) nextOf(i *intake) *meter {
	from := s.firstOf(i)
	if from == nil {
		return nil
	}
	seat := (*from)[0]
	*from = (*from)[1:]
	s.roll.waits(seat, false, s.roll.head(seat).ahead)
	return s.meter(seat)
}

// firstOf is the list of an intake whose first meter is the next to begin; nil if none
// waits, or it must not begin.
func (s *Sweep) firstOf(i *intake) *[]int32 {
	for _, from := range [...]*[]int32{&i.ahead, &i.waiting} {
		for len(*from) > 0 && !s.roll.head((*from)[0]).waits { // it was taken from the other list
			*from = (*from)[1:]
		}
		if len(*from) > 0 && !s.holdsMeter(s.roll.head((*from)[0])) {
			return from
		}
	}
	return nil
}
