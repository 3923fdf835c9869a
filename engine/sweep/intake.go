package sweep

import (
	"maps"
	"slices"
	"time"

	"safemode/engine/ledger"
	"safemode/servicerequests"
	"safemode/servicerequests/priority"
)

// intake has the meters of a region that wait for their turn, by fuel and by their places in
// the plan. A meter that no longer waits may stay in a list, and is skipped.
type intake [2]struct {
	ahead []int32                        // to begin, with an alert that their credit has run out
	fresh []int32                        // to begin, in the plan's order
	weigh []int32                        // their supply was read, their balance comes next
	act   priority.Heap[turn, byUrgency] // may be given commands: their waves have begun
}

// turn is a meter that waits to be acted on, by how urgently it does.
type turn struct {
	key    uint64 // of its risk when it was queued
	number int32
}

type byUrgency struct{}

func (byUrgency) Before(a, b turn) bool {
	if a.key != b.key {
		return a.key < b.key
	}
	return a.number < b.number
}

func (byUrgency) Moved(turn, int) {}

// keyOf makes a number of a risk, in the same order: 8 bits of need, and then the second at
// which a supply is cut off, or priority and credit.
func keyOf(r ledger.Risk) uint64 {
	const bits = 56
	rest := uint64(0)
	switch r.Need {
	case ledger.Ending:
		rest = uint64(max(0, r.Ends.Unix()))
	case ledger.Lasting:
		const half = 1 << 47 // more than any balance in millipence
		rest = uint64(r.Priority)<<48 | uint64(half+max(-half, min(half-1, int64(r.Credit))))
	}
	return uint64(r.Need)<<bits | rest&(1<<bits-1)
}

func (t turn) need() ledger.Need { return ledger.Need(t.key >> 56) }

// takeOn queues a meter to begin.
func (s *Machine) takeOn(number int32, h *head) {
	s.store.waits(number, true, h.ahead)
	i := &s.queues.intake[h.region][h.fuel()]
	if h.raised && !s.o.Policy.PlanOrder {
		i.ahead = append(i.ahead, number)
	} else {
		i.fresh = append(i.fresh, number)
	}
}

func (h *head) fuel() int {
	if h.gas() {
		return 1
	}
	return 0
}

// moveAhead promotes a meter that waits to begin before those that nothing has promoted.
func (s *Machine) moveAhead(m *meter) {
	if m.waits && !m.ahead && !m.Done {
		m.ahead = true
		i := &s.queues.intake[m.Plan.Region][m.fuel()]
		i.ahead = append(i.ahead, m.number)
	}
}

// advanceTurn says whether a meter may advance to a stage now; else it queues the meter for the
// stage. soon is when the meter becomes urgent by itself; zero: not. A home that is dark, or
// soon will be, advances at once, before its wave if the cap on such homes allows it.
func (s *Machine) advanceTurn(m *meter, to ledger.Stage) (come bool, soon time.Time) {
	urgent, soon := s.o.Policy.Urgent(m.Meter, s.now)
	if urgent && (s.waves.hasBegun(m) || s.waves.early() < s.waves.cap()) {
		s.turnTo(m, ledger.Commanding)
		return true, time.Time{}
	}
	if urgent {
		soon = time.Time{} // it is looked at again when the cap has room
		if !m.capped {
			m.capped = true
			s.waves.capped = append(s.waves.capped, m.number)
		}
	}
	i, w := &s.queues.intake[m.Plan.Region][m.fuel()], s.waves.of(m)
	switch {
	case m.awaits > to:
	case to == ledger.Commanding && s.waves.hasBegun(m): // queued again if more is known now
		s.lineUpToAct(m)
	case m.awaits == to:
	case to == ledger.Commanding:
		w.waiting = append(w.waiting, m.number)
	default:
		i.weigh = append(i.weigh, m.number)
	}
	m.awaits = max(m.awaits, to)
	return false, soon
}

// lineUpToAct queues a meter for its commands: last, while its balance may still come. If it
// is queued again because more is known, the earlier place counts.
func (s *Machine) lineUpToAct(m *meter) {
	key := keyOf(s.o.Policy.RiskOf(m.Meter, s.now))
	if m.PendingOf(servicerequests.ReadMeterBalance) != nil || m.PendingOf(servicerequests.ReadInventory) != nil {
		key = max(key, keyOf(ledger.Risk{Need: ledger.Confirming}))
	}
	s.queues.intake[m.Plan.Region][m.fuel()].act.Add(turn{key, m.number})
}

