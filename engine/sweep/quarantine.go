package sweep

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

// takeQuarantine notes that the DCC's anomaly detection holds a request back, and
// pauses the service: what is sent beyond a threshold only joins it. The request is
// neither failed nor sent again. When it is released the device's answer ends it;
// when it is deleted a person says so, and what became of it is read back.
//
// A request that had ended without an answer before that was known is waited for no
// more. Released, it would be carried out long after it was asked for: it is to be
// deleted.
func (s *Sweep) takeQuarantine(q duis.QuarantinedRequest, now time.Time) {
	m := s.find(q.Request.Target)
	if m == nil {
		s.log.Warn("quarantine of a request of nobody's", zap.Stringer("request_id", q.Request), zap.String("event_ref", q.EventRef))
		s.metrics.unmatched()
		return
	}
	if r := m.openAs(q.Request); r != nil {
		s.quarantine(r, q.EventRef)
		s.pauseQuarantined(r.service, quarantineReason(r.service, q))
		s.look(m, now)
		return
	}
	if service, ended := s.overdueAs(m, q); ended {
		s.pauseQuarantined(service, fmt.Sprintf(
			"SRV %v: the DCC holds back a request that had ended before it said so (event reference %s): have it deleted, not released, say so with deleted --reference %s, then resume --srv %v",
			service, q.EventRef, q.EventRef, service))
	}
}

// overdueAs notes a quarantined request that has ended without an answer.
func (s *Sweep) overdueAs(m *meter, q duis.QuarantinedRequest) (service servicerequests.Service, ended bool) {
	i := m.endedAs(q.Request)
	if i < 0 || !m.ended[i].class.unanswered() {
		s.log.Warn("quarantine of a request that is not open", zap.Stringer("request_id", q.Request), zap.String("event_ref", q.EventRef))
		return 0, false
	}
	s.overdue[q.EventRef] = q.Request
	return m.ended[i].service, true
}

// pauseQuarantined pauses a service, unless that was done for this cause already.
func (s *Sweep) pauseQuarantined(service servicerequests.Service, reason string) {
	if !slices.ContainsFunc(s.holds, func(h hold) bool {
		return h.order.Cause == record.CauseQuarantine && scopeOf(h.order).service == service
	}) {
		s.pauseBy(record.CauseQuarantine, scope{service: service}, reason)
	}
}

// alertQuarantine is the code of the DCC Alert that says so (DUIS 5.4).
const alertQuarantine = "AD1"

func quarantineReason(service servicerequests.Service, q duis.QuarantinedRequest) string {
	if service == servicerequests.ArmSupply {
		return fmt.Sprintf("SRV %v is quarantined by the DCC (%s, event reference %s and others that status shows): the reads that they rest on grow old, "+
			"so have them deleted, not released, say so with deleted --reference, then resume --srv %v", service, q.Breach, q.EventRef, service)
	}
	return fmt.Sprintf("SRV %v is quarantined by the DCC (%s, event reference %s and others that status shows): have them released, then resume --srv %v",
		service, q.Breach, q.EventRef, service)
}

// toDelete lists the event references of what the DCC must delete and not release: what
// nobody waits for any more, and arming that rests on a read which has grown old. A
// release would arm a supply that may be on by then.
func (s *Sweep) toDelete(now time.Time) []string {
	refs := slices.Collect(maps.Keys(s.overdue))
	for ref, r := range s.quarantined {
		if r.service == servicerequests.ArmSupply && !s.o.Policy.mayArm(r.meter, r.id.Counter, now) {
			refs = append(refs, ref)
		}
	}
	slices.Sort(refs)
	return refs
}

// quarantine has a request wait without an end.
func (s *Sweep) quarantine(r *request, ref string) {
	r.quarantine, r.acknowledged = ref, true // the DCC has it
	r.deadline, r.retryAt, r.body, r.token = time.Time{}, time.Time{}, nil, nil
	s.quarantined[ref] = r
}

// await starts the wait for a device's answer, unless the request is in quarantine.
func (s *Sweep) await(r *request, now time.Time) {
	if r.quarantine == "" {
		r.deadline = now.Add(s.o.Policy.ResponseWait.of(r.meter))
	}
}

// deleted ends a quarantined request that the DCC has deleted on the User's word.
func (s *Sweep) deleted(ref string, now time.Time) {
	r := s.quarantined[ref]
	s.end(r, InDoubt, codeDeleted, nil, now)
	s.look(r.meter, now)
}
