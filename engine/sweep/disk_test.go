package sweep

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"

	"safemode/engine/journal"
	"safemode/servicerequests"
)

// disk is a journal in memory. What was committed is durable; what was appended
// is so with the next commit.
type disk struct {
	mu      sync.Mutex
	durable []journal.Record
	queued  []journal.Record
	commits int
	failAt  int  // this commit fails; 0: none
	applied bool // it fails, and is durable all the same
	err     error
	failed  chan struct{}
}

var errDisk = errors.New("disk full")

func newDisk() *disk { return &disk{failed: make(chan struct{})} }

func (d *disk) Commit(_ context.Context, records ...journal.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.err
	}
	d.commits++
	fails := d.commits == d.failAt
	if !fails || d.applied {
		d.write(append(d.queued, records...))
		d.queued = nil
	}
	if fails {
		d.err = errDisk
		close(d.failed)
	}
	return d.err
}

func (d *disk) write(records []journal.Record) {
	for _, r := range records {
		r.Seq = uint64(len(d.durable)) + 1
		d.durable = append(d.durable, r)
	}
}

func (d *disk) Append(records ...journal.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.queued = append(d.queued, records...)
	}
}

func (d *disk) Failed() <-chan struct{} { return d.failed }

func (d *disk) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// crash loses what is not durable but for the first kept records, and opens the
// journal again.
func (d *disk) crash(kept int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write(d.queued[:min(kept, len(d.queued))])
	d.queued, d.err, d.failed = nil, nil, make(chan struct{})
}

// all is what the journal will hold.
func (d *disk) all() []journal.Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Concat(d.durable, d.queued)
}

// records iterates over what is durable.
func (d *disk) records() iter.Seq2[journal.Record, error] {
	d.mu.Lock()
	defer d.mu.Unlock()
	durable := slices.Clone(d.durable)
	return func(yield func(journal.Record, error) bool) {
		for _, r := range durable {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// verdict is the last one of a device.
func (d *disk) verdict(t testing.TB, device servicerequests.EUI) (v journal.VerdictBody) {
	t.Helper()
	for _, r := range d.all() {
		if r.Kind == journal.Verdict && r.Device == device {
			var err error
			if v, err = journal.Decode[journal.VerdictBody](r); err != nil {
				t.Fatal(err)
			}
		}
	}
	return v
}
