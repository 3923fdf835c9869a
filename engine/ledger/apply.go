package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// errRecord is the error for a record that cannot follow those before it.
var errRecord = errors.New("the record does not follow from those before it")

// Effect is what a record changed, for the caller to count.
type Effect struct {
	Request     *Request     // the record's, if it is open or was until now
	Opened      bool         // the record opened it, or its second half: the ledger is replayed
	Ended       bool         // the record is an outcome
	Was         record.Class // the class before; ClassOpen: it had not ended
	Is          record.Class
	OtherDevice bool // the outcome says nothing about the meter
	Sampled     bool // it counts in the sample of its wave
}

// Apply takes in one record of this meter, in a running sweep and when a start replays the
// journal. Records that say nothing about a meter change nothing. Errors wrap [errRecord].
func (m *Meter) Apply(p *Policy, rec *record.Record) (e Effect, err error) {
	switch rec.Kind {
	case record.Request, record.SignedCommand, record.Outcome:
		if _, known := rec.Service.Variant(); !known || rec.ID.Counter == 0 {
			return e, fmt.Errorf("%w: %v of SRV %v under counter %d", errRecord, rec.Kind, rec.Service, rec.ID.Counter)
		}
	}
	switch rec.Kind {
	case record.Request:
		return m.applyRequest(rec)
	case record.SignedCommand:
		return m.applyCommand(rec)
	case record.Reply:
		e.Request = m.PendingWith(rec.ID)
		code := servicerequests.ResponseCode(rec.Code)
		if r := e.Request; r != nil && r.Endpoint() == record.SendCommand && r.Phase == Ready &&
			(code.Class() == servicerequests.CodeAcknowledged || code == servicerequests.DuplicateID) {
			if err = r.replay(Post, Acknowledged); err == nil {
				p.Wait(m, r, true, rec.At)
			}
		}
	case record.Outcome:
		body, err := record.Decode[record.OutcomeBody](*rec)
		switch {
		case err != nil:
			return e, fmt.Errorf("%w: %w", errRecord, err)
		case body.Class == record.ClassOpen:
			return e, fmt.Errorf("%w: %v has an outcome and is open", errRecord, rec.ID)
		}
		e = m.End(p, rec.Service, rec.ID, &body, rec.At)
		switch {
		case body.Stands, body.After && rec.Service == servicerequests.ReadMeterBalance:
		case m.Bars.Excluded != "" && !m.Bars.Moved: // by a person: it stays as history
		default:
			m.Verdict = record.VerdictBody{} // it was given before this was known
		}
	case record.Verdict:
		body, err := record.Decode[record.VerdictBody](*rec)
		if err != nil {
			return e, fmt.Errorf("%w: %w", errRecord, err)
		}
		m.Verdict = body
	}
	return e, err
}

// VerdictStands says whether a meter keeps its verdict when a request ends: a meter that
// must be left alone does, and so does one that is safe and has more requests open.
func (m *Meter) VerdictStands() bool {
	return m.Done && (m.Bars.Excluded != "" && !m.Bars.Moved || len(m.Open) > 0 && m.Safe())
}

// replay moves a request through the phases that it had when its records were written.
func (r *Request) replay(events ...Event) error {
	for _, e := range events {
		if err := r.Move(e); err != nil {
			return fmt.Errorf("%w: %w", errRecord, err)
		}
	}
	return nil
}

// applyRequest takes in that the first half of a request is durable.
func (m *Meter) applyRequest(rec *record.Record) (e Effect, err error) {
	r := m.PendingWith(rec.ID)
	switch {
	case r != nil && r.Phase == Signing && r.Half == FirstHalf:
		m.noteStart(r, rec.At)
	case r != nil || m.PastWith(rec.ID) != nil:
		return e, fmt.Errorf("%w: request %v is signed twice", errRecord, rec.ID)
	default:
		t := m.Tally(rec.Service)
		r = &Request{Service: rec.Service, ID: rec.ID, Attempt: int(t.Tries) + 1, Retry: t.Failures > 0, Phase: Ready, Reached: true}
		m.addRequest(r, rec.At)
		e.Opened = true
	}
	r.Body, r.AskedAt, r.PostedAt = rec.Body, rec.At, rec.At
	e.Request = r
	return e, nil
}

