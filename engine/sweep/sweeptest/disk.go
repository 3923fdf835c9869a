package sweeptest

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"
	"sync"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Disk is a journal in memory. Committed records are durable; appended ones become durable with
// the next commit. It judges the order of the records.
type Disk struct {
	Stall <-chan struct{} // Commit waits until it is closed; nil: it does not

	mu      sync.Mutex
	durable []record.Record
	signed  map[string]record.Kind                 // of durable ones: what was signed, by its bytes
	ended   map[servicerequests.RequestID]struct{} // that have a durable outcome
	queued  []record.Record
	states  [][]record.StateRow // by number, as records of them name them
	given   [][]record.StateRow // the same, as they were given
	rows    []record.StateRow   // durable: those of the last such record that is
	commits int
	failAt  int  // this commit fails; 0: none
	applied bool // it fails, and is durable all the same
	err     error
	failed  chan struct{}
}

// ErrDisk is why a disk fails.
var ErrDisk = errors.New("disk full")

// NewDisk makes an empty one.
func NewDisk() *Disk {
	return &Disk{signed: map[string]record.Kind{}, ended: map[servicerequests.RequestID]struct{}{}, failed: make(chan struct{})}
}

// Fail has one of the next commits fail, the first if in is 1: and be durable all the same,
// or not.
func (d *Disk) Fail(in int, applied bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failAt, d.applied = d.commits+in, applied
}

// Hold has every commit wait, or go on if until is nil.
func (d *Disk) Hold(until <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Stall = until
}

// Commit makes records durable, and what was appended before them.
func (d *Disk) Commit(ctx context.Context, records ...record.Record) error {
	d.mu.Lock()
	stall := d.Stall
	d.mu.Unlock()
	if stall != nil {
		select {
		case <-stall:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.commit(records...)
}

// Store makes one record durable, and says which number it got.
func (d *Disk) Store(r record.Record) (seq uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.commit(r); err != nil {
		return 0, err
	}
	return uint64(len(d.durable)), nil
}

func (d *Disk) commit(records ...record.Record) error {
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
		d.err = ErrDisk
		close(d.failed)
	}
	return d.err
}

// Write makes records durable beside the order of commits: those of a journal that a test
// begins with.
func (d *Disk) Write(records ...record.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write(records)
}

func (d *Disk) write(records []record.Record) {
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

// Append queues records.
func (d *Disk) Append(records ...record.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.queued = append(d.queued, records...)
	}
}

// Flush makes what is queued durable.
func (d *Disk) Flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.write(d.queued)
		d.queued = nil
	}
}

// Lose takes queued records out, as if they had never been written.
func (d *Disk) Lose(which func(record.Record) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queued = slices.DeleteFunc(d.queued, which)
}

func (d *Disk) set(r record.Record) {
	number, err := strconv.Atoi(string(r.Body))
	if err != nil {
		panic(err)
	}
	for i, row := range d.states[number] {
		if !bytes.Equal(row.Value, d.given[number][i].Value) { // the journal writes it when it gets to it
			panic("a row was changed after it was kept")
		}
		d.rows = put(d.rows, row)
	}
}

func put(rows []record.StateRow, row record.StateRow) []record.StateRow {
	if row.Row == len(rows) {
		return append(rows, row)
	}
	rows[row.Row] = row
	return rows
}

// Keep makes the disk a keeper.
func (d *Disk) Keep(at time.Time, rows []record.StateRow) {
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

// Last is the number of the last record that was queued.
func (d *Disk) Last() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return uint64(len(d.durable) + len(d.queued))
}

// Rows is the state that is durable; nil if none is.
func (d *Disk) Rows() []record.StateRow {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.rows)
}

// Forget loses the state: then all records are read.
func (d *Disk) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows = nil
}

// Failed is closed when a commit has failed.
func (d *Disk) Failed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

// Err says why.
func (d *Disk) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// posted says whether a POST of these bytes comes too soon, before they are durable as
// what they are, or too late, after an outcome of their request was written.
func (d *Disk) posted(kind record.Kind, body string, id servicerequests.RequestID) (early, late bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was, durable := d.signed[body]
	_, late = d.ended[id]
	for i := range d.queued {
		late = late || d.queued[i].Kind == record.Outcome && d.queued[i].ID == id
	}
	return !durable || was != kind, late
}

// Crash loses the records that are not durable, except the first kept ones, and opens the
// journal again.
func (d *Disk) Crash(kept int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write(d.queued[:min(kept, len(d.queued))])
	d.queued, d.err, d.failAt, d.failed = nil, nil, 0, make(chan struct{})
}

// Close is an end of the process with nothing lost.
func (d *Disk) Close() { d.Crash(1 << 30) }

// At is a durable record.
func (d *Disk) At(seq uint64) record.Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.durable[seq-1]
}

// All is what the journal will hold.
func (d *Disk) All() []record.Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := slices.Concat(d.durable, d.queued)
	for i := len(d.durable); i < len(all); i++ {
		all[i].Seq = uint64(i) + 1
	}
	return all
}

// Durable is what no crash can take away.
func (d *Disk) Durable() []record.Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.durable)
}

// Records iterates over what is durable, from a number on.
func (d *Disk) Records(from uint64) iter.Seq2[record.Record, error] {
	d.mu.Lock()
	defer d.mu.Unlock()
	durable := slices.Clip(d.durable)
	return func(yield func(record.Record, error) bool) {
		for _, r := range durable[from-1:] {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Verdict is the last one of a device.
func (d *Disk) Verdict(device servicerequests.EUI) (v record.VerdictBody) {
	for _, r := range d.All() {
		if r.Kind == record.Verdict && r.Device == device {
			v, _ = record.Decode[record.VerdictBody](r)
		}
	}
	return v
}
