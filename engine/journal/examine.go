package journal

import (
	"context"
	"errors"
	"fmt"
	"os"

	"safemode/engine/record"
)

// Examine reads a journal that may be damaged, for whoever has to say what is still
// proven of it. It calls visit with each record whose chain holds, in order, and
// returns the faults that it found: the first break of the chain, with what was
// done to the record as far as that can be told, and what SQLite finds damaged in
// the file. No faults: the journal is whole. The error is for a file that is no
// journal of this version or cannot be read at all, and for the context's end.
func Examine(ctx context.Context, path string, visit func(record.Record)) (x Examined, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("journal %s: %w", path, err)
		}
	}()
	if _, err := os.Stat(path); err != nil {
		return x, err
	}
	db, err := openReader(path)
	if err != nil {
		return x, err
	}
	defer db.Close()
	if err := checkFormat(ctx, db); err != nil {
		return x, err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA page_count").Scan(&x.Pages); err != nil {
		return x, sqliteError(err)
	}
	if x.File, err = integrity(ctx, db); err != nil {
		return x, err
	}
	j := &Journal{path: path, reader: db}
	if x.ID, err = readID(ctx, db); err != nil {
		x.Chain = append(x.Chain, err)
		return x, ctx.Err()
	}
	err = j.walk(ctx, 1, func(r record.Record) bool {
		x.Sound = r.Seq
		visit(r)
		return true
	})
	if ctx.Err() != nil {
		return x, ctx.Err()
	}
	if err != nil {
		x.Chain = append(x.Chain, diagnose(ctx, db, x.Sound, err))
		err = nil
	}
	tip, tipErr := readTip(ctx, db)
	if tipErr == nil {
		x.Tip, tipErr = tip, checkStray(ctx, db)
	}
	if tipErr != nil {
		x.Chain = append(x.Chain, tipErr)
	}
	x.Rows, x.State = j.examineState(ctx)
	return x, ctx.Err()
}

// examineState counts the rows of the state, and says what is wrong with it.
func (j *Journal) examineState(ctx context.Context) (int, error) {
	rows, r, err := j.readState(ctx)
	if err != nil && r.Seq == 0 {
		var left int
		if e := j.reader.QueryRowContext(ctx, "SELECT count(*) FROM state").Scan(&left); e != nil || left > 0 {
			return 0, err
		}
		if errors.Is(err, ErrState) {
			return 0, nil // none was kept
		}
	}
	return len(rows), err
}

// Examined is what [Examine] found.
type Examined struct {
	ID    string
	Tip   Tip     // as the table tip has it
	Sound uint64  // the records from 1 to this one hold
	Chain []error // what is wrong with the records
	Pages int     // of the file
	File  []string

	Rows  int   // of the state that holds
	State error // why there is none that does; nil also where none was kept
}

// mostFaults bounds what SQLite is asked to list.
const mostFaults = "10"

// integrity lists what SQLite's own check finds.
func integrity(ctx context.Context, q querier) (found []string, err error) {
	rows, err := q.QueryContext(ctx, "PRAGMA integrity_check("+mostFaults+")")
	if err != nil {
		return []string{err.Error()}, nil // so damaged that it cannot be checked
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		if line != "ok" {
			found = append(found, line)
		}
	}
	if err := rows.Err(); err != nil {
		found = append(found, err.Error())
	}
	return found, ctx.Err()
}

// diagnose says of the break after the last sound record what was done there. Each
// hash is over the record's own number and the hash before it, so a record that
// stands at another place than its own is found by trying.
func diagnose(ctx context.Context, q querier, sound uint64, found error) error {
	if chain, ok := errors.AsType[*ChainError](found); !ok || chain.Reason != unlinked {
		return found
	}
	before, err := hashOf(ctx, q, sound)
	if err != nil {
		return found
	}
	at := sound + 1
	rows, err := readPage(ctx, q, at, at+1)
	if err != nil || len(rows) == 0 || rows[0].Seq != at {
		return found // missing, or not to be read; the error says so
	}
	here := rows[0]
	fits := func(r linked, seq uint64, before hash) bool {
		r.Seq = seq
		sum, _ := link(nil, before, &r.Record)
		return sum == r.hash
	}
	var follower uint64 // the record that belongs here, where it stands now
	var previous hash   // of the record before it, in the order in which they stand
	last := here.hash
	for from := at + 1; follower == 0; from += pageSize {
		page, err := readPage(ctx, q, from, from+pageSize-1)
		for _, r := range page {
			if fits(r, at, *before) {
				follower, previous = r.Seq, last
				break
			}
			last = r.hash
		}
		if err != nil || len(page) == 0 {
			break
		}
	}
	switch {
	case follower == at+1 && !fits(here, follower, rows[1].hash):
		return &ChainError{at, fmt.Sprintf("added: the record that followed record %d is record %d now", sound, follower)}
	case follower != 0 && (fits(here, follower, previous) || follower == at+1 && fits(here, follower, rows[1].hash)):
		return &ChainError{at, fmt.Sprintf("swapped with record %d", follower)}
	case follower != 0:
		return &ChainError{at, fmt.Sprintf("not in its place: the record that followed record %d is record %d now", sound, follower)}
	case len(rows) == 2 && fits(rows[1], at+2, here.hash):
		return &ChainError{at, fmt.Sprintf("removed, and closed up: what is record %d now was one of a higher number", at)}
	}
	return &ChainError{at, "altered"}
}
