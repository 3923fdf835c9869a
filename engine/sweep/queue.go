package sweep

import (
	"safemode/engine/gateway"
	"safemode/servicerequests"
)

// fifo is a queue of requests.
type fifo struct {
	items []*request
	head  int
}

func (q *fifo) len() int { return len(q.items) - q.head }

func (q *fifo) push(r *request) { q.items = append(q.items, r) }

func (q *fifo) peek() *request { return q.items[q.head] }

func (q *fifo) pop() *request {
	r := q.items[q.head]
	q.items[q.head] = nil
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	} else if q.head > 1024 && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return r
}

// lane is what waits to be POSTed in one region: second legs, repetitions and
// what rests on a fresh read first, then new requests. Each of the DCC's services
// has its own queues, so that one in trouble does not hold up the others.
type lane struct {
	region   servicerequests.Region
	inFlight int // requests with a counter that have not ended
	pushed   int // requests ever pushed
	urgent   [len(gateway.Services) + 1]fifo
	fresh    [len(gateway.Services) + 1]fifo
}

func (l *lane) push(r *request) {
	r.queued = true
	l.pushed++
	r.turn = l.pushed
	if e := r.endpoint(); r.urgent() {
		l.urgent[e].push(r)
	} else {
		l.fresh[e].push(r)
	}
}

// oldest is the service whose queue has waited longest, of those not tried; ok is
// false if none waits.
func oldest(queues *[len(gateway.Services) + 1]fifo, tried *[len(gateway.Services) + 1]bool) (service gateway.Service, ok bool) {
	for _, e := range gateway.Services {
		if tried[e] || queues[e].len() == 0 {
			continue
		}
		if !ok || queues[e].peek().turn < queues[service].peek().turn {
			service, ok = e, true
		}
	}
	return service, ok
}

// backlog is how much waits for one of the DCC's services.
func (l *lane) backlog(e gateway.Service) int { return l.urgent[e].len() + l.fresh[e].len() }

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
	m.position = -1
	*a = old[:len(old)-1]
	return m
}
