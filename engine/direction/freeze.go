package direction

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/strictyaml"
)

// ErrNotFrozen closes the gate: it is not shown that no other system sends under an identity.
// Two systems that count originator counters under one identity lock the supplier out of its
// meters.
var ErrNotFrozen = errors.New("adapter not frozen")

// longestFreeze is how long after it was made a statement may be valid (assumption). Then it
// must be made again.
const longestFreeze = 31 * 24 * time.Hour

// Freeze is the statement that a supplier's everyday adapter sends nothing under some
// identities. config/freeze.example.yaml is its manual. Get one from [ReadFreeze].
type Freeze struct {
	System     string                `koanf:"system"`     // the system that is frozen
	Identities []servicerequests.EUI `koanf:"identities"` // under which it sends nothing
	StatedBy   string                `koanf:"stated_by"`  // the person who runs the system and says that it is frozen, and how that is known
	StatedAt   time.Time             `koanf:"stated_at"`
	From       time.Time             `koanf:"from"`  // the first instant of the freeze
	Until      time.Time             `koanf:"until"` // and the last

	// The file to the byte, and its signature.
	Text      string `koanf:"-"`
	Signature []byte `koanf:"-"`
}

// Validate checks every rule and joins all faults.
func (f *Freeze) Validate() error {
	var faults strictyaml.Faults
	check := faults.Check
	check(strings.TrimSpace(f.System) != "", "system", "required: what is frozen")
	check(strings.TrimSpace(f.StatedBy) != "", "stated_by", "required: who runs it and says so, and how that is known")
	check(len(f.Identities) > 0, "identities", "required: name one or more")
	for i, eui := range f.Identities {
		path := fmt.Sprintf("identities[%d]", i)
		check(eui != 0, path, "required")
		check(slices.Index(f.Identities, eui) == i, path, "%v is named already", eui)
	}
	for path, at := range map[string]time.Time{"stated_at": f.StatedAt, "from": f.From, "until": f.Until} {
		check(!at.IsZero(), path, "required")
	}
	if f.Until.IsZero() || f.From.IsZero() || f.StatedAt.IsZero() {
		return errors.Join(faults...)
	}
	check(f.Until.After(f.From), "until", "want after from")
	check(f.Until.Sub(f.StatedAt) <= longestFreeze, "until", "want %v after stated_at at most: then have it stated again", longestFreeze)
	return errors.Join(faults...)
}

// ReadFreeze reads a statement and the signature over it. It does not verify the signature.
func ReadFreeze(text, signature []byte) (*Freeze, error) {
	var f Freeze
	if err := strictyaml.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("freeze statement:\n%w", err)
	}
	f.Text, f.Signature = string(text), signature
	return &f, nil
}

// String is the statement in a few words.
func (f *Freeze) String() string {
	return fmt.Sprintf("%q is frozen until %s, says %q of %s", f.System, f.Until.UTC().Format(time.RFC3339), f.StatedBy, f.StatedAt.UTC().Format(time.RFC3339))
}

// Check checks that a recorder on the roster, with a valid certificate, has signed the
// statement, that it covers some identities, and that it is in its time: now is the sweep's
// clock, real the machine's. The error wraps [ErrNotFrozen], also for a nil statement.
func (f *Freeze) Check(roster *Roster, trust Trust, identities []servicerequests.EUI, now, real time.Time) error {
	recorder, err := f.prove(roster, trust)
	if err != nil {
		return err
	}
	return f.checkNow(recorder, trust, identities, now, real)
}

