package sweep

import (
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"safemode/engine/journal"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

// takeQuarantine notes that the DCC's anomaly detection holds a request back, and
// pauses the service: what is sent beyond a threshold only joins it. The request is
// neither failed nor sent again. When it is released the device's answer ends it;
// when it is deleted a person says so, and what became of it is read back.
func (s *Sweep) takeQuarantine(q duis.QuarantinedRequest, now time.Time) {
	m := s.find(q.Request.Target)
	var r *request
	if m != nil {
		r = m.openAs(q.Request)
	}
	if r == nil {
		s.log.Warn("quarantine of a request that is not open", zap.Stringer("request_id", q.Request), zap.String("event_ref", q.EventRef))
		s.metrics.unmatched()
		return
	}
	s.quarantine(r, q.EventRef)
	if !slices.ContainsFunc(s.holds, func(h hold) bool {
		return h.order.Cause == journal.CauseQuarantine && scopeOf(h.order).service == r.service
	}) {
		s.pauseBy(journal.CauseQuarantine, scope{service: r.service}, quarantineReason(r.service, q))
	}
	s.look(m, now)
}

// alertQuarantine is the code of the DCC Alert that says so (DUIS 5.4).
const alertQuarantine = "AD1"

func quarantineReason(service servicerequests.Service, q duis.QuarantinedRequest) string {
	reason := fmt.Sprintf("SRV %v is quarantined by the DCC (%s, event reference %s and others that status shows): have them released, then resume --srv %v",
		service, q.Breach, q.EventRef, service)
	if service == servicerequests.ArmSupply {
		reason += "; better have them deleted, because the reads they rest on grow old"
	}
	return reason
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
