package sweep

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"safemode/engine/gateway"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// pump does all that can be done now: meters whose time has come, new meters,
// and the legs that limits and workers allow.
func (s *Sweep) pump() {
	now := s.now()
	s.wakeUp(now)
	for len(s.agenda) > 0 && !s.agenda[0].due.After(now) {
		m := s.agenda[0]
		s.schedule(m, time.Time{})
		if m.done && len(m.open) == 0 {
			s.lineUp(m)
		} else {
			s.look(m, now)
		}
	}
	s.settle()
	s.wake = time.Time{}
	if !s.open() {
		return
	}
	if err := s.o.Gate(now); err != nil {
		s.closeGate(err)
		return
	}
	s.tend(now)
	s.refill(now)
	for s.open() {
		s.serve(now)
		if s.halt != nil || !s.takeIn(now) && !s.takeLater(now) {
			return
		}
	}
}

// takeIn starts the next meter in each region where nothing that presses waits to be
// POSTed, and says whether it started any. So no home at risk waits for the reads of
// another, and reads do not grow old in a queue.
func (s *Sweep) takeIn(now time.Time) (any bool) {
	for region := range s.intake {
		l := s.lanes[region]
		if l.inFlight >= s.o.InFlight || l.pressing() || s.dryRead(now) {
			continue
		}
		if m := s.nextOf(&s.intake[region]); m != nil {
			s.notBegun--
			s.look(m, now)
			any = true
		}
	}
	return any
}

// look decides what to do about a meter, and does it.
func (s *Sweep) look(m *meter, now time.Time) {
	s.roll.stir(m)
	if m.done && len(m.open) == 0 {
		return
	}
	s.expire(m, now)
	if m.done {
		s.schedule(m, s.nextDeadline(m))
		return
	}
	until := s.attend(m, now)
	if !s.open() {
		// Nothing new: the meter is looked at again when the sweep goes on.
		s.schedule(m, s.nextDeadline(m))
		return
	}
	step := s.o.Policy.decide(m, now)
	for _, service := range step.ask {
		s.ask(m, service, false, now)
	}
	if !step.waiting {
		s.conclude(m, now)
		return
	}
	if until.IsZero() {
		until = s.attend(m, now) // it has begun just now
	}
	due := s.nextDeadline(m)
	if !until.IsZero() && (due.IsZero() || until.Before(due)) {
		due = until
	}
	if !step.wake.IsZero() && (due.IsZero() || step.wake.Before(due)) {
		due = step.wake
	}
	s.schedule(m, due)
}

// expire ends the requests whose deadline has passed, and queues those whose
// bytes are to be POSTed again.
func (s *Sweep) expire(m *meter, now time.Time) {
	for i := len(m.open) - 1; i >= 0; i-- {
		r := m.open[i]
		switch {
		case r.queued:
		case !r.deadline.IsZero() && !now.Before(r.deadline):
			s.end(r, silence(r), "", nil, now)
		case !r.retryAt.IsZero() && !now.Before(r.retryAt):
			r.retryAt = time.Time{}
			s.push(r)
		}
	}
}

// push queues the next leg of a request at its place in the order of risk.
func (s *Sweep) push(r *request) {
	s.flow.requested++
	s.requeue(r)
}

func (s *Sweep) requeue(r *request) {
	s.lanes[r.meter.target.Region].push(r, s.o.Policy.riskOf(r.meter, s.now()))
}

// silence is the class of a request that nothing provable has answered.
func silence(r *request) Class {
	switch {
	case r.unproven:
		return Unverified
	case r.acknowledged:
		return NoResponse
	default:
		return InDoubt
	}
}

// nextDeadline is the earliest time at which one of a meter's requests needs
// attention; zero if none does.
func (s *Sweep) nextDeadline(m *meter) time.Time {
	var next time.Time
	for _, r := range m.open {
		for _, t := range [...]time.Time{r.deadline, r.retryAt} {
			if !t.IsZero() && !r.queued && (next.IsZero() || t.Before(next)) {
				next = t
			}
		}
	}
	return next
}

