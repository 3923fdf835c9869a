package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"safemode/engine/record"
)

// ChainError names the first record at which the chain does not hold. It
// wraps [ErrDamaged].
type ChainError struct {
	Seq    uint64
	Reason string
}

func (e *ChainError) Error() string { return fmt.Sprintf("record %d: %s", e.Seq, e.Reason) }

// Unwrap returns [ErrDamaged].
func (e *ChainError) Unwrap() error { return ErrDamaged }

// pageSize is how many records one query reads. Between queries no read
// transaction is open, so a slow reader does not hold up checkpoints.
const pageSize = 256

const columns = "seq, at, kind, device, srv, originator, target, counter, code, body, hash"

// Records returns the durable records from seq from on (0 and 1 are the
// first), in order, up to the last one that is durable when the end is
// reached. The chain is checked on the way; the iteration ends with the first
// error, which wraps [ChainError] where a record is missing or altered.
func (j *Journal) Records(ctx context.Context, from uint64) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		if err := j.walk(ctx, max(from, 1), func(r record.Record) bool { return yield(r, nil) }); err != nil {
			yield(record.Record{}, fmt.Errorf("journal %s: %w", j.path, err))
		}
	}
}

// Verify reads the whole journal and says what is wrong with it: the first
// record that is missing, added or altered ([ChainError]), a schema that is
// not ours, or damage to the file that SQLite's own check finds.
func (j *Journal) Verify(ctx context.Context) error {
	if err := j.verify(ctx); err != nil {
		return fmt.Errorf("journal %s: %w", j.path, err)
	}
	return nil
}

func (j *Journal) verify(ctx context.Context) error {
	if err := checkFormat(ctx, j.reader); err != nil {
		return err
	}
	if err := j.walk(ctx, 1, func(record.Record) bool { return true }); err != nil {
		return err
	}
	if err := checkStray(ctx, j.reader); err != nil {
		return err
	}
	var found string
	if err := j.reader.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&found); err != nil {
		return sqliteError(err)
	}
	if found != "ok" {
		return fmt.Errorf("%w: %s", ErrDamaged, found)
	}
	return nil
}

// HashAt returns the chain's hash at a durable record, as its row holds it.
func (j *Journal) HashAt(seq uint64) ([32]byte, error) {
	h, err := hashOf(context.Background(), j.reader, seq)
	if err != nil {
		return hash{}, fmt.Errorf("journal %s: %w", j.path, err)
	}
	return *h, nil
}

// checkStray refuses records that the tip does not know.
func checkStray(ctx context.Context, q querier) error {
	var first, last, tip int64
	err := q.QueryRowContext(ctx, `SELECT coalesce((SELECT min(seq) FROM record), 0),
		coalesce((SELECT max(seq) FROM record), 0), seq FROM tip`).Scan(&first, &last, &tip)
	switch {
	case err != nil:
		return sqliteError(err)
	case first < 0:
		return fmt.Errorf("%w: record %d was added before the beginning", ErrDamaged, first)
	case last > tip:
		return &ChainError{uint64(last), fmt.Sprintf("added after record %d, the last one that was written", tip)}
	}
	return nil
}

// walk visits the records from seq next on until visit returns false, and
// checks that each is there and linked to the one before.
func (j *Journal) walk(ctx context.Context, next uint64, visit func(record.Record) bool) error {
	var previous *hash // of the record before next; nil until it is read
	var scratch []byte
	for {
		tip, err := readTip(ctx, j.reader)
		if err != nil || next > tip.Seq {
			return err
		}
		if previous == nil {
			if previous, err = hashOf(ctx, j.reader, next-1); err != nil {
				return err
			}
		}
		last := min(tip.Seq, next+pageSize-1)
		page, unread := readPage(ctx, j.reader, next, last)
		for _, r := range page {
			if r.Seq != next {
				break
			}
			if *previous, scratch = link(scratch, *previous, &r.Record); *previous != r.hash {
				return &ChainError{next, unlinked}
			}
			if next == tip.Seq && r.hash != tip.Hash {
				return &ChainError{next, "not the last record that was written"}
			}
			if !visit(r.Record) {
				return nil
			}
			next++
		}
		switch {
		case unread != nil:
			return unread
		case next <= last:
			return &ChainError{next, "missing"}
		}
	}
}

// linked is a record with the hash that its row holds.
type linked struct {
	record.Record
	hash hash
}

