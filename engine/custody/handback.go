package custody

import (
	"errors"
	"fmt"
	"path"
	"time"

	"safemode/engine/durable"
	"safemode/servicerequests"
)

// Handback is what the supplier's everyday system needs to go on counting.
type Handback struct {
	Originator  servicerequests.EUI `json:"originator"`
	LastCounter uint64              `json:"last_counter"` // no counter over this one was used; go on over it
	Journal     string              `json:"journal"`      // ID of the journal that used them
	Released    time.Time           `json:"released"`
}

// Release hands the counters of an originator back: from then on Open refuses them
// with [ErrReleased]. A second Release gives the same answer as the first. Errors
// wrap [ErrInUse] or [ErrDamaged], or come from the file system.
func Release(files durable.Files, originator servicerequests.EUI, now time.Time) (Handback, error) {
	var h Handback
	err := rewrite(files, originator, func(s *state) error {
		if s.Released == nil {
			at := now.UTC().Truncate(time.Second)
			s.Released = &at
		}
		h = Handback{s.Originator, s.HighWater, s.Owner, *s.Released}
		return nil
	})
	return h, err
}

// Accept accepts an older copy of the owner as the owner, because the newer one is lost. The
// high-water mark stays, so that no counter is used twice. The copy does not have what was sent
// after it was made. Accept returns the least number of records that are missing. Errors are those of [Open].
func Accept(files durable.Files, originator servicerequests.EUI, owner Owner) (missing uint64, err error) {
	err = rewrite(files, originator, func(s *state) error {
		switch {
		case s.Released != nil:
			return ErrReleased
		case s.Owner != owner.ID():
			return fmt.Errorf("%w: %s, not %s", ErrOtherOwner, s.Owner, owner.ID())
		}
		was := s.JournalRecords
		err := s.compareOwner(owner)
		if err != nil && !errors.Is(err, ErrOldJournal) {
			return err
		}
		s.note(owner)
		missing = was - min(was, s.JournalRecords)
		return nil
	})
	return missing, err
}

// Mark is what a custody file says.
type Mark struct {
	Originator     servicerequests.EUI
	Owner          string // a journal's ID
	HighWater      uint64
	JournalRecords uint64   // 0: not known
	JournalHash    [32]byte // of the record with that number
	Released       bool
}

// Read returns what each custody file says. It takes no lock.
func Read(files durable.Files) ([]Mark, error) {
	names, err := files.Names()
	if err != nil {
		return nil, err
	}
	var marks []Mark
	for _, name := range names {
		if path.Ext(name) != ".json" || !Holds(name) || name == notCounters {
			continue
		}
		s, _, err := load(files, name)
		if err == nil && name != nameOf(s.Originator) {
			err = fmt.Errorf("%w: it has the counters of %v", ErrDamaged, s.Originator)
		}
		if err != nil {
			return nil, fmt.Errorf("custody %s: %w", files.Path(name), err)
		}
		marks = append(marks, Mark{s.Originator, s.Owner, s.HighWater, s.JournalRecords, s.JournalHash, s.Released != nil})
	}
	return marks, nil
}

// Holds says whether a file of a folder belongs to a custody.
func Holds(name string) bool {
	switch path.Ext(name) {
	case ".json", ".ndjson", ".checkpoints":
		return name[0] != '.'
	}
	return false
}

// notCounters is a file without counters: package direction keeps what it knows of revocation
// lists there.
const notCounters = "revocation-lists.json"

// rewrite changes a custody file that nobody uses.
func rewrite(files durable.Files, originator servicerequests.EUI, change func(*state) error) (err error) {
	name := nameOf(originator)
	defer func() {
		if err != nil {
			err = fmt.Errorf("custody %s: %w", files.Path(name), err)
		}
	}()
	if err := files.Free(name); err != nil {
		return err
	}
	if _, _, err := load(files, name); err != nil {
		return err // so that a mistyped name leaves no lock file
	}
	lock, err := files.Lock(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	s, was, err := load(files, name)
	if err != nil {
		return err
	}
	if s.Originator != originator {
		return fmt.Errorf("%w: it has the counters of %v", ErrDamaged, s.Originator)
	}
	if err := change(&s); err != nil {
		return err
	}
	now, err := s.encode()
	if err != nil {
		return err
	}
	return files.Replace(name, was, now)
}
