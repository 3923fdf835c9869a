package sweep

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"safemode/engine/journal"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// disk is a journal in memory. What was committed is durable; what was appended
// is so with the next commit.
type disk struct {
	mu      sync.Mutex
	durable []record.Record
	signed  map[string]record.Kind                 // of durable ones: what was signed, by its bytes
	ended   map[servicerequests.RequestID]struct{} // that have a durable outcome
	queued  []record.Record
	states  [][]journal.StateRow // by number, as records of them name them
	given   [][]journal.StateRow // the same, as they were given
	rows    []journal.StateRow   // durable: those of the last such record that is
	commits int
	failAt  int  // this commit fails; 0: none
	applied bool // it fails, and is durable all the same
	err     error
	failed  chan struct{}
}

var errDisk = errors.New("disk full")

func newDisk() *disk {
	return &disk{signed: map[string]record.Kind{}, ended: map[servicerequests.RequestID]struct{}{}, failed: make(chan struct{})}
}

func (d *disk) Commit(_ context.Context, records ...record.Record) error {
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

func (d *disk) write(records []record.Record) {
	for _, r := range records {
		r.Seq = uint64(len(d.durable)) + 1
		d.durable = append(d.durable, r)
		switch r.Kind {
		case record.Request, record.SignedCommand:
			d.signed[string(r.Body)] = r.Kind
		case record.Outcome:
			d.ended[r.ID] = struct{}{}
		case record.State:
			d.set(r)
		}
	}
}

func (d *disk) Append(records ...record.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.queued = append(d.queued, records...)
	}
}

func (d *disk) set(r record.Record) {
	number, err := strconv.Atoi(string(r.Body))
	if err != nil {
		panic(err)
	}
	for i, row := range d.states[number] {
		if !bytes.Equal(row.Value, d.given[number][i].Value) { // the journal writes it when it gets to it
			panic("a row was changed after it was kept")
		}
		if row.Row == len(d.rows) {
			d.rows = append(d.rows, row)
		}
		d.rows[row.Row] = row
	}
}

// Keep makes disk a keeper.
func (d *disk) Keep(at time.Time, rows []journal.StateRow) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return
	}
	kept := slices.Clone(rows)
	for i := range kept {
		kept[i].Value = slices.Clone(rows[i].Value)
	}
	d.states, d.given = append(d.states, kept), append(d.given, rows)
	d.queued = append(d.queued, record.Record{At: at, Kind: record.State, Body: strconv.AppendInt(nil, int64(len(d.states)-1), 10)})
}

func (d *disk) Last() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return uint64(len(d.durable) + len(d.queued))
}

func (d *disk) Failed() <-chan struct{} { return d.failed }

func (d *disk) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// posted says whether a POST of these bytes comes too soon, before they are durable as
// what they are, or too late, after an outcome of their request was written.
func (d *disk) posted(kind record.Kind, body string, id servicerequests.RequestID) (early, late bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was, durable := d.signed[body]
	_, late = d.ended[id]
	for i := range d.queued {
		late = late || d.queued[i].Kind == record.Outcome && d.queued[i].ID == id
	}
	return !durable || was != kind, late
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
func (d *disk) all() []record.Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Concat(d.durable, d.queued)
}

// records iterates over what is durable, from a number on.
func (d *disk) records(from uint64) iter.Seq2[record.Record, error] {
	d.mu.Lock()
	defer d.mu.Unlock()
	durable := slices.Clone(d.durable)
	return func(yield func(record.Record, error) bool) {
		for _, r := range durable[from-1:] {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// verdict is the last one of a device.
func (d *disk) verdict(t testing.TB, device servicerequests.EUI) (v record.VerdictBody) {
	t.Helper()
	for _, r := range d.all() {
		if r.Kind == record.Verdict && r.Device == device {
			var err error
			if v, err = record.Decode[record.VerdictBody](r); err != nil {
				t.Fatal(err)
			}
		}
	}
	return v
}

// keepOnly makes a delivery durable, and the process dies before it is handed over.
func (d *disk) keepOnly(ctx context.Context, r record.Record, _ proof.Delivery) error {
	return d.Commit(ctx, r)
}
