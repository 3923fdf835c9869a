package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"safemode/engine/gateway"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// ErrReplay marks a journal whose records do not make a sweep.
var ErrReplay = errors.New("the journal's records do not make a sweep")

// Deliveries proves an asynchronous message, as the inbox does.
type Deliveries interface {
	Delivery(ctx context.Context, raw []byte) (proof.Delivery, error)
}

// Replay folds the journal's records into the meters' ledgers: of a new sweep,
// only the targets; of one that goes on, all that was asked and learnt, or what was
// since the state that [Sweep.Restore] has taken up. What
// was signed and has no outcome is POSTed again as the same bytes, or read back;
// what was answered but not yet acted on is acted on, after it has been proven
// again. Call it once, before Run.
func (s *Sweep) Replay(ctx context.Context, records iter.Seq2[record.Record, error], deliveries Deliveries) error {
	unused := map[servicerequests.RequestID][]record.Record{} // responses without an outcome
	for rec, err := range records {
		if err != nil {
			return err
		}
		switch {
		case rec.Seq <= s.through && s.known(rec, unused):
		case rec.Kind == record.Alert:
			s.foldAlert(ctx, rec, deliveries)
		default:
			if err := s.foldRecord(rec, unused); err != nil {
				return fmt.Errorf("%w: record %d (%v): %w", ErrReplay, rec.Seq, rec.Kind, err)
			}
		}
		s.settleSome()
	}
	if err := s.roll.seal(); err != nil {
		return fmt.Errorf("%w: %w", ErrReplay, err)
	}
	s.sort()
	s.settle()
	left := slices.Concat(slices.Collect(maps.Values(unused))...)
	slices.SortFunc(left, func(a, b record.Record) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, rec := range left {
		if s.settled(rec.ID) {
			continue
		}
		d, err := deliveries.Delivery(ctx, rec.Body)
		switch {
		case errors.Is(err, proof.ErrUndecided):
			// The DCC will not send it again: it is not passed over.
			return fmt.Errorf("record %d: a response that was not acted on before: %w", rec.Seq, err)
		case err != nil:
			s.log.Warn("journalled response cannot be proven again", zap.Uint64("seq", rec.Seq), zap.Error(err))
			continue
		}
		s.backlog = append(s.backlog, d)
	}
	return nil
}

// settled says whether a request has ended with an answer, so that another one
// would change nothing.
func (s *Sweep) settled(id servicerequests.RequestID) bool {
	m := s.find(id.Target)
	if m == nil {
		return false
	}
	i := m.endedAs(id)
	return i >= 0 && !m.ended[i].class.unanswered()
}

// foldRecord takes one record in.
func (s *Sweep) foldRecord(rec record.Record, unused map[servicerequests.RequestID][]record.Record) error {
	switch rec.Kind {
	default:
		return nil
	case record.Opened:
		s.sort()
		return nil
	case record.Operator:
		body, err := record.Decode[record.OrderBody](rec)
		if err != nil {
			return err
		}
		s.sort()
		s.apply(body, rec.At)
		return nil
	case record.Wave:
		body, err := record.Decode[record.WaveBody](rec)
		if err != nil {
			return err
		}
		if s.sort(); body.Wave < 1 || body.Wave > len(s.waves) {
			return fmt.Errorf("wave %d of %d", body.Wave, len(s.waves))
		}
		s.waveIs(body.Wave, rec.Code, rec.At)
		return nil
	case record.Tripwire:
		body, err := record.Decode[record.TripwireBody](rec)
		if err != nil {
			return err
		}
		for _, eui := range body.Devices {
			s.pardon(s.find(eui))
		}
		return nil
	case record.Target:
		body, err := record.Decode[record.TargetBody](rec)
		if err != nil {
			return err
		}
		if s.o.Counters[body.Originator] == nil {
			return fmt.Errorf("%v: no identity is configured for its originator %v", rec.Device, body.Originator)
		}
		m := newMeter(rec.Device, body)
		if _, ok := s.o.Suppressed[rec.Device]; ok {
			m.excluded = "suppressed"
		}
		return s.roll.add(m)
	case record.Response:
		unused[rec.ID] = append(unused[rec.ID], rec)
		return nil
	case record.Unmatched:
		delete(unused, rec.ID)
		return nil
	case record.Refused:
		if rec.Code == record.RefusedUnverified {
			s.unproven(rec.ID, rec.At)
		}
		return nil
	case record.Request, record.SignedCommand, record.Reply, record.Outcome, record.Verdict:
	}
	m := s.find(rec.Device)
	if m == nil || m.device != rec.Device {
		return fmt.Errorf("%v is not planned", rec.Device)
	}
	switch rec.Kind {
	case record.Request:
		if m.openAs(rec.ID) != nil || m.endedAs(rec.ID) >= 0 {
			return fmt.Errorf("request %v is signed twice", rec.ID)
		}
		r := &request{
			meter: m, service: rec.Service, id: rec.ID, attempt: int(m.tally(rec.Service).tries) + 1,
			body: rec.Body, reached: true, postedAt: rec.At, place: nowhere,
		}
		s.spend(m, rec.Service)
		m.begin(r, rec.At)
		s.o.Pacer.Spent(rec.At, r.leave())
		s.spendOf(r.leave(), rec.At)
		s.headroom.count(rec.Service, rec.At)
	case record.SignedCommand:
		r := m.openAs(rec.ID)
		if r == nil || r.leg == commandLeg {
			return fmt.Errorf("signed command %v without its request", rec.ID)
		}
		r.leg, r.body, r.postedAt, r.unproven = commandLeg, rec.Body, rec.At, false
		s.o.Pacer.Spent(rec.At, r.leave())
		s.spendOf(r.leave(), rec.At)
		m.commit(rec.Service, rec.ID.Counter)
	case record.Reply:
		r := m.openAs(rec.ID)
		code := servicerequests.ResponseCode(rec.Code)
		if r != nil && r.endpoint() == gateway.SendCommand &&
			(code.Class() == servicerequests.CodeAcknowledged || code == servicerequests.DuplicateID) {
			r.acknowledged, r.body, r.askedAt = true, nil, rec.At
			s.await(r, rec.At)
		}
	case record.Outcome:
		body, err := record.Decode[record.OutcomeBody](rec)
		if err != nil {
			return err
		}
		class, ok := parseClass(body.Class)
		if !ok {
			return fmt.Errorf("outcome class %q is not known", body.Class)
		}
		delete(unused, rec.ID)
		s.sort()
		s.fold(m, rec.Service, rec.ID, body, class)
		if !body.After || rec.Service != servicerequests.ReadMeterBalance {
			m.verdict = record.VerdictBody{} // it was given before this was known
		}
	case record.Verdict:
		body, err := record.Decode[record.VerdictBody](rec)
		if err != nil {
			return err
		}
		m.verdict = body
	}
	return nil
}

// known says whether a record is in the state that was restored. Workers and the inbox
// write before the dispatcher hears of it; what it wrote itself it knew.
func (s *Sweep) known(rec record.Record, unused map[servicerequests.RequestID][]record.Record) bool {
	var r *request
	var ended bool
	if m := s.find(rec.Device); m != nil {
		r, ended = m.openAs(rec.ID), m.endedAs(rec.ID) >= 0
	}
	switch rec.Kind {
	case record.Request:
		return r != nil || ended
	case record.SignedCommand:
		return r == nil || r.leg == commandLeg
	case record.Reply:
		return r == nil || r.acknowledged
	case record.Outcome:
		delete(unused, rec.ID)
		return true
	case record.Response, record.Unmatched, record.Alert, record.Refused:
		return false // a repetition changes nothing, or has a meter read once more
	}
	return true
}

// forget takes in that the journal is an older copy of one that is lost: every meter
// that was touched may have been given commands since, or told of a change.
func (s *Sweep) forget() {
	for seat := range int32(s.roll.size) {
		m := s.meter(seat)
		m.staleMode, m.staleSupply = m.issued, m.issued
		m.verdict = record.VerdictBody{}
		s.settleSome()
	}
}

// foldAlert takes a journalled alert in, at its place in the order. It was proven
// before it was written; only what a future-dated command was is not in the
// record's columns. Where that cannot be proven again, the worst is assumed: then
// the meter is read once more.
func (s *Sweep) foldAlert(ctx context.Context, rec record.Record, deliveries Deliveries) {
	if rec.Code == alertQuarantine {
		s.foldQuarantine(ctx, rec, deliveries)
		return
	}
	m := s.find(rec.Device)
	code, err := strconv.ParseUint(rec.Code, 16, 16)
	if m == nil || err != nil { // of another device, or a DCC Alert
		return
	}
	alert := &gbcs.Alert{Code: uint16(code)}
	if code == alertFutureDated {
		d, err := deliveries.Delivery(ctx, rec.Body)
		if alert = d.Alert; err != nil || alert == nil {
			s.log.Warn("journalled alert cannot be proven again", zap.Uint64("seq", rec.Seq), zap.Error(err))
			alert = &gbcs.Alert{Code: alertFutureDated, FutureDated: &gbcs.FutureDated{Code: codeECS03}}
		}
	}
	if m.alerted(alert) {
		m.verdict = record.VerdictBody{}
	}
	s.sort()
	s.moveUp(m, rec.At)
}

// foldQuarantine takes in that a request is held back by the DCC.
func (s *Sweep) foldQuarantine(ctx context.Context, rec record.Record, deliveries Deliveries) {
	d, err := deliveries.Delivery(ctx, rec.Body)
	if err != nil || d.DCCAlert == nil {
		s.log.Warn("journalled alert cannot be proven again", zap.Uint64("seq", rec.Seq), zap.Error(err))
		return
	}
	if q, ok := d.DCCAlert.Event.(duis.QuarantinedRequest); ok {
		if m := s.find(q.Request.Target); m != nil {
			if r := m.openAs(q.Request); r != nil {
				s.quarantine(r, q.EventRef)
			} else {
				s.overdueAs(m, q)
			}
		}
	}
}

// begin takes up what the journal left: open requests are POSTed again as the
// same bytes unless they were acknowledged, and every meter is put where it
// stands.
func (s *Sweep) begin() {
	now := s.now()
	s.begun = true
	for seat := range int32(s.roll.size) {
		h := s.roll.head(seat)
		s.roll.waits(seat, false, false)
		switch {
		case h.done && !h.owed: // and asleep for good
			s.counted(h, 1)
			s.plights[h.plight]++
		case !h.begun:
			s.notBegun++
			if w := s.waves[h.wave-1]; w.state == "" {
				w.waiting = append(w.waiting, seat)
			} else {
				h.ahead = false
				s.takeOn(seat, h)
			}
		default:
			s.takeUp(s.meter(seat), now)
		}
		s.settleSome()
	}
	for _, d := range s.backlog {
		s.deliver(d)
	}
	s.backlog = nil
	s.settle() // so that the first pump finds what is due
	s.log.Info("sweep begins", zap.Int("meters", s.roll.size), zap.Int("done", s.done))
}

// takeUp puts a meter that has begun where it stands.
func (s *Sweep) takeUp(m *meter, now time.Time) {
	s.plights[m.plight]++
	m.done, m.waits = false, false
	// What is open of a meter that is safe by its verdict was asked after that.
	after := len(m.open) > 0 && m.verdict.Verdict != "" && m.safe()
	for _, r := range m.open {
		if r.after = after; after {
			s.afters++
		}
		s.hub(m).open++
		s.lanes[m.target.Region].inFlight++
		if r.quarantine != "" {
			s.quarantined[r.quarantine] = r
		}
		if !r.acknowledged {
			s.push(r)
		}
	}
	if after || m.verdict.Verdict != "" && len(m.open) == 0 && !s.o.Policy.decide(m, now).waiting {
		s.count(m)
	}
	if !m.done || after {
		s.schedule(m, now)
	}
}