// turnTo advances a meter to a stage. A meter that may be given commands before its wave has
// begun counts as early.
func (s *Machine) turnTo(m *meter, to ledger.Stage) {
	if w := s.waves.of(m); w.state == "" {
		if to == ledger.Commanding && m.turn != ledger.Commanding {
			w.early++
		} else if to != ledger.Commanding && m.turn == ledger.Commanding {
			w.early--
		}
	}
	m.turn, m.awaits = to, ledger.ReadingSupply
}

// next is the meter of a region whose turn is next.
type next struct {
	fuel  int
	stage ledger.Stage // to which it advances
	need  ledger.Need
	list  *[]int32 // of which it is the first; nil: of those that may be given commands
	at    int32    // its place in the plan
}

// nextOf finds the meter whose turn is next, of the fuels that have room for requests in
// flight; nil if none waits, or none may go on.
func (s *Machine) nextOf(l *regionQueue, i *intake) (best *next) {
	better := func(n next) {
		if best == nil || n.need < best.need || n.need == best.need && n.stage == best.stage && n.at < best.at {
			best = &n
		}
	}
	for fuel := range i {
		if l.inFlight[fuel] >= s.o.InFlight {
			continue
		}
		of := &i[fuel]
		if number, ok := s.first(&of.ahead, ledger.ReadingSupply); ok {
			better(next{fuel, ledger.ReadingSupply, ledger.Dark, &of.ahead, number})
		}
		if number, ok := s.first(&of.fresh, ledger.ReadingSupply); ok {
			better(next{fuel, ledger.ReadingSupply, ledger.SupplyUnknown, &of.fresh, number})
		}
		if number, ok := s.first(&of.weigh, ledger.ReadingBalance); ok {
			better(next{fuel, ledger.ReadingBalance, ledger.BalanceUnknown, &of.weigh, number})
		}
		for len(of.act) > 0 && !s.waitsFor(of.act[0].number, ledger.Commanding) {
			of.act.Take()
		}
		if len(of.act) > 0 && !s.pauses.meter(s.store.head(of.act[0].number)) {
			better(next{fuel, ledger.Commanding, of.act[0].need(), nil, of.act[0].number})
		}
	}
	return best
}

// first returns the first meter of a list that still waits for the stage, and removes those
// before it that do not.
func (s *Machine) first(list *[]int32, stage ledger.Stage) (number int32, ok bool) {
	for len(*list) > 0 && !s.waitsFor((*list)[0], stage) {
		*list = (*list)[1:]
	}
	if len(*list) == 0 || s.pauses.meter(s.store.head((*list)[0])) {
		return 0, false
	}
	return (*list)[0], true
}

// waitsFor says whether a meter waits to advance to a stage.
func (s *Machine) waitsFor(number int32, stage ledger.Stage) bool {
	h := s.store.head(number)
	if stage == ledger.ReadingSupply {
		return h.waits && !h.begun && !h.done
	}
	return h.awaits == stage && !h.done
}

// takeTurn advances a meter whose turn it is.
func (s *Machine) takeTurn(i *intake, n *next) *meter {
	if n.list != nil {
		*n.list = (*n.list)[1:]
	} else {
		i[n.fuel].act.Take()
	}
	m := s.meter(n.at)
	if n.stage == ledger.ReadingSupply {
		s.counts.notBegun--
		s.store.waits(n.at, false, m.ahead)
		if s.waves.whole(m) || s.o.Policy.PlanOrder && s.waves.hasBegun(m) {
			n.stage = ledger.Commanding
		}
	}
	s.turnTo(m, n.stage)
	return m
}

// moveUp promotes a meter whose alert says that its credit has run out: its waiting requests,
// and the home's meters that have not begun.
func (s *Machine) moveUp(m *meter) {
	if s.o.Policy.PlanOrder || !m.Alarm.Raised() {
		return
	}
	s.moveAhead(m)
	for _, other := range s.home(m.Plan.Hub) {
		s.moveAhead(other)
	}
	for _, r := range m.Open {
		if q := of(r); q.Phase.Waits() {
			s.queues.regionQueue(m).move(q, s.risk(q))
		}
	}
	if s.run.begun && !m.Started.IsZero() && m.turn != ledger.Commanding {
		s.look(m)
	}
}