// prove finds the recorder on the roster who has signed the statement, with a certificate
// that chains to an authority. The result does not change while the statement is the same.
func (f *Freeze) prove(roster *Roster, trust Trust) (*smki.Certificate, error) {
	switch {
	case f == nil:
		return nil, fmt.Errorf("%w: no statement says so: name one that a recorder has signed (gates.freeze_file)", ErrNotFrozen)
	case roster == nil:
		return nil, fmt.Errorf("%w: there is no roster, so no statement counts", ErrNotFrozen)
	}
	recorder := roster.recorderOf([]byte(f.Text), f.Signature)
	if recorder == nil {
		return nil, fmt.Errorf("%w: %w: not by a recorder on the roster", ErrNotFrozen, ErrSignature)
	}
	if err := (Trust{Chained: trust.Chained}).Check(recorder.Certificate, f.StatedAt); err != nil {
		return nil, fmt.Errorf("%w: who signed the statement: %w", ErrNotFrozen, err)
	}
	return recorder.Certificate, nil
}

// checkNow checks what may change at any moment: revocation and time.
func (f *Freeze) checkNow(recorder *smki.Certificate, trust Trust, identities []servicerequests.EUI, now, real time.Time) error {
	if err := (Trust{Revoked: trust.Revoked}).Check(recorder, real); err != nil {
		return fmt.Errorf("%w: who signed the statement: %w", ErrNotFrozen, err)
	}
	for _, eui := range identities {
		if !slices.Contains(f.Identities, eui) {
			return fmt.Errorf("%w: the statement of %q says nothing of %v", ErrNotFrozen, f.StatedBy, eui)
		}
	}
	switch {
	case real.Before(f.StatedAt.Add(-clockSkew)):
		return fmt.Errorf("%w: the statement of %q is of the future, of %s", ErrNotFrozen, f.StatedBy, f.StatedAt.UTC().Format(time.RFC3339))
	case now.Before(f.From):
		return fmt.Errorf("%w: %q is frozen from %s on", ErrNotFrozen, f.System, f.From.UTC().Format(time.RFC3339))
	case now.After(f.Until):
		return fmt.Errorf("%w: %q was frozen until %s: have it stated again", ErrNotFrozen, f.System, f.Until.UTC().Format(time.RFC3339))
	}
	return nil
}

// FreezeOptions configures the evidence of the adapter's gate.
type FreezeOptions struct {
	Path       string // of the statement; beside it lies its signature
	Roster     *Roster
	Trust      Trust
	Identities []servicerequests.EUI // that must be frozen
	Now        func() time.Time      // real time; nil is time.Now
}

// FreezeFile is the statement in a file, as [Evidence].
type FreezeFile struct {
	o FreezeOptions

	mu       sync.Mutex
	freeze   *Freeze           // as read last; nil: never
	recorder *smki.Certificate // of the recorder who has signed it; nil: none has, and unproven says why
	unproven error
}

// NewFreezeFile makes the evidence. It reads nothing.
func NewFreezeFile(o FreezeOptions) *FreezeFile {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &FreezeFile{o: o}
}

// Read reads the statement and its signature. Whether they are valid is for Check.
func (f *FreezeFile) Read(context.Context) error {
	text, signature, err := readSigned(f.o.Path)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.freeze != nil && f.freeze.Text == string(text) && bytes.Equal(f.freeze.Signature, signature) {
		return nil
	}
	freeze, err := ReadFreeze(text, signature)
	if err != nil {
		return fmt.Errorf("%s: %w", f.o.Path, err)
	}
	f.freeze = freeze
	f.recorder, f.unproven = freeze.prove(f.o.Roster, f.o.Trust)
	return nil
}

// Freeze is the statement as it was read last; nil: never.
func (f *FreezeFile) Freeze() *Freeze {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.freeze
}

// Check checks the statement against roster, trust, identities and time. The error wraps
// [ErrNotFrozen].
func (f *FreezeFile) Check(now time.Time) error {
	f.mu.Lock()
	freeze, recorder, err := f.freeze, f.recorder, f.unproven
	f.mu.Unlock()
	switch {
	case freeze == nil:
		return fmt.Errorf("%w: no statement was read", ErrNotFrozen)
	case err != nil:
		return err
	}
	return freeze.checkNow(recorder, f.o.Trust, f.o.Identities, now, f.o.Now())
}
