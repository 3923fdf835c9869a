package direction

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"safemode/engine/record"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/strictyaml"
)

// ErrRoster marks a roster that cannot be used.
var ErrRoster = errors.New("roster")

// Role is what a person may do.
type Role string

// The roles.
const (
	Recorder Role = "recorder" // records directions
	Approver Role = "approver" // approves plans and resumes
	Operator Role = "operator" // prepares plans and steers sweeps
)

// Person is somebody on the roster.
type Person struct {
	Name        string
	Roles       []Role
	Certificate *smki.Certificate
}

// Signatory is the person with the key that stands for them.
func (p *Person) Signatory() Signatory { return Signatory{p.Name, Fingerprint(p.Certificate)} }

// Roster says who may record, approve and operate. Get one from [LoadRoster] or
// [ParseRoster].
type Roster struct {
	People []Person

	// The bytes of the file, its signature, and the certificate that checks the signature;
	// empty if it was not loaded from a signed file.
	Text      string
	Signature []byte
	SignedBy  *smki.Certificate
}

// rosterFile is the file as it is written.
type rosterFile struct {
	People []struct {
		Name        string `koanf:"name"`
		Roles       []Role `koanf:"roles"`
		Certificate string `koanf:"certificate"` // PEM
	} `koanf:"people"`
}

// Validate checks every rule that needs no certificate read.
func (f *rosterFile) Validate() error {
	var faults []error
	check := func(ok bool, path, format string, args ...any) {
		if !ok {
			faults = append(faults, strictyaml.Faultf(path, format, args...))
		}
	}
	check(len(f.People) > 0, "people", "required: name one or more")
	for i, p := range f.People {
		path := fmt.Sprintf("people[%d]", i)
		if err := record.CheckName(p.Name); err != nil {
			check(false, path+".name", "%v", err)
		}
		for _, other := range f.People[:i] {
			check(!record.SameName(p.Name, other.Name), path+".name", "%q is named already", other.Name)
		}
		check(len(p.Roles) > 0, path+".roles", "required: recorder, approver, operator")
		for j, r := range p.Roles {
			at := fmt.Sprintf("%s.roles[%d]", path, j)
			check(r == Recorder || r == Approver || r == Operator, at, "%q: want recorder, approver or operator", string(r))
			check(slices.Index(p.Roles, r) == j, at, "%s is named already", r)
		}
		check(p.Certificate != "", path+".certificate", "required: the person's certificate as PEM text")
	}
	return errors.Join(faults...)
}

// ParseRoster reads a roster. Nobody may stand on it twice, by name or by key.
// Errors wrap [ErrRoster].
func ParseRoster(text []byte) (*Roster, error) {
	var f rosterFile
	if err := strictyaml.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("%w:\n%w", ErrRoster, err)
	}
	r := &Roster{}
	var faults []error
	for i, p := range f.People {
		path := fmt.Sprintf("people[%d].certificate", i)
		c, err := smki.ParseCertificatePEM([]byte(p.Certificate))
		if err != nil {
			faults = append(faults, strictyaml.Faultf(path, "%v", err))
			continue
		}
		if err := c.CheckPurpose(smki.Approves); err != nil {
			faults = append(faults, strictyaml.Faultf(path, "%v", err))
		}
		if c.CommonName != p.Name {
			faults = append(faults, strictyaml.Faultf(path, "it is issued to %q, not to %q", c.CommonName, p.Name))
		}
		for _, other := range r.People {
			if Fingerprint(other.Certificate) == Fingerprint(c) {
				faults = append(faults, strictyaml.Faultf(path, "the key is %s's: everybody has a key of their own", other.Name))
			}
		}
		r.People = append(r.People, Person{p.Name, p.Roles, c})
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("%w:\n%w", ErrRoster, err)
	}
	return r, nil
}

// LoadRoster reads a roster's file and checks the signature beside it by the
// certificate that the configuration pins. Errors wrap [ErrRoster].
func LoadRoster(path string, signedBy *smki.Certificate) (*Roster, error) {
	text, signature, err := readSigned(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoster, err)
	}
	r, err := SignedRoster(text, signature, signedBy)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// SignedRoster reads a roster and checks its signature by a certificate. Errors wrap
