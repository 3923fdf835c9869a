package sweep

import (
	"fmt"
	"maps"
	"slices"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Moves are how often each event has come to a request in each phase.
func (s *Machine) Moves() *[ledger.PhaseCount][ledger.EventCount]int { return &s.counts.moves }

// Ledgers are the ledgers of all meters in the plan's order.
func (s *Machine) Ledgers() (all []*ledger.Meter) {
	for number := range int32(s.store.size()) {
		all = append(all, s.meter(number).Meter)
	}
	return all
}

// Halt is why the sweep has halted; nil: it has not.
func (s *Machine) Halt() *HaltError { return s.run.halt }

// Begun says whether a meter has been asked anything.
func (s *Machine) Begun(number int32) bool { return s.store.head(number).begun }

// Early are the messages that wait for a worker to come back.
func (s *Machine) Early() (numbers []uint64) {
	for _, r := range s.workers.halves {
		if r.early != nil {
			numbers = append(numbers, r.early.Seq)
		}
	}
	return numbers
}

// Snapshot is what a start must come to from the records and from a kept state alike.
func (s *Machine) Snapshot() (text string) {
	for number := range int32(s.store.size()) {
		m := *s.meter(number).Meter
		if rankOf(m.Verdict.Verdict) == 0 { // that a meter is stuck is a verdict in the records, and ends nothing
			m.Verdict = record.VerdictBody{}
		}
		text += fmt.Sprintf("%v %x\n", m.Device, m.Pack(nil))
	}
	for _, w := range s.waves.all {
		text += fmt.Sprintf("wave %s %v %v %d\n", w.state, w.counts, w.waived, w.meters)
	}
	exposed := 0
	for number := range int32(s.store.size()) {
		if s.store.head(number).exposed {
			exposed++
		}
	}
	text += fmt.Sprintf("contacted %d and %d, exposed %d\n", s.counts.contact[0].Contacted, s.counts.contact[1].Contacted, exposed)
	for _, h := range s.pauses.all {
		text += fmt.Sprintf("hold %v %s\n", scopeOf(h.order), h.order.Action)
	}
	s.sleepIdle()
	for _, o := range s.o.Originators {
		g := *s.given[o]
		text += fmt.Sprintf("counters %d to %d, strange %d, lost %t\n", g.first, g.highest, g.strange, s.run.lost)
	}
	t := &s.transfers
	text += fmt.Sprintf("transfers %+v %v %v\n", t.TransferCounts, t.listed, slices.Sorted(maps.Keys(t.told)))
	return text + s.run.ceased
}

// Check holds all that follows from the phases of requests against what is kept of it.
func (s *Machine) Check() error {
	type key struct {
		region int
		fuel   int
	}
	why := map[string]int{}
	for _, r := range s.counts.reasons.list() {
		why[r.Verdict] += r.Meters
	}
	for _, v := range [...]string{record.VerdictNotSafe, record.VerdictUnknown} {
		if why[v] != s.counts.verdicts[v] {
			return fmt.Errorf("%d meters are %s, and %d have a reason", s.counts.verdicts[v], v, why[v])
		}
	}
	queued, parked := map[*request]bool{}, map[*request]bool{}
	for _, l := range s.queues.regions {
		for _, queues := range [...]*byEndpoint{&l.urgent, &l.fresh} {
			for _, q := range queues {
				for i, r := range q {
					if queued[r] || r.place != i || l.queue(r) == nil || !slices.Contains(*l.queue(r), r) {
						return fmt.Errorf("%v of %v is queued wrongly", r.Service, r.m.Device)
					}
					queued[r] = true
				}
			}
		}
	}
	for i, r := range s.queues.parked {
		if parked[r] || r.place != i || !r.parked {
			return fmt.Errorf("%v of %v is parked wrongly", r.Service, r.m.Device)
		}
		parked[r] = true
	}
	inFlight, hubs, behind, working, afters := map[key]int{}, map[hubKey]int{}, map[hubKey]int{}, 0, 0
	for _, m := range s.store.awake {
		commands := 0
		for _, open := range m.Open {
			r := of(open)
			if r.m != m {
				return fmt.Errorf("%v of %v is another meter's", r.Service, m.Device)
			}
			if waits := queued[r] || parked[r]; waits != r.Phase.Waits() || queued[r] && parked[r] {
				return fmt.Errorf("%v of %v is %v, queued %t, parked %t", r.Service, m.Device, r.Phase, queued[r], parked[r])
			}
			delete(queued, r)
			delete(parked, r)
			if (r.ID.Counter != 0) != r.Phase.Counted() {
				return fmt.Errorf("%v of %v is %v with counter %d", r.Service, m.Device, r.Phase, r.ID.Counter)
			}
			if bytes := r.Phase == ledger.Ready || r.Phase == ledger.Posting || r.Phase == ledger.Resting; bytes && r.Body == nil ||
				!bytes && r.Body != nil && r.Phase != ledger.Signing && r.Phase != ledger.Sent {
				return fmt.Errorf("%v of %v is %v with %d bytes", r.Service, m.Device, r.Phase, len(r.Body))
			}
			if r.Phase == ledger.Prepared && r.token == nil && s.run.halt == nil {
				return fmt.Errorf("%v of %v waits to be signed without its Pre-Command", r.Service, m.Device)
			}
			if r.Service.Critical() {
				commands++
			}
			if r.After {
				afters++
			}
			k := hubKey{m.Plan.Hub, m.Gas()}
			if r.Phase == ledger.Behind {
				behind[k]++
			} else {
				hubs[k]++
			}
			if r.Phase.Counted() && m.wait == ledger.NotWaiting {
				inFlight[key{int(m.Plan.Region), m.fuel()}]++
			}
			if r.Phase.Working() {
				working++
			}
			if r.Phase == ledger.Sent && r.Deadline.IsZero() || r.Phase == ledger.Resting && r.RetryAt.IsZero() ||
				r.Phase == ledger.Quarantined && s.quarantine.requests[r.Event] != r {
				return fmt.Errorf("%v of %v is %v without an end", r.Service, m.Device, r.Phase)
			}
			if t := nextDeadline(m); !t.IsZero() && (m.due.IsZero() || m.due.After(t)) && s.run.halt == nil {
				return fmt.Errorf("nobody looks at %v of %v in time", r.Service, m.Device)
			}
		}
		if commands > 1 {
			return fmt.Errorf("%v has %d commands open", m.Device, commands)
		}
	}
	if len(queued)+len(parked) > 0 {
		return fmt.Errorf("%d requests wait that are not open", len(queued)+len(parked))
	}
	if working != len(s.workers.halves) || afters != s.counts.afters {
		return fmt.Errorf("%d halves for %d requests with workers; %d requests after a verdict, counted %d", len(s.workers.halves), working, afters, s.counts.afters)
	}
	for _, l := range s.queues.regions {
		for fuel, n := range l.inFlight {
			if want := inFlight[key{int(l.region), fuel}]; n != want {
				return fmt.Errorf("%v counts %d in flight of fuel %d, has %d", l.region, n, fuel, want)
			}
		}
	}
	for k, h := range s.queues.hubs {
		if h.open != hubs[k] || len(h.waiting) != behind[k] {
			return fmt.Errorf("hub %v counts %d and %d waiting, has %d and %d", k.hub, h.open, len(h.waiting), hubs[k], behind[k])
		}
	}
	return s.checkMeters()
}

// checkMeters holds what is counted of meters against them.
func (s *Machine) checkMeters() error {
	done, byVerdict, early := 0, map[string]int{}, map[uint16]int{}
	exposed, hubs := 0, map[servicerequests.EUI]bool{}
	for number := range int32(s.store.size()) {
		h := s.store.head(number)
		if h.done {
			done++
			byVerdict[verdicts[h.verdict]]++
		}
		if h.exposed {
			exposed, hubs[h.hub] = exposed+1, true
		}
		if w := s.waves.all[h.wave-1]; w.state == "" && h.turn == ledger.Commanding {
			early[h.wave]++
		}
		m := s.store.awake[number]
		if m == nil {
			if h.begun && !h.done && h.due == 0 && s.open() && !s.listed(number, h) {
				return fmt.Errorf("nobody looks again at %v, which sleeps", h.device)
			}
			continue
		}
		if !h.begun || h.done || !s.open() {
			continue
		}
		attended := !m.due.IsZero() || m.awaits != ledger.ReadingSupply && s.listed(number, h)
		for _, r := range m.Open {
			attended = attended || r.Phase.Waits() || r.Phase.Working() || r.Phase == ledger.Behind || r.Phase == ledger.Quarantined
		}
		if !attended {
			return fmt.Errorf("nobody looks again at %v", m.Device)
		}
	}
	for _, w := range s.waves.all {
		if w.state == "" && w.early != early[uint16(w.number)] {
			return fmt.Errorf("%d meters of wave %d may act before it, counted %d", early[uint16(w.number)], w.number, w.early)
		}
	}
	if s.waves.early() > s.waves.cap() {
		return fmt.Errorf("%d meters may act before their wave, at most %d may", s.waves.early(), s.waves.cap())
	}
	if homes, meters := s.counts.radius.Now(); homes != len(hubs) || meters != exposed {
		return fmt.Errorf("the blast radius counts %d homes and %d meters, it is %d and %d", homes, meters, len(hubs), exposed)
	}
	if most := s.counts.radius.Most; most.Meters > most.Cap || most.Homes < len(hubs) {
		return fmt.Errorf("blast radius %+v, with %d homes in it", most, len(hubs))
	}
	if done != s.counts.done {
		return fmt.Errorf("%d meters are done, counted %d", done, s.counts.done)
	}
	for v, n := range byVerdict {
		if s.counts.verdicts[v] != n {
			return fmt.Errorf("%d meters are %s, counted %d", n, v, s.counts.verdicts[v])
		}
	}
	return nil
}

// listed says whether a meter that waits for its turn is in the list for it.
func (s *Machine) listed(number int32, h *head) bool {
	i := &s.queues.intake[h.region][h.fuel()]
	if h.awaits == ledger.ReadingBalance {
		return slices.Contains(i.weigh, number)
	}
	return slices.Contains(s.waves.all[h.wave-1].waiting, number) ||
		slices.ContainsFunc(i.act, func(t turn) bool { return t.number == number })
}

// Tell is what is open, for whoever looks for a fault.
func (s *Machine) Tell() (text string) {
	for number := range int32(s.store.size()) {
		m := s.meter(number)
		text += fmt.Sprintf("%v done %t due %v waits %t wait %v excluded %q person %q\n", m.Device, m.Done, m.due, m.waits, m.wait, m.Bars.Excluded, m.Bars.Person)
		for _, r := range m.Open {
			q := of(r)
			text += fmt.Sprintf("   %v %v %v place %d parked %t inHub %t after %t\n", r.Service, r.Phase, r.ID, q.place, q.parked, q.inHub, r.After)
		}
	}
	return text + fmt.Sprintf("parked %d, halves %d, counters %+v, regions %d", len(s.queues.parked), len(s.workers.halves), *s.counters[s.o.Originators[0]], s.queues.halves())
}