// ask opens a request and queues its first leg as soon as the hub has room. after says
// that the meter has its verdict.
func (s *Sweep) ask(m *meter, service servicerequests.Service, after bool, now time.Time) {
	t := m.tally(service)
	r := &request{meter: m, service: service, attempt: int(t.tries) + 1, retry: t.failures > 0, after: after, place: nowhere}
	r.id.Originator = m.target.Originator
	switch {
	case service == servicerequests.ReadInventory:
		r.id.Target = s.o.DCC
	case service == servicerequests.ReadMeterBalance && m.gpf != 0 && (after && s.o.Policy.GasBalanceFromProxy || !m.foundBalance.known() && m.firstSwitch == 0):
		r.id.Target = m.gpf // which need not be woken; what it cannot prove the meter is asked itself
	case service == servicerequests.ReadPrepaymentConfiguration && m.gpf != 0:
		r.id.Target = m.gpf
	default:
		r.id.Target = m.device
	}
	m.begin(r, now)
	s.admit(r)
}

// admit queues a request, or leaves it waiting behind its hub.
func (s *Sweep) admit(r *request) {
	h := s.hub(r.meter)
	if h.open >= s.o.PerHub {
		h.waiting = append(h.waiting, r)
		r.queued = true
		return
	}
	h.open++
	s.push(r)
}

func (s *Sweep) hub(m *meter) *hub {
	key := hubKey{m.target.Hub, m.gas()}
	h := s.hubs[key]
	if h == nil {
		h = &hub{}
		s.hubs[key] = h
	}
	return h
}

// serve gives legs to workers, a lane after the other in turn, until the lanes
// are empty or each is held up by a limit.
func (s *Sweep) serve(now time.Time) {
	for progress := true; progress; {
		progress = false
		begin := s.turn
		for i := range s.lanes {
			at := (begin + i) % len(s.lanes)
			if s.serveLane(s.lanes[at], now) {
				progress = true
				s.turn = at + 1 // where a limit lets few go, the next goes to another region
			}
			if s.halt != nil {
				return
			}
		}
	}
}

// serveLane dispatches one leg of a lane, an urgent one first, and of those the one
// whose home is most at risk, or has waited longest: where the User's limit is what
// binds, no service of the DCC is starved by another.
func (s *Sweep) serveLane(l *lane, now time.Time) bool {
	for _, queues := range [...]*[len(gateway.Services) + 1]queue{&l.urgent, &l.fresh} {
		var tried [len(gateway.Services) + 1]bool
		for {
			e, ok := first(queues, &tried)
			if !ok {
				break
			}
			if s.serveOne(l, &queues[e], now) {
				return true
			}
			tried[e] = true
		}
	}
	return false
}

// serveOne dispatches the first leg of a queue if nothing is in its way.
func (s *Sweep) serveOne(l *lane, q *queue, now time.Time) bool {
	for q.Len() > 0 && q.peek().closed {
		q.pop()
	}
	if q.Len() == 0 {
		return false
	}
	r := q.peek()
	e := r.endpoint()
	if s.unwanted(r, now) {
		q.pop()
		r.queued = false
		s.end(r, withdrawal(r), "", nil, now)
		s.look(r.meter, now)
		return true
	}
	if s.holdsLeg(r) || now.Before(s.dry[budgetOf(r)]) {
		s.park(q.pop())
		return true
	}
	if s.busy[e] >= s.o.Workers {
		return false
	}
	if until := s.hold[e]; now.Before(until) {
		s.wakeAt(until)
		return false
	}
	report, err := s.o.Breakers.Allow(e, l.region)
	if err != nil {
		s.wakeAt(now.Add(s.o.Resend))
		return false
	}
	ok, wait, limit := s.o.Pacer.Take(now, r.leave())
	if !ok {
		report(errUnused)
		s.metrics.paced(limit, wait)
		s.wakeAt(now.Add(wait))
		if limit == LimitAnomaly { // the other services go on
			s.dry[budgetOf(r)] = now.Add(wait)
			s.park(q.pop())
			return true
		}
		return false
	}
	q.pop()
	s.spendOf(r.leave(), now)
	s.dispatch(l, r, report, now)
	return true
}

// errUnused tells a breaker that its leave was not used.
var errUnused = context.Canceled

