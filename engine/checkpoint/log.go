package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/mod/sumdb/note"

	"safemode/engine/durable"
	"safemode/servicerequests/safefile"
)

// Log is a file of checkpoints that is written. One goroutine may use it.
type Log struct {
	files  durable.Files
	name   string
	made   bool  // by this OpenLog
	whole  int64 // bytes of the file: whole notes, all durable
	size   int64 // of the file, which may end in an incomplete note; -1: not known
	signer note.Signer
	last   Checkpoint // zero: none yet
}

// OpenLog opens a journal's file of checkpoints, or makes it. It drops an incomplete note at
// the end. All notes must be by the same key, of the same journal; a file that is refused
// stays as it is.
func OpenLog(files durable.Files, name, journal string, signer note.Signer, verifier note.Verifier) (_ *Log, err error) {
	l := &Log{files: files, name: name, signer: signer}
	defer func() {
		if err != nil {
			err = fmt.Errorf("checkpoints %s: %w", files.Path(name), err)
		}
	}()
	b, err := files.Read(name, safefile.List, safefile.Checked)
	if l.made = errors.Is(err, fs.ErrNotExist); l.made {
		return l, files.Append(name, -1, 0, nil)
	}
	if err != nil {
		return nil, err
	}
	l.size = int64(len(b))
	if l.last, l.whole, err = examine(b, journal, verifier); err != nil {
		return nil, err
	}
	return l, l.write(nil)
}

// write adds to the complete notes, and drops an incomplete one behind them.
func (l *Log) write(text []byte) error {
	if l.size < 0 {
		b, err := l.files.Read(l.name, safefile.List, safefile.Checked)
		if err != nil {
			return err
		}
		l.size = int64(len(b))
	}
	if err := l.files.Append(l.name, l.size, l.whole, text); err != nil {
		l.size = -1
		return err
	}
	l.whole += int64(len(text))
	l.size = l.whole
	return nil
}

// Check returns the error that [OpenLog] would return, and the last checkpoint; zero if there is
// none. It changes nothing. A missing file is no error.
func Check(files durable.Files, name, journal string, verifier note.Verifier) (last Checkpoint, err error) {
	b, err := files.Read(name, safefile.List, safefile.Checked)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		last, _, err = examine(b, journal, verifier)
	}
	if err != nil {
		err = fmt.Errorf("checkpoints %s: %w", files.Path(name), err)
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
	if err := l.write(b); err != nil {
		return err
	}
	l.last = c
	return nil
}

// Last is the last checkpoint; zero if there is none.
func (l *Log) Last() Checkpoint { return l.last }

// Discard removes the file, if this log made it and no note is in it.
func (l *Log) Discard() error {
	if !l.made || l.whole > 0 {
		return nil
	}
	return l.files.Replace(l.name, []byte{}, nil)
}
