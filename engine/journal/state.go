package journal

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"safemode/engine/journal/store"
	"safemode/engine/record"
)

// ErrState says that there is no state, or none that its record proves. The state follows from
// the records.
var ErrState = errors.New("no valid state")

// Keep queues rows that replace those of the state, or are added at its end, and the
// record that proves the whole of it: all become durable in one transaction, with
// or after all records that were queued before. at is the record's time. A failure
// shows as that of [Journal.Append] does. One goroutine at a time may call it.
func (j *Journal) Keep(at time.Time, rows []record.StateRow) {
	j.keeping.Lock()
	defer j.keeping.Unlock()
	whole := j.rows == nil // nobody knows from which records the rows that are there follow
	for _, r := range rows {
		switch {
		case r.Row == len(j.rows):
			j.rows = append(j.rows, link{})
		case r.Row < 0 || r.Row > len(j.rows):
			_ = j.fail(fmt.Errorf("row %d of a state of %d", r.Row, len(j.rows)))
			return
		}
		j.rows[r.Row] = sumOf(r)
	}
	marker := record.Record{At: at, Kind: record.State, Body: record.Encode(bodyOf(j.rows))}
	if err := marker.Check(); err != nil {
		_ = j.fail(err)
		return
	}
	_, _, _ = j.enqueue(context.Background(), []record.Record{marker}, store.State{Rows: rows, Whole: whole}) // it fails only as Err says
}

// State reads the state and the record that proves it. The error wraps
// [ErrState] if there is no valid one.
func (j *Journal) State(ctx context.Context) ([]record.StateRow, record.Record, error) {
	rows, r, err := j.readState(ctx)
	return rows, r, j.named(err)
}

// readState reads it in one moment. Who writes a journal in a database reads it again where
// the server has ended meanwhile, or does not answer: then with twice the time, up to an hour.
func (j *Journal) readState(ctx context.Context) ([]record.StateRow, record.Record, error) {
	if j.packer == nil || !IsAddress(j.at) {
		return j.stateNow(ctx)
	}
	for long := firstRead; ; long = min(2*long, time.Hour) {
		attempt, cancel := context.WithTimeout(ctx, long)
		rows, r, err := j.stateNow(attempt)
		cancel()
		if err == nil || ctx.Err() != nil || !Passing(err) || j.store.Held() != nil {
			return rows, r, err
		}
	}
}

// firstRead is the time that a server has to hand out the state at first.
const firstRead = 5 * time.Second

func (j *Journal) stateNow(ctx context.Context) ([]record.StateRow, record.Record, error) {
	// One moment: a sweep may be keeping another one meanwhile.
	moment, err := j.store.Snapshot(ctx)
	if err != nil {
		return nil, record.Record{}, err
	}
	defer moment.Close()
	rows, sums, r, err := j.keptState(ctx, moment)
	if err != nil {
		return nil, r, err
	}
	j.keeping.Lock()
	defer j.keeping.Unlock()
	if j.rows == nil {
		j.rows = sums
	}
	return rows, r, nil
}

// keptState reads the rows of the state, their hashes, and the record that proves them.
func (j *Journal) keptState(ctx context.Context, from store.Reader) ([]record.StateRow, []link, record.Record, error) {
	rows, err := from.State(ctx)
	if errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%w: %w", ErrState, err)
	}
	if err != nil {
		return nil, nil, record.Record{}, err
	}
	r, err := j.latest(ctx, from, 0, math.MaxInt64, record.State)
	if err != nil {
		return nil, nil, r, err
	}
	if r.Seq == 0 {
		return nil, nil, r, fmt.Errorf("%w: none was kept", ErrState)
	}
	body, err := record.Decode[record.StateBody](r)
	if err != nil {
		return nil, nil, r, fmt.Errorf("%w: %w", ErrState, err)
	}
	sums := make([]link, 0, len(rows))
	for i, row := range rows {
		if row.Row != i {
			return nil, nil, r, fmt.Errorf("%w: row %d is missing", ErrState, i)
		}
		sums = append(sums, sumOf(row))
	}
	if bodyOf(sums) != body {
		return nil, nil, r, fmt.Errorf("%w: it is not the one that record %d vouches for", ErrState, r.Seq)
	}
	return rows, sums, r, nil
}

// sumOf is the hash of a row: over its number, eight bytes, and its value.
func sumOf(r record.StateRow) link {
	h := sha256.New()
	var row [8]byte
	binary.BigEndian.PutUint64(row[:], uint64(r.Row))
	h.Write(row[:])
	h.Write(r.Value)
	return link(h.Sum(nil))
}

// bodyOf makes the record's body that proves rows, from their hashes.
func bodyOf(sums []link) record.StateBody {
	h := sha256.New()
	for i := range sums {
		h.Write(sums[i][:])
	}
	return record.StateBody{Rows: len(sums), SHA256: hex.EncodeToString(h.Sum(nil))}
}
