package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// ErrRecord marks a record that cannot follow those before it.
var ErrRecord = errors.New("the record does not follow from those before it")

// Effect is what a record did beyond the ledger, for whoever counts.
type Effect struct {
	Request *Request     // that the record is about, if it is open, or was until now
	Opened  bool         // the record opened it: the ledger had not asked for it
	Ended   bool         // an outcome was taken in
	Was     record.Class // what the request had ended as before; ClassOpen: not at all
	Is      record.Class
	Foreign bool // how it ended says nothing about the meter
	Sampled bool // it counts in the sample of its wave
}

// Apply takes one record of this meter in. What runs and what is folded at a start go the
// same way. Records that say nothing about a meter change nothing. Errors wrap
// [ErrRecord].
func (m *Meter) Apply(p *Policy, rec *record.Record) (e Effect, err error) {
	switch rec.Kind {
	case record.Request, record.SignedCommand, record.Outcome:
		if _, known := rec.Service.Variant(); !known || rec.ID.Counter == 0 {
			return e, fmt.Errorf("%w: %v of SRV %v under counter %d", ErrRecord, rec.Kind, rec.Service, rec.ID.Counter)
		}
	}
	switch rec.Kind {
	case record.Request:
		return m.applyRequest(rec)
	case record.SignedCommand:
		return m.applyCommand(rec)
	case record.Reply:
		e.Request = m.OpenAs(rec.ID)
		code := servicerequests.ResponseCode(rec.Code)
		if r := e.Request; r != nil && r.Endpoint() == record.SendCommand && r.Phase == Ready &&
			(code.Class() == servicerequests.CodeAcknowledged || code == servicerequests.DuplicateID) {
			if err = r.follow(Post, Acknowledged); err == nil {
				p.Wait(m, r, true, rec.At)
			}
		}
	case record.Outcome:
		body, err := record.Decode[record.OutcomeBody](*rec)
		switch {
		case err != nil:
			return e, fmt.Errorf("%w: %w", ErrRecord, err)
		case body.Class == record.ClassOpen:
			return e, fmt.Errorf("%w: %v has an outcome and is open", ErrRecord, rec.ID)
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
			return e, fmt.Errorf("%w: %w", ErrRecord, err)
		}
		m.Verdict = body
	}
	return e, err
}

// VerdictStands says whether the verdict of a meter that has one outlasts the end of a
// request: that of a home that must be left alone, and of one that is safe while more is
// asked.
func (m *Meter) VerdictStands() bool {
	return m.Done && (m.Bars.Excluded != "" && !m.Bars.Moved || len(m.Open) > 0 && m.Safe())
}

// follow moves a folded request as it moved when the records were written.
func (r *Request) follow(events ...Event) error {
	for _, e := range events {
		if err := r.Move(e); err != nil {
			return fmt.Errorf("%w: %w", ErrRecord, err)
		}
	}
	return nil
}

// applyRequest takes in that the first leg of a request is durable.
func (m *Meter) applyRequest(rec *record.Record) (e Effect, err error) {
	r := m.OpenAs(rec.ID)
	switch {
	case r != nil && r.Phase == Signing && r.Leg == AskLeg:
		m.started(r, rec.At)
	case r != nil || m.PastAs(rec.ID) != nil:
		return e, fmt.Errorf("%w: request %v is signed twice", ErrRecord, rec.ID)
	default:
		t := m.Tally(rec.Service)
		r = &Request{Service: rec.Service, ID: rec.ID, Attempt: int(t.Tries) + 1, Retry: t.Failures > 0, Phase: Ready, Reached: true}
		m.begin(r, rec.At)
		e.Opened = true
	}
	r.Body, r.AskedAt, r.PostedAt = rec.Body, rec.At, rec.At
	e.Request = r
	return e, nil
}

