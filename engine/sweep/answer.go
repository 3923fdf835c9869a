package sweep

import (
	"maps"
	"strconv"
	"time"

	"go.uber.org/zap"

	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// finding is what an answer of a device or of the inventory showed, beside success
// or failure.
type finding struct {
	at       time.Time // when it was given
	observed *record.Observation
	proxy    servicerequests.EUI
}

// deliver acts on a proven asynchronous message.
func (s *Sweep) deliver(d proof.Delivery) {
	now := s.now()
	if d.Alert != nil {
		s.takeAlert(d, now)
		return
	}
	if d.DCCAlert != nil {
		if q, ok := d.DCCAlert.Event.(duis.QuarantinedRequest); ok {
			s.takeQuarantine(q, now)
			return
		}
	}
	m := s.find(d.ID.Target)
	if d.DCCAlert != nil || m == nil {
		s.unmatched(d, now)
		return
	}
	if r := m.openAs(d.ID); r != nil {
		s.answer(r, d, now)
		return
	}
	s.late(m, d, now)
}

// answer ends an open request with what the DCC or the device said.
func (s *Sweep) answer(r *request, d proof.Delivery, now time.Time) {
	switch {
	case r.service.Critical() && r.leg != commandLeg:
		s.unmatched(d, now) // nothing has been signed that it could answer
		return
	case r.working:
		// It came before the acknowledgement, or nothing has been sent yet that it
		// could answer. The worker's result tells, and keeps the journal in order: no
		// outcome before the bytes it is the outcome of.
		if r.early == nil || r.early.Result == nil {
			r.early = &d
		}
		return
	case !r.sent():
		s.unmatched(d, now)
		return
	}
	class, code, found, ok := s.interpret(r.service, r.meter, d, r.postedAt, now)
	if !ok {
		s.doubt(r, now)
		return
	}
	s.flow.answered++
	s.metrics.response(r.service, now.Sub(r.postedAt))
	s.end(r, class, code, found, now)
	if d.Code.Class() == servicerequests.CodeHalt {
		s.userRefused(d.Code)
	}
	s.look(r.meter, now)
}

// userRefused halts: the DCC says that the User itself may not send.
func (s *Sweep) userRefused(code servicerequests.ResponseCode) {
	s.stop("the DCC refuses the User ("+string(code)+")", nil)
}

// late takes in an answer to a request that has ended: a repetition changes
// nothing, the first proven answer to one that was given up counts.
func (s *Sweep) late(m *meter, d proof.Delivery, now time.Time) {
	i := m.endedAs(d.ID)
	if i < 0 {
		s.unmatched(d, now)
		return
	}
	e := m.ended[i]
	if !e.class.unanswered() || d.Result == nil {
		s.metrics.repeated()
		return
	}
	class, code, found, ok := s.interpret(e.service, m, d, time.Time{}, now)
	if !ok {
		return
	}
	s.metrics.reclassed(e.service, e.class, class)
	s.conclusion(m, e.service, d.ID, record.OutcomeBody{}, class, code, found, now)
	s.settleAfter(m, 0, now)
	s.look(m, now)
}

// interpret reads a delivery as the answer to a request that was POSTed at sent:
// ok is false if it does not correlate with it.
func (s *Sweep) interpret(service servicerequests.Service, m *meter, d proof.Delivery, sent, now time.Time) (Class, string, *finding, bool) {
	if d.Result == nil {
		class := classOf(d.Code)
		return class, string(d.Code), nil, class != Open
	}
	expected := gbcs.Expected{Service: service, Device: s.kindOf(m, d.ID.Target), ID: d.ID}
	err := expected.MatchResponse(d.Message)
	s.watchProof(err == nil)
	if err != nil {
		s.log.Warn("response does not correlate", zap.Stringer("request_id", d.ID), zap.Error(err))
		s.o.Journal.Append(record.Record{
			At: now, Kind: record.Refused, Device: m.device, Service: service, ID: d.ID, Code: record.RefusedUnverified,
			Body: record.Encode(record.RefusedBody{Reason: err.Error()}),
		})
		return Open, "", nil, false
	}
	f := &finding{at: answeredAt(d.At, sent, now)}
	if !d.Result.Success {
		return Negative, resultCode(d.Result.Results), f, true
	}
	o := record.Observation{Mode: d.Result.Mode, Supply: d.Result.Supply}
	if d.Result.HasBalance {
		o.Balance = &d.Result.Balance
	}
	if o != (record.Observation{}) {
		f.observed = &o
	} else if !service.Critical() && d.Result.Configuration == nil {
		return Negative, codeNoValue, f, true
	}
	return Succeeded, "", f, true
}

// answeredAt is when a device answered: what the DCC says of it, as far as that is
// possible. What was delivered late was seen early, and a 7.3 may rest only on
// what was seen just now.
func answeredAt(byDCC, sent, now time.Time) time.Time {
	switch {
	case byDCC.After(now):
		return now
	case byDCC.Before(sent):
		return sent
	}
	return byDCC
}

// kindOf is the device type of a request's target.
func (s *Sweep) kindOf(m *meter, target servicerequests.EUI) servicerequests.DeviceType {
	if m.gpf != 0 && target == m.gpf {
		return servicerequests.GPF
	}
	return m.target.Type
}

// takeAlert notes what a device's alert means for its meter.
func (s *Sweep) takeAlert(d proof.Delivery, now time.Time) {
	m := s.find(d.Device)
	if m == nil {
		s.unmatched(d, now)
		return
	}
	changed := m.alerted(d.Alert)
	s.moveUp(m, now)
	if !changed || m.started.IsZero() {
		return
	}
	s.reopen(m)
	s.look(m, now)
}

// unmatched counts a proven message that answers no request of this sweep: the
// User's other traffic. The inbox has made it durable already.
func (s *Sweep) unmatched(d proof.Delivery, now time.Time) {
	s.metrics.unmatched()
	s.o.Journal.Append(record.Record{At: now, Kind: record.Unmatched, Device: d.Device, ID: d.ID, Code: string(d.Code)})
}

// proxyOf finds the gas proxy in the inventory of a meter's home; zero if the
// answer does not list both.
func proxyOf(content duis.Content, meter servicerequests.EUI) servicerequests.EUI {
	var proxy servicerequests.EUI
	listed := false
	inventory, _ := content.(duis.Inventory)
	for _, d := range inventory {
		listed = listed || d.ID == meter
		if d.DeviceType() == servicerequests.GPF {
			proxy = d.ID
		}
	}
	if !listed {
		return 0
	}
	return proxy
}

// end closes an open request: its outcome goes to the journal and the ledger,
// its places in region and hub are given free.
func (s *Sweep) end(r *request, class Class, code string, f *finding, now time.Time) {
	r.closed = true
	delete(s.quarantined, r.quarantine)
	if r.after {
		s.afters--
	}
	s.release(r)
	o := record.OutcomeBody{SentAt: r.postedAt, Attempt: r.attempt, After: r.after}
	s.conclusion(r.meter, r.service, r.id, o, class, code, f, now)
	s.metrics.ended(r.service, r.meter.target.Region, class)
	s.settleAfter(r.meter, r.service, now)
}

// conclusion journals an outcome and folds it into the ledger. Of a request that
// never had a counter the journal knows nothing.
func (s *Sweep) conclusion(m *meter, service servicerequests.Service, id servicerequests.RequestID, o record.OutcomeBody, class Class, code string, f *finding, now time.Time) {
	o.Class, o.Code, o.AnsweredAt = class.String(), code, now
	o.Tripped = s.tripwire == tripUnregistered && class == Rejected &&
		servicerequests.ResponseCode(code).Class() == servicerequests.CodeUnregistered
	if f != nil {
		o.AnsweredAt, o.Observed, o.Proxy = f.at, f.observed, f.proxy
	}
	if id.Counter != 0 {
		s.o.Journal.Append(record.Record{
			At: now, Kind: record.Outcome, Device: m.device, Service: service, ID: id,
			Code: o.Class, Body: record.Encode(o),
		})
	}
	s.fold(m, service, id, o, class)
	s.refusedNow(m.target.Region, service, class, code, now)
	if class == Rejected && servicerequests.ResponseCode(code).Class() == servicerequests.CodeUnregistered {
		s.watchRegistration(m, true)
	}
}

// fold takes the end of a request into the ledger and its wave's sample.
func (s *Sweep) fold(m *meter, service servicerequests.Service, id servicerequests.RequestID, o record.OutcomeBody, class Class) {
	was, sampled := m.end(&s.o.Policy, service, id, o, class)
	if sampled {
		s.sample(m, was, class)
	}
	s.countClass(service, was, class)
	if !class.unanswered() {
		maps.DeleteFunc(s.overdue, func(_ string, late servicerequests.RequestID) bool { return late == id })
	}
	s.roll.link(m)
}

// release gives a request's places in its region and behind its hub free.
func (s *Sweep) release(r *request) {
	if r.id.Counter != 0 {
		s.lanes[r.meter.target.Region].inFlight--
	}
	h := s.hub(r.meter)
	h.open--
	for h.open < s.o.PerHub && len(h.waiting) > 0 {
		next := h.waiting[0]
		h.waiting = h.waiting[1:]
		if !next.closed {
			s.admit(next)
		}
	}
	if h.open == 0 && len(h.waiting) == 0 {
		delete(s.hubs, hubKey{r.meter.target.Hub, r.meter.gas()})
	}
}

// conclude writes a meter's verdict.
func (s *Sweep) conclude(m *meter, now time.Time) {
	m.verdict = s.o.Policy.conclude(m)
	s.count(m)
	s.o.Journal.Append(record.Record{
		At: now, Kind: record.Verdict, Device: m.device, Code: m.verdict.Verdict, Body: record.Encode(m.verdict),
	})
}

// count counts a meter as done with its verdict.
func (s *Sweep) count(m *meter) {
	s.roll.stir(m)
	m.done = true
	if s.o.Policy.wantsBalance(m) && !m.waits {
		s.lineUp(m)
	}
	s.attend(m, s.now())
	s.counted(m.head(), 1)
}

// counted adds to the meters that are done with a verdict.
func (s *Sweep) counted(m head, n int) {
	s.done += n
	s.verdicts[m.verdict] += n
	s.area(m).verdicts[m.verdict] += n
	s.metrics.meters.WithLabelValues(m.verdict).Add(float64(n))
}

// reopen takes a meter's verdict back, because something new is known.
func (s *Sweep) reopen(m *meter) {
	if !m.done {
		return
	}
	m.done = false
	s.counted(m.head(), -1)
	m.verdict = record.VerdictBody{}
}

// resultCode is the first DLMS result or ZCL status that is not success, in
// decimal.
func resultCode(results []byte) string {
	for _, code := range results {
		if code != 0 {
			return strconv.Itoa(int(code))
		}
	}
	return ""
}
