package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"safemode/engine/durable"
	"safemode/engine/record"
)

// Format is the version of the file that is written, and the only one that is opened.
const Format = 3

const (
	applicationID = 0x534D4A4E // "SMJN"
	// Before 3.51.3 SQLite could corrupt a database when a WAL was reset.
	oldestSQLite = "3.51.3"
)

// marked is Marked as SQL has it: an index is used where its condition stands in a query
// word for word.
var marked = "kinds & " + strconv.Itoa(Marked) + " <> 0"

// schema is what the file holds, word for word and by name. Hashes are of 32 bytes.
var schema = [...]string{
	`CREATE INDEX mark ON segment (first, kinds) WHERE ` + marked,
	`CREATE TABLE segment (
    first    INTEGER PRIMARY KEY,
    last     INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    earliest INTEGER NOT NULL,
    latest   INTEGER NOT NULL,
    kinds    INTEGER NOT NULL,
    before   BLOB NOT NULL,
    after    BLOB NOT NULL,
    packing  INTEGER NOT NULL,
    sum      BLOB NOT NULL,
    body     BLOB NOT NULL
) STRICT`,
	`CREATE TABLE state (
    row   INTEGER PRIMARY KEY,
    value BLOB NOT NULL
) STRICT`,
	`CREATE TABLE tip (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    hash   BLOB NOT NULL
) STRICT`,
}

// SQLite is a store in one file: a database with application_id 0x534D4A4E ("SMJN"),
// user_version 3, pages of 4 KiB, and exactly the schema above, with a table each for the
// segments, the kept state and the tip. The tip follows from the segments: it is kept so
// that segments missing at the end are noticed.
type SQLite struct {
	sqliteReader
	path string

	// Nil for a store opened for reading.
	lock   *durable.Lock
	made   bool // the file was, by openSQLite
	writer *sqliteWriter
}

func openSQLite(path string, o Options) (_ *SQLite, err error) {
	s := &SQLite{path: path}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release(true))
		}
	}()
	if o.Write {
		if s.lock, err = durable.TakeLock(path + ".lock"); err != nil {
			return nil, err
		}
		if s.made, err = create(path); err != nil {
			return nil, err
		}
		if s.writer, err = openSQLiteWriter(path, s.made, o.Unsynced); err != nil {
			return nil, err
		}
	} else if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	if s.db, err = openDB(path, "ro"); err != nil {
		return nil, err
	}
	s.q = s.db
	return s, checkFormat(context.Background(), s.db)
}

// vacant is Vacant of a file.
func vacant(path string) error {
	if err := checkLeft(path); err != nil {
		return err
	}
	if _, err := os.Stat(path + ".lock"); errors.Is(err, os.ErrNotExist) {
		return nil // nobody holds it
	}
	lock, err := durable.TakeLock(path + ".lock")
	if err != nil {
		return err
	}
	return lock.Release()
}

// create makes an empty file that only its owner may read, if there is none.
// SQLite gives its companions the same mode.
func create(path string) (fresh bool, err error) {
	if err := checkLeft(path); err != nil {
		return false, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.Close()
}

// checkLeft refuses companions without their file: they are another journal's, which was
// moved away, and SQLite would remove them.
func checkLeft(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	for _, left := range [...]string{path + "-wal", path + "-journal"} {
		if _, err := os.Lstat(left); err == nil {
			return fmt.Errorf("%w: %s is part of a journal that is no longer here: move it to that one", ErrForeign, left)
		}
	}
	return nil
}

func openDB(path, mode string) (*sql.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	dsn := url.URL{Scheme: "file", Path: absolute, RawQuery: "mode=" + mode + "&_pragma=busy_timeout(5000)"}
	return sql.Open("sqlite", dsn.String())
}

// querier is what sql.DB, sql.Conn and sql.Tx can do.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func checkSQLite(ctx context.Context, q querier) error {
	var have string
	if err := q.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&have); err != nil {
		return sqliteError(err)
	}
	if compareVersions(have, oldestSQLite) < 0 {
		return fmt.Errorf("SQLite %s is built in; want %s or later", have, oldestSQLite)
	}
	return nil
}

// compareVersions compares dotted decimal versions.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, _ := strconv.Atoi(as[i])
		y, _ := strconv.Atoi(bs[i])
		if x != y {
			return x - y
		}
	}
	return len(as) - len(bs)
}

