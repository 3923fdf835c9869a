package callbook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"safemode/engine/durable"
	"safemode/engine/record"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/table"
)

// ErrDamaged is of a record that is not what was written.
var ErrDamaged = errors.New("the record of calls is damaged")

// Suffix is added to a journal's name for the record beside it.
const Suffix = ".calls"

// Call is one call to a home, or one try.
type Call struct {
	Seq       int       `json:"seq"`  // from 1
	Prev      string    `json:"prev"` // digest of the line before
	SweepID   string    `json:"sweep_id"`
	MPxN      string    `json:"mpxn"`
	Outcome   string    `json:"outcome"`
	Person    string    `json:"person"` // who called
	At        time.Time `json:"at"`     // real time
	Note      string    `json:"note"`
	TakenInBy string    `json:"taken_in_by"`
	TakenInAt time.Time `json:"taken_in_at"`
}

// The outcomes: those of tries, and those that end it.
var (
	tries = []string{"no_answer", "message", "call_back", "wrong_number"}
	ends  = []string{"pressed", "visit", "moved", "other"}
)

// Done says whether nobody needs to call the home again.
func (c *Call) Done() bool { return slices.Contains(ends, c.Outcome) }

// said is what a row says; two of the same are one call that came in twice.
func (c *Call) said() [5]string {
	return [...]string{c.MPxN, c.Outcome, c.Person, c.At.UTC().Format(time.RFC3339Nano), c.Note}
}

// mostNote is the longest note, in bytes.
const mostNote = 500

// RowError is why a row was not taken in.
type RowError struct {
	Line   int
	MPxN   string // as it stands there
	Reason string
}

func (e *RowError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// Parse reads the calls of a CSV. It returns good rows and rows with faults; blank is the number
// of rows without an outcome. planned turns an MPxN into the sweep's form, or says that the
// sweep has no such home. The error is of the file as a whole.
func Parse(r io.Reader, planned func(mpxn string) (string, bool), now time.Time) (good []Call, bad []*RowError, blank int, err error) {
	in := table.NewReader(r)
	header, err := in.Header([]string{"mpxn", "outcome", "person", "at", "note"})
	if err != nil {
		return nil, nil, 0, err
	}
	place := map[string]int{}
	for i, name := range header {
		place[name] = i
	}
	for {
		fields, line, err := in.Next()
		if errors.Is(err, io.EOF) {
			return good, bad, blank, nil
		}
		if err != nil {
			return nil, nil, 0, err
		}
		if len(fields) != len(header) {
			bad = append(bad, &RowError{Line: line, Reason: fmt.Sprintf("%d fields where the header has %d", len(fields), len(header))})
			continue
		}
		of := func(name string) string { return strings.TrimSpace(fields[place[name]]) }
		if of("outcome") == "" {
			blank++
			continue
		}
		c := Call{Outcome: of("outcome"), Person: of("person"), Note: of("note")}
		reason := c.check(of("mpxn"), of("at"), planned, now)
		if reason != "" {
			bad = append(bad, &RowError{Line: line, MPxN: of("mpxn"), Reason: reason})
			continue
		}
		good = append(good, c)
	}
}

// check fills in what has to be understood, and says what is wrong.
func (c *Call) check(mpxn, at string, planned func(string) (string, bool), now time.Time) string {
	var known bool
	var err error
	if c.MPxN, known = planned(mpxn); !known {
		return "mpxn: this sweep has no such home; a spreadsheet may have rounded it: keep the column as text"
	}
	if !slices.Contains(tries, c.Outcome) && !slices.Contains(ends, c.Outcome) {
		return fmt.Sprintf("outcome: want %s, or to end it %s", strings.Join(tries, ", "), strings.Join(ends, ", "))
	}
	if err := record.CheckName(c.Person); err != nil {
		return "person: " + err.Error()
	}
	if c.At, err = time.Parse(time.RFC3339, at); err != nil {
		return "at: want a time with its zone, like 2026-11-30T03:10:00Z"
	}
	if c.At = c.At.UTC(); c.At.After(now.Add(5 * time.Minute)) {
		return "at: it is in the future"
	}
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	if len(c.Note) > mostNote || !utf8.ValidString(c.Note) || strings.ContainsFunc(c.Note, unprintable) {
		return fmt.Sprintf("note: want %d bytes at most, on one line", mostNote)
	}
	return ""
}

// Read reads a record; none is no call. A record that does not hold, or is of another sweep,
// is [ErrDamaged].
func Read(path, sweepID string) ([]Call, error) {
	text, err := safefile.Read(path, safefile.List, safefile.Own)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Call
	prev := digest(nil)
	for len(text) > 0 {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		var c Call
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		switch err := d.Decode(&c); {
		case err != nil || !whole:
			return nil, fmt.Errorf("%s, line %d: %w", path, len(all)+1, ErrDamaged)
		case c.Seq != len(all)+1 || c.Prev != prev:
			return nil, fmt.Errorf("%s, line %d: %w: a line was changed, taken out or moved before it", path, len(all)+1, ErrDamaged)
		case c.SweepID != sweepID:
			return nil, fmt.Errorf("%s, line %d: %w: it is of sweep %.20q, this is %s", path, c.Seq, ErrDamaged, c.SweepID, sweepID)
		}
		all, text, prev = append(all, c), rest, digest(line)
	}
	return all, nil
}

// Add takes calls into a record, which it makes if there is none, and says how many were new.
// On return they are durable. Only one process at a time adds to a record.
func Add(path, sweepID, by string, now time.Time, calls []Call) (added int, err error) {
	if err := record.CheckName(by); err != nil {
		return 0, err
	}
	lock, err := durable.TakeLock(path + ".lock")
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	all, err := Read(path, sweepID)
	if err != nil {
		return 0, err
	}
	known := map[[5]string]bool{}
	for i := range all {
		known[all[i].said()] = true
	}
	for _, c := range calls {
		if known[c.said()] {
			continue
		}
		known[c.said()] = true
		c.SweepID, c.TakenInBy, c.TakenInAt = sweepID, by, now.UTC()
		all = append(all, c)
		added++
	}
	if added == 0 {
		return 0, nil
	}
	var text bytes.Buffer
	prev := digest(nil)
	for i := range all {
		all[i].Seq, all[i].Prev = i+1, prev
		line, err := json.Marshal(&all[i])
		if err != nil {
			return 0, err
		}
		prev = digest(line)
		text.Write(append(line, '\n'))
	}
	return added, durable.Replace(path, 0o600, durable.Bytes(text.Bytes()))
}

func digest(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// Home is what was done about one home.
type Home struct {
	Attempts int  // calls, the one that ended it included
	Last     Call // the latest by its time
	Done     bool
}

// ByHome sums a record up by MPxN. It counts calls until an instant; zero: all.
func ByHome(all []Call, until time.Time) map[string]Home {
	homes := map[string]Home{}
	for _, c := range all {
		if !until.IsZero() && c.At.After(until) {
			continue
		}
		h := homes[c.MPxN]
		h.Attempts++
		h.Done = h.Done || c.Done()
		if !c.At.Before(h.Last.At) {
			h.Last = c
		}
		homes[c.MPxN] = h
	}
	return homes
}

// Beside is the path of the record beside a journal; empty if the journal is not a file.
func Beside(journal string) string {
	if strings.Contains(journal, "://") {
		return ""
	}
	return journal + Suffix
}
