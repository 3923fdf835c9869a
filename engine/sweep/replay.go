package sweep

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"go.uber.org/zap"

	"safemode/engine/journal"
	"safemode/engine/proof"
	"safemode/servicerequests"
)

// ErrReplay marks a journal whose records do not make a sweep.
var ErrReplay = errors.New("the journal's records do not make a sweep")

// Deliveries proves an asynchronous message, as the inbox does.
type Deliveries interface {
	Delivery(ctx context.Context, raw []byte) (proof.Delivery, error)
}

// Replay folds the journal's records into the meters' ledgers: of a new sweep,
// only the targets; of one that goes on, all that was asked and learnt. What
// was signed and has no outcome is POSTed again as the same bytes, or read back;
// what was answered but not yet acted on is acted on, after it has been proven
// again. Call it once, before Run.
func (s *Sweep) Replay(ctx context.Context, records iter.Seq2[journal.Record, error], deliveries Deliveries) error {
	unused := map[servicerequests.RequestID]journal.Record{} // responses without an outcome
	for rec, err := range records {
		if err != nil {
			return err
		}
		if rec.Kind == journal.Alert {
			s.foldAlert(ctx, rec, deliveries)
		} else if err := s.fold(rec, unused); err != nil {
			return fmt.Errorf("%w: record %d (%v): %w", ErrReplay, rec.Seq, rec.Kind, err)
		}
	}
	for _, rec := range slices.SortedFunc(maps.Values(unused), func(a, b journal.Record) int { return int(a.Seq) - int(b.Seq) }) {
		d, err := deliveries.Delivery(ctx, rec.Body)
		if err != nil {
			s.log.Warn("journalled response cannot be proven again", zap.Uint64("seq", rec.Seq), zap.Error(err))
			continue
		}
		s.backlog = append(s.backlog, d)
	}
	return nil
}

// fold takes one record in.
func (s *Sweep) fold(rec journal.Record, unused map[servicerequests.RequestID]journal.Record) error {
	switch rec.Kind {
	case journal.Target:
		body, err := journal.Decode[journal.TargetBody](rec)
		if err != nil {
			return err
		}
		if s.byTarget[rec.Device] != nil {
			return fmt.Errorf("%v is planned twice", rec.Device)
		}
		if s.o.Counters[body.Originator] == nil {
			return fmt.Errorf("%v: no identity is configured for its originator %v", rec.Device, body.Originator)
		}
		m := newMeter(rec.Device, body)
		s.meters = append(s.meters, m)
		s.byTarget[rec.Device] = m
		s.planned[rec.Device] = true
		if _, ok := s.o.Suppressed[rec.Device]; ok {
			m.excluded = "suppressed"
		}
		return nil
	case journal.Response:
		unused[rec.ID] = rec
		return nil
	}
	if rec.Device == 0 {
		return nil
	}
	m := s.byTarget[rec.Device]
	if m == nil {
		if rec.Kind == journal.Unmatched {
			return nil
		}
		return fmt.Errorf("%v is not planned", rec.Device)
	}
	switch rec.Kind {
	case journal.Request:
		r := &request{
			meter: m, service: rec.Service, id: rec.ID, attempt: m.tally(rec.Service).tries + 1,
			body: rec.Body, openedAt: rec.At, postedAt: rec.At,
		}
		m.begin(r, rec.At)
	case journal.SignedCommand:
		r := m.openRequest(rec.Service)
		if r == nil || r.id != rec.ID {
			return fmt.Errorf("signed command %v without its request", rec.ID)
		}
		r.leg, r.body, r.postedAt = commandLeg, rec.Body, rec.At
		m.commit(rec.Service, rec.ID.Counter)
	case journal.Reply:
		r := m.openRequest(rec.Service)
		if r != nil && r.id == rec.ID && servicerequests.ResponseCode(rec.Code).Class() == servicerequests.CodeAcknowledged {
			r.acknowledged = true
			r.deadline = rec.At.Add(s.o.Policy.ResponseWait.of(m))
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
		m.end(&s.o.Policy, rec.Service, rec.ID.Counter, body, class)
		s.linkProxy(m)
	case journal.Verdict:
		body, err := journal.Decode[journal.VerdictBody](rec)
		if err != nil {
			return err
		}
		m.verdict = body
	}
	return nil
}

// foldAlert takes a journalled alert in, at its place in the order.
func (s *Sweep) foldAlert(ctx context.Context, rec journal.Record, deliveries Deliveries) {
	m := s.byTarget[rec.Device]
	if m == nil {
		return
	}
	d, err := deliveries.Delivery(ctx, rec.Body)
	if err != nil || d.Alert == nil {
		s.log.Warn("journalled alert cannot be proven again", zap.Uint64("seq", rec.Seq), zap.Error(err))
		return
	}
	m.alerted(d.Alert)
}

// begin takes up what the journal left: open requests are POSTed again as the
// same bytes unless they were acknowledged, and every meter is put where it
// stands.
func (s *Sweep) begin() {
	now := s.now()
	for _, m := range s.meters {
		for _, r := range m.open {
			s.hub(m).open++
			s.lanes[m.target.Region].inFlight++
			if !r.acknowledged {
				s.lanes[m.target.Region].push(r)
			}
		}
		switch {
		case m.started.IsZero():
			s.intake[m.target.Region] = append(s.intake[m.target.Region], m)
		case m.verdict.Verdict != "" && len(m.open) == 0 && !s.o.Policy.decide(m, now).waiting:
			s.count(m)
		default:
			s.schedule(m, now)
		}
	}
	for _, d := range s.backlog {
		s.deliver(d)
	}
	s.backlog = nil
	s.log.Info("sweep begins", zap.Int("meters", len(s.meters)), zap.Int("done", s.done))
}
