package audit

import (
	"fmt"
	"time"

	"safemode/engine/checkpoint"
	"safemode/engine/journal"
	"safemode/servicerequests/safefile"
)

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
