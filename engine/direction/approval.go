package direction

import (
	"bytes"
	"cmp"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"safemode/engine/durable"
	"safemode/servicerequests/safefile"
)

// Purpose is what an approval is for.
type Purpose string

// The purposes.
const (
	Start  Purpose = "start"  // the sweep begins
	Resume Purpose = "resume" // it goes on after one stop, which the approval names
	Accept Purpose = "accept" // a restored journal or another custody folder is gone on with: the approval names its state
)

// Terms are what a person approves.
type Terms struct {
	PlanSHA256  string    `json:"plan_sha256"`
	Header      string    `json:"header_sha256"` // of the plan's header, as the journal holds it
	SweepID     string    `json:"sweep_id"`
	Environment string    `json:"environment"`
	Journal     string    `json:"journal_id"` // the one journal that it is for
	Custody     string    `json:"custody_id"` // the one folder of counters that it is for
	Purpose     Purpose   `json:"purpose"`
	Subject     string    `json:"subject,omitempty"` // of a resume: the journal's record of the stop; of an acceptance: what is accepted
	Resumes     int       `json:"resumes"`           // after how many stops that were no halts the sweep may go on without another approval
	IssuedAt    time.Time `json:"issued_at"`         // whole seconds
	ExpiresAt   time.Time `json:"expires_at"`        // the last instant at which a sweep may begin or go on by it
	Approver    Signatory `json:"approver"`
}

// MostResumes is the most resumes that an approval may allow.
const MostResumes = 1000

// Approval is one person's signature over terms.
type Approval struct {
	Terms
	Signature []byte `json:"signature"` // of [Sign] over [Terms.Text]
}

// ErrNotApproved is the error for a sweep that two people have not approved.
var ErrNotApproved = errors.New("not approved")

// heading is the first line of what is signed. It ends in the version.
const heading = "safemode approval 2\n"

// Text is what is signed: the canonical encoding of the package comment.
func (t *Terms) Text() ([]byte, error) {
	text := []byte(heading)
	for _, f := range [...]struct{ name, value string }{
		{"plan", t.PlanSHA256},
		{"header", t.Header},
		{"sweep", t.SweepID},
		{"environment", t.Environment},
		{"journal", t.Journal},
		{"custody", t.Custody},
		{"purpose", string(t.Purpose)},
		{"subject", t.Subject},
		{"resumes", strconv.Itoa(t.Resumes)},
		{"issued", t.IssuedAt.UTC().Format(time.RFC3339)},
		{"expires", t.ExpiresAt.UTC().Format(time.RFC3339)},
		{"approver", t.Approver.Name},
		{"key", t.Approver.Key},
	} {
		if strings.ContainsAny(f.value, "\r\n") {
			return nil, fmt.Errorf("approval: %s holds a line end", f.name)
		}
		text = fmt.Appendf(text, "%s %s\n", f.name, f.value)
	}
	return text, nil
}

// ParseTerms reads what [Terms.Text] has written, and nothing else. The error wraps
// [ErrNotApproved].
func ParseTerms(text string) (t Terms, err error) {
	rest, ours := strings.CutPrefix(text, heading)
	lines := strings.Split(rest, "\n")
	if !ours || len(lines) != 14 {
		return t, fmt.Errorf("%w: no approval of this version", ErrNotApproved)
	}
	value := func(i int) string {
		_, v, _ := strings.Cut(lines[i], " ")
		return v
	}
	t = Terms{
		PlanSHA256: value(0), Header: value(1), SweepID: value(2), Environment: value(3), Journal: value(4), Custody: value(5),
		Purpose: Purpose(value(6)), Subject: value(7), Approver: Signatory{value(11), value(12)},
	}
	var faults [3]error
	t.Resumes, faults[0] = strconv.Atoi(value(8))
	t.IssuedAt, faults[1] = time.Parse(time.RFC3339, value(9))
	t.ExpiresAt, faults[2] = time.Parse(time.RFC3339, value(10))
	again, err := t.Text()
	if err = errors.Join(faults[0], faults[1], faults[2], err); err != nil {
		return t, fmt.Errorf("%w: %w", ErrNotApproved, err)
	}
	if string(again) != text {
		return t, fmt.Errorf("%w: not in the form of an approval", ErrNotApproved)
	}
	return t, nil
}

