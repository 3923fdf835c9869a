package sweep

import (
	"time"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/priority"
)

// queues have everything that waits for its turn: halves by region, requests behind hubs, and
// meters that have not begun or that are due after their verdict.
type queues struct {
	regions [len(servicerequests.Regions) + 1]*regionQueue
	turn    int // the region that is served first next time
	hubs    map[hubKey]*hub
	parked  []*request // put aside, in no queue: paused, or over a threshold

	intake   [len(servicerequests.Regions) + 1]intake // meters that wait for their turn
	balances afterwards                               // meters with a balance to read after their verdict
	old      afterwards                               // meters with a verdict that has grown old
}

func newQueues() queues {
	q := queues{hubs: map[hubKey]*hub{}}
	for i := range q.regions {
		q.regions[i] = &regionQueue{region: servicerequests.Region(i)}
	}
	return q
}

func (q *queues) regionQueue(m *meter) *regionQueue { return q.regions[m.Plan.Region] }

// push queues the next half of a request at its place in the order of risk.
func (q *queues) push(r *request, at ledger.Risk) { q.regionQueue(r.m).push(r, at) }

// remove takes a half out, wherever it waits.
func (q *queues) remove(r *request) {
	if r.parked {
		last := len(q.parked) - 1
		q.parked[r.place] = q.parked[last]
		q.parked[r.place].place = r.place
		q.parked[last] = nil
		q.parked = q.parked[:last]
		r.parked, r.place = false, nowhere
	} else if r.place != nowhere {
		q.regionQueue(r.m).remove(r)
	}
}

// park puts a half aside that must wait for another reason than the order of risk, so that
// those behind it can go.
func (q *queues) park(r *request) {
	q.remove(r)
	r.parked, r.place = true, len(q.parked)
	q.parked = append(q.parked, r)
}

// unpark queues again the halves that were put aside.
func (s *Machine) unpark() {
	parked := s.queues.parked
	s.queues.parked = nil
	for _, r := range parked {
		r.parked, r.place = false, nowhere
		s.queues.push(r, s.risk(r))
	}
}

// halves is how many halves wait to be signed or POSTed.
func (q *queues) halves() (n int) {
	for _, l := range q.regions {
		n += l.len()
	}
	return n
}

// rank is a half's place in a queue, fixed when it is put there or moved up.
type rank struct {
	after bool // made for a meter that has its verdict: goes last
	retry bool // made before without an answer: goes after all first tries
	risk  ledger.Risk
	turn  int // among equals the one that has waited longest goes first
}

func (r rank) before(other rank) bool {
	if r.after != other.after {
		return !r.after
	}
	if r.retry != other.retry {
		return !r.retry
	}
	if c := r.risk.Compare(other.risk); c != 0 {
		return c < 0
	}
	return r.turn < other.turn
}

// queue has requests, ordered by rank.
type queue = priority.Heap[*request, byRank]

type byRank struct{}

func (byRank) Before(a, b *request) bool   { return a.rank.before(b.rank) }
func (byRank) Moved(r *request, place int) { r.place = place }

// nowhere is the place of a request that is in no queue.
const nowhere = priority.Nowhere

// byEndpoint are the queues of each of the DCC's endpoints.
type byEndpoint [len(record.Endpoints) + 1]queue

// regionQueue has the halves that wait to be signed or POSTed in one region: first second
// halves, repetitions and commands that rest on a fresh read, then new requests. Each of the
// DCC's endpoints has its own queues, so that trouble at one does not delay the others.
type regionQueue struct {
	region   servicerequests.Region
	inFlight [2]int // requests with a counter that have not ended, by fuel; see reckon
	pushed   int    // requests ever pushed
	urgent   byEndpoint
	fresh    byEndpoint
	shut     [len(record.Endpoints) + 1]time.Time // until when a circuit refuses
}

func (l *regionQueue) push(r *request, at ledger.Risk) {
	l.pushed++
	r.rank = rank{after: r.After, retry: r.Retry && at.Need > ledger.Ending, risk: at, turn: l.pushed}
	l.queue(r).Add(r)
}

// move gives a queued half a new rank.
func (l *regionQueue) move(r *request, at ledger.Risk) {
	if r.place != nowhere && !r.parked {
		r.rank.risk = at
		l.queue(r).Fix(r.place)
	}
}

func (l *regionQueue) remove(r *request) { l.queue(r).Remove(r.place) }

func (l *regionQueue) queue(r *request) *queue {
	if r.urgent() {
		return &l.urgent[r.Endpoint()]
	}
	return &l.fresh[r.Endpoint()]
}

// first finds the endpoint with the half that goes before all others, among the endpoints that
// were not tried; ok is false if none waits.
func (q *byEndpoint) first(tried *[len(record.Endpoints) + 1]bool) (e record.Endpoint, ok bool) {
	for _, one := range record.Endpoints {
		if tried[one] || len(q[one]) == 0 {
			continue
		}
		if !ok || q[one][0].rank.before(q[e][0].rank) {
			e, ok = one, true
		}
	}
	return e, ok
}

// pressing says whether a half waits that must go before the next meter of this need is
// served: one of a meter in as great a need, but no retry.
func (l *regionQueue) pressing(need ledger.Need) bool {
	for _, e := range [...]record.Endpoint{record.Transform, record.SendCommand} {
		if len(l.urgent[e]) > 0 {
			return true
		}
		if len(l.fresh[e]) > 0 {
			if head := l.fresh[e][0].rank; !head.after && !head.retry && head.risk.Need <= need {
				return true
			}
		}
	}
	return false
}

func (l *regionQueue) len() (n int) {
	for _, e := range record.Endpoints {
		n += len(l.urgent[e]) + len(l.fresh[e])
	}
	return n
}

// hubKey names the part of a communications hub that one fuel's meter uses: a gas command
// that waits in the hub does not delay the home's electricity.
type hubKey struct {
	hub servicerequests.EUI
	gas bool
}

// hub bounds the open requests behind one communications hub.
type hub struct {
	open    int
	waiting []*request
}

// forget removes a request that waits no more.
func (h *hub) forget(r *request) {
	for i, waits := range h.waiting {
		if waits == r {
			h.waiting = append(h.waiting[:i:i], h.waiting[i+1:]...)
			return
		}
	}
}

func (q *queues) hub(m *meter) *hub {
	key := hubKey{m.Plan.Hub, m.Gas()}
	h := q.hubs[key]
	if h == nil {
		h = &hub{}
		q.hubs[key] = h
	}
	return h
}

// drop forgets a meter's hub if nothing is behind it.
func (q *queues) drop(m *meter) {
	key := hubKey{m.Plan.Hub, m.Gas()}
	if h := q.hubs[key]; h != nil && h.open == 0 && len(h.waiting) == 0 {
		delete(q.hubs, key)
	}
}

// afterwards has meters, by their places in the plan, that wait until nothing else must be
// sent: for each region, in the order in which they became due.
type afterwards [len(servicerequests.Regions) + 1][]int32

func (l *afterwards) empty() bool {
	for _, heads := range l {
		if len(heads) > 0 {
			return false
		}
	}
	return true
}
