package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
)

// older is the user_version of journals with a row for each record.
const older = 2

// olderSchema is what such a file holds, by name; the index stop was not in the first.
var olderSchema = map[string]string{
	"mark": `CREATE INDEX mark ON record (kind) WHERE kind IN ('opened','closed','state')`,
	"stop": `CREATE INDEX stop ON record (kind) WHERE kind IN ('tripwire','halted','operator')`,
	"record": `CREATE TABLE record (
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
	"state": `CREATE TABLE state (
    row   INTEGER PRIMARY KEY,
    value BLOB NOT NULL
) STRICT`,
	"tip": `CREATE TABLE tip (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT`,
}

// Older is a journal of version 2: the same records and the same chain, a row for each
// record. It is read for one purpose, to become one of today.
type Older struct {
	sqliteReader
	tx *sql.Tx
}

// OlderRow is one record as version 2 had it: column for column.
type OlderRow struct {
	Seq, At, Device, Originator, Target, Counter int64
	Kind, SRV, Code                              string
	Body, Hash                                   []byte
}

// OpenOlder opens a journal of version 2 and reads one moment of it.
func OpenOlder(ctx context.Context, path string) (_ *Older, err error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	o := &Older{}
	if o.db, err = openDB(path, "ro"); err != nil {
		return nil, err
	}
	if o.tx, err = o.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}); err == nil {
		o.q = o.tx
		err = o.check(ctx)
	}
	if err != nil {
		_ = o.Close() // nothing was written
		return nil, sqliteError(err)
	}
	return o, nil
}

func (o *Older) check(ctx context.Context) error {
	var application, user int
	err := o.q.QueryRowContext(ctx, `SELECT application_id, user_version
		FROM pragma_application_id, pragma_user_version`).Scan(&application, &user)
	switch {
	case err != nil:
		return err
	case application != applicationID:
		return fmt.Errorf("%w (application_id %#x)", ErrForeign, application)
	case user == Format:
		return fmt.Errorf("%w: it is of today's version %d", ErrVersion, Format)
	case user != older:
		return fmt.Errorf("%w: the file has %d, this program converts %d", ErrVersion, user, older)
	}
	rows, err := o.q.QueryContext(ctx, "SELECT name, coalesce(sql, '') FROM sqlite_schema")
	if err != nil {
		return err
	}
	defer rows.Close()
	missing := len(olderSchema) - 1 // the index stop may be
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return err
		}
		if olderSchema[name] != text {
			return fmt.Errorf("%w: %s is not in the schema of version %d", ErrDamaged, name, older)
		}
		if name != "stop" {
			missing--
		}
	}
	if missing > 0 {
		return fmt.Errorf("%w: a table is missing", ErrDamaged)
	}
	return rows.Err()
}

// Close ends the reading.
func (o *Older) Close() error {
	if o.tx != nil {
		_ = o.tx.Rollback() // it wrote nothing
	}
	return o.db.Close()
}

// Tip is the number and the hash of the last record, as the file has them.
func (o *Older) Tip(ctx context.Context) (seq int64, hash []byte, err error) {
	err = o.q.QueryRowContext(ctx, "SELECT seq, hash FROM tip").Scan(&seq, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("%w: the tip is missing", ErrDamaged)
	}
	return seq, hash, sqliteError(err)
}

// Each hands out all records by their numbers, until one is not taken.
func (o *Older) Each(ctx context.Context, take func(OlderRow) error) error {
	rows, err := o.q.QueryContext(ctx, "SELECT seq, at, kind, device, srv, originator, target, counter, code, body, hash FROM record ORDER BY seq")
	if err != nil {
		return sqliteError(err)
	}
	defer rows.Close()
	for rows.Next() {
		var r OlderRow
		if err := rows.Scan(&r.Seq, &r.At, &r.Kind, &r.Device, &r.SRV, &r.Originator, &r.Target, &r.Counter, &r.Code, &r.Body, &r.Hash); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if err := take(r); err != nil {
			return err
		}
	}
	return sqliteError(rows.Err())
}
