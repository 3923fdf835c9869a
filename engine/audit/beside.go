package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"safemode/engine/checkpoint"
	"safemode/engine/custody"
	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/safefile"
)

// compareBackups compares each backup with the journal, and takes in messages that only
// a backup has.
func (a *auditor) compareBackups(ctx context.Context, o Options, main *journal.Journal, x journal.Examined) error {
	if main == nil {
		a.backups.Status, a.backups.Note = Unproven, "the journal is too damaged to compare"
	}
	for i, path := range o.Backups {
		a.counters.files = append(a.counters.files, path)
		b, err := openBackup(path, x.ID, &a.backups)
		if err != nil {
			return err
		}
		if b == nil {
			continue
		}
		err = errors.Join(a.compareBackup(ctx, path, uint16(i+1), b, main, x), b.Close())
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *auditor) compareBackup(ctx context.Context, path string, file uint16, b, main *journal.Journal, x journal.Examined) (err error) {
	var shared uint64
	if main != nil {
		if shared, err = common(main, b); err != nil {
			return err
		}
	}
	damage := b.Verify(ctx)
	sent := 0 // that the journal lacks
	for r, err := range b.Records(ctx, shared+1) {
		if err != nil {
			break // damage says it
		}
		if r.Kind == record.Request || r.Kind == record.SignedCommand {
			sent++
			a.counters.add(r, file)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	a.backups.Checked++
	switch {
	case damage != nil:
		a.backups.fault("%s: %v", path, damage)
	case main == nil || b.Tip().Seq == shared:
	case shared == x.Tip.Seq:
		a.backups.fault("%s: the journal is older: it lacks the records after %d, of which %d are signed messages", path, shared, sent)
	default:
		a.backups.fault("%s: went on by itself after record %d; %d signed messages of it are not in the journal", path, shared, sent)
	}
	return nil
}

// isDamage tells a damaged journal from one that cannot be read.
func isDamage(err error) bool { return errors.Is(err, journal.ErrDamaged) }

// openBackup opens a backup; nil if it is another sweep's or damaged: then the claim
// says so.
func openBackup(path, id string, claim *Claim) (*journal.Journal, error) {
	b, err := journal.OpenReadOnly(path)
	switch {
	case err == nil && b.ID() == id:
		return b, nil
	case err == nil:
		claim.fault("%s: is another journal, %s", path, b.ID())
		return nil, b.Close()
	case isDamage(err):
		claim.fault("%v", err)
		return nil, nil
	}
	return nil, err
}

// common is the number of records with which both journals begin.
func common(a, b *journal.Journal) (uint64, error) {
	var failed error
	shorter := min(a.Tip().Seq, b.Tip().Seq)
	// Each hash covers all before it: equal once means equal from the beginning.
	n := sort.Search(int(shorter)+1, func(i int) bool {
		x, err1 := a.HashAt(uint64(i))
		y, err2 := b.HashAt(uint64(i))
		failed = cmp.Or(failed, err1, err2)
		return x != y
	})
	if failed != nil && !isDamage(failed) {
		return 0, failed
	}
	return uint64(max(n-1, 0)), nil
}

// compareCustody holds the custody files of a folder against the journal.
func (a *auditor) compareCustody(o Options, main *journal.Journal, x journal.Examined) error {
	if o.CustodyDir == "" {
		return nil
	}
	files, err := journal.OpenFiles(o.CustodyDir)
	if err != nil {
		return err
	}
	marks, err := custody.Read(files)
	if err != nil {
		return err
	}
	if err := a.approved.remembers(files, &a.plan, &a.custody); err != nil {
		return err
	}
	seen := map[servicerequests.EUI]bool{}
	for _, m := range marks {
		if m.Owner != x.ID {
			continue // of another sweep
		}
		a.custody.Checked++
		seen[m.Originator] = true
		if last := a.counters.last(m.Originator, 0); last > m.HighWater {
			a.custody.fault("originator %v: counter %d was used, the custody gave out none over %d", m.Originator, last, m.HighWater)
		}
		if m.JournalRecords > x.Sound {
			a.custody.fault("originator %v: counters were given out when the journal had %d records, it has %d that are sound: an older copy, or a damaged one",
				m.Originator, m.JournalRecords, x.Sound)
			continue
		}
		if m.JournalRecords == 0 || main == nil {
			continue
		}
		hash, err := main.HashAt(m.JournalRecords)
		if err != nil {
			return err
		}
		if hash != m.JournalHash {
			a.custody.fault("originator %v: record %d is not the one that the journal had when counters were given out", m.Originator, m.JournalRecords)
		}
	}
	for _, originator := range slices.Sorted(maps.Keys(a.counters.uses)) {
		if !seen[originator] && a.counters.last(originator, 0) > 0 {
			a.custody.fault("originator %v: its counters were used, and %s has no custody file of this journal for it", originator, o.CustodyDir)
		}
	}
	return nil
}

// comparePins compares signed notes with the journal. Each note pins all records before it: the
// first one that differs shows when the journal was still another one.
func (a *auditor) comparePins(o Options, main *journal.Journal, x journal.Examined) error {
	if o.Checkpoints == "" {
		return nil
	}
	b, err := safefile.Read(o.Checkpoints, safefile.List, safefile.Checked)
	if err != nil {
		return fmt.Errorf("checkpoints: %w", err)
	}
	all, err := checkpoint.Read(b, o.Verifier)
	if err != nil {
		a.pins.fault("%s: %v", o.Checkpoints, err)
	}
	if len(all) == 0 && err == nil {
		a.pins.Status, a.pins.Note = Unproven, "there is none"
	}
	for i, c := range all {
		at := c.At.Format(time.RFC3339)
		a.pins.Checked++
		switch {
		case c.Journal != x.ID:
			a.pins.fault("note %d: is of journal %s", i+1, c.Journal)
		case c.Seq > x.Sound:
			a.pins.fault("note %d: the journal had %d records at %s, it has %d that are sound: it was cut back, or is damaged", i+1, c.Seq, at, x.Sound)
		case main == nil:
			a.pins.Status, a.pins.Note = Unproven, "the journal is too damaged to compare"
		default:
			hash, err := main.HashAt(c.Seq)
			if err != nil {
				return err
			}
			if hash != c.Hash {
				a.pins.fault("note %d: record %d is not the one of %s: the journal was rewritten at or before it", i+1, c.Seq, at)
			}
		}
	}
	return nil
}
