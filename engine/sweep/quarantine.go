package sweep

import (
	"fmt"
	"maps"
	"slices"

	"go.uber.org/zap"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

// quarantine has the requests that the DCC's anomaly detection has quarantined, by event
// reference.
type quarantine struct {
	requests map[string]*request
	overdue  map[string]servicerequests.RequestID // requests that had ended before the DCC's alert came
}

// quarantined is what the alert AD1 says about a request.
type quarantined struct{ event, breach string }

// alertQuarantine is the code of the DCC Alert of a quarantine (DUIS 5.4).
const alertQuarantine = "AD1"

// takeQuarantine notes that the DCC's anomaly detection has quarantined a request, and pauses
// the service: further requests over the threshold would be quarantined, too. The request has
// not failed, and is not sent again. If the DCC releases it, the device's answer ends it. If
// the DCC deletes it, a person says so, and the device is read.
//
// If the request had ended without an answer before the alert came, the sweep does not wait for
// it any more. If it were released it would be carried out long after it was made: so the DCC
// must delete it.
func (s *Machine) takeQuarantine(h Heard, q duis.QuarantinedRequest) {
	m := s.asker(q.Request)
	if m == nil {
		s.log.Warn("quarantine for unknown request", zap.Stringer("request_id", q.Request), zap.String("event_ref", q.EventRef))
		s.unmatched(h)
		return
	}
	body := record.ProvenBody{
		Of: h.Seq, At: h.Delivery.At, Code: alertQuarantine,
		Quarantined: &record.Quarantined{Request: q.Request, EventRef: q.EventRef, Breach: string(q.Breach)},
	}
	s.write(record.Record{At: s.now, Kind: record.Proven, Device: m.Device, Code: alertQuarantine, Body: record.Encode(body)})
	s.settled(h)
	back := quarantined{q.EventRef, string(q.Breach)}
	if r := m.PendingWith(q.Request); r != nil {
		s.quarantineRequest(of(r), back)
		s.look(m)
		return
	}
	if service, ended := s.overdueAs(m, q.Request, q.EventRef); ended {
		s.pauseQuarantined(service, fmt.Sprintf(
			"SRV %v: the DCC holds back a request that had ended before it said so (event reference %s): have it deleted, not released, say so with deleted --reference %s, then resume --srv %v",
			service, q.EventRef, q.EventRef, service))
	}
}

// quarantineRequest has a request wait until the DCC releases or deletes it. If a worker has
// the request, the quarantine is kept until the worker comes back. The service is paused at once.
func (s *Machine) quarantineRequest(r *request, back quarantined) {
	switch {
	case r.Phase.Working():
		r.quarantined = &back
	case r.Phase == ledger.Prepared || r.Phase == ledger.Ended:
		s.log.Warn("quarantine of a request that the DCC has answered", zap.Stringer("request_id", r.ID), zap.String("event_ref", back.event))
		return
	default:
		delete(s.quarantine.requests, r.Event)
		if r.Phase.Waits() {
			s.queues.remove(r)
		}
		if r.Phase != ledger.Quarantined { // a second event of a quarantined request moves nothing
			s.counts.moves[r.Phase][ledger.Quarantine]++
		}
		if err := r.Quarantine(back.event); err != nil {
			s.defect(err)
			return
		}
		r.token = nil
		s.quarantine.requests[back.event] = r
		s.noteWait(r.m)
		s.reckon(r)
	}
	s.pauseQuarantined(r.Service, quarantineReason(r.Service, back))
}

// overdueAs notes a quarantined request that has ended without an answer.
func (s *Machine) overdueAs(m *meter, id servicerequests.RequestID, event string) (service servicerequests.Service, ended bool) {
	past := m.PastWith(id)
	if past == nil || !past.Class.Unanswered() {
		s.log.Warn("quarantine of a request that is not open", zap.Stringer("request_id", id), zap.String("event_ref", event))
		return 0, false
	}
	s.quarantine.overdue[event] = id
	return past.Service, true
}

// pauseQuarantined pauses a service, unless that was done for this cause already.
func (s *Machine) pauseQuarantined(service servicerequests.Service, reason string) {
	if !slices.ContainsFunc(s.pauses.all, func(h pause) bool {
		return h.order.Cause == record.CauseQuarantine && scopeOf(h.order).service == service
	}) {
		s.pauseBy(record.CauseQuarantine, scope{service: service}, reason)
	}
}

func quarantineReason(service servicerequests.Service, back quarantined) string {
	if service == servicerequests.ArmSupply {
		return fmt.Sprintf("SRV %v is quarantined by the DCC (%s, event reference %s and others that status shows): the reads that they rest on grow old, "+
			"so have them deleted, not released, say so with deleted --reference, then resume --srv %v", service, back.breach, back.event, service)
	}
	return fmt.Sprintf("SRV %v is quarantined by the DCC (%s, event reference %s and others that status shows): have them released, then resume --srv %v",
		service, back.breach, back.event, service)
}

// toDelete lists the event references of requests that the DCC must delete and not release:
// those that the sweep does not wait for any more, a 7.3 that rests on an old read, and those
// to a home that must be left alone.
func (s *Machine) toDelete() []string {
	refs := slices.Collect(maps.Keys(s.quarantine.overdue))
	for ref, r := range s.quarantine.requests {
		if r.m.Bars.Excluded != "" || r.Service == servicerequests.ArmSupply && !s.o.Policy.MayArm(r.m.Meter, r.ID.Counter, s.now) {
			refs = append(refs, ref)
		}
	}
	slices.Sort(refs)
	return refs
}

// deleted ends a quarantined request that the DCC has deleted on the User's word.
func (s *Machine) deleted(event string) {
	r := s.quarantine.requests[event]
	m := r.m
	s.end(r, record.ClassInDoubt, record.CodeDeleted, nil)
	s.look(m)
}