// unlinked is the reason of a record whose hash is not the one that follows from it
// and from the record before.
const unlinked = "altered, or not the one that followed the record before"

// readPage reads the records from first to last, as they are. With an error it
// returns those before the one that cannot be read.
func readPage(ctx context.Context, q querier, first, last uint64) ([]linked, error) {
	return readRows(ctx, q, columns, first, last)
}

func readRows(ctx context.Context, q querier, columns string, first, last uint64) ([]linked, error) {
	rows, err := q.QueryContext(ctx, "SELECT "+columns+" FROM record WHERE seq BETWEEN ? AND ? ORDER BY seq",
		int64(first), int64(last))
	if err != nil {
		return nil, sqliteError(err)
	}
	defer rows.Close()
	var page []linked
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return page, &ChainError{first + uint64(len(page)), err.Error()}
		}
		page = append(page, r)
	}
	return page, sqliteError(rows.Err())
}

func scan(rows *sql.Rows) (r linked, err error) {
	var at int64
	var kind, srv string
	var sum []byte
	if err := rows.Scan((*signed)(&r.Seq), &at, (*text)(&kind), (*signed)(&r.Device), (*text)(&srv),
		(*signed)(&r.ID.Originator), (*signed)(&r.ID.Target), (*signed)(&r.ID.Counter), (*text)(&r.Code), (*blob)(&r.Body), (*blob)(&sum)); err != nil {
		return r, err
	}
	r.At = time.Unix(0, at).UTC()
	if r.Kind, err = record.ParseKind(kind); err != nil {
		return r, err
	}
	if r.Service, err = parseSRV(srv); err != nil {
		return r, err
	}
	if len(sum) != len(r.hash) {
		return r, fmt.Errorf("hash of %d bytes", len(sum))
	}
	r.hash = hash(sum)
	return r, nil
}

// signed reads a 64-bit integer column, which SQLite knows only signed, into
// an unsigned value.
type signed uint64

// Scan implements [sql.Scanner].
func (s *signed) Scan(value any) error {
	n, ok := value.(int64)
	if !ok {
		return fmt.Errorf("%T where an integer belongs", value)
	}
	*s = signed(n)
	return nil
}

// text reads a TEXT column and nothing else: what the file calls a BLOB has been tampered
// with, though its bytes may be the same.
type text string

// Scan implements [sql.Scanner].
func (t *text) Scan(value any) error {
	s, ok := value.(string)
	if !ok {
		return fmt.Errorf("%T where a text belongs", value)
	}
	*t = text(s)
	return nil
}

// blob reads a BLOB column and nothing else. An empty one is nil.
type blob []byte

// Scan implements [sql.Scanner].
func (b *blob) Scan(value any) error {
	bytes, ok := value.([]byte)
	if !ok {
		return fmt.Errorf("%T where bytes belong", value)
	}
	*b = append((*b)[:0:0], bytes...)
	return nil
}

func readTip(ctx context.Context, q querier) (t Tip, err error) {
	var sum []byte
	err = q.QueryRowContext(ctx, "SELECT seq, hash FROM tip").Scan((*signed)(&t.Seq), &sum)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return t, fmt.Errorf("%w: the tip is missing", ErrDamaged)
	case err != nil:
		return t, sqliteError(err)
	case len(sum) != len(t.Hash):
		return t, fmt.Errorf("%w: the tip's hash has %d bytes", ErrDamaged, len(sum))
	}
	t.Hash = hash(sum)
	return t, nil
}

// readID reads record 0, which makes the journal.
func readID(ctx context.Context, q querier) (string, error) {
	page, err := readPage(ctx, q, 0, 0)
	if err != nil {
		return "", err
	}
	if len(page) != 1 {
		return "", &ChainError{0, "missing"}
	}
	if sum, _ := link(nil, hash{}, &page[0].Record); sum != page[0].hash || page[0].Kind != record.Made {
		return "", &ChainError{0, "altered"}
	}
	return string(page[0].Body), nil
}

// hashOf returns the hash in the row of a record.
func hashOf(ctx context.Context, q querier, seq uint64) (*hash, error) {
	page, err := readPage(ctx, q, seq, seq)
	if err != nil {
		return nil, err
	}
	if len(page) == 0 {
		return nil, &ChainError{seq, "missing"}
	}
	return &page[0].hash, nil
}