// Approve signs terms.
func Approve(t Terms, key crypto.Signer) (*Approval, error) {
	t.IssuedAt, t.ExpiresAt = t.IssuedAt.UTC().Truncate(time.Second), t.ExpiresAt.UTC().Truncate(time.Second)
	text, err := t.Text()
	if err != nil {
		return nil, err
	}
	signature, err := Sign(key, text)
	if err != nil {
		return nil, err
	}
	return &Approval{t, signature}, nil
}

// approvalPattern matches the files of a plan's folder that hold approvals.
const approvalPattern = "approval-*.json"

// Save writes the approval into a plan's folder, whole or not at all and durably, and returns the
// file's name.
func (a *Approval) Save(folder string) (path string, err error) {
	name := fmt.Sprintf("approval-%s-%s-%s.json", a.Purpose, fileName(a.Approver.Name), a.IssuedAt.Format("20060102T150405Z"))
	b, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return "", err
	}
	path = filepath.Join(folder, name)
	return path, durable.Replace(path, 0o600, durable.Bytes(append(b, '\n')))
}

// fileName keeps of a name what is safe in a file's name.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
}

// ApprovalFiles names the files of the approvals in a plan's folder, in order.
func ApprovalFiles(folder string) ([]string, error) {
	files, err := fs.Glob(os.DirFS(folder), approvalPattern)
	slices.Sort(files)
	for i, name := range files {
		files[i] = filepath.Join(folder, name)
	}
	return files, err
}

// LoadApprovals reads the approvals of a plan's folder. An approval that cannot be read is an
// error, and is not skipped.
func LoadApprovals(folder string) ([]*Approval, error) {
	files, err := ApprovalFiles(folder)
	if err != nil {
		return nil, err
	}
	var all []*Approval
	for _, file := range files {
		b, err := safefile.Read(file, safefile.Small, safefile.Checked)
		if err != nil {
			return nil, err
		}
		var a Approval
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(&a); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", file, ErrNotApproved, err)
		}
		all = append(all, &a)
	}
	return all, nil
}

// Occasion is what a sweep needs approval for.
type Occasion struct {
	PlanSHA256  string
	Header      string // hash of the plan's header
	SweepID     string
	Environment string
	Journal     string      // ID of the journal that it is for
	Custody     string      // ID of the folder of counters that it is for
	Others      []Signatory // the plan's preparer and the direction's recorder, who may not approve it
	Purpose     Purpose
	Subject     string
	Trust       Trust
	MaxValidity time.Duration // how long an approval may be valid; 0: [LongestValid]
}

// LongestValid is how long an approval may be valid unless something else is configured.
const LongestValid = 72 * time.Hour

