package ledger

import (
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// couldBeOff says whether a home may be off for lack of credit, as far as is known: then each
// hour counts.
func (p *Policy) couldBeOff(m *Meter) bool {
	return m.Bars.Person == "" && p.Permits(servicerequests.ArmSupply, m.Plan.Type) &&
		(!m.Now.Supply.Known() || m.Now.Supply.Value == servicerequests.Disabled) &&
		(!m.Now.Balance.Known() || m.Now.Balance.Value <= p.mayBeOffAt(m))
}

// retriesSoon says whether a home is asked again sooner than others: it is or may be dark, or its
// credit ends soon, and it can be reached. A home counts as reachable for [Policy.ProofWait] after
// its first request or its last answer. Answers are lost now and then; for a gas meter that
// shows a day later, when its hub drops the command.
func (p *Policy) retriesSoon(m *Meter, now time.Time) bool {
	return m.Bars.Person == "" && (p.couldBeOff(m) || p.risk(m, now).Need <= Ending) &&
		now.Before(later(later(m.Started, m.Heard), m.Alarm.At).Add(p.ProofWait.of(m)))
}

// ShortenWaits shortens the waits for a home's open requests to DarkWait, after an alert shows
// that each hour counts. It says whether a wait has become shorter.
func (p *Policy) ShortenWaits(m *Meter, now time.Time) (shorter bool) {
	short := p.DarkWait.of(m)
	if short <= 0 || !p.retriesSoon(m, now) {
		return false
	}
	for _, r := range m.Open {
		if soon := later(now, r.SentAt.Add(short)); r.Phase == Sent && soon.Before(r.Deadline) {
			r.Deadline, shorter = soon, true
		}
	}
	return shorter
}

// responseWait is how long a device's answer is waited for, from the last POST on.
func (p *Policy) responseWait(m *Meter, now time.Time) time.Duration {
	wait := p.ResponseWait.of(m)
	if short := p.DarkWait.of(m); short > 0 && p.retriesSoon(m, now) {
		wait = min(wait, short)
	}
	return wait
}

// fail counts a try of a service that failed and says when the next is due. A home that
// retries soon does not use its retries up, unless the DCC says that it cannot reach it.
func (p *Policy) fail(m *Meter, service servicerequests.Service, o *record.OutcomeBody) {
	t := m.Tally(service)
	if o.Class != record.ClassRejected && servicerequests.ResponseCode(o.Code).Class() != servicerequests.CodeUnreachable && p.DarkAgain > 0 && p.retriesSoon(m, o.AnsweredAt) {
		t.Failures = max(1, t.Failures)
		if t.Next = o.AnsweredAt; service != servicerequests.SwitchToCredit { // 1.6 waits for no read-back then
			t.Next = t.Next.Add(m.jitter(p.DarkAgain, int(t.Tries)))
		}
		return
	}
	t.Failures++
	ladder := p.Retry.of(m)
	if int(t.Failures) > len(ladder) {
		t.Barred = true
		return
	}
	t.Next = o.AnsweredAt.Add(m.jitter(ladder[t.Failures-1], int(t.Failures)))
}