// unwanted says whether the reason for a leg has gone since it was queued. It is
// asked when the leg is about to be signed or POSTed.
func (s *Sweep) unwanted(r *request, now time.Time) bool {
	switch {
	case r.meter.excluded != "":
		return true
	case r.service != servicerequests.ArmSupply:
		return false
	case r.leg == commandLeg && r.body != nil:
		return !s.o.Policy.mayArm(r.meter, r.id.Counter, now)
	default:
		return !s.o.Policy.mayArm(r.meter, 0, now)
	}
}

// withdrawal is the class of a request whose next POST must not happen any more.
// If the DCC may have the leg's bytes, what became of them is read back.
func withdrawal(r *request) Class {
	if r.reached {
		return InDoubt
	}
	return Withdrawn
}

func (s *Sweep) wakeAt(t time.Time) {
	if s.wake.IsZero() || t.Before(s.wake) {
		s.wake = t
	}
}

// dispatch gives one leg to a worker. The counter of a request is taken here, by
// the one goroutine that orders them.
func (s *Sweep) dispatch(l *lane, r *request, report func(error), now time.Time) {
	m := r.meter
	if r.id.Counter == 0 {
		counter, err := s.o.Counters[r.id.Originator].Next()
		if err != nil {
			report(errUnused)
			s.stop("no originator counter can be reserved", err)
			return
		}
		r.id.Counter, m.issued = counter, counter
		s.spend(m, r.service)
		l.inFlight++
		s.headroom.count(r.service, now)
	}
	if r.askedAt.IsZero() {
		r.askedAt = now
	}
	if r.body == nil {
		r.postedAt = now
		if r.leg == commandLeg {
			m.commit(r.service, r.id.Counter)
		}
	}
	j := job{
		request: r, endpoint: r.endpoint(), leg: r.leg, device: m.device,
		expected: gbcs.Expected{Service: r.service, Device: s.kindOf(m, r.id.Target), ID: r.id},
		token:    r.token, body: r.body, again: r.reached, report: report,
	}
	if r.service == servicerequests.ArmSupply {
		j.notAfter = s.o.Policy.freshUntil(m)
	}
	s.busy[j.endpoint]++
	s.flow.sent++
	r.working = true
	if s.o.State != nil {
		r.from = s.o.State.Last()
	}
	m.legs++
	if err := s.submit[j.endpoint](j); err != nil {
		// A pool that is closed: a defect. Nothing was sent.
		s.busy[j.endpoint]--
		m.legs--
		report(errUnused)
		s.stop("worker pool refused a leg", err)
	}
}

// finishLeg takes in what a worker learnt.
func (s *Sweep) finishLeg(res result) {
	now, r := s.now(), res.request
	s.busy[res.endpoint]--
	r.meter.legs--
	s.roll.stir(r.meter)
	r.queued, r.working, r.body = false, false, res.body
	if r.leg == commandLeg && r.body != nil {
		r.asked = nil
	}
	if res.took > 0 {
		s.metrics.ack(r.service, res.took)
	}
	if res.took > 0 && res.err == nil {
		s.flow.acknowledged++
	}
	s.takeResult(r, res, now)
	if d := r.early; d != nil {
		r.early = nil
		s.deliver(*d)
	}
	s.look(r.meter, now)
}

