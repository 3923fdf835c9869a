package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/engine/sweep"
)

// restore takes up the state that the journal keeps, and returns the number of the first
// record that must still be replayed: 1 if there is no state, or none that is whole and fits.
// It also checks the chain of the records before that (see [Engine.verifyPast]), and returns
// the number of the first that it has not checked.
func (e *Engine) restore(ctx context.Context) (from, walked uint64, _ error) {
	rows, kept, err := e.journal.State(ctx)
	if err == nil {
		var past error
		var beside sync.WaitGroup
		beside.Go(func() { walked, past = e.verifyPast(ctx, kept.Seq) })
		from, err = e.runner.Restore(rows)
		if beside.Wait(); past != nil {
			return 0, 0, past
		}
	}
	switch {
	case err == nil:
		e.o.Log.Info("state restored", zap.Uint64("kept_by_record", kept.Seq), zap.Uint64("from_record", from))
		return from, walked, nil
	case errors.Is(err, journal.ErrState), errors.Is(err, sweep.ErrState):
		if kept.Seq != 0 {
			e.o.Log.Warn("kept state not used, replaying all records", zap.Error(err))
		}
		return 1, 1, nil
	}
	return 0, 0, err
}

// The chain of the records that a start does not read is checked all the same, so that damage
// is noticed: for pastFirst before anything is sent, which is enough for some hundred thousand
// records, and the rest during the sweep.
const pastFirst = 2 * time.Second

// verifyPast checks the chain of the records before end, for pastFirst, and returns the
// number of the first that it has not checked.
func (e *Engine) verifyPast(ctx context.Context, end uint64) (next uint64, _ error) {
	begun := time.Now()
	next = 1
	if end <= next {
		return next, nil
	}
	for r, err := range e.journal.Records(ctx, next) {
		if err != nil {
			return next, err
		}
		if next = r.Seq + 1; next >= end || time.Since(begun) >= pastFirst {
			break
		}
	}
	return next, nil
}

// watchPast checks the chain from next to end during the sweep, slowly. If it breaks, a gate
// closes.
func (e *Engine) watchPast(ctx context.Context, next, end uint64) {
	const step = 256
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for next < end {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		begun := next
		for r, err := range e.journal.Records(ctx, next) {
			if err != nil {
				if ctx.Err() == nil {
					e.damage.Store(&err)
					e.o.Log.Error("the journal is damaged in what this start did not read", zap.Error(err))
				}
				return
			}
			if next = r.Seq + 1; next-begun >= step || next >= end {
				break
			}
		}
	}
	e.o.Log.Debug("the chain before the kept state is whole", zap.Uint64("before_record", end))
}

// watchPlanned compares the journal's lines of the plan with the plan, during the sweep. If
// they differ, a gate closes.
func (e *Engine) watchPlanned(ctx context.Context) {
	if e.unread == 0 {
		return
	}
	if err := e.readPlanned(ctx, e.unread); err != nil && ctx.Err() == nil {
		e.damage.Store(&err)
		e.o.Log.Error("the journal's meters are not the plan's", zap.Error(err))
	}
}

// mayAct says whether anything may be signed and sent now: no gate is closed, no other engine
// has gone on with the journal, and the record is whole as far as it has been read. The gates'
// dates are compared with the machine's clock, not with the sweep's.
func (e *Engine) mayAct(time.Time) error {
	if err := e.damage.Load(); err != nil {
		return fmt.Errorf("the record is damaged: safemode audit says what of it is still proven: %w", *err)
	}
	if err := e.journal.Held(); err != nil {
		return err
	}
	return e.o.Gates.Check(e.clock.Wall())
}

// nameHolder adds to the error of a sweep that another engine has taken which engine it is, if
// the database says so within two seconds.
func (e *Engine) nameHolder(ctx context.Context, outcome error) error {
	if outcome == nil || !record.Fenced(e.journal.Held()) {
		return outcome
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if who, err := e.journal.Holder(ctx); err == nil && who != nil {
		return fmt.Errorf("%w: %v", outcome, *who)
	}
	return outcome
}
