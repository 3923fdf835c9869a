package direction

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"safemode/servicerequests/safefile"
	"safemode/servicerequests/strictyaml"
)

// ErrTransferred closes the gate: a market participant ID has moved to another
// supplier, and the DCC rejects what is sent in its name.
var ErrTransferred = errors.New("MPID has moved")

// mpidRecord is the operator's record of where the MPIDs are.
type mpidRecord struct {
	MPIDs []mpidPlace `koanf:"mpids"`
}

type mpidPlace struct {
	MPID          string    `koanf:"mpid"`
	TransferredAt time.Time `koanf:"transferred_at"` // zero: not agreed
	To            string    `koanf:"to"`
	Source        string    `koanf:"source"` // how it is known, and who noted it
}

// Validate checks every rule and joins all faults.
func (r *mpidRecord) Validate() error {
	var faults strictyaml.Faults
	check := faults.Check
	check(len(r.MPIDs) > 0, "mpids", "required: name the supplier's market participant IDs")
	for i, m := range r.MPIDs {
		path := fmt.Sprintf("mpids[%d]", i)
		check(m.MPID != "", path+".mpid", "required")
		check(m.Source != "", path+".source", "required: how it is known, and who noted it")
		check(m.To == "" || !m.TransferredAt.IsZero(), path+".transferred_at", "required where to is given")
		for _, other := range r.MPIDs[:i] {
			check(m.MPID != other.MPID, path+".mpid", "%q stands there already", m.MPID)
		}
	}
	return errors.Join(faults...)
}

// MPIDFile is the operator's record of a direction's MPIDs, in a file.
// config/mpids.example.yaml is its manual.
type MPIDFile struct {
	path  string
	mpids []string

	mu     sync.Mutex
	text   []byte // as read last
	record mpidRecord
}

// NewMPIDFile makes the evidence of the file with a direction's MPIDs. It reads nothing.
func NewMPIDFile(path string, d *Direction) *MPIDFile {
	return &MPIDFile{path: path, mpids: d.Supplier.MPIDs}
}

// Read reads the file. A file that lacks one of the MPIDs is an error.
func (f *MPIDFile) Read(context.Context) error {
	text, err := safefile.Read(f.path, safefile.Small, safefile.Own)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.text != nil && bytes.Equal(text, f.text) {
		return nil
	}
	var r mpidRecord
	if err := strictyaml.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	for _, mpid := range f.mpids {
		if !slices.ContainsFunc(r.MPIDs, func(m mpidPlace) bool { return m.MPID == mpid }) {
			return fmt.Errorf("%s says nothing of MPID %s, which the direction names", f.path, mpid)
		}
	}
	f.text, f.record = text, r
	return nil
}

// Check says whether all of the direction's MPIDs are where they were. The error
// wraps [ErrTransferred].
func (f *MPIDFile) Check(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.record.MPIDs {
		if slices.Contains(f.mpids, m.MPID) && !m.TransferredAt.IsZero() && !now.Before(m.TransferredAt) {
			return fmt.Errorf("%w: %s to %s at %s (%s)", ErrTransferred, m.MPID, cmp.Or(m.To, "another supplier"), m.TransferredAt.UTC().Format(time.RFC3339), m.Source)
		}
	}
	return nil
}
