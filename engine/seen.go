package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"safemode/engine/checkpoint"
	"safemode/engine/journal"
)

// seenSuffix is added to a sweep's name for the file in which a machine remembers how far its
// journal had come in the database.
const seenSuffix = ".tip"

// openSeen reads what this machine remembers of the journal. Only a journal in a database is
// remembered: one in a file is on this machine.
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

// holdSeen refuses a journal that lacks what this machine has seen of it: a server took over that
// had not followed, or a backup was restored.
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
	err := e.comparePins(last, e.seen.Path())
	if errors.Is(err, ErrRefused) { // otherwise it could not be read
		return fmt.Errorf("%w: %w: start at the database that has it; if that is lost for good, nobody knows any more what was sent then: two approve the journal as it is"+
			" (safemode approve --accept), safemode custody accept takes it, and %s is removed on each machine", err, journal.ErrLacking, e.seen.Path())
	}
	return err
}

// seen is the end of a journal as a note.
func seen(journal string, tip journal.Tip) checkpoint.Checkpoint {
	return checkpoint.Checkpoint{Journal: journal, Seq: tip.Seq, Hash: tip.Hash, At: time.Now().UTC().Truncate(time.Second)}
}

// see remembers how far the journal has come; now: it is written at once. A note that cannot be
// written stops no sweep. A start that has not come so far as to run notes nothing: it may take
// back what it has written.
func (e *Engine) see(c checkpoint.Checkpoint, now bool) {
	if c.Seq == 0 {
		return
	}
	err := e.seen.Note(c, now)
	if err != nil && !e.unseen.Swap(true) {
		e.o.Log.Error("this machine does not remember how far the journal has come: a start at a database that lacks records is not noticed", zap.Error(err))
	}
	if err == nil {
		e.unseen.Store(false)
	}
}

// seeNow has this machine remember how far the journal has come now.
func (e *Engine) seeNow() {
	if e.seen != nil {
		e.see(seen(e.journal.ID(), e.journal.Tip()), true)
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
		e.seeNow()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
