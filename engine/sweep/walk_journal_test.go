package sweep_test

import (
	"context"
	"slices"

	"safemode/engine/record"
)

// The journal.

// write queues a record.
func (w *world) write(r record.Record) uint64 {
	w.last++
	r.Seq = w.last
	w.queued = append(w.queued, r)
	w.judge.record(w, &r)
	return r.Seq
}

// sync makes what is queued durable.
func (w *world) sync() {
	w.durable, w.queued = append(w.durable, w.queued...), nil
	if n := len(w.keeping); n > 0 {
		w.rows = merge(w.rows, w.keeping)
		w.keeping = nil
	}
}

func merge(rows []record.StateRow, changes [][]record.StateRow) []record.StateRow {
	rows = slices.Clone(rows)
	for _, change := range changes {
		for _, r := range change {
			if r.Row < len(rows) {
				rows[r.Row] = r
			} else {
				rows = append(rows, r)
			}
		}
	}
	return rows
}

// Append is the journal of the door.
func (w *world) Append(records ...record.Record) {
	if w.running.fenced {
		return // it is never durable
	}
	for _, r := range records {
		w.write(r)
	}
}

// Commit is the journal of the door: it stops before and after the disk.
func (w *world) Commit(_ context.Context, records ...record.Record) error {
	w.stop("commit")
	for w.stalled && !w.failed && !w.running.fenced {
		w.stop("stalled disk")
	}
	if w.running.fenced {
		return record.ErrTaken // which must do: its gate may not know yet
	}
	if w.failed {
		if w.mishap("failed write applied") {
			w.Append(records...)
			w.sync()
		}
		return errDisk
	}
	w.Append(records...)
	w.sync()
	w.stop("committed")
	return nil
}
