package custody

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"safemode/engine/durable"
	"safemode/servicerequests"
	"safemode/servicerequests/safefile"
)

// state is the file's content; see doc.go.
type state struct {
	Originator servicerequests.EUI `json:"originator"`
	Owner      string              `json:"owner"`
	HighWater  uint64              `json:"high_water"`

	JournalRecords uint64     `json:"journal_records,omitempty"`
	JournalHash    digest     `json:"journal_hash,omitzero"`
	Released       *time.Time `json:"released,omitempty"`
}

// digest is a SHA-256 as hexadecimal text.
type digest [32]byte

// MarshalText implements [encoding.TextMarshaler].
func (d digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *digest) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(d) {
		return fmt.Errorf("%q: want %d hexadecimal digits", text, 2*len(d))
	}
	*d = digest(b)
	return nil
}

func nameOf(originator servicerequests.EUI) string { return originator.String() + ".json" }

// note records how far the owner has come.
func (s *state) note(owner Owner) { s.JournalRecords, s.JournalHash = owner.Position() }

// compareOwner refuses an owner that is an older copy of itself, or one that went
// on from an older copy: it lacks messages that were sent under the counters.
func (s *state) compareOwner(owner Owner) error {
	records, _ := owner.Position()
	if records < s.JournalRecords {
		return fmt.Errorf("%w: it ends at record %d, and counters were given out when it had %d; %s",
			ErrOldJournal, records, s.JournalRecords, acceptRemedy)
	}
	if s.JournalRecords == 0 {
		return nil // an empty journal, or a file of an older program
	}
	hash, err := owner.HashAt(s.JournalRecords)
	if err != nil {
		return err
	}
	if hash != s.JournalHash {
		return fmt.Errorf("%w: its record %d is not the one it had when counters were given out; %s",
			ErrOldJournal, s.JournalRecords, acceptRemedy)
	}
	return nil
}

const acceptRemedy = "go on with the newer one, or, if it is lost, have two approve this one (safemode approve --accept) and take it with safemode custody accept"

// load reads a custody file. It refuses anything else: a guessed counter would
// be a repeated one.
func load(files durable.Files, name string) (s state, text []byte, err error) {
	if text, err = files.Read(name, safefile.Small, safefile.Own); err != nil {
		return s, nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return s, nil, fmt.Errorf("%w: text after the object", ErrDamaged)
	}
	switch {
	case s.Originator == 0:
		err = fmt.Errorf("%w: no originator", ErrDamaged)
	case s.Owner == "":
		err = fmt.Errorf("%w: no owner", ErrDamaged)
	case s.HighWater == 0 || s.HighWater > servicerequests.MaxCounter:
		err = fmt.Errorf("%w: high_water %d", ErrDamaged, s.HighWater)
	}
	return s, text, err
}

// encode is the file's text.
func (s state) encode() ([]byte, error) {
	b, err := json.MarshalIndent(s, "", "  ")
	return append(b, '\n'), err
}
