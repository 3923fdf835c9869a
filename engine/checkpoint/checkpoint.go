package checkpoint

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Checkpoint says how far a journal had come.
type Checkpoint struct {
	Journal string    // ID, 32 hexadecimal digits
	Seq     uint64    // of the last durable record
	Hash    [32]byte  // of that record
	At      time.Time // by the machine's clock, in seconds
}

// Errors of reading notes.
var (
	ErrForm      = errors.New("checkpoint: not a checkpoint")
	ErrSignature = errors.New("checkpoint: not signed by the key given")
	ErrBackwards = errors.New("checkpoint: a note is of an earlier record than the one before")
)

const format = "safemode journal"

// Sign makes the signed note of a checkpoint.
func (c Checkpoint) Sign(signer note.Signer) ([]byte, error) {
	return note.Sign(&note.Note{Text: c.text()}, signer)
}

func (c Checkpoint) text() string {
	return fmt.Sprintf("%s\n%s\n%d\n%s\n%s\n", format, c.Journal, c.Seq,
		base64.StdEncoding.EncodeToString(c.Hash[:]), c.At.UTC().Format(time.RFC3339))
}

// open reads one signed note.
func open(b []byte, verifier note.Verifier) (Checkpoint, error) {
	n, err := note.Open(b, note.VerifierList(verifier))
	var unverified *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unverified):
		return Checkpoint{}, ErrSignature
	case err != nil:
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrForm, err)
	case len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 0:
		return Checkpoint{}, fmt.Errorf("%w: %d signatures, want one", ErrForm, len(n.Sigs)+len(n.UnverifiedSigs))
	}
	return parse(n.Text)
}

func parse(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 6 || lines[0] != format || lines[5] != "" {
		return Checkpoint{}, fmt.Errorf("%w: want five lines, the first %q", ErrForm, format)
	}
	c := Checkpoint{Journal: lines[1]}
	id, err := hex.DecodeString(c.Journal)
	if err != nil || len(id) != 16 || c.Journal != strings.ToLower(c.Journal) {
		return Checkpoint{}, fmt.Errorf("%w: journal ID %q", ErrForm, c.Journal)
	}
	if c.Seq, err = strconv.ParseUint(lines[2], 10, 63); err != nil || lines[2] != strconv.FormatUint(c.Seq, 10) {
		return Checkpoint{}, fmt.Errorf("%w: seq %q", ErrForm, lines[2])
	}
	hash, err := base64.StdEncoding.Strict().DecodeString(lines[3])
	if err != nil || len(hash) != len(c.Hash) {
		return Checkpoint{}, fmt.Errorf("%w: hash %q", ErrForm, lines[3])
	}
	copy(c.Hash[:], hash)
	if c.At, err = time.Parse(time.RFC3339, lines[4]); err != nil || c.At.UTC().Format(time.RFC3339) != lines[4] {
		return Checkpoint{}, fmt.Errorf("%w: time %q", ErrForm, lines[4])
	}
	return c, nil
}

// signatureLine begins the last line of a note.
var signatureLine = []byte("\n\n— ")

// next cuts off the first complete note; it is nil if there is none.
func next(b []byte) (first, rest []byte) {
	i := bytes.Index(b, signatureLine)
	if i < 0 {
		return nil, b
	}
	end := bytes.IndexByte(b[i+len(signatureLine):], '\n')
	if end < 0 {
		return nil, b
	}
	end += i + len(signatureLine) + 1
	return b[:end], b[end:]
}

// Read reads the notes of a file, in order. The error names the first note that is
// not of the form, not by the verifier's key, of another journal than the first, or
// behind the one before it. Bytes after the last whole note are [ErrForm].
func Read(b []byte, verifier note.Verifier) ([]Checkpoint, error) {
	var all []Checkpoint
	for len(b) > 0 {
		first, rest := next(b)
		if first == nil {
			return all, fmt.Errorf("note %d: %w: it is cut off", len(all)+1, ErrForm)
		}
		c, err := open(first, verifier)
		if err == nil && len(all) > 0 {
			last := all[len(all)-1]
			switch {
			case c.Journal != last.Journal:
				err = fmt.Errorf("%w: journal %s after %s", ErrForm, c.Journal, last.Journal)
			case c.Seq < last.Seq, c.Seq == last.Seq && c.Hash != last.Hash:
				err = fmt.Errorf("%w: record %d after %d", ErrBackwards, c.Seq, last.Seq)
			}
		}
		if err != nil {
			return all, fmt.Errorf("note %d: %w", len(all)+1, err)
		}
		all, b = append(all, c), rest
	}
	return all, nil
}