// isEmpty says whether the database was never written: just made, or made by
// an Open that was killed before its first transaction.
func isEmpty(ctx context.Context, q querier) (bool, error) {
	var objects, application, user int
	err := q.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM sqlite_schema), application_id, user_version
		FROM pragma_application_id, pragma_user_version`).Scan(&objects, &application, &user)
	return objects == 0 && application == 0 && user == 0, sqliteError(err)
}

// checkFormat refuses what is not a journal of this version with exactly its schema.
func checkFormat(ctx context.Context, q querier) error {
	var application, user int
	err := q.QueryRowContext(ctx, `SELECT application_id, user_version
		FROM pragma_application_id, pragma_user_version`).Scan(&application, &user)
	switch {
	case err != nil:
		return sqliteError(err)
	case application != applicationID:
		return fmt.Errorf("%w (application_id %#x)", ErrForeign, application)
	case user == older:
		return fmt.Errorf("%w: an older program wrote it, a row for each record; safemode journal upgrade makes it one of today, in a new file", ErrVersion)
	case user != Format:
		return fmt.Errorf("%w: the file has %d, this program writes %d", ErrVersion, user, Format)
	}
	rows, err := q.QueryContext(ctx, "SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name")
	if err != nil {
		return sqliteError(err)
	}
	defer rows.Close()
	found := 0
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return err
		}
		if found >= len(schema) || schema[found] != text {
			return fmt.Errorf("%w: %s is not in the schema of version %d", ErrDamaged, name, Format)
		}
		found++
	}
	if err := rows.Err(); err != nil {
		return sqliteError(err)
	}
	if found < len(schema) {
		return fmt.Errorf("%w: a table is missing", ErrDamaged)
	}
	return nil
}

// sqliteError adds the package's own word to what SQLite says of a file.
func sqliteError(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_NOTADB:
			return fmt.Errorf("%w: %w", ErrForeign, err)
		case sqlite3.SQLITE_CORRUPT:
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return fmt.Errorf("%w: %w", record.ErrHeld, err)
		case sqlite3.SQLITE_CONSTRAINT:
			return fmt.Errorf("%w: %w", ErrTaken, err)
		}
	}
	return err
}

// Snapshot implements [Store].
func (s *SQLite) Snapshot(ctx context.Context) (Reader, error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, sqliteError(err)
	}
	r := &sqliteReader{q: tx, end: tx.Rollback} // it wrote nothing
	if _, _, err := r.Tip(ctx); err != nil {    // the first read is the moment
		return nil, errors.Join(err, tx.Rollback())
	}
	return r, nil
}

// Copy writes one moment of the whole file, as it is, into another, which is there and
// empty.
func (s *SQLite) Copy(ctx context.Context, to string) error {
	_, err := s.db.ExecContext(ctx, "VACUUM INTO ?", to)
	return sqliteError(err)
}

// mostFaults bounds what SQLite is asked to list.
const mostFaults = "10"

// Check implements [Store]: it has SQLite check the file's pages.
func (s *SQLite) Check(ctx context.Context) (found []string, pages int, err error) {
	if err := checkFormat(ctx, s.db); err != nil {
		return nil, 0, err
	}
	if err := s.db.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		return nil, 0, sqliteError(err)
	}
	rows, err := s.db.QueryContext(ctx, "PRAGMA integrity_check("+mostFaults+")")
	if err != nil {
		return []string{err.Error()}, pages, nil // so damaged that it cannot be checked
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, pages, err
		}
		if line != "ok" {
			found = append(found, line)
		}
	}
	if err := rows.Err(); err != nil {
		found = append(found, err.Error())
	}
	return found, pages, ctx.Err()
}

// Append implements [Store].
func (s *SQLite) Append(seg *Segment, k State) error { return s.writer.append(seg, k) }

// Held implements [Store]: the file's lock ends with the process.
func (s *SQLite) Held() error { return nil }

// Holder implements [Store].
func (s *SQLite) Holder(context.Context) (*record.Holder, error) { return nil, nil }

// Lost implements [Store].
func (s *SQLite) Lost() <-chan struct{} { return nil }

// Close implements [Store].
func (s *SQLite) Close() error { return s.release(false) }

// Discard implements [Store].
func (s *SQLite) Discard() error { return s.release(true) }

// release closes all connections. Readers go first: SQLite tidies up when the last connection
// closes, and that must be the writer. The lock goes last.
func (s *SQLite) release(discard bool) error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	if discard && s.made {
		errs = append(errs, durable.Remove(s.path, s.path+"-wal", s.path+"-shm"))
	}
	switch {
	case s.lock == nil:
	case discard:
		errs = append(errs, s.lock.Discard())
	default:
		errs = append(errs, s.lock.Release())
	}
	return errors.Join(errs...)
}

// sqliteReader reads by a connection of its own, or in one transaction.
type sqliteReader struct {
	db  *sql.DB // nil in a transaction
	q   querier
	end func() error
}

// Close implements [Reader] for a snapshot.
func (r *sqliteReader) Close() error { return r.end() }

// Tip implements [Reader].
func (r *sqliteReader) Tip(ctx context.Context) (t Tip, ok bool, err error) {
	var sum []byte
	err = r.q.QueryRowContext(ctx, "SELECT number, seq, hash FROM tip").Scan(&t.Number, &t.Seq, &sum)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		var left bool
		if err := r.q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM segment)").Scan(&left); err != nil {
			return t, false, sqliteError(err)
		}
		if left {
			return t, false, fmt.Errorf("%w: the tip is missing", ErrDamaged)
		}
		return t, false, nil
	case err != nil:
		return t, false, sqliteError(err)
	case len(sum) != len(t.Hash):
		return t, false, short("the tip's hash", sum)
	}
	t.Hash = [32]byte(sum)
	return t, true, nil
}

// Range implements [Reader].
func (r *sqliteReader) Range(ctx context.Context) (first, last int64, err error) {
	err = r.q.QueryRowContext(ctx, "SELECT coalesce(min(first), 0), coalesce((SELECT last FROM segment ORDER BY first DESC LIMIT 1), 0) FROM segment").Scan(&first, &last)
	return first, last, sqliteError(err)
}

// Read implements [Reader].
func (r *sqliteReader) Read(ctx context.Context, seq uint64, most int) ([]Segment, error) {
	return r.segments(ctx, `SELECT `+columns+` FROM segment
		WHERE first >= coalesce((SELECT max(first) FROM segment WHERE first <= ?1), ?1) ORDER BY first LIMIT ?2`, int64(seq), most)
}

// After implements [Reader].
func (r *sqliteReader) After(ctx context.Context, first uint64, most int) ([]Segment, error) {
	return r.segments(ctx, `SELECT `+columns+` FROM segment WHERE first > ?1 ORDER BY first LIMIT ?2`, int64(first), most)
}

// Newest implements [Reader].
func (r *sqliteReader) Newest(ctx context.Context, kinds, after, before uint64, most int) ([]Segment, error) {
	condition := "kinds & ?1 <> 0 AND first < ?3 AND first >= coalesce((SELECT max(first) FROM segment WHERE first <= ?2), ?2)"
	if kinds&^Marked == 0 {
		condition += " AND " + marked
	}
	return r.segments(ctx, `SELECT `+columns+` FROM segment WHERE `+condition+` AND last > ?2 ORDER BY first DESC LIMIT ?4`,
		int64(kinds), int64(after), int64(min(before, math.MaxInt64)), most)
}

func (r *sqliteReader) segments(ctx context.Context, query string, args ...any) (found []Segment, err error) {
	rows, err := r.q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, sqliteError(err)
	}
	defer rows.Close()
	for size := 0; size <= largest && rows.Next(); {
		var w row
		if err := rows.Scan(w.strictly()...); err != nil {
			return found, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		s := w.segment()
		size += len(s.Body)
		found = append(found, s)
	}
	return found, sqliteError(rows.Err())
}

// State implements [Reader].
func (r *sqliteReader) State(ctx context.Context) (rows []record.StateRow, err error) {
	found, err := r.q.QueryContext(ctx, "SELECT row, value FROM state ORDER BY row")
	if err != nil {
		return nil, sqliteError(err)
	}
	defer found.Close()
	for found.Next() {
		var r record.StateRow
		if err := found.Scan(&r.Row, &r.Value); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		rows = append(rows, r)
	}
	return rows, sqliteError(found.Err())
}
