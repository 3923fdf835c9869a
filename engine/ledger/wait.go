package ledger

import (
	"time"
)

// WaitReason is why a meter that has begun makes no progress.
type WaitReason uint8

// The reasons, each a label of safemode_meters_waiting. A meter has the first that
// applies.
const (
	NotWaiting      WaitReason = iota
	WaitQuarantined            // the DCC's anomaly detection has quarantined a request of it
	WaitStuck                  // it has told nothing new for StepDeadline
	WaitRetrying               // it has told nothing new for Patience: in long retries
	WaitHeld                   // a person must say what an unknown code means
	WaitReasons     = iota
)

var waitReasonNames = [WaitReasons]string{"", "quarantined", "stuck", "retrying", "held"}

func (w WaitReason) String() string { return waitReasonNames[w] }

// WaitOf is why a meter waits, and when that changes to a worse reason if nothing happens;
// zero: it does not.
func (p *Policy) WaitOf(m *Meter, now time.Time) (is WaitReason, until time.Time) {
	switch {
	case m.Done && m.Bars.HeldForPerson != "":
		return WaitHeld, time.Time{}
	case m.Done || m.Started.IsZero():
		return NotWaiting, time.Time{}
	}
	for _, r := range m.Open {
		if r.Phase == Quarantined {
			return WaitQuarantined, time.Time{}
		}
	}
	since, asked := m.quietSince()
	if !asked {
		return NotWaiting, time.Time{}
	}
	quiet := now.Sub(since)
	deadline, patience := p.StepDeadline.of(m), p.Patience
	switch {
	case deadline > 0 && quiet >= deadline:
		return WaitStuck, time.Time{}
	case patience > 0 && quiet >= patience:
		is = WaitRetrying
	case patience > 0:
		until = since.Add(patience)
	}
	if end := since.Add(deadline); deadline > 0 && (until.IsZero() || end.Before(until)) {
		until = end
	}
	return is, until
}

// quietSince is when a meter last told something new, and whether it has been asked since. A
// meter that waits for its turn has not.
func (m *Meter) quietSince() (since time.Time, asked bool) {
	since = m.Heard
	for _, t := range m.Tallies {
		asked = asked || t.Failures > 0
	}
	if asked {
		return since, true
	}
	var first time.Time
	for _, r := range m.Open {
		if r.AskedAt.IsZero() {
			continue
		}
		if asked = true; first.IsZero() || r.AskedAt.Before(first) {
			first = r.AskedAt
		}
	}
	return later(since, first), asked
}
