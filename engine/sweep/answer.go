package sweep

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"go.uber.org/zap"

	"safemode/engine/ledger"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// finding is what an answer of a device or of the inventory says, besides success or failure.
type finding struct {
	at       time.Time // when it was given
	observed *record.Observation
	proxy    servicerequests.EUI
	of       uint64 // number of the message; 0: a reply
}

// heard acts on a stored message that is proven. In every case a record then marks the
// message as judged; until it is marked, each start judges it again.
func (s *Machine) heard(h Heard) {
	s.watchStranger(h)
	switch {
	case h.Alert != nil:
		s.takeAlert(h)
		return
	case h.DCCAlert != nil:
		switch event := h.DCCAlert.Event.(type) {
		case duis.QuarantinedRequest:
			s.takeQuarantine(h, event)
		case duis.ChangeOfSupplier:
			s.takeChange(h, event)
		default:
			s.unmatched(h)
		}
		return
	}
	m := s.asker(h.ID)
	if m == nil {
		s.unmatched(h)
		return
	}
	if r := m.PendingWith(h.ID); r != nil {
		s.answer(of(r), h)
		return
	}
	s.late(m, h)
}

// answer ends an open request with what the DCC or the device said.
func (s *Machine) answer(r *request, h Heard) {
	switch {
	case r.Phase.Working():
		// It came before the acknowledgement, or before anything was sent that it could
		// answer. The worker's result shows which, and keeps the journal in order: the record
		// of the bytes comes before that of their outcome.
		if r.early != nil && r.early.Result != nil {
			s.repeated(h)
			return
		}
		if r.early != nil {
			s.repeated(*r.early)
		}
		r.early = &h
		return
	case !r.Answerable():
		s.unmatched(h) // nothing has been signed that it could answer
		return
	}
	class, code, found, ok := s.interpret(r.Service, r.m, h, r.PostedAt)
	if !ok {
		s.doubt(r)
		return
	}
	s.pace.flow.answered++
	s.metrics.response(r.Service, s.now.Sub(r.PostedAt))
	m := r.m
	s.end(r, class, code, found)
	if h.Code.Class() == servicerequests.CodeHalt {
		s.userRefused(h.Code)
	}
	s.look(m)
}

// late takes in an answer to a request that has ended. The first proven answer to a request
// that was given up counts; a repetition changes nothing.
func (s *Machine) late(m *meter, h Heard) {
	past := m.PastWith(h.ID)
	switch {
	case past == nil:
		s.unmatched(h)
		return
	case !past.Class.Unanswered() || h.Result == nil:
		s.repeated(h)
		return
	}
	service, was := past.Service, past.Class
	class, code, found, ok := s.interpret(service, m, h, time.Time{})
	if !ok {
		return
	}
	s.metrics.reclassed(service, was, class)
	s.conclusion(m, service, h.ID, &record.OutcomeBody{}, class, code, found)
	s.settleAfter(m, 0)
	s.look(m)
}

// interpret reads a message as the answer to a request that was POSTed at sent. ok is
// false if the two do not correlate; then a record says so.
func (s *Machine) interpret(service servicerequests.Service, m *meter, h Heard, sent time.Time) (record.Class, string, *finding, bool) {
	if h.Result == nil {
		class := record.ClassOf(h.Code)
		if class == record.ClassOpen {
			s.repeated(h) // an acknowledgement: it ends nothing
			return class, "", nil, false
		}
		return class, string(h.Code), &finding{at: s.now, of: h.Seq}, true
	}
	expected := gbcs.Expected{Service: service, Device: m.Kind(service, h.ID.Target), ID: h.ID}
	err := expected.MatchResponse(h.Message)
	s.watchProof(err == nil)
	if err != nil {
		s.log.Warn("response does not correlate", zap.Stringer("request_id", h.ID), zap.Error(err))
		s.write(record.Record{
			At: s.now, Kind: record.Refused, Device: m.Device, Service: service, ID: h.ID, Code: record.RefusedUnverified,
			Body: record.Encode(record.RefusedBody{Reason: err.Error(), Of: h.Seq}),
		})
		s.settled(h)
		return record.ClassOpen, "", nil, false
	}
	f := &finding{at: answeredAt(h.Delivery.At, sent, s.heardAt(h)), of: h.Seq}
	if !h.Result.Success {
		return record.ClassNegative, resultCode(h.Result.Results), f, true
	}
	o := record.Observation{Mode: h.Result.Mode, Supply: h.Result.Supply}
	if h.Result.HasBalance {
		o.Balance = &h.Result.Balance
	}
	if o != (record.Observation{}) {
		f.observed = &o
	} else if !service.Critical() && h.Result.Configuration == nil {
		return record.ClassNegative, record.CodeNoValue, f, true
	}
	return record.ClassSuccess, "", f, true
}

// heardAt is when a message was stored: a start may hear it much later.
func (s *Machine) heardAt(h Heard) time.Time {
	if h.At.IsZero() || h.At.After(s.now) {
		return s.now
	}
	return h.At
}

// answeredAt is when a device answered, as the DCC says, if that is possible. A message that
// was delivered late shows an older state, and a 7.3 may rest only on a state of just now.
func answeredAt(byDCC, sent, stored time.Time) time.Time {
	switch {
	case byDCC.After(stored):
		return stored
	case byDCC.Before(sent):
		return sent
	}
	return byDCC
}