// started takes in when a meter began: with the first of its requests that is durable.
func (m *Meter) started(first *Request, at time.Time) {
	for _, r := range m.Open {
		if r == first || !r.journalled() {
			continue
		}
		if at.Before(m.Started) { // it was durable before the one that was heard of first
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
	r := m.OpenAs(rec.ID)
	switch {
	case r == nil, r.Service != rec.Service, !r.Service.Critical(), r.Leg == CommandLeg && (r.Phase != Signing || r.Body != nil):
		return e, fmt.Errorf("%w: signed command %v without its request, or twice", ErrRecord, rec.ID)
	case r.Phase == Held && r.Leg == AskLeg:
		// Folded: that the DCC holds it back was told while a worker had it, so that record
		// is the earlier one. It stays held, and its bytes are not needed.
		r.Leg, r.Reached, e.Opened, e.Request = CommandLeg, true, true, r
		m.commit(rec.Service, rec.ID.Counter, rec.At)
		return e, nil
	case r.Leg == AskLeg: // folded: that Transform answered is in no record that is read here
		if err := r.follow(Post, Correlated); err != nil {
			return e, err
		}
		r.Leg, r.Reached, e.Opened = CommandLeg, true, true
		if err := r.follow(Sign, Denied); err != nil {
			return e, err
		}
	}
	r.Body, r.Asked, r.PostedAt, r.Unproven = rec.Body, nil, rec.At, false
	m.commit(rec.Service, rec.ID.Counter, rec.At)
	e.Request = r
	return e, nil
}

// Wait starts the wait for a device's answer to a request that is [Sent]. If the DCC has
// not acknowledged it, its bytes are kept: a start POSTs them again.
func (p *Policy) Wait(m *Meter, r *Request, acknowledged bool, at time.Time) {
	r.Asked, r.RetryAt = nil, time.Time{}
	if acknowledged {
		r.Body = nil
	}
	r.Deadline = at.Add(p.responseWait(m, at))
}

// Hold takes in that the DCC's anomaly detection holds a request back: it waits without
// an end, and none of its bytes are needed any more.
func (r *Request) Hold(event string) error {
	if r.Phase == Held {
		r.Event = event
		return nil
	}
	if err := r.Move(Quarantine); err != nil {
		return err
	}
	r.Event, r.Body, r.Asked = event, nil, nil
	r.Deadline, r.RetryAt = time.Time{}, time.Time{}
	return nil
}

// End takes in how a request ended, which was heard at an instant: the last step of the fold
// for it. A late answer ends a request a second time, with a better class.
func (m *Meter) End(p *Policy, service servicerequests.Service, id servicerequests.RequestID, o *record.OutcomeBody, heard time.Time) (e Effect) {
	e.Ended, e.Is = true, o.Class
	for i, r := range m.Open {
		if r.Service == service && r.ID == id {
			e.Request = r
			m.Open = append(m.Open[:i:i], m.Open[i+1:]...)
			break
		}
	}
	e.Foreign = m.Foreign(service, id.Target, o)
	if past := m.PastAs(id); past != nil {
		e.Was, e.Sampled = past.Class, past.Sampled
		past.Class = o.Class
	} else if id.Counter != 0 {
		e.Sampled = !e.Foreign && m.samples(service, o.Attempt, o.Class)
		m.Past = append(m.Past, Past{id.Counter, service, o.Class, id.Target != m.Device, e.Sampled})
	}
	if e.Foreign {
		m.renounce(service, id.Target, e.Request != nil)
		return e
	}
	m.tally(p, service, id, o, e.Request != nil)
	if o.Observed != nil {
		seen := *o.Observed
		if id.Target != m.Device && seen.Mode == servicerequests.Credit {
			// A proxy tells what was up to half an hour ago. That it was in Prepayment then is
			// proof of how it was found; that it is in Credit only the meter itself can say.
			seen.Mode = servicerequests.UnknownMode
		}
		m.observe(seen, id.Counter, o.AnsweredAt, heard)
	}
	if o.Proxy != 0 || m.ProxyClaimed && service == servicerequests.ReadInventory && o.Class == record.ClassSuccess {
		m.named(o.Proxy)
	}
	return e
}

// tally counts the end of a request.
func (m *Meter) tally(p *Policy, service servicerequests.Service, id servicerequests.RequestID, o *record.OutcomeBody, opened bool) {
	t, class := m.Tally(service), o.Class
	if id.Counter == 0 { // it was never signed: no record knows of it
		t.Tries--
		return
	}
	code := servicerequests.ResponseCode(o.Code).Class()
	t.Last, t.Code = class, o.Code
	t.Undelivered = service.Critical() && id.Counter > m.Counters.LastCommand || code == servicerequests.CodeUnreachable
	if service.Critical() && code == servicerequests.CodeUnreachable {
		m.uncommit(id.Counter)
	} else if service.Critical() && class != record.ClassWithdrawn && id.Counter <= m.Counters.LastCommand {
		m.recommit(service, id.Counter)
	}
	if service.Critical() && id.Counter <= m.Counters.LastCommand {
		// Reads that were sent while it was open may have been done before it.
		m.outdate(service, cmp.Or(o.Issued, m.Issued()))
	}
	switch {
	case class == record.ClassWithdrawn || class == record.ClassRejected && (code == servicerequests.CodeHalt || o.Tripped):
		// It was no try at this meter: never sent, or the User itself was refused.
		if opened {
			t.Tries = max(0, t.Tries-1) // a rerun has taken it back already
		}
		t.Barred = t.Barred || o.Code == record.RefusedUnpermitted
	case class == record.ClassRejected && o.Code != record.CodeHTTP:
		// What is not asked of a gas proxy can still be asked of its meter.
		proxied := service == servicerequests.ReadMeterBalance || service == servicerequests.ReadPaymentMode
		t.Barred = t.Barred || !proxied || id.Target == m.Device ||
			code == servicerequests.CodeUnregistered || code == servicerequests.CodeHeld
		m.rejected(service, code, o.Code)
	case o.After && class != record.ClassSuccess: // the verdict stands, and no ladder is worn out
		if service != servicerequests.ReadMeterBalance {
			m.Reread = later(m.Reread, o.AnsweredAt)
		}
	case service == servicerequests.ReadPaymentMode && id.Target != m.Device && class != record.ClassSuccess:
		// The meter itself is asked next, and has its whole ladder.
	case class.Unanswered(), class == record.ClassRejected, class == record.ClassNegative && !service.Critical():
		p.fail(m, service, o)
	default: // the device answered: it can be reached, and has not worn its ladder out
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
		m.Bars.Held = "SRV " + service.SRV() + " answered " + code + ", whose meaning is not known"
	}
}

// samples says whether how a request ended shows something of its wave: a meter's first
// read to end, and its first command of each service. So no meter counts for many. 2.5
// does not count, because that it is refused is expected, nor do a balance and an
// inventory, which others than the meter may answer.
func (m *Meter) samples(service servicerequests.Service, attempt int, class record.Class) bool {
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