// check says why an approval does not count for an occasion; nil: it does.
func (o *Occasion) check(a *Approval, roster *Roster, now time.Time) error {
	if a.Journal == "" || a.Custody == "" {
		return errors.New("an older program made it, and it binds no journal and no custody: make a new plan and approve that")
	}
	text, err := a.Text()
	if err != nil {
		return err
	}
	who := roster.WithKey(a.Approver.Key)
	const skew = 5 * time.Minute // between the clocks of two machines
	longest := cmp.Or(o.MaxValidity, LongestValid)
	for _, other := range o.Others {
		if a.Approver.Same(other) {
			return errors.New("who has prepared a plan or recorded its direction may not approve it")
		}
	}
	switch {
	case a.PlanSHA256 != o.PlanSHA256 || a.Header != o.Header:
		return fmt.Errorf("it approves another plan (%.12s...): the plan was altered or made again since", a.PlanSHA256)
	case a.SweepID != o.SweepID || a.Environment != o.Environment:
		return fmt.Errorf("it is for sweep %s in environment %s", a.SweepID, a.Environment)
	case a.Journal != o.Journal:
		return fmt.Errorf("it is for journal %s, and this is %s", a.Journal, o.Journal)
	case a.Custody != o.Custody:
		return fmt.Errorf("it is for custody %s, and this is %s", a.Custody, o.Custody)
	case who == nil || who.Name != a.Approver.Name:
		return errors.New("nobody on the roster has this name and key")
	case !who.May(Approver):
		return errors.New("no approver on the roster")
	case Verify(who.Certificate, text, a.Signature) != nil:
		return errors.New("the signature is not valid: the approval was altered")
	case now.Add(skew).Before(a.IssuedAt):
		return fmt.Errorf("it was issued in the future, at %s", a.IssuedAt.Format(time.RFC3339))
	case now.After(a.ExpiresAt):
		return fmt.Errorf("it expired %s", a.ExpiresAt.Format(time.RFC3339))
	case a.ExpiresAt.Sub(a.IssuedAt) > longest:
		return fmt.Errorf("it is valid for %v: at most %v", a.ExpiresAt.Sub(a.IssuedAt), longest)
	case a.Resumes < 0 || a.Resumes > MostResumes:
		return fmt.Errorf("%d resumes ahead: at most %d", a.Resumes, MostResumes)
	}
	return o.Trust.Check(who.Certificate, a.IssuedAt, now)
}

// Find returns the approvals of two different people that count for an occasion, the newest
// of each. The error is a [*MissingError], is one line, and says what is missing and what
// is wrong with the approvals that are there.
func (o *Occasion) Find(all []*Approval, roster *Roster, now time.Time) ([]*Approval, error) {
	var good []*Approval
	var faults []string
	seen := 0 // for this occasion, good or not
	for _, a := range all {
		if a.Purpose != o.Purpose || a.Subject != o.Subject {
			continue
		}
		seen++
		if err := o.check(a, roster, now); err != nil {
			faults = append(faults, fmt.Sprintf("%s: %v", a.Approver.Name, err))
			continue
		}
		good = append(good, a)
	}
	slices.SortStableFunc(good, func(a, b *Approval) int { return cmp.Compare(b.IssuedAt.Unix(), a.IssuedAt.Unix()) })
	var two []*Approval
	for _, a := range good {
		if !slices.ContainsFunc(two, func(b *Approval) bool { return a.Approver.Same(b.Approver) }) {
			two = append(two, a)
		}
	}
	if len(two) >= 2 {
		return two[:2], nil
	}
	what := string(o.Purpose)
	if o.Subject != "" {
		what += " " + o.Subject
	}
	have := "nobody has signed"
	switch {
	case len(two) == 1 && len(good) > 1:
		have = fmt.Sprintf("the same person signed twice (%s)", two[0].Approver.Name)
	case len(two) == 1:
		have = fmt.Sprintf("one has signed (%s)", two[0].Approver.Name)
	case seen > 0:
		have = "no signature counts"
	}
	text := fmt.Sprintf("%s of sweep %s: %s, and two approvers must", what, o.SweepID, have)
	if len(faults) > 0 {
		text += "; " + strings.Join(faults, "; ")
	}
	missing := &MissingError{text: text}
	for _, a := range two {
		missing.Signed = append(missing.Signed, a.Approver)
	}
	return nil, missing
}

// MissingError says that two people have not approved an occasion. It wraps [ErrNotApproved].
type MissingError struct {
	Signed []Signatory // who has approved; one at most
	text   string
}

func (e *MissingError) Error() string { return ErrNotApproved.Error() + ": " + e.text }

// Unwrap is [ErrNotApproved].
func (e *MissingError) Unwrap() error { return ErrNotApproved }

// ResumesOf is how many resumes approvals allow together: the fewest of any.
func ResumesOf(approvals []*Approval) int {
	fewest := MostResumes
	for _, a := range approvals {
		fewest = min(fewest, a.Resumes)
	}
	return fewest
}