// takeAlert takes in a device's alert.
func (s *Machine) takeAlert(h Heard) {
	m := s.find(h.Device)
	if m == nil {
		s.unmatched(h)
		return
	}
	body := record.ProvenBody{Of: h.Seq, At: h.Alert.At, Code: codeOf(h.Delivery), Issued: m.Issued()}
	if body.At.IsZero() {
		body.At = h.Delivery.At
	}
	if h.Message != nil {
		body.Counter = h.Message.Counter
	}
	if f := h.Alert.FutureDated; f != nil {
		body.FutureDated = f.Code
	}
	s.write(record.Record{At: s.now, Kind: record.Proven, Device: m.Device, Code: body.Code, Body: record.Encode(body)})
	s.settled(h)
	changed := m.ApplyAlert(ledger.Alert{Code: h.Alert.Code, Counter: body.Counter, At: body.At, Heard: s.now, FutureDated: body.FutureDated, Issued: body.Issued})
	s.moveUp(m)
	if s.o.Policy.ShortenWaits(m.Meter, s.now) {
		s.schedule(m, nextDeadline(m))
	}
	if changed { // a 7.3 that is under way may have lost its reason
		s.recall(func(r *request) bool { return r.m == m && r.Service == servicerequests.ArmSupply })
	}
	if !changed || m.Started.IsZero() || m.Bars.Excluded != "" {
		return
	}
	s.reopen(m)
	s.look(m)
}

// settled says that a record marks a message as judged.
func (s *Machine) settled(h Heard) {
	if h.Seq != 0 {
		s.emit(Settled{h.Seq})
	}
}

// unmatched counts a proven message that answers no request of this sweep: the User's
// other traffic.
func (s *Machine) unmatched(h Heard) {
	kind := kindOf(h.Delivery)
	s.metrics.unmatched(kind)
	s.mark(record.Unmatched, h, record.JudgedBody{Of: h.Seq, Kind: kind})
}

// kindOf says what a proven message is that answers no request of this sweep.
func kindOf(d proof.Delivery) record.OtherKind {
	switch {
	case d.Alert != nil:
		return record.OtherAlert
	case d.DCCAlert != nil:
		return record.OtherDCCAlert
	case d.Result != nil:
		return record.OtherResponse
	}
	return record.OtherSilence
}

// repeated counts a proven message that changes nothing.
func (s *Machine) repeated(h Heard) {
	s.metrics.repeated()
	s.mark(record.Repeated, h, record.JudgedBody{Of: h.Seq})
}

func (s *Machine) mark(kind record.Kind, h Heard, body record.JudgedBody) {
	s.write(record.Record{At: s.now, Kind: kind, Device: h.Device, ID: h.ID, Code: codeOf(h.Delivery), Body: record.Encode(body)})
	s.settled(h)
}

// codeOf returns the code of a message for its record.
func codeOf(d proof.Delivery) string {
	switch {
	case d.Alert != nil:
		return fmt.Sprintf("%04X", d.Alert.Code)
	case d.DCCAlert != nil:
		return d.DCCAlert.Code
	}
	return string(d.Code)
}

// disbelieved takes in a message that is not proven, or not yet. A message that answers no
// request of this sweep is the User's other traffic, and trips no tripwire.
func (s *Machine) disbelieved(d Disbelieved) {
	m := s.asker(d.ID)
	var open *ledger.Request
	ours := false
	if m != nil {
		open = m.PendingWith(d.ID)
		ours = open != nil || m.PastWith(d.ID) != nil
	}
	if d.Final {
		other := record.JudgedBody{Of: d.Seq, Kind: cmp.Or(d.Kind, record.OtherUnproven), Detail: d.Reason[:min(len(d.Reason), longestDetail)]}
		r := record.Record{At: s.now, Kind: record.Unmatched, Device: d.ID.Target, ID: d.ID, Body: record.Encode(other)}
		if ours {
			r.Kind, r.Code, r.Body = record.Refused, record.RefusedUnverified, record.Encode(record.RefusedBody{Reason: d.Reason, Of: d.Seq})
		} else {
			s.metrics.unmatched(other.Kind)
			if d.FromDCC {
				s.judgeCounter(d.ID)
			}
		}
		s.write(r)
		s.emit(Settled{d.Seq})
		if ours && d.FromDCC {
			s.watchProof(false)
		}
	}
	switch {
	case open == nil:
	case d.Final:
		s.doubt(of(open))
	default: // it may still be proven; if nothing is proven until the wait ends, it counts as an answer
		of(open).undecided = true
	}
}

// longestDetail bounds the text that is recorded about other traffic, in bytes.
const longestDetail = 300

// doubt notes that an answer to a request is not proven.
func (s *Machine) doubt(r *request) {
	if s.o.Policy.Doubt(r.Request, s.now) && (r.m.due.IsZero() || r.Deadline.Before(r.m.due)) {
		s.schedule(r.m, r.Deadline)
	}
}

// resultCode is the first DLMS result or ZCL status that is not success, in decimal.
func resultCode(results []byte) string {
	for _, code := range results {
		if code != 0 {
			return strconv.Itoa(int(code))
		}
	}
	return ""
}
