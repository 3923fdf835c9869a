package journal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"safemode/engine/record"
)

// kept is a change of the state.
type kept struct {
	rows []record.StateRow
	anew bool // all other rows go
}

// ErrState says that there is no state, or none that its record vouches for. What it
// held follows from the records.
var ErrState = errors.New("no state that holds")

// Keep queues rows that replace those of the state, or are added at its end, and the
// record that vouches for the whole of it: all become durable in one transaction, with
// or after all records that were queued before. at is the record's time. A failure
// shows as that of [Journal.Append] does. For who keeps a state: one goroutine.
func (j *Journal) Keep(at time.Time, rows []record.StateRow) {
	j.keeping.Lock()
	defer j.keeping.Unlock()
	anew := j.rows == nil // what is there follows from nothing that is known
	for _, r := range rows {
		switch {
		case r.Row == len(j.rows):
			j.rows = append(j.rows, hash{})
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
	_, _, _ = j.enqueue(context.Background(), []record.Record{marker}, kept{rows, anew}) // it fails only as Err says
}

// State reads the state and the record that vouches for it. The error wraps
// [ErrState] where there is none that holds.
func (j *Journal) State(ctx context.Context) ([]record.StateRow, record.Record, error) {
	rows, r, err := j.readState(ctx)
	if err != nil {
		return nil, r, fmt.Errorf("journal %s: %w", j.path, err)
	}
	return rows, r, nil
}

func (j *Journal) readState(ctx context.Context) ([]record.StateRow, record.Record, error) {
	// One transaction: a sweep may be keeping another one meanwhile.
	tx, err := j.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, record.Record{}, sqliteError(err)
	}
	defer tx.Rollback() // it wrote nothing
	rows, err := readStateRows(ctx, tx)
	if err != nil {
		return nil, record.Record{}, err
	}
	r, err := lastOf(ctx, tx, record.State)
	if err != nil {
		return nil, r, err
	}
	if r.Seq == 0 {
		return nil, r, fmt.Errorf("%w: none was kept", ErrState)
	}
	body, err := record.Decode[record.StateBody](r)
	if err != nil {
		return nil, r, fmt.Errorf("%w: %w", ErrState, err)
	}
	sums := make([]hash, 0, len(rows))
	for i, row := range rows {
		if row.Row != i {
			return nil, r, fmt.Errorf("%w: row %d is missing", ErrState, i)
		}
		sums = append(sums, sumOf(row))
	}
	if bodyOf(sums) != body {
		return nil, r, fmt.Errorf("%w: it is not the one that record %d vouches for", ErrState, r.Seq)
	}
	j.keeping.Lock()
	defer j.keeping.Unlock()
	if j.rows == nil {
		j.rows = sums
	}
	return rows, r, nil
}

// Latest returns the last durable record of a kind, with number 0 if there is none:
// of [Opened], [Closed] or [State], which have an index.
func (j *Journal) Latest(ctx context.Context, kind record.Kind) (record.Record, error) {
	r, err := lastOf(ctx, j.reader, kind)
	if err != nil {
		return r, fmt.Errorf("journal %s: %w", j.path, err)
	}
	return r, nil
}

// LatestAfter is [Journal.LatestBetween] up to the end.
func (j *Journal) LatestAfter(ctx context.Context, after uint64, kind record.Kind) (r record.Record, err error) {
	return j.LatestBetween(ctx, after, math.MaxInt64, kind)
}

// LatestBetween returns the last durable record of a kind between two others, with number
// 0 if there is none. It reads every record between these where the kind has no index.
func (j *Journal) LatestBetween(ctx context.Context, after, before uint64, kind record.Kind) (r record.Record, err error) {
	var seq int64
	query := "SELECT coalesce(max(seq), 0) FROM record WHERE seq > ? AND seq < ? AND kind = ?"
	switch kind {
	case record.Opened, record.Closed, record.State:
		query += " AND " + marks
	case record.Tripwire, record.Halted, record.Operator:
		query += " AND " + stops
	}
	err = j.reader.QueryRowContext(ctx, query, int64(after), int64(before), kind.String()).Scan(&seq)
	if err == nil && seq > 0 {
		r, err = proven(ctx, j.reader, seq, kind)
	}
	if err != nil {
		return r, fmt.Errorf("journal %s: %w", j.path, sqliteError(err))
	}
	return r, nil
}

func lastOf(ctx context.Context, q querier, kind record.Kind) (record.Record, error) {
	var seq int64
	err := q.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM record WHERE "+marks+" AND kind = ?", kind.String()).Scan(&seq)
	if err != nil || seq <= 0 {
		return record.Record{}, sqliteError(err)
	}
	return proven(ctx, q, seq, kind)
}

// proven reads one record of a kind and holds it to its link in the chain.
func proven(ctx context.Context, q querier, seq int64, kind record.Kind) (record.Record, error) {
	page, err := readPage(ctx, q, uint64(seq), uint64(seq))
	if err != nil {
		return record.Record{}, err
	}
	// The index may be older than the row, in a file that somebody has changed.
	before, err := hashOf(ctx, q, uint64(seq)-1)
	if err != nil {
		return record.Record{}, err
	}
	if len(page) != 1 || page[0].Kind != kind {
		return record.Record{}, &ChainError{uint64(seq), "missing"}
	}
	if sum, _ := link(nil, *before, &page[0].Record); sum != page[0].hash {
		return record.Record{}, &ChainError{uint64(seq), unlinked}
	}
	return page[0].Record, nil
}

func readStateRows(ctx context.Context, q querier) (rows []record.StateRow, err error) {
	found, err := q.QueryContext(ctx, "SELECT row, value FROM state ORDER BY row")
	if err != nil {
		return nil, sqliteError(err)
	}
	defer found.Close()
	for found.Next() {
		var r record.StateRow
		if err := found.Scan(&r.Row, &r.Value); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrState, err)
		}
		rows = append(rows, r)
	}
	return rows, sqliteError(found.Err())
}

// sum is the hash of a row: over its number, eight bytes, and its value.
func sumOf(r record.StateRow) hash {
	h := sha256.New()
	var row [8]byte
	binary.BigEndian.PutUint64(row[:], uint64(r.Row))
	h.Write(row[:])
	h.Write(r.Value)
	return hash(h.Sum(nil))
}

// bodyOf vouches for rows by their hashes.
func bodyOf(sums []hash) record.StateBody {
	h := sha256.New()
	for i := range sums {
		h.Write(sums[i][:])
	}
	return record.StateBody{Rows: len(sums), SHA256: hex.EncodeToString(h.Sum(nil))}
}
