package sweep

import (
	"time"

	"safemode/engine/exchange"
	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
)

// request is an open Service Request with the dispatcher's data about it.
type request struct {
	*ledger.Request
	m *meter

	rank   rank // in its queue
	place  int  // in the queue's heap; nowhere if it is in none
	parked bool // waits aside, in no heap
	inHub  bool // has room behind its hub
	heard  bool // counts as in flight

	token       *signer.Token // of Prepared
	resends     int
	permit      *exchange.Permit // of the half that a worker has
	undecided   bool             // an answer is stored that cannot be proven yet
	early       *Heard           // an answer that came while a worker had it
	quarantined *quarantined     // a quarantine that came while a worker had it
}

// of returns the dispatcher's data of a ledger's request.
func of(r *ledger.Request) *request { return r.Tag.(*request) }

// tag adds the dispatcher's data to a ledger's request.
func (m *meter) tag(r *ledger.Request) *request {
	q := &request{Request: r, m: m, place: nowhere}
	r.Tag = q
	return q
}

// budgetKey names what one anomaly detection threshold counts.
type budgetKey struct {
	originator servicerequests.EUI
	service    servicerequests.Service
	signed     bool
}

func (r *request) budget() budgetKey {
	return budgetKey{r.ID.Originator, r.Service, r.Command()}
}

// needs names the limits in which the present half takes a place.
func (r *request) needs() exchange.Place {
	return exchange.Place{
		Originator: r.ID.Originator, Region: r.m.Plan.Region, Endpoint: r.Endpoint(),
		Service: r.Service, Signed: r.Command(),
	}
}

// urgent says whether a half goes before others: one of a request that has begun, or of a 7.3,
// because its read must not grow old. A request after a verdict is never urgent.
func (r *request) urgent() bool {
	return !r.After && (r.Phase != ledger.Queued || r.Service == servicerequests.ArmSupply)
}

// move takes a request to its next phase. No other function does. Queue, place behind the hub
// and counts follow from the phase. An event that is impossible in the phase halts the sweep.
func (s *Machine) move(r *request, e ledger.Event) bool {
	if r.Phase.Waits() {
		s.queues.remove(r)
	}
	s.counts.moves[r.Phase][e]++
	if err := r.Move(e); err != nil {
		s.defect(err)
		if r.Phase.Waits() {
			s.queues.push(r, s.risk(r))
		}
		return false
	}
	if r.Phase.Waits() {
		s.queues.push(r, s.risk(r))
	}
	s.reckon(r)
	return true
}

// risk is a request's place in the order of risk. Requests of a wave that other waves wait for
// go before the first reads of those.
func (s *Machine) risk(r *request) ledger.Risk {
	risk := s.o.Policy.RiskOf(r.m.Meter, s.now)
	if risk.Need > ledger.SupplyUnknown && s.waves.gates(r.m) {
		return ledger.Risk{Need: ledger.SupplyUnknown}
	}
	return risk
}

// reckon counts a request as in flight, or stops counting it. A request that waits in a hub for
// a silent, sleeping meter, or at the DCC, takes no place from a home that answers.
func (s *Machine) reckon(r *request) {
	counts := r.Phase.Counted() && r.m.wait == ledger.NotWaiting
	if counts == r.heard {
		return
	}
	r.heard = counts
	n := 1
	if !counts {
		n = -1
	}
	s.queues.regionQueue(r.m).inFlight[r.m.fuel()] += n
}

// ask opens a request and queues its first half as soon as the hub has room. after says
// that the meter has its verdict.
func (s *Machine) ask(m *meter, service servicerequests.Service, after bool) {
	r := m.tag(m.Ask(&s.o.Policy, service, s.o.DCC, after, s.now))
	if after {
		s.counts.afters++
	}
	s.admit(r)
}

// admit queues a request, or leaves it waiting behind its hub.
func (s *Machine) admit(r *request) {
	h := s.queues.hub(r.m)
	if h.open >= s.o.PerHub {
		h.waiting = append(h.waiting, r)
		return
	}
	h.open++
	r.inHub = true
	s.pace.flow.requested++
	s.move(r, ledger.Room)
}

// release frees a request's place behind its hub.
func (s *Machine) release(r *request) {
	h := s.queues.hub(r.m)
	if !r.inHub {
		h.forget(r)
	} else {
		h.open--
		r.inHub = false
	}
	for h.open < s.o.PerHub && len(h.waiting) > 0 {
		next := h.waiting[0]
		h.waiting = h.waiting[1:]
		s.admit(next)
	}
	s.queues.drop(r.m)
}

// end closes an open request: its outcome goes to the journal and the ledger, and its places
// become free. of is the number of the message that the outcome rests on; 0: none.
func (s *Machine) end(r *request, class record.Class, code string, f *finding) {
	if !s.move(r, ledger.End) {
		return
	}
	delete(s.quarantine.requests, r.Event)
	if r.After {
		s.counts.afters--
	}
	o := record.OutcomeBody{SentAt: r.PostedAt, Attempt: r.Attempt, After: r.After}
	s.conclusion(r.m, r.Service, r.ID, &o, class, code, f)
	s.release(r)
	s.metrics.ended(r.Service, r.m.Plan.Region, class)
	s.settleAfter(r.m, r.Service)
}

// silence is the class of a request without a proven answer.
func silence(r *request) record.Class {
	switch {
	case r.Unproven || r.undecided:
		return record.ClassUnverified
	case r.Phase == ledger.Sent && r.Body == nil, r.Phase == ledger.Quarantined:
		return record.ClassNoResponse
	default:
		return record.ClassInDoubt
	}
}

// withdrawal is the class of a request that must not be POSTed any more. If the DCC may have the
// half's bytes, the meter is read.
func withdrawal(r *request) record.Class {
	if r.Reached {
		return record.ClassInDoubt
	}
	return record.ClassWithdrawn
}

// notAfter is the last instant at which a half may leave; zero: at any time.
func (s *Machine) notAfter(r *request) time.Time {
	last := s.transfers.lastInstant(r.m.Device)
	if r.Service != servicerequests.ArmSupply {
		return last
	}
	if fresh := s.o.Policy.FreshUntil(r.m.Meter); last.IsZero() || fresh.Before(last) {
		return fresh
	}
	return last
}