// noteStart takes in when a meter began: when the first of its requests became durable.
func (m *Meter) noteStart(first *Request, at time.Time) {
	for _, r := range m.Open {
		if r == first || !r.journalled() {
			continue
		}
		if at.Before(m.Started) { // it was durable before the one whose record came first
			if m.Heard.Equal(m.Started) {
				m.Heard = at
			}
			m.Started = at
		}
		return
	}
	if len(m.Past) > 0 {
		return
	}
	m.Started, m.Heard = at, later(m.Heard, at)
}

// applyCommand takes in that a Signed Pre-Command is durable.
func (m *Meter) applyCommand(rec *record.Record) (e Effect, err error) {
	r := m.PendingWith(rec.ID)
	switch {
	case r == nil, r.Service != rec.Service, !r.Service.Critical(), r.Half == SecondHalf && (r.Phase != Signing || r.Body != nil):
		return e, fmt.Errorf("%w: signed command %v without its request, or twice", errRecord, rec.ID)
	case r.Phase == Quarantined && r.Half == FirstHalf:
		// Replayed: the DCC quarantined it while a worker had it, so that record comes
		// first. It stays quarantined, and its bytes are not needed.
		r.Half, r.Reached, e.Opened, e.Request = SecondHalf, true, true, r
		m.commandSigned(rec.Service, rec.ID.Counter, rec.At)
		return e, nil
	case r.Half == FirstHalf: // replayed: no record that is read here says that Transform answered
		if err := r.replay(Post, Correlated); err != nil {
			return e, err
		}
		r.Half, r.Reached, e.Opened = SecondHalf, true, true
		if err := r.replay(Sign, Denied); err != nil {
			return e, err
		}
	}
	r.Body, r.Asked, r.PostedAt, r.Unproven = rec.Body, nil, rec.At, false
	m.commandSigned(rec.Service, rec.ID.Counter, rec.At)
	e.Request = r
	return e, nil
}

// Wait sets the deadline for a device's answer to a request that is [Sent]. If the DCC has
// not acknowledged it, its bytes are kept, because the next start POSTs them again.
func (p *Policy) Wait(m *Meter, r *Request, acknowledged bool, at time.Time) {
	r.Asked, r.RetryAt = nil, time.Time{}
	if acknowledged {
		r.Body = nil
	}
	r.SentAt, r.Deadline = at, at.Add(p.responseWait(m, at))
}

// Quarantine takes in that the DCC's anomaly detection has quarantined a request. It then waits
// without a deadline, and its bytes are not needed any more.
func (r *Request) Quarantine(event string) error {
	if r.Phase == Quarantined {
		r.Event = event
		return nil
	}
	if err := r.Move(Quarantine); err != nil {
		return err
	}
	r.Event, r.Body, r.Asked = event, nil, nil
	r.SentAt, r.Deadline, r.RetryAt = time.Time{}, time.Time{}, time.Time{}
	return nil
}

// End takes in the outcome of a request, which arrived at that instant. A late answer ends a
// request a second time, with a better class.
func (m *Meter) End(p *Policy, service servicerequests.Service, id servicerequests.RequestID, o *record.OutcomeBody, arrived time.Time) (e Effect) {
	e.Ended, e.Is = true, o.Class
	for i, r := range m.Open {
		if r.Service == service && r.ID == id {
			e.Request = r
			m.Open = append(m.Open[:i:i], m.Open[i+1:]...)
			break
		}
	}
	e.OtherDevice = m.OtherDevice(service, id.Target, o)
	if past := m.PastWith(id); past != nil {
		e.Was, e.Sampled = past.Class, past.Sampled
		past.Class = o.Class
	} else if id.Counter != 0 {
		e.Sampled = !e.OtherDevice && m.countsInSample(service, o.Attempt, o.Class)
		m.Past = append(m.Past, Past{id.Counter, service, o.Class, id.Target != m.Device, e.Sampled})
	}
	if e.OtherDevice {
		m.uncountTry(service, id.Target, e.Request != nil)
		return e
	}
	m.countEnd(p, service, id, o, e.Request != nil)
	if o.Observed != nil {
		seen := *o.Observed
		if id.Target != m.Device && seen.Mode == servicerequests.Credit {
			// A proxy may be half an hour late. Prepayment from a proxy proves how the meter was
			// found. Credit does not prove what it is now: only the meter itself can say that.
			seen.Mode = servicerequests.UnknownMode
		}
		m.observe(seen, id.Counter, o.AnsweredAt, arrived)
	}
	if o.Proxy != 0 || m.ProxyClaimed && service == servicerequests.ReadInventory && o.Class == record.ClassSuccess {
		m.setProxy(o.Proxy)
	}
	return e
}

