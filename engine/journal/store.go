package journal

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"safemode/engine/durable"
	"safemode/engine/record"
)

const (
	applicationID = 0x534D4A4E // "SMJN"
	version       = 2
	// Before 3.51.3 SQLite could corrupt a database when a WAL was reset.
	oldestSQLite = "3.51.3"
)

// schema is what the file holds, word for word and by name (see doc.go).
var schema = [...]string{
	`CREATE INDEX mark ON record (kind) WHERE ` + marks,
	`CREATE TABLE record (
    seq        INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    device     INTEGER NOT NULL,
    srv        TEXT NOT NULL,
    originator INTEGER NOT NULL,
    target     INTEGER NOT NULL,
    counter    INTEGER NOT NULL,
    code       TEXT NOT NULL,
    body       BLOB NOT NULL,
    hash       BLOB NOT NULL
) STRICT`,
	`CREATE TABLE state (
    row   INTEGER PRIMARY KEY,
    value BLOB NOT NULL
) STRICT`,
	`CREATE TABLE tip (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT`,
}

// marks are the kinds that the index mark is of: few, and asked for alone.
const marks = `kind IN ('opened','closed','state')`

// stops are those of the index stop, which a journal is given when it is opened to be
// written: the first ones of this version had none.
const (
	stops     = `kind IN ('tripwire','halted','operator')`
	stopIndex = `CREATE INDEX stop ON record (kind) WHERE ` + stops
)

// writer is the one connection that writes.
type writer struct {
	db   *sql.DB
	conn *sql.Conn
	statements
	args    [columnCount * rowsAtOnce]driver.NamedValue // of the statement under way
	scratch []byte                                      // for the encoding of one record
}

// openWriter opens the file, begins a journal in it where it is empty, and refuses what
// is not ours.
func openWriter(path, id string, fresh bool) (_ *writer, err error) {
	db, err := openDB(path, "rw")
	if err != nil {
		return nil, err
	}
	w := &writer{db: db}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	ctx := context.Background()
	if w.conn, err = db.Conn(ctx); err != nil {
		return nil, sqliteError(err)
	}
	if err := checkSQLite(ctx, w.conn); err != nil {
		return nil, err
	}
	empty, err := isEmpty(ctx, w.conn)
	if err != nil {
		return nil, err
	}
	if !empty {
		// Before anything is written, also the journal mode.
		if err := checkFormat(ctx, w.conn); err != nil {
			return nil, err
		}
	}
	for _, pragma := range [...]string{
		"PRAGMA page_size = 16384", // a signed command with its record fits without overflow pages
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = FULL",
		"PRAGMA mmap_size = 0",
		"PRAGMA wal_autocheckpoint = 1000", // pages: 16 MiB, so that a busy sweep checkpoints seldom
	} {
		if _, err := w.conn.ExecContext(ctx, pragma); err != nil {
			return nil, fmt.Errorf("%s: %w", pragma, sqliteError(err))
		}
	}
	if empty {
		if err := w.initialise(ctx, id); err != nil {
			return nil, sqliteError(err)
		}
	}
	var indexed bool
	if err := w.conn.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'stop')").Scan(&indexed); err != nil {
		return nil, sqliteError(err)
	}
	if !indexed {
		if _, err := w.conn.ExecContext(ctx, stopIndex); err != nil {
			return nil, sqliteError(err)
		}
	}
	if fresh {
		if err := durable.SyncDir(filepath.Dir(path)); err != nil {
			return nil, err
		}
	}
	if w.statements, err = prepare(ctx, w.conn); err != nil {
		return nil, sqliteError(err)
	}
	return w, nil
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

// initialise writes the schema and record 0 in one transaction: a journal is
// whole or still an empty database.
func (w *writer) initialise(ctx context.Context, wanted string) error {
	id, err := hex.DecodeString(wanted)
	if err != nil || wanted != "" && len(id) != 16 {
		return fmt.Errorf("journal ID %q: want 32 hexadecimal digits", wanted)
	}
	if wanted == "" {
		id = make([]byte, 16)
		rand.Read(id)
	}
	first := record.Record{Kind: record.Made, At: time.Now(), Body: hex.AppendEncode(nil, id)}
	sum, _ := link(nil, hash{}, &first)

	tx, err := w.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()                                                            // does nothing after Commit
	for _, text := range [...]string{schema[1], schema[0], schema[2], schema[3]} { // an index follows its table
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	for _, text := range [...]string{
		"PRAGMA application_id = " + strconv.Itoa(applicationID),
		"PRAGMA user_version = " + strconv.Itoa(version),
	} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO record VALUES (0, ?, ?, 0, '', 0, 0, 0, '', ?, ?)",
		first.At.UnixNano(), first.Kind.String(), first.Body, sum[:]); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO tip VALUES (1, 0, ?)", sum[:]); err != nil {
		return err
	}
	return tx.Commit()
}

// close leaves one plain file behind, unless somebody is reading it.
func (w *writer) close() error {
	var err error
	if w.conn != nil {
		w.closeStatements()
		// Fails while another process reads; the file is then whole together
		// with its WAL.
		_, _ = w.conn.ExecContext(context.Background(), "PRAGMA journal_mode = DELETE")
		err = w.conn.Close()
	}
	return errors.Join(err, w.db.Close())
}

// openReader opens the connections that read.
func openReader(path string) (*sql.DB, error) { return openDB(path, "ro") }

func openDB(path, mode string) (*sql.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	dsn := url.URL{Scheme: "file", Path: absolute, RawQuery: "mode=" + mode + "&_pragma=busy_timeout(5000)"}
	return sql.Open("sqlite", dsn.String())
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

// querier is what both sql.DB and sql.Conn can do.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
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
	case user != version:
		return fmt.Errorf("%w: the file has %d, this program writes %d", ErrVersion, user, version)
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
		if text == stopIndex {
			continue
		}
		if found >= len(schema) || schema[found] != text {
			return fmt.Errorf("%w: %s is not in the schema of version %d", ErrDamaged, name, version)
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
		}
	}
	return err
}