// [ErrRoster].
func SignedRoster(text, signature []byte, signedBy *smki.Certificate) (*Roster, error) {
	if err := Verify(signedBy, text, signature); err != nil {
		return nil, fmt.Errorf("%w: %w, whom the configuration pins", ErrRoster, err)
	}
	r, err := ParseRoster(text)
	if err != nil {
		return nil, err
	}
	r.Text, r.Signature, r.SignedBy = string(text), signature, signedBy
	return r, nil
}

// readSigned reads a file and the signature beside it. It returns the text also if there is no
// signature.
func readSigned(path string) (text, signature []byte, err error) {
	if text, err = safefile.Read(path, safefile.Small, safefile.Checked); err != nil {
		return nil, nil, err
	}
	if signature, err = safefile.Read(path+SignatureSuffix, safefile.Small, safefile.Checked); err != nil {
		return text, nil, fmt.Errorf("%w: it is not signed: %w", ErrSignature, err)
	}
	return text, signature, nil
}

// Named finds a person by name; nil if there is none.
func (r *Roster) Named(name string) *Person {
	return r.find(func(p *Person) bool { return p.Name == name })
}

// WithKey finds a person by the fingerprint of their key; nil if there is none.
func (r *Roster) WithKey(fingerprint string) *Person {
	return r.find(func(p *Person) bool { return Fingerprint(p.Certificate) == fingerprint })
}

func (r *Roster) find(is func(*Person) bool) *Person {
	for i := range r.People {
		if is(&r.People[i]) {
			return &r.People[i]
		}
	}
	return nil
}

// May says whether a person has a role. A nil person has none.
func (p *Person) May(role Role) bool { return p != nil && slices.Contains(p.Roles, role) }

// CheckEnvironment keeps test people out of live sweeps, and real ones out of
// rehearsals, where their signatures would be spent on nothing. The error wraps
// [ErrRoster].
func (r *Roster) CheckEnvironment(environment string) error {
	for _, p := range r.People {
		if p.Certificate.IsTest() != (environment == "simulator") {
			return fmt.Errorf("%w: %s's certificate is issued by %s, and the environment is %s", ErrRoster, p.Name, p.Certificate.Issuer, environment)
		}
	}
	return nil
}

// LoadRecord reads a direction's file with the signature beside it, and finds the recorder. The
// error wraps [ErrSignature] if no recorder has signed it.
func LoadRecord(path string, roster *Roster) (Direction, *Record, error) {
	text, signature, unsigned := readSigned(path)
	if text == nil {
		return Direction{}, nil, unsigned
	}
	d, err := Parse(text)
	if err == nil {
		err = unsigned
	}
	if err != nil {
		return Direction{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	r := &Record{Text: string(text), Signature: signature}
	for i := range roster.People {
		if p := &roster.People[i]; p.May(Recorder) && Verify(p.Certificate, text, signature) == nil {
			r.RecordedBy = p.Signatory()
			return d, r, nil
		}
	}
	return Direction{}, nil, fmt.Errorf("%s: %w: not by a recorder on the roster", path+SignatureSuffix, ErrSignature)
}

// Check checks a record that a plan carries against the roster. The error wraps
// [ErrSignature].
func (r *Record) Check(roster *Roster) error {
	p := roster.WithKey(r.RecordedBy.Key)
	if !p.May(Recorder) || p.Name != r.RecordedBy.Name {
		return fmt.Errorf("%w: %s, who recorded the direction, is no recorder on the roster", ErrSignature, r.RecordedBy.Name)
	}
	return Verify(p.Certificate, []byte(r.Text), r.Signature)
}

// FormatRoster writes a roster's file.
func FormatRoster(r *Roster) []byte {
	text := "# Who may record directions, approve plans, and operate.\npeople:\n"
	for _, p := range r.People {
		text += fmt.Sprintf("  - name: %q\n    roles: [", p.Name)
		for i, role := range p.Roles {
			if i > 0 {
				text += ", "
			}
			text += string(role)
		}
		text += "]\n    certificate: |\n"
		for line := range strings.Lines(string(p.Certificate.PEM())) {
			text += "      " + line
		}
	}
	return []byte(text)
}