// lineUp queues a meter that has its verdict and is due, until nothing else waits to be sent.
func (s *Machine) lineUp(m *meter) {
	if m.Bars.Excluded != "" || m.waits {
		return
	}
	m.waits = true
	to := &s.queues.old
	if s.o.Policy.WantsBalance(m.Meter) {
		to = &s.queues.balances
	}
	to[m.Plan.Region] = append(to[m.Plan.Region], m.number)
}

// takeLater begins the rereads of a meter that has its verdict, and says whether there was
// one. It does so only if nothing else waits to be sent, so that no home without a verdict
// waits for it. When all meters have verdicts, it begins only rereads that were due as this
// run began: otherwise the run would wait for tomorrow.
func (s *Machine) takeLater() bool {
	q := &s.queues
	if q.balances.empty() && q.old.empty() || s.homesWait() {
		return false
	}
	if m := s.firstLater(&q.balances, func(*meter) bool { return true }); m != nil {
		s.askAfter(m, []servicerequests.Service{servicerequests.ReadMeterBalance})
		return true
	}
	if m := s.firstLater(&q.old, func(m *meter) bool {
		return s.counts.done < s.store.size() || !s.o.Policy.RereadAt(m.Meter).After(s.run.started)
	}); m != nil {
		s.askAfter(m, s.o.Policy.Rereads(m.Meter, s.now))
		return true
	}
	return false
}

// letGo gives up the rereads that were begun while homes waited, when the last home has its
// verdict: the run does not wait for answers that a gas meter may not give for a day. It
// says whether there were any. The run waits for rereads that were due as it began.
func (s *Machine) letGo() (any bool) {
	if s.counts.done < s.store.size() || !s.run.begun {
		s.run.letGo = false
		return false
	}
	if s.run.letGo || s.counts.afters == 0 {
		return false
	}
	s.run.letGo = true
	for _, number := range slices.Sorted(maps.Keys(s.store.awake)) {
		m := s.store.awake[number]
		if !m.Done || !s.o.Policy.RereadAt(m.Meter).After(s.run.started) {
			continue
		}
		for _, open := range slices.Clone(m.Open) {
			r := of(open)
			switch {
			case !r.After || r.Service == servicerequests.ReadMeterBalance || r.Phase == ledger.Quarantined:
			case r.Phase.Working():
				s.run.letGo = false
			case r.Phase == ledger.Sent:
				s.end(r, silence(r), "", nil)
				any = true
			default:
				s.end(r, withdrawal(r), "", nil)
				any = true
			}
		}
		s.look(m)
	}
	return any
}

// firstLater takes out the first meter of the region in which most wait, of those where it
// may begin; nil if there is none. A meter that is paused blocks those behind it.
func (s *Machine) firstLater(from *afterwards, mayBegin func(*meter) bool) *meter {
	var first *meter
	for region, numbers := range from {
		if len(numbers) == 0 {
			continue
		}
		h := s.store.head(numbers[0])
		if s.queues.regions[region].inFlight[h.fuel()] >= s.o.InFlight || s.pauses.meter(h) ||
			first != nil && len(numbers) <= len(from[first.Plan.Region]) {
			continue
		}
		if m := s.meter(numbers[0]); mayBegin(m) {
			first = m
		}
	}
	if first != nil {
		from[first.Plan.Region] = from[first.Plan.Region][1:]
		first.waits = false
	}
	return first
}

// askAfter asks for the due rereads of a meter, if it still has its verdict.
func (s *Machine) askAfter(m *meter, services []servicerequests.Service) {
	if !m.Done || len(m.Open) > 0 || m.Bars.Excluded != "" {
		return
	}
	for _, service := range services {
		s.ask(m, service, true)
	}
	s.look(m)
}

// homesWait says whether anything waits for its turn, or for a limit or a pause.
func (s *Machine) homesWait() bool {
	if len(s.queues.parked) > 0 {
		return true
	}
	for i := range s.queues.intake {
		if l := s.queues.regions[i]; l.len() > 0 || s.nextOf(l, &s.queues.intake[i]) != nil {
			return true
		}
	}
	return false
}
