package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/mod/sumdb/note"
)

// Log is a file of checkpoints that is written. One goroutine may use it.
type Log struct {
	file   *os.File
	signer note.Signer
	last   Checkpoint // zero: none yet
}

// OpenLog opens a journal's file of checkpoints, or makes it. A torn note at its end
// is dropped. What stands in it must be by the same key, of the same journal.
func OpenLog(path, journal string, signer note.Signer, verifier note.Verifier) (_ *Log, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("checkpoints: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("checkpoints %s: %w", path, err), f.Close())
		}
	}()
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	whole := int64(0)
	for rest := b; ; {
		var first []byte
		if first, rest = next(rest); first == nil {
			break
		}
		whole += int64(len(first))
	}
	all, err := Read(b[:whole], verifier)
	if err != nil {
		return nil, err
	}
	l := &Log{file: f, signer: signer}
	if len(all) > 0 {
		l.last = all[len(all)-1]
		if l.last.Journal != journal {
			return nil, fmt.Errorf("%w: they are of journal %s, not of %s", ErrForm, l.last.Journal, journal)
		}
	}
	if err := f.Truncate(whole); err != nil {
		return nil, err
	}
	_, err = f.Seek(whole, io.SeekStart)
	return l, err
}

// Append signs a checkpoint and makes it durable. One of a record that the last one
// was of already is passed over; one behind it is refused with [ErrBackwards]: the
// journal is not the one that was pinned.
func (l *Log) Append(c Checkpoint) error {
	switch {
	case c.Seq < l.last.Seq, c.Seq == l.last.Seq && c.Seq != 0 && c.Hash != l.last.Hash:
		return fmt.Errorf("%w: record %d after %d", ErrBackwards, c.Seq, l.last.Seq)
	case c.Seq == l.last.Seq && l.last.Journal != "":
		return nil
	}
	b, err := c.Sign(l.signer)
	if err != nil {
		return err
	}
	if _, err := l.file.Write(b); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.last = c
	return nil
}

// Last is the last checkpoint; zero if there is none.
func (l *Log) Last() Checkpoint { return l.last }

// Close closes the file.
func (l *Log) Close() error { return l.file.Close() }
