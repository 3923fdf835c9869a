package plan

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"path/filepath"
	"reflect"

	"safemode/engine/durable"
	"safemode/servicerequests/safefile"
)

// FileName is the plan's name in its folder.
const FileName = "plan.ndjson"

// ErrDamaged is the error for a file that was cut or altered, or is no plan.
var ErrDamaged = errors.New("plan file is not as it was written")

// ErrVersion is the error for a plan of a version that this program does not read.
var ErrVersion = errors.New("plan file of another version")

// maxLine bounds a line of the file, in bytes. Far above any line written.
const maxLine = 4 << 20

// The kinds of lines. Each embeds what it carries behind its kind.
type (
	headerLine struct {
		Kind string `json:"kind"`
		Header
	}
	targetLine struct {
		Kind string `json:"kind"`
		Target
	}
	rejectedLine struct {
		Kind string `json:"kind"`
		Rejected
	}
	endLine struct {
		Kind      string `json:"kind"`
		SHA256    string `json:"sha256"`
		Signature []byte `json:"signature,omitempty"`
	}
)

// Write writes the plan in its one encoding and sets its SHA256.
func (p *Plan) Write(w io.Writer) error {
	sum := sha256.New()
	buffered := bufio.NewWriterSize(w, 1<<16)
	e := json.NewEncoder(lineLimit{io.MultiWriter(buffered, sum)})
	err := e.Encode(headerLine{"header", p.Header})
	for i := range p.Targets {
		err = cmp.Or(err, e.Encode(targetLine{"target", p.Targets[i]}))
	}
	for i := range p.Rejected {
		err = cmp.Or(err, e.Encode(rejectedLine{"rejected", p.Rejected[i]}))
	}
	p.SHA256 = hex.EncodeToString(sum.Sum(nil))
	err = cmp.Or(err, json.NewEncoder(buffered).Encode(endLine{"end", p.SHA256, p.Signature}))
	return cmp.Or(err, buffered.Flush())
}

// lineLimit refuses to write a line that is too long to be read again.
type lineLimit struct{ to io.Writer }

// Write writes one line.
func (r lineLimit) Write(line []byte) (int, error) {
	if len(line) > maxLine {
		return 0, fmt.Errorf("a line of the plan would have %d bytes, and none is read that has more than %d", len(line), maxLine)
	}
	return r.to.Write(line)
}

// Save writes the plan into a folder, whole or not at all, and durably.
func (p *Plan) Save(folder string) error {
	if err := durable.Replace(filepath.Join(folder, FileName), 0o600, p.Write); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	return nil
}

// Load reads the plan of a folder. Errors name the file.
func Load(folder string) (*Plan, error) { return readFile(filepath.Join(folder, FileName), Read) }

// readFile opens the file of a plan and reads it.
func readFile(name string, read func(io.Reader) (*Plan, error)) (*Plan, error) {
	f, err := safefile.Open(name, safefile.Mass, safefile.Checked)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	defer f.Close()
	p, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// Read reads a plan. Errors wrap [ErrDamaged] or [ErrVersion] and name the line,
// except those of r itself.
func Read(r io.Reader) (*Plan, error) {
	in := newReader(r)
	for in.lines.Scan() {
		in.line++
		if err := in.read(in.lines.Bytes()); err != nil {
			return nil, fmt.Errorf("line %d: %w", in.line, err)
		}
	}
	if _, err := in.finish(); err != nil {
		return nil, err
	}
	return &in.plan, in.check()
}

func newReader(r io.Reader) *reader {
	in := &reader{sum: sha256.New(), lines: bufio.NewScanner(r)}
	in.lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	in.lines.Split(wholeLines)
	return in
}

// finish checks that the end line was there.
func (in *reader) finish() (*Plan, error) {
	switch err := in.lines.Err(); {
	case errors.Is(err, errCut), errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("%w: line %d: %w", ErrDamaged, in.line+1, err)
	case err != nil:
		return nil, fmt.Errorf("plan: %w", err)
	case !in.ended:
		return nil, fmt.Errorf("%w: it was cut after line %d: there is no end line", ErrDamaged, in.line)
	}
	return &in.plan, nil
}

var errCut = errors.New("the line was cut")

// wholeLines splits into lines with their LF; a last line without one was cut.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, errCut
	}
	return 0, nil, nil
}

// reader is a plan that is being read.
type reader struct {
	lines *bufio.Scanner
	line  int
	sum   hash.Hash // over the lines so far
	plan  Plan
	ended bool

	targets, rejected int // lines of each so far
}

func (in *reader) read(line []byte) error {
	var kind struct {
		Kind    string `json:"kind"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(line, &kind); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	switch first := in.line == 1; {
	case in.ended:
		return fmt.Errorf("%w: something follows the end line", ErrDamaged)
	case first != (kind.Kind == "header"):
		return fmt.Errorf("%w: a plan has one header, on its first line", ErrDamaged)
	case first && kind.Version != Version:
		return fmt.Errorf("%w: version %d, this program reads %d: make a new plan and have it approved, and begin a new journal", ErrVersion, kind.Version, Version)
	}
	if kind.Kind == "end" {
		return in.end(line)
	}
	in.sum.Write(line)
	switch kind.Kind {
	case "header":
		l, err := decode[headerLine](line)
		in.plan.Header = l.Header
		return err
	case "target":
		l, err := decode[targetLine](line)
		in.plan.Targets = append(in.plan.Targets, l.Target)
		if in.targets++; err == nil && (l.Order != in.targets || in.rejected > 0) {
			return fmt.Errorf("%w: target %d is out of order", ErrDamaged, l.Order)
		}
		return err
	case "rejected":
		l, err := decode[rejectedLine](line)
		in.plan.Rejected = append(in.plan.Rejected, l.Rejected)
		in.rejected++
		return err
	}
	return fmt.Errorf("%w: unknown kind %q", ErrDamaged, kind.Kind)
}

func (in *reader) end(line []byte) error {
	in.ended = true
	l, err := decode[endLine](line)
	if err != nil {
		return err
	}
	in.plan.SHA256, in.plan.Signature = hex.EncodeToString(in.sum.Sum(nil)), l.Signature
	if l.SHA256 != in.plan.SHA256 {
		return fmt.Errorf("%w: it was altered: its lines hash to %s, the end line says %s", ErrDamaged, in.plan.SHA256, l.SHA256)
	}
	return nil
}

// check checks the plan by the rules, and the header's hashes by the lines.
func (in *reader) check() error {
	p := &in.plan
	if err := p.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if got := p.count(); got != p.Counts {
		return fmt.Errorf("%w: the header counts %+v, the lines are %+v", ErrDamaged, p.Counts, got)
	}
	if err := p.sums().check(&p.Header); err != nil {
		return err
	}
	if !reflect.DeepEqual(p.Schedule().Estimate, p.Estimate) {
		return fmt.Errorf("%w: the header's estimate does not follow from the lines", ErrDamaged)
	}
	return nil
}

// decode reads one line and refuses every other spelling of the same value.
func decode[T any](line []byte) (T, error) {
	var v T
	if err := json.Unmarshal(line, &v); err != nil {
		return v, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	canonical, err := json.Marshal(v)
	if err != nil {
		return v, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if !bytes.Equal(append(canonical, '\n'), line) {
		return v, fmt.Errorf("%w: not in the plan's own encoding", ErrDamaged)
	}
	return v, nil
}
