package engine

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"safemode/engine/journal"
)

// checkReplicated looks for which servers the commits of a journal in a database wait. In an
// environment that has homes in it, one that a single server may lose is refused: a counter
// that is lost with it would be used twice.
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
