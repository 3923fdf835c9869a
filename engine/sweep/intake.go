package sweep

import (
	"maps"
	"slices"

	"safemode/engine/ledger"
	"safemode/servicerequests"
)

// takeOn puts a meter into the intake of its region.
func (s *Machine) takeOn(number int32, h *seat) {
	s.roll.waits(number, true, h.ahead)
	i := &s.queues.intake[h.region][h.fuel()]
	if h.raised && !s.o.Policy.PlanOrder {
		i.ahead = append(i.ahead, number)
	} else {
		i.waiting = append(i.waiting, number)
	}
}

func (h *seat) fuel() int {
	if h.gas() {
		return 1
	}
	return 0
}

// moveAhead puts a meter that waits in an intake before those that nothing has moved.
func (s *Machine) moveAhead(m *meter) {
	if m.waits && !m.ahead && !m.Done {
		m.ahead = true
		i := &s.queues.intake[m.Plan.Region][m.fuel()]
		i.ahead = append(i.ahead, m.number)
	}
}

// nextOf takes the meter out of an intake that is the next to begin: one that an alert has
// moved up, else the first in the plan's order, of those fuels of which not too many
// requests are in flight. It is nil if none waits, or none may begin.
func (s *Machine) nextOf(l *lane, i *intake) *meter {
	from := s.firstOf(l, i)
	if from == nil {
		return nil
	}
	number := (*from)[0]
	*from = (*from)[1:]
	s.roll.waits(number, false, s.roll.head(number).ahead)
	return s.meter(number)
}

// firstOf is the list of an intake whose first meter is the next to begin.
func (s *Machine) firstOf(l *lane, i *intake) (first *[]int32) {
	for _, ahead := range [...]bool{true, false} {
		for fuel := range i {
			from := &i[fuel].waiting
			if ahead {
				from = &i[fuel].ahead
			}
			for len(*from) > 0 && !s.roll.head((*from)[0]).waits { // it was taken from the other list
				*from = (*from)[1:]
			}
			if len(*from) == 0 || l.inFlight[fuel] >= s.o.InFlight || s.holds.meter(s.roll.head((*from)[0])) {
				continue
			}
			if first == nil || (*from)[0] < (*first)[0] {
				first = from
			}
		}
		if first != nil {
			return first
		}
	}
	return nil
}

// moveUp gives a new place to a meter whose alert says that its credit is at an end: what
// waits of it, and the home's meters that have not begun.
func (s *Machine) moveUp(m *meter) {
	if s.o.Policy.PlanOrder || !m.Alarm.Raised() {
		return
	}
	s.hasten(m)
	s.moveAhead(m)
	for _, other := range s.home(m.Plan.Hub) {
		s.hasten(other)
		s.moveAhead(other)
	}
	for _, r := range m.Open {
		if q := of(r); q.Phase.Waits() {
			s.queues.lane(m).move(q, s.risk(q))
		}
	}
}

// lineUp has a meter that has its verdict, and is due, wait until nothing else is to be
// sent.
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

// takeLater begins what is due of a meter that has its verdict, and says whether there was
// one. It goes where nothing else waits to be sent: no home that has no verdict is served
// a moment later for it. When all meters have theirs, only what was due as this run began
// is begun, or the run would wait for tomorrow.
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
		return s.counts.done < s.roll.size() || !s.o.Policy.RereadAt(m.Meter).After(s.run.started)
	}); m != nil {
		s.askAfter(m, s.o.Policy.Rereads(m.Meter, s.now))
		return true
	}
	return false
}

// letGo gives up what was asked again while homes waited, when the last of them has its
// verdict: the run does not wait for its answers, which a gas meter may owe for a day. It
// says whether there was anything. What was due as the run began is waited for.
func (s *Machine) letGo() (any bool) {
	if s.counts.done < s.roll.size() || !s.run.begun {
		s.run.letGo = false
		return false
	}
	if s.run.letGo || s.counts.afters == 0 {
		return false
	}
	s.run.letGo = true
	for _, number := range slices.Sorted(maps.Keys(s.roll.awake)) {
		m := s.roll.awake[number]
		if !m.Done || !s.o.Policy.RereadAt(m.Meter).After(s.run.started) {
			continue
		}
		for _, open := range slices.Clone(m.Open) {
			r := of(open)
			switch {
			case !r.After || r.Service == servicerequests.ReadMeterBalance || r.Phase == ledger.Held:
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
// may begin; nil if there is none. What is held holds up those behind it.
func (s *Machine) firstLater(from *afterwards, mayBegin func(*meter) bool) *meter {
	var first *meter
	for region, numbers := range from {
		if len(numbers) == 0 {
			continue
		}
		h := s.roll.head(numbers[0])
		if s.queues.lanes[region].inFlight[h.fuel()] >= s.o.InFlight || s.holds.meter(h) ||
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

// askAfter asks for what is due of a meter that has its verdict, if it still has it.
func (s *Machine) askAfter(m *meter, services []servicerequests.Service) {
	if !m.Done || len(m.Open) > 0 || m.Bars.Excluded != "" {
		return
	}
	for _, service := range services {
		s.ask(m, service, true)
	}
	s.look(m)
}

// homesWait says whether anything waits for its turn, or for a limit or a hold.
func (s *Machine) homesWait() bool {
	if len(s.queues.parked) > 0 {
		return true
	}
	for i := range s.queues.intake {
		if l := s.queues.lanes[i]; l.len() > 0 || s.firstOf(l, &s.queues.intake[i]) != nil {
			return true
		}
	}
	return false
}
