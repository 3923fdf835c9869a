package engine

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"go.uber.org/zap"

	"safemode/engine/direction"
	"safemode/engine/journal"
	"safemode/engine/record"
)

// grant is what a sweep begins or goes on by.
type grant struct {
	approvals []record.Approved
	resumes   int // left ahead
	until     time.Time
}

// checkAuthority holds what shows the authority to act to the environment.
func checkAuthority(o Options) error {
	p := o.Plan
	if o.Policy.PlanOrder && !o.Rehearsal {
		return fmt.Errorf("%w: only a rehearsal may leave the order of hours at risk", ErrRefused)
	}
	if o.Rehearsal {
		if p.Environment != Simulator {
			return fmt.Errorf("%w: a rehearsal in environment %s", ErrRefused, p.Environment)
		}
		return nil
	}
	switch {
	case o.Roster == nil:
		return fmt.Errorf("%w: no roster says whose approvals count: name it in the configuration (roster)", ErrRefused)
	case p.Record == nil:
		return fmt.Errorf("%w: the direction of this plan was not signed: have its recorder sign it, and plan anew", ErrRefused)
	case p.Environment != Simulator && o.Gates == nil:
		return fmt.Errorf("%w: environment %s needs evidence for its gates (gates)", ErrRefused, p.Environment)
	}
	if err := o.Roster.CheckEnvironment(p.Environment); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err := p.Record.Check(o.Roster); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

// findGrant finds the approvals by which this sweep begins or goes on. The error wraps
// [ErrRefused].
func (e *Engine) findGrant(ctx context.Context) (g grant, _ error) {
	if e.o.Rehearsal {
		return g, nil
	}
	var s Stop
	if e.journal != nil {
		var err error
		if s, err = LastStop(ctx, e.journal); err != nil {
			return g, err
		}
	}
	now := time.Now()
	if last := s.Opening; last != nil && !s.Halted && last.ResumesLeft > 0 && !now.After(last.ApprovedUntil) {
		return grant{last.Approvals, last.ResumesLeft - 1, last.ApprovedUntil}, nil
	}
	occasion := OccasionOf(s)
	occasion.PlanSHA256, occasion.SweepID = e.o.Plan.SHA256, e.o.Plan.SweepID()
	occasion.Environment, occasion.PreparedBy = e.o.Plan.Environment, e.o.Plan.PreparedBy
	two, err := occasion.Find(e.o.Approvals, e.o.Roster, now)
	if err != nil {
		if s.Halted {
			return g, fmt.Errorf("%w: it was halted (%s): %w", ErrRefused, s.Reason, err)
		}
		return g, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	g.resumes = direction.ResumesOf(two)
	for _, a := range two {
		text, err := a.Text()
		if err != nil {
			return g, err
		}
		g.approvals = append(g.approvals, record.Approved{Name: a.Approver.Name, Key: a.Approver.Key, Text: string(text), Signature: a.Signature})
		if g.until.IsZero() || a.ExpiresAt.Before(g.until) {
			g.until = a.ExpiresAt
		}
	}
	return g, nil
}

// Stop is how a journal's sweep ended last.
type Stop struct {
	Opening *record.Opening // of the last start; nil: it has not begun
	Seq     uint64          // of the record that says how it ended, or of the last start where it was cut off
	Halted  bool            // it stopped itself, whatever came after that
	Reason  string          // of the end, where there is one
}

// LastStop reads how a journal's sweep ended last. A halt counts from its own record on,
// also where the process was killed before it could close the journal. In journals of
// before that record there was, the closing says it, or the tripwire.
func LastStop(ctx context.Context, j *journal.Journal) (s Stop, _ error) {
	opened, err := j.Latest(ctx, record.Opened)
	if err != nil || opened.Seq == 0 {
		return s, err
	}
	opening, err := record.Decode[record.Opening](opened)
	if err != nil {
		return s, err
	}
	s = Stop{Opening: &opening, Seq: opened.Seq}
	// A run that has halted keeps no state. Older journals may have one after a tripwire.
	from := opened.Seq
	if opening.StoreFirst {
		kept, err := j.Latest(ctx, record.State)
		if err != nil {
			return s, err
		}
		from = max(from, kept.Seq)
	}
	tripped, err := j.LatestAfter(ctx, from, record.Tripwire)
	if err != nil {
		return s, err
	}
	if tripped.Seq > 0 {
		body, err := record.Decode[record.TripwireBody](tripped)
		if err != nil {
			return s, err
		}
		s.Seq, s.Halted, s.Reason = tripped.Seq, true, body.Reason
	}
	closed, err := j.Latest(ctx, record.Closed)
	if err != nil {
		return s, err
	}
	if closed.Seq > opened.Seq {
		body, err := record.Decode[record.ClosedBody](closed)
		if err != nil {
			return s, err
		}
		s.Seq, s.Halted, s.Reason = closed.Seq, s.Halted || closed.Code == record.ClosedHalted, body.Reason
	}
	halted, err := j.LatestAfter(ctx, from, record.Halted)
	if err != nil || halted.Seq == 0 {
		return s, err
	}
	body, err := record.Decode[record.HaltedBody](halted)
	s.Seq, s.Halted, s.Reason = halted.Seq, true, body.Reason
	return s, err
}

// OccasionOf is what approvals must name after a stop: the start of a sweep that has
// not begun, or a resume after this very stop.
func OccasionOf(s Stop) direction.Occasion {
	if s.Opening == nil {
		return direction.Occasion{Purpose: direction.Start}
	}
	return direction.Occasion{Purpose: direction.Resume, Subject: strconv.FormatUint(s.Seq, 10)}
}

// logLook notes evidence of the gates that could not be read.
func (e *Engine) logLook(err error) {
	if err != nil {
		e.o.Log.Named("gates").Warn("evidence could not be read", zap.Error(err))
	}
}