// countEnd counts the end of a request in the tally of its service.
func (m *Meter) countEnd(p *Policy, service servicerequests.Service, id servicerequests.RequestID, o *record.OutcomeBody, opened bool) {
	t, class := m.Tally(service), o.Class
	if id.Counter == 0 { // it was never signed, and has no record
		t.Tries--
		return
	}
	code := servicerequests.ResponseCode(o.Code).Class()
	t.Last, t.Code = class, o.Code
	t.Undelivered = service.Critical() && id.Counter > m.Counters.LastCommand || code == servicerequests.CodeUnreachable
	if service.Critical() && code == servicerequests.CodeUnreachable {
		m.commandLost(id.Counter)
	} else if service.Critical() && class != record.ClassWithdrawn && id.Counter <= m.Counters.LastCommand {
		m.commandReached(service, id.Counter)
	}
	if service.Critical() && id.Counter <= m.Counters.LastCommand {
		// Reads that were asked for while it was open may have been done before it.
		m.invalidate(service, cmp.Or(o.Issued, m.Issued()))
	}
	switch {
	case class == record.ClassWithdrawn || class == record.ClassRejected && (code == servicerequests.CodeHalt || o.Tripped):
		// It does not count as a try: it was never sent, or the User itself was refused.
		if opened {
			t.Tries = max(0, t.Tries-1) // a rerun may have taken it back already
		}
		t.Barred = t.Barred || o.Code == record.RefusedUnpermitted
	case class == record.ClassRejected && o.Code != record.CodeHTTP:
		// The meter can still be asked instead of its gas proxy.
		proxied := service == servicerequests.ReadMeterBalance || service == servicerequests.ReadPaymentMode
		t.Barred = t.Barred || !proxied || id.Target == m.Device ||
			code == servicerequests.CodeUnregistered || code == servicerequests.CodeHeld
		m.rejected(service, code, o.Code)
	case o.After && class != record.ClassSuccess: // the verdict stands, and it is no retry
		if service != servicerequests.ReadMeterBalance {
			m.Reread = later(m.Reread, o.AnsweredAt)
		}
	case service == servicerequests.ReadPaymentMode && id.Target != m.Device && class != record.ClassSuccess:
		// The meter itself is asked next, with all its retries.
	case class.Unanswered(), class == record.ClassRejected, class == record.ClassNegative && !service.Critical():
		p.fail(m, service, o)
	default: // the device answered: it can be reached, so its retries begin again
		t.Answers++
		m.Heard = later(m.Heard, o.AnsweredAt)
		t.Failures, t.Next, t.Barred = 0, time.Time{}, false
		if class == record.ClassSuccess && service == servicerequests.SwitchToCredit {
			m.CreditAccepted, m.Pending = true, false
		}
	}
}

// rejected takes in that the DCC refused a request of this meter for good.
func (m *Meter) rejected(service servicerequests.Service, class servicerequests.CodeClass, code string) {
	switch class {
	case servicerequests.CodeUnregistered:
		m.Bars.Moved = m.Bars.Moved || m.Bars.Excluded == ""
		if m.Bars.Moved {
			m.Bars.Excluded = record.ReasonTransferred + " (" + code + ")"
		}
	case servicerequests.CodeHeld:
		m.Bars.HeldForPerson = "SRV " + service.SRV() + " answered " + code + ", whose meaning is not known"
	}
}

// countsInSample says whether an outcome counts for the abort rules of its wave: a meter's
// first read to end does, and its first command of each service. So no meter counts for
// many. 2.5 does not count, because a refusal is expected. A balance and an inventory do
// not, because others than the meter may answer them.
func (m *Meter) countsInSample(service servicerequests.Service, attempt int, class record.Class) bool {
	switch service {
	case servicerequests.SwitchToCredit, servicerequests.ArmSupply:
		return attempt == 1
	case servicerequests.ReadSupplyStatus, servicerequests.ReadPaymentMode:
		first := attempt == 1 && !m.Sampled && class != record.ClassWithdrawn
		m.Sampled = m.Sampled || first
		return first
	}
	return false
}
