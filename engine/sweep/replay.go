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
	"safemode/engine/journal"
	"safemode/engine/proof"
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
func (s *Sweep) Replay(ctx context.Context, records iter.Seq2[journal.Record, error], deliveries Deliveries) error {
	unused := map[servicerequests.RequestID][]journal.Record{} // responses without an outcome
	for rec, err := range records {
		if err != nil {
			return err
		}
		switch {
		case rec.Seq <= s.through && s.known(rec, unused):
		case rec.Kind == journal.Alert:
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
	slices.SortFunc(left, func(a, b journal.Record) int { return cmp.Compare(a.Seq, b.Seq) })
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
func (s *Sweep) foldRecord(rec journal.Record, unused map[servicerequests.RequestID][]journal.Record) error {
	switch rec.Kind {
	default:
		return nil
	case journal.Opened:
		s.sort()
		return nil
	case journal.Operator:
		body, err := journal.Decode[journal.OrderBody](rec)
		if err != nil {
			return err
		}
		s.sort()
		s.apply(body, rec.At)
		return nil
	case journal.Wave:
		body, err := journal.Decode[journal.WaveBody](rec)
		if err != nil {
			return err
		}
		if s.sort(); body.Wave < 1 || body.Wave > len(s.waves) {
			return fmt.Errorf("wave %d of %d", body.Wave, len(s.waves))
		}
		s.waveIs(body.Wave, rec.Code, rec.At)
		return nil
	case journal.Tripwire:
		body, err := journal.Decode[journal.TripwireBody](rec)
		if err != nil {
			return err
		}
		for _, eui := range body.Devices {
			s.pardon(s.find(eui))
		}
		return nil
	case journal.Target:
		body, err := journal.Decode[journal.TargetBody](rec)
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
	case journal.Response:
		unused[rec.ID] = append(unused[rec.ID], rec)
		return nil
	case journal.Unmatched:
		delete(unused, rec.ID)
		return nil
	case journal.Refused:
		if rec.Code == journal.RefusedUnverified {
			s.unproven(rec.ID, rec.At)
		}
		return nil
	case journal.Request, journal.SignedCommand, journal.Reply, journal.Outcome, journal.Verdict:
	}
	m := s.find(rec.Device)
	if m == nil || m.device != rec.Device {
		return fmt.Errorf("%v is not planned", rec.Device)
	}
	switch rec.Kind {
	case journal.Request:
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
	case journal.SignedCommand:
		r := m.openAs(rec.ID)
		if r == nil || r.leg == commandLeg {
			return fmt.Errorf("signed command %v without its request", rec.ID)
		}
		r.leg, r.body, r.postedAt, r.unproven = commandLeg, rec.Body, rec.At, false
		s.o.Pacer.Spent(rec.At, r.leave())
		s.spendOf(r.leave(), rec.At)
		m.commit(rec.Service, rec.ID.Counter)
	case journal.Reply:
		r := m.openAs(rec.ID)
		code := servicerequests.ResponseCode(rec.Code)
		if r != nil && r.endpoint() == gateway.SendCommand &&
			(code.Class() == servicerequests.CodeAcknowledged || code == servicerequests.DuplicateID) {
			r.acknowledged, r.body, r.askedAt = true, nil, rec.At
			s.await(r, rec.At)
		}
	case journal.Outcome:
		body, err := journal.Decode[journal.OutcomeBody](rec)
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
			m.verdict = journal.VerdictBody{} // it was given before this was known
		}
	case journal.Verdict:
		body, err := journal.Decode[journal.VerdictBody](rec)
		if err != nil {
			return err
		}
		m.verdict = body
	}
	return nil
}

// known says whether a record is in the state that was restored. Workers and the inbox
// write before the dispatcher hears of it; what it wrote itself it knew.
func (s *Sweep) known(rec journal.Record, unused map[servicerequests.RequestID][]journal.Record) bool {
	var r *request
	var ended bool
	if m := s.find(rec.Device); m != nil {
		r, ended = m.openAs(rec.ID), m.endedAs(rec.ID) >= 0
	}
	switch rec.Kind {
	case journal.Request:
		return r != nil || ended
	case journal.SignedCommand:
		return r == nil || r.leg == commandLeg
	case journal.Reply:
		return r == nil || r.acknowledged
	case journal.Outcome:
		delete(unused, rec.ID)
		return true
	case journal.Response, journal.Unmatched, journal.Alert, journal.Refused:
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
		m.verdict = journal.VerdictBody{}
		s.settleSome()
	}
}

// foldAlert takes a journalled alert in, at its place in the order. It was proven
// before it was written; only what a future-dated command was is not in the
// record's columns. Where that cannot be proven again, the worst is assumed: then
// the meter is read once more.
func (s *Sweep) foldAlert(ctx context.Context, rec journal.Record, deliveries Deliveries) {
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
		m.verdict = journal.VerdictBody{}
	}
	s.sort()
	s.moveUp(m, rec.At)
}

// foldQuarantine takes in that a request is held back by the DCC.
func (s *Sweep) foldQuarantine(ctx context.Context, rec journal.Record, deliveries Deliveries) {
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
