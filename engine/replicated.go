package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"safemode/engine/journal"
	"safemode/engine/sweep"
)

// checkReplicated reads for which servers the database's commits wait. In an environment with
// real homes it refuses a database that waits for no second server: if the one server is lost,
// counters are lost with it and would be used twice.
func (e *Engine) checkReplicated(ctx context.Context) error {
	o := &e.o
	if !journal.IsAddress(o.Journal) {
		return nil
	}
	said, err := journal.Replicated(ctx, o.Journal)
	switch {
	case err == nil:
	case !errors.Is(err, journal.ErrOneServer):
		return err
	case o.AcceptOneServer:
		said = err.Error() + ", as the configuration accepts"
	case o.Plan.Environment == Simulator:
		said = err.Error() + ", which environment live refuses"
	default:
		return fmt.Errorf("%w: environment %s: %w: name a synchronous standby in the database, or accept the loss (journal.accept_one_server)",
			ErrRefused, o.Plan.Environment, err)
	}
	e.replicated = said
	o.Log.Info("the journal's database", zap.String("commits", said))
	return nil
}

// awaitReplicated waits before a takeover for as long as [Engine.checkReplicated] refuses: a
// database that has just failed over may have only one server left. Nobody has the sweep then. It
// does not wait where nothing is left to do.
func (e *Engine) awaitReplicated(ctx context.Context) error {
	defer e.oneServer.Store(nil)
	for {
		err := e.checkReplicated(ctx)
		if !errors.Is(err, journal.ErrOneServer) && !journal.Passing(err) {
			return err
		}
		if j, err := journal.OpenReadOnly(e.o.Journal); err == nil {
			left := leftToDo(ctx, j)
			_ = j.Close() // nothing was written
			if errors.Is(left, ErrFinished) || errors.Is(left, sweep.ErrStopped) {
				return nil // the takeover says so, and ends
			}
		}
		why := err.Error()
		e.oneServer.Store(&why)
		e.o.Log.Warn("cannot take the sweep over yet", zap.Error(err))
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
