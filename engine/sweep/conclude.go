package sweep

import (
	"maps"
	"slices"

	"go.uber.org/zap"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// conclusion journals an outcome and takes it into the ledger. A request that never had
// a counter is not in the journal.
func (s *Machine) conclusion(m *meter, service servicerequests.Service, id servicerequests.RequestID, o *record.OutcomeBody, class record.Class, code string, f *finding) {
	o.Class, o.Code, o.AnsweredAt = class, code, s.now
	unregistered := class == record.ClassRejected && servicerequests.ResponseCode(code).Class() == servicerequests.CodeUnregistered &&
		!m.OtherDevice(service, id.Target, o)
	o.Expected = unregistered && s.transfers.expects(m.Device, s.now)
	o.Tripped = unregistered && s.tripwires.tripped == tripUnregistered
	if f != nil {
		o.AnsweredAt, o.Observed, o.Proxy, o.Of = f.at, f.observed, f.proxy, f.of
	}
	if service.Critical() && id.Counter != 0 {
		o.Issued = m.Issued()
	}
	e := m.End(&s.o.Policy, service, id, o, s.now)
	o.Stands = m.VerdictStands()
	if id.Counter != 0 {
		s.write(record.Record{
			At: s.now, Kind: record.Outcome, Device: m.Device, Service: service, ID: id,
			Code: class.String(), Body: record.Encode(*o),
		})
	}
	if o.Of != 0 {
		s.emit(Settled{o.Of})
	}
	s.takeEnd(m, e, service, id)
	if service != servicerequests.ReadInventory { // the DCC answers 8.2 itself, whatever the state of the region
		s.counts.heard[m.Plan.Region].ended(class, s.now)
	}
	s.pace.flow.ended(m.Plan.Region, class)
	s.counts.refused(m.Plan.Region, service, class, code, s.now)
	if unregistered {
		s.transfers.refusedAs(o.Expected)
		s.metrics.unregistered(o.Expected)
		if !o.Expected {
			s.watchRegistration(m, true)
		}
	}
}

// takeEnd counts the end of a request.
func (s *Machine) takeEnd(m *meter, e ledger.Effect, service servicerequests.Service, id servicerequests.RequestID) {
	if e.Sampled {
		s.waves.sample(m, e.Was, e.Is)
	}
	s.counts.ended(service, e.Was, e.Is)
	if !e.Is.Unanswered() {
		maps.DeleteFunc(s.quarantine.overdue, func(_ string, late servicerequests.RequestID) bool { return late == id })
	}
	s.store.link(m.Proxy, m.number)
}

// conclude writes a meter's verdict.
func (s *Machine) conclude(m *meter) {
	m.Verdict = s.o.Policy.Conclude(m.Meter)
	s.count(m)
	s.exposes(m, s.writeVerdict(m, m.Verdict), false)
}

func (s *Machine) writeVerdict(m *meter, v record.VerdictBody) *record.Record {
	rec := record.Record{At: s.now, Kind: record.Verdict, Device: m.Device, Code: v.Verdict, Body: record.Encode(v)}
	s.write(rec)
	return &rec
}

// exposes takes in what a record of a meter has changed: it was contacted for the first time,
// was given a command, or has its verdict.
func (s *Machine) exposes(m *meter, rec *record.Record, first bool) {
	switch {
	case rec.Kind == record.Request && first:
		s.counts.contact[m.fuel()].First(rec.At)
	case rec.Kind == record.SignedCommand && !m.exposed:
		m.exposed = true
		s.counts.radius.Enter(m.Plan.Hub, rec.At, s.waves.commandable())
	case rec.Kind == record.Verdict && m.exposed && !record.InPassing(m.Verdict.Reason):
		m.exposed = false
		s.counts.radius.Leave(m.Plan.Hub)
	}
}

// count counts a meter as done with its verdict.
func (s *Machine) count(m *meter) {
	s.store.markDirty(m)
	m.Done, m.awaits = true, ledger.ReadingSupply
	if s.o.Policy.WantsBalance(m.Meter) {
		s.lineUp(m)
	}
	s.noteWait(m)
	s.counts.reasons.count(&m.Verdict, 1)
	s.counted(s.store.note(m), 1)
}

// counted adds to the meters that are done with a verdict.
func (s *Machine) counted(h *head, n int) {
	verdict := verdicts[h.verdict]
	s.counts.done += n
	s.counts.verdicts[verdict] += n
	s.counts.area(h).verdicts[verdict] += n
	s.metrics.meters.WithLabelValues(verdict).Add(float64(n))
}

// reopen takes a meter's verdict back, because something new is known.
func (s *Machine) reopen(m *meter) {
	if !m.Done {
		return
	}
	s.counts.reasons.count(&m.Verdict, -1)
	s.counted(s.store.note(m), -1)
	m.Reopen()
}

// settleAfter acts on the end of a request to a meter that had its verdict. The verdict stays
// until all such requests have ended; then the meter gets a new one. A meter that is not safe
// any more is reopened at once; the journal and the log say so before anything is sent to it.
// A balance changes no verdict, unless it is the proof that an arming needed. A meter that
// a person has excluded keeps its verdict.
func (s *Machine) settleAfter(m *meter, service servicerequests.Service) {
	switch {
	case !m.Done, m.Bars.Excluded != "" && !m.Bars.Moved:
		return
	case len(m.Open) > 0 && m.Safe():
		m.unsaid = m.unsaid || service != servicerequests.ReadMeterBalance
		return
	case service == servicerequests.ReadMeterBalance && !m.unsaid && !s.o.Policy.Decide(m.Meter, s.now, ledger.Commanding).Waiting:
		return
	}
	m.unsaid = false
	was := m.Verdict.Verdict
	s.reopen(m)
	if rankOf(was) == 0 {
		return
	}
	v := s.o.Policy.Conclude(m.Meter)
	result := "same"
	switch {
	case m.Bars.Excluded != "":
		result = "excluded"
	case rankOf(v.Verdict) < rankOf(was):
		result = "worse"
		s.log.Warn("read again and found worse", zap.Stringer("device_id", m.Device), zap.String("was", was), zap.String("is", v.Verdict))
		if s.o.Policy.Decide(m.Meter, s.now, ledger.Commanding).Waiting {
			if v.Reason = record.ReasonWorse + "off"; v.End.Mode != servicerequests.Credit {
				v.Reason = record.ReasonWorse + "in " + v.End.Mode.String()
			}
			s.writeVerdict(m, v)
		}
	case rankOf(v.Verdict) > rankOf(was):
		result = "better"
	case m.Reread.After(m.AsOf()):
		result = "unanswered"
	}
	s.metrics.rereads.WithLabelValues(result).Inc()
}

// rankOf orders verdicts by how well off a home is; 0 is not safe.
func rankOf(verdict string) int {
	return 1 + slices.Index([]string{record.VerdictArmed, record.VerdictOnSupply}, verdict)
}
