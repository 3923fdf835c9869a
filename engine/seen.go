package engine

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"safemode/engine/checkpoint"
	"safemode/engine/journal"
)

// seenSuffix is added to a sweep's name for the file in which a machine remembers how far its
// journal had come in the database.
const seenSuffix = ".tip"

// openSeen reads what this machine remembers of the journal, and refuses a database that has not
// come so far: a server took over that had not followed, or a backup was restored.
func (e *Engine) openSeen() (err error) {
	if !journal.IsAddress(e.o.Journal) || e.o.Rehearsal {
		return nil
	}
	if e.seen == nil {
		path := journal.Beside(e.o.Journal, e.o.CustodyDir) + seenSuffix
		if e.seen, err = checkpoint.OpenSeen(path); err != nil {
			return fmt.Errorf("%w: what this machine remembers of the journal cannot be read: %w", ErrRefused, err)
		}
	}
	return nil
}

// holdSeen refuses a journal that lacks what this machine has seen of it.
func (e *Engine) holdSeen() error {
	if e.seen == nil {
		return nil
	}
	last, id := e.seen.Last(), e.o.Plan.Journal
	if e.journal != nil {
		id = e.journal.ID()
	}
	if last.Journal == "" || last.Journal != id {
		return nil
	}
	if err := e.comparePins(last, e.seen.Path()); err != nil {
		return fmt.Errorf("%w: %w: start at the database that has them; if they are lost for good, nobody knows any more what was sent in them: "+
			"remove %s on each machine to go on all the same", err, journal.ErrLacking, e.seen.Path())
	}
	return nil
}

// see remembers how far the journal has come; now: it is written at once. A note that cannot be
// written stops no sweep.
func (e *Engine) see(id string, tip journal.Tip, now bool) {
	if e.seen == nil || tip.Seq == 0 {
		return
	}
	err := e.seen.Note(checkpoint.Checkpoint{Journal: id, Seq: tip.Seq, Hash: tip.Hash, At: time.Now().UTC().Truncate(time.Second)}, now)
	if err != nil && !e.unseen.Swap(true) {
		e.o.Log.Error("this machine does not remember how far the journal has come: a start at a database that lacks records is not noticed", zap.Error(err))
	}
	if err == nil {
		e.unseen.Store(false)
	}
}

// watchSeen has this machine remember how far the journal has come, until ctx ends.
func (e *Engine) watchSeen(ctx context.Context) {
	if e.seen == nil {
		return
	}
	ticker := time.NewTicker(checkpoint.SeenEvery)
	defer ticker.Stop()
	for {
		e.see(e.journal.ID(), e.journal.Tip(), true)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
