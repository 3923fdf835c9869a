package engine

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/mod/sumdb/note"

	"safemode/engine/checkpoint"
	"safemode/engine/durable"
	"safemode/engine/journal"
)

// Checkpoints says where the signed notes lie of how far the journal had come, and who signs
// them. The zero value makes none.
type Checkpoints struct {
	Path     string // of the file; of a custody in a database, the file's name there
	Signer   note.Signer
	Verifier note.Verifier // of the same key
	Every    time.Duration // real time; 0: a minute
}

// notes returns where the notes lie, so that a second machine finds them.
func (e *Engine) notes() (files durable.Files, name string) {
	path := e.o.Checkpoints.Path
	if journal.IsAddress(e.o.CustodyDir) {
		return e.files, path
	}
	return durable.Folder(filepath.Dir(path)), filepath.Base(path)
}

// openCheckpoints opens the notes, and refuses another journal than theirs, or one that lacks
// a record that they have pinned.
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
	return e.comparePins(log.Last(), c.Path)
}

// comparePins compares the journal with the last checkpoint of a file.
func (e *Engine) comparePins(last checkpoint.Checkpoint, path string) error {
	if last.Journal == "" {
		return nil
	}
	j := e.counted()
	if end, _ := j.Position(); end < last.Seq {
		return fmt.Errorf("%w: %s pins record %d of journal %s, which ends at %d: it is an older copy", ErrRefused, path, last.Seq, e.o.Journal, end)
	}
	hash, err := j.HashAt(last.Seq)
	if err == nil && hash != last.Hash {
		err = fmt.Errorf("%w: record %d of journal %s is not the one that %s pins", ErrRefused, last.Seq, e.o.Journal, path)
	}
	return err
}

// pin makes notes until ctx ends. A note that cannot be written does not stop the sweep: the
// homes are more urgent, and the next note pins the same records.
func (e *Engine) pin(ctx context.Context) {
	if e.pins == nil {
		return
	}
	e.pinNow()
	every(ctx, cmp.Or(e.o.Checkpoints.Every, time.Minute), e.pinNow)
	e.pinNow()
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
	var pinning sync.WaitGroup
	pinning.Go(func() { e.pin(ctx) })
	return func() {
		cancel()
		pinning.Wait()
	}
}