// takeResult acts on how a leg went.
func (s *Sweep) takeResult(r *request, res result, now time.Time) {
	if unproven := errors.Is(res.err, errUnproven) || errors.Is(res.err, errUncorrelated); unproven || res.token != nil {
		s.watchProof(!unproven)
	}
	if !errors.Is(res.err, gateway.ErrRejected) && res.took > 0 {
		s.rejected = 0
	}
	r.reached = r.reached || res.took > 0 && reached(res.err)
	var throttled *gateway.ThrottledError
	switch {
	case res.err == nil:
		s.takeReply(r, res, now)
	case errors.Is(res.err, errJournal):
		s.stop(journalFailed, res.err)
	case errors.Is(res.err, errGate):
		s.closeGate(res.err)
	case errors.Is(res.err, errKey):
		s.stop("a signing key cannot be used", res.err)
	case errors.Is(res.err, errRefused):
		s.log.Error("request not signed", zap.Stringer("request_id", r.id), zap.Error(res.err))
		s.end(r, Withdrawn, record.RefusedUnpermitted, nil, now)
	case errors.Is(res.err, errStale):
		s.end(r, withdrawal(r), "", nil, now)
	case errors.Is(res.err, errPanic) && r.body == nil:
		// Whether there are bytes in the journal is not known: they are not made twice.
		s.end(r, Withdrawn, record.RefusedUnpermitted, nil, now)
	case errors.Is(res.err, errUncorrelated):
		s.end(r, Unverified, record.RefusedUncorrelated, nil, now)
	case errors.Is(res.err, errUnproven) && r.leg == askLeg && res.endpoint != gateway.SendCommand:
		s.end(r, Unverified, "", nil, now)
	case errors.Is(res.err, errUnproven):
		// The bytes have arrived; only what the DCC said of them is not proven.
		r.unproven = true
		s.await(r, now)
	case errors.As(res.err, &throttled):
		s.throttled++
		s.metrics.throttle()
		s.hold[res.endpoint] = now.Add(max(throttled.RetryAfter, s.o.Resend))
		s.push(r)
	case errors.Is(res.err, gateway.ErrNotWritten):
		r.retryAt = now.Add(s.o.Resend)
	case errors.Is(res.err, gateway.ErrNotPermitted):
		s.stop("the gateway held back a body that is not permitted", res.err)
	case errors.Is(res.err, gateway.ErrRejected):
		s.end(r, Rejected, codeHTTP, nil, now)
		if s.rejected++; s.rejected >= rejectedRun {
			s.stop("the DCC refuses every POST: check dcc.url, the client certificate and the User's access", res.err)
		}
	default: // in doubt: the same bytes again
		s.log.Warn("no reply to go by", zap.Stringer("request_id", r.id), zap.Stringer("service", res.endpoint), zap.Error(res.err))
		s.resend(r, res.endpoint, now)
	}
}

// rejectedRun is how many POSTs the DCC may refuse by HTTP status in a row, before
// that says more about the User or the address than about the requests.
const rejectedRun = 20

// resend schedules another POST of the same bytes, or gives up waiting for a
// reply.
func (s *Sweep) resend(r *request, e gateway.Service, now time.Time) {
	if r.quarantine != "" { // the DCC has it, and says so
		return
	}
	if r.resends < s.o.Resends {
		r.retryAt = now.Add(s.o.Resend << r.resends)
		r.resends++
		return
	}
	if e != gateway.SendCommand {
		s.end(r, InDoubt, "", nil, now)
		return
	}
	s.await(r, now)
}

// takeReply acts on a synchronous reply that is as proven as it needs to be.
func (s *Sweep) takeReply(r *request, res result, now time.Time) {
	code := res.reply.Code
	if class := code.Class(); class == servicerequests.CodeSuccess || class == servicerequests.CodeAcknowledged {
		s.watchRegistration(r.meter, false)
	}
	switch {
	case res.token != nil:
		r.leg, r.token, r.asked, r.body, r.resends, r.reached = commandLeg, res.token, r.body, nil, 0, false
		s.push(r)
	case res.endpoint == gateway.NonDevice && code == servicerequests.Success:
		s.end(r, Succeeded, string(code), &finding{at: now, proxy: proxyOf(res.reply.Content, r.meter.device)}, now)
	case res.endpoint == gateway.SendCommand && (code.Class() == servicerequests.CodeAcknowledged ||
		code == servicerequests.DuplicateID && res.again):
		r.acknowledged, r.body, r.token = true, nil, nil
		s.await(r, now)
	case code.Class() == servicerequests.CodeAcknowledged: // what was asked for is still to come
		s.resend(r, res.endpoint, now)
	case code == servicerequests.DuplicateID && res.again:
		s.end(r, InDoubt, string(code), nil, now)
	case code.Class() == servicerequests.CodeHalt:
		s.end(r, Rejected, string(code), nil, now)
		s.userRefused(code)
	default:
		s.end(r, classOf(code), string(code), nil, now)
	}
}
