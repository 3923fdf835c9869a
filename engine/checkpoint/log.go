package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/note"

	"safemode/engine/durable"
	"safemode/servicerequests/safefile"
)

// Log is a file of checkpoints that is written. One goroutine may use it.
type Log struct {
	file   *os.File
	made   bool  // by this OpenLog
	whole  int64 // bytes of the file: whole notes, all durable
	torn   bool  // something may stand behind them
	signer note.Signer
	last   Checkpoint // zero: none yet
}

// OpenLog opens a journal's file of checkpoints, or makes it. A torn note at its end
// is dropped. What stands in it must be by the same key, of the same journal; a file
// that is refused stays as it is.
func OpenLog(path, journal string, signer note.Signer, verifier note.Verifier) (_ *Log, err error) {
	l := &Log{signer: signer, made: true}
	if l.file, err = safefile.OpenToWrite(path, os.O_CREATE|os.O_EXCL, 0o600); errors.Is(err, os.ErrExist) {
		l.made = false
		l.file, err = safefile.OpenToWrite(path, 0, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoints: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("checkpoints %s: %w", path, err), l.Discard())
		}
	}()
	b, err := safefile.Bounded(l.file, path, safefile.List)
	if err != nil {
		return nil, err
	}
	if l.last, l.whole, err = examine(b, journal, verifier); err != nil {
		return nil, err
	}
	if err := l.cutBack(); err != nil || !l.made {
		return l, err
	}
	return l, durable.SyncDir(filepath.Dir(path))
}

// Check says what [OpenLog] would of a file, and returns its last checkpoint; zero if
// there is none. It changes nothing. A file that is not there is no error.
func Check(path, journal string, verifier note.Verifier) (last Checkpoint, err error) {
	b, err := safefile.Read(path, safefile.List, safefile.Checked)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return last, fmt.Errorf("checkpoints: %w", err)
	}
	if last, _, err = examine(b, journal, verifier); err != nil {
		err = fmt.Errorf("checkpoints %s: %w", path, err)
	}
	return last, err
}

// examine reads the whole notes of a file, and refuses what does not belong there.
func examine(b []byte, journal string, verifier note.Verifier) (last Checkpoint, whole int64, err error) {
	rest := b
	for {
		var first []byte
		if first, rest = next(rest); first == nil {
			break
		}
		whole += int64(len(first))
	}
	if begin := []byte(format + "\n"); !bytes.HasPrefix(rest, begin) && !bytes.HasPrefix(begin, bytes.TrimRight(rest, "\x00")) {
		return last, 0, fmt.Errorf("%w: something else stands behind the last note", ErrForm)
	}
	all, err := Read(b[:whole], verifier)
	if err != nil || len(all) == 0 {
		return last, whole, err
	}
	if last = all[len(all)-1]; last.Journal != journal {
		return last, 0, fmt.Errorf("%w: they are of journal %s, not of %s", ErrForm, last.Journal, journal)
	}
	return last, whole, nil
}

// cutBack drops what stands behind the last whole note.
func (l *Log) cutBack() error {
	l.torn = true
	if err := l.file.Truncate(l.whole); err != nil {
		return err
	}
	if _, err := l.file.Seek(l.whole, io.SeekStart); err != nil {
		return err
	}
	l.torn = false
	return nil
}

// Append signs a checkpoint and makes it durable. One of a record that the last one
// was of already is passed over; one behind it is refused with [ErrBackwards]: the
// journal is not the one that was pinned. After any other error the note is not there,
// and the next Append may do: the disk has room again, say.
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
	if l.torn {
		if err := l.cutBack(); err != nil {
			return err
		}
	}
	_, err = l.file.Write(b)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return errors.Join(err, l.cutBack())
	}
	l.last, l.whole = c, l.whole+int64(len(b))
	return nil
}

// Last is the last checkpoint; zero if there is none.
func (l *Log) Last() Checkpoint { return l.last }

// Discard closes the file, and removes it if this log made it.
func (l *Log) Discard() error {
	var err error
	if l.made {
		err = durable.Remove(l.file.Name())
	}
	return errors.Join(err, l.file.Close())
}

// Close closes the file.
func (l *Log) Close() error { return l.file.Close() }
