package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/servicerequests/clock"
)

// comparePlan compares the plan with the journal, a new one or the one that the sweep goes on
// with. It writes nothing: a new journal gets the plan when nothing else refuses the sweep.
func (e *Engine) comparePlan(ctx context.Context) error {
	opening, err := e.readBeginning(ctx)
	if err != nil {
		return err
	}
	last, err := e.lastTime(ctx)
	if err != nil {
		return err
	}
	if e.begins = opening == nil; e.begins {
		e.clock = begun(e.o.Clock, last)
		e.sweepID = e.o.Plan.SweepID()
		if e.o.Rehearsal {
			e.sweepID = "rehearsal-" + e.sweepID
		}
		return nil
	}
	if opening.ClockSpeed != e.o.Clock.Speed {
		return fmt.Errorf("%w: %s was begun with a clock at %g times real time, the configuration says %g",
			ErrRefused, e.o.Journal, opening.ClockSpeed, e.o.Clock.Speed)
	}
	e.clock = clock.Clock{Anchor: opening.ClockAnchor, Speed: opening.ClockSpeed}
	if e.o.Clock.Jumps() {
		e.clock = e.o.Clock
	}
	e.clock = e.clock.Start(last)
	e.sweepID = opening.SweepID
	return e.refuseCeased(ctx)
}

// begun starts the clock of a new sweep, after the time of the journal's last record.
func begun(c clock.Clock, last time.Time) clock.Clock {
	if c.Anchor.IsZero() {
		c.Anchor = time.Now().UTC()
	}
	return c.Start(last)
}

// readBeginning reads the plan's lines in the journal, and compares them with the plan if all
// of them are there. It returns the first start; nil if there was none.
func (e *Engine) readBeginning(ctx context.Context) (opening *record.Opening, err error) {
	if e.known, opening, err = e.beginning(ctx); err != nil {
		return nil, err
	}
	switch whole := 1 + e.o.Plan.Counts.Targets + e.o.Plan.Counts.Rejected; {
	case e.known != whole:
	case e.later && e.o.Plan.Counts.Suppressed == 0:
		e.unread = whole
	default:
		err = e.readPlanned(ctx, whole)
	}
	return opening, err
}

// lastTime is the time of the journal's last record, by the sweep's clock; zero if there
// is none.
func (e *Engine) lastTime(ctx context.Context) (time.Time, error) {
	if e.journal == nil || e.journal.Tip().Seq == 0 { // record 0 is the file's own
		return time.Time{}, nil
	}
	last, err := e.journal.At(ctx, e.journal.Tip().Seq)
	return last.At, err
}

// open writes that the sweep starts, for the first time or again.
func (e *Engine) open(ctx context.Context) error {
	o := record.Opening{
		SweepID: e.sweepID, PlanSHA256: e.o.Plan.SHA256, Environment: e.o.Plan.Environment,
		ClockAnchor: e.clock.Anchor, ClockSpeed: e.clock.Speed,
		CounterFloor: e.o.Floor, Version: e.o.Version,
		Approvals: e.grant.Approvals, ResumesLeft: e.grant.Resumes, ApprovedUntil: e.grant.Until, Takeover: e.takeover, StoreFirst: true,
	}
	if r := e.o.Roster; !e.o.Rehearsal {
		if err := e.spend(); err != nil {
			return err
		}
		o.Began, o.PlanSignature = time.Now().UTC().Truncate(time.Second), e.o.Plan.Signature
		o.Roster, o.RosterSignature, o.RosterSignedBy = r.Text, r.Signature, string(r.SignedBy.PEM())
		o.Custody, o.CustodyEntry = e.book.ID(), e.grant.Entry
		if f := e.freeze; f != nil {
			o.Freeze, o.FreezeSignature = f.Text, f.Signature
		}
	}
	for _, id := range e.o.Identities {
		o.Originators = append(o.Originators, id.EUI)
	}
	return e.journal.Commit(ctx, record.Record{At: e.clock.Now(), Kind: record.Opened, Body: record.Encode(o)})
}

// beginning reads how a journal begins: how many records of the plan it has, and
// its first Opened record, which follows them. It refuses the journal of another plan.
func (e *Engine) beginning(ctx context.Context) (known int, _ *record.Opening, _ error) {
	if e.journal == nil || e.journal.Tip().Seq == 0 {
		return 0, nil, nil
	}
	tip, counts := e.journal.Tip().Seq, e.o.Plan.Counts
	planned, err := e.journal.At(ctx, 1)
	if err != nil {
		return 0, nil, err
	}
	if planned.Kind != record.Planned || planned.Code != e.o.Plan.SHA256 {
		return 0, nil, fmt.Errorf("%w: %s was begun with another plan (%.12s...), this one is %.12s...: name that plan, or a new journal (--journal)",
			ErrRefused, e.o.Journal, planned.Code, e.o.Plan.SHA256)
	}
	if header, err := json.Marshal(e.o.Plan.Header); err != nil || !bytes.Equal(header, planned.Body) {
		return 0, nil, errors.Join(err, fmt.Errorf("%w: the plan's header in %s is not the one of the plan %.12s...", ErrRefused, e.o.Journal, e.o.Plan.SHA256))
	}
	whole := 1 + counts.Targets + counts.Rejected
	if tip <= uint64(whole) {
		return int(tip), nil, nil
	}
	opened, err := e.journal.At(ctx, uint64(whole)+1)
	if err != nil {
		return 0, nil, err
	}
	if opened.Kind != record.Opened {
		return 0, nil, fmt.Errorf("%w: %s: record %d is no beginning of a sweep of %d meters: %v",
			journal.ErrDamaged, e.o.Journal, opened.Seq, counts.Targets, opened.Kind)
	}
	body, err := record.Decode[record.Opening](opened)
	return whole, &body, err
}

// refuseCeased refuses a journal that a cease notice has closed.
func (e *Engine) refuseCeased(ctx context.Context) error {
	closed, err := e.journal.Latest(ctx, record.Closed)
	if err != nil || closed.Seq == 0 || closed.Code != record.ClosedCeased {
		return err
	}
	body, err := record.Decode[record.ClosedBody](closed)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s: %s: for good", ErrRefused, e.o.Journal, body.Reason)
}

// writePlan writes the plan's records, from the one after those that the journal has. So it
// finishes a beginning that was cut off: nothing is sent before the whole plan is there and
// an Opened record says so.
func (e *Engine) writePlan(ctx context.Context) error {
	now := e.clock.Now()
	header, err := json.Marshal(e.o.Plan.Header)
	if err != nil {
		return err
	}
	const batch = 4096
	records := make([]record.Record, 0, batch)
	n := 0
	add := func(r record.Record) error {
		if n++; n <= e.known {
			return nil
		}
		r.At = now
		if records = append(records, r); len(records) < batch {
			return nil
		}
		err := e.journal.Commit(ctx, records...)
		records = records[:0]
		return err
	}
	if err := add(record.Record{Kind: record.Planned, Code: e.o.Plan.SHA256, Body: header}); err != nil {
		return err
	}
	target := func(t *plan.Target) error {
		if t.Suppressed {
			e.suppress(t.Device)
		}
		return add(record.Record{Kind: record.Target, Device: t.Device, Body: t.Body()})
	}
	rejected := func(r *plan.Rejected) error {
		return add(record.Record{Kind: record.Rejected, Body: r.Body()})
	}
	if err := e.o.Plan.Each(target, rejected); err != nil {
		return err
	}
	if len(records) == 0 {
		return nil
	}
	return e.journal.Commit(ctx, records...)
}
