package sweep

import (
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// plight is why a meter that has begun has no good end in sight.
type plight uint8

// The plights, each the label of safemode_meters_waiting. A meter is in the first
// that applies.
const (
	noPlight    plight = iota
	quarantined        // the DCC's anomaly detection holds a request of it back
	stuck              // nothing has been learnt of it for StepDeadline
	retrying           // nothing has been learnt of it for Patience: in long retries
	held               // a person must say what a code means that is not known
	plightCount
)

var plightNames = [plightCount]string{"", "quarantined", "stuck", "retrying", "held"}

func (p plight) String() string { return plightNames[p] }

// plightOf is a meter's plight, and when it gets worse by itself; zero if it does
// not. It is pure.
func (p *Policy) plightOf(m *meter, now time.Time) (is plight, until time.Time) {
	switch {
	case m.done && m.held != "":
		return held, time.Time{}
	case m.done || m.started.IsZero():
		return noPlight, time.Time{}
	}
	for _, r := range m.open {
		if r.quarantine != "" {
			return quarantined, time.Time{}
		}
	}
	quiet := now.Sub(m.heard)
	deadline, patience := p.StepDeadline.of(m), p.Patience
	switch {
	case deadline > 0 && quiet >= deadline:
		return stuck, time.Time{}
	case patience > 0 && quiet >= patience:
		is = retrying
	case patience > 0:
		until = m.heard.Add(patience)
	}
	if end := m.heard.Add(deadline); deadline > 0 && (until.IsZero() || end.Before(until)) {
		until = end
	}
	return is, until
}

// attend notes a meter's plight, and settles it for its wave where it has one or has
// its verdict. It returns when to look again.
func (s *Sweep) attend(m *meter, now time.Time) time.Time {
	is, until := s.o.Policy.plightOf(m, now)
	if is != m.plight {
		s.plights[m.plight]--
		s.plights[is]++
		m.plight = is
		if is == stuck {
			s.sayStuck(m, now)
		}
	}
	if !m.settled && (m.done || is != noPlight) {
		m.settled = true
		s.waves[m.wave-1].unsettled--
	}
	return until
}

// sayStuck puts into the journal, and so into reports, where a meter stands that
// nothing has been learnt of for too long. It goes on being tried.
func (s *Sweep) sayStuck(m *meter, now time.Time) {
	v := s.o.Policy.conclude(m)
	if v.Verdict != record.VerdictUnknown && v.Verdict != record.VerdictNotSafe {
		return
	}
	v.Reason = "stuck: " + v.Reason
	s.o.Journal.Append(record.Record{At: now, Kind: record.Verdict, Device: m.device, Code: v.Verdict, Body: record.Encode(v)})
}

// spend counts a request that is a retry. When the budget is used up no more is
// retried: what has no answer then ends without one.
func (s *Sweep) spend(m *meter, service servicerequests.Service) {
	if m.tally(service).failures == 0 {
		return
	}
	s.retries++
	s.o.Policy.retriesSpent = s.o.RetryBudget > 0 && s.retries >= s.o.RetryBudget
}
