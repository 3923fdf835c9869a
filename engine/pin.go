package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"golang.org/x/mod/sumdb/note"

	"safemode/engine/checkpoint"
	"safemode/engine/durable"
	"safemode/engine/journal"
)

// Checkpoints are the signed notes of how far the journal had come, beside it in a
// file of its own. The zero value makes none.
type Checkpoints struct {
	Path     string // of the file; of a custody in a database, the file's name there
	Signer   note.Signer
	Verifier note.Verifier // of the same key
	Every    time.Duration // real time; 0: a minute
}

// notes is where the notes lie: where a second machine looks for them.
func (e *Engine) notes() (files durable.Files, name string) {
	path := e.o.Checkpoints.Path
	if journal.IsAddress(e.o.CustodyDir) {
		return e.files, path
	}
	return durable.Folder(filepath.Dir(path)), filepath.Base(path)
}

// openCheckpoints opens the notes, and refuses a journal that is not the one they are
// of, or that lacks what they have pinned.
func (e *Engine) openCheckpoints(context.Context) error {
	c := e.o.Checkpoints
	switch {
	case c.Path == "":
		return nil
	case e.looks:
		return e.checkPins()
	}
	files, name := e.notes()
	log, err := checkpoint.OpenLog(files, name, e.journal.ID(), c.Signer, c.Verifier)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	e.pins = log
	return e.comparePins(log.Last())
}

// comparePins holds the journal against what was pinned last.
func (e *Engine) comparePins(last checkpoint.Checkpoint) error {
	if last.Journal == "" {
		return nil
	}
	c := e.o.Checkpoints
	if tip := e.journal.Tip(); tip.Seq < last.Seq {
		return fmt.Errorf("%w: %s pins record %d of journal %s, which ends at %d: it is an older copy", ErrRefused, c.Path, last.Seq, e.o.Journal, tip.Seq)
	}
	hash, err := e.journal.HashAt(last.Seq)
	if err == nil && hash != last.Hash {
		err = fmt.Errorf("%w: record %d of journal %s is not the one that %s pins", ErrRefused, last.Seq, e.o.Journal, c.Path)
	}
	return err
}

// pin makes notes until ctx ends. A note that cannot be written stops no sweep: the
// homes go first, and the next one pins the same records.
func (e *Engine) pin(ctx context.Context) {
	if e.pins == nil {
		return
	}
	every := e.o.Checkpoints.Every
	if every == 0 {
		every = time.Minute
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		e.pinNow()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			e.pinNow()
			return
		}
	}
}

func (e *Engine) pinNow() {
	tip := e.journal.Tip()
	err := e.pins.Append(checkpoint.Checkpoint{
		Journal: e.journal.ID(), Seq: tip.Seq, Hash: tip.Hash, At: time.Now().UTC().Truncate(time.Second),
	})
	if err != nil {
		e.o.Log.Error("no checkpoint: what the journal holds now is not pinned", zap.Uint64("seq", tip.Seq), zap.Error(err))
	}
}

// startPinning makes notes beside a running sweep; the function it returns makes the
// last one.
func (e *Engine) startPinning() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.pin(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}
