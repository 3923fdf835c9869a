package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"safemode/engine/durable"
)

// sqliteWriter is the one connection that writes. Its statements are prepared with the
// driver itself: what package sql does around each of them costs as much as a small row.
// They are used inside [sql.Conn.Raw] only.
type sqliteWriter struct {
	db   *sql.DB
	conn *sql.Conn

	begin, insert, setTip, moveTip, clearState, setState, commit, undo statement
	args                                                               [11]driver.NamedValue // of the statement under way
}

// statement is a prepared statement of a driver that takes a context.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
}

// openSQLiteWriter opens the file, gives it the schema where it is empty, and refuses what
// is not ours.
func openSQLiteWriter(path string, fresh, unsynced bool) (_ *sqliteWriter, err error) {
	db, err := openDB(path, "rw")
	if err != nil {
		return nil, err
	}
	w := &sqliteWriter{db: db}
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
	synchronous := "FULL"
	if unsynced {
		synchronous = "NORMAL"
	}
	for _, pragma := range [...]string{
		"PRAGMA page_size = 4096", // of the pages that a batch touches most are written in part
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = " + synchronous,
		"PRAGMA mmap_size = 0",
		"PRAGMA wal_autocheckpoint = 4000", // pages: 16 MiB, so that a busy sweep checkpoints seldom
	} {
		if _, err := w.conn.ExecContext(ctx, pragma); err != nil {
			return nil, fmt.Errorf("%s: %w", pragma, sqliteError(err))
		}
	}
	if empty {
		if err := w.initialise(ctx); err != nil {
			return nil, sqliteError(err)
		}
	}
	if fresh {
		if err := durable.SyncDir(filepath.Dir(path)); err != nil {
			return nil, err
		}
	}
	return w, sqliteError(w.prepare(ctx))
}

// initialise writes the schema in one transaction: it is whole, or the database is still
// empty.
func (w *sqliteWriter) initialise(ctx context.Context) error {
	tx, err := w.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	for _, text := range [...]string{
		schema[1], schema[0], schema[2], schema[3], // an index follows its table
		"PRAGMA application_id = " + strconv.Itoa(applicationID),
		"PRAGMA user_version = " + strconv.Itoa(Format),
	} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// statements are the writer's, with their texts.
func (w *sqliteWriter) statements() map[*statement]string {
	return map[*statement]string{
		&w.begin:      "BEGIN IMMEDIATE",
		&w.insert:     "INSERT INTO segment (" + columns + ") VALUES (?,?,?,?,?,?,?,?,?,?,?)",
		&w.setTip:     "INSERT INTO tip VALUES (1, ?, ?, ?)",
		&w.moveTip:    "UPDATE tip SET number = ?, seq = ?, hash = ? WHERE number = ? - 1",
		&w.clearState: "DELETE FROM state",
		&w.setState:   "REPLACE INTO state VALUES (?, ?)",
		&w.commit:     "COMMIT",
		&w.undo:       "ROLLBACK",
	}
}

func (w *sqliteWriter) prepare(ctx context.Context) error {
	return w.conn.Raw(func(c any) error {
		preparer, ok := c.(driver.ConnPrepareContext)
		if !ok {
			return fmt.Errorf("%T does not prepare statements", c)
		}
		for s, text := range w.statements() {
			prepared, err := preparer.PrepareContext(ctx, text)
			if err != nil {
				return err
			}
			if *s, ok = prepared.(statement); !ok {
				return fmt.Errorf("%T takes no context", prepared)
			}
		}
		return nil
	})
}

// close leaves one plain file behind, unless somebody is reading it.
func (w *sqliteWriter) close() error {
	var err error
	if w.conn != nil {
		_ = w.conn.Raw(func(any) error {
			for s := range w.statements() {
				if *s != nil {
					_ = (*s).Close() // its error was reported when it ran
				}
			}
			return nil
		})
		// If nothing was written SQLite does not know of the WAL before it reads, and would leave it.
		// Fails while another process reads; the file is then whole together with its WAL.
		_, _ = w.conn.ExecContext(context.Background(), "SELECT number FROM tip")
		_, _ = w.conn.ExecContext(context.Background(), "PRAGMA journal_mode = DELETE")
		err = w.conn.Close()
	}
	return errors.Join(err, w.db.Close())
}

func (w *sqliteWriter) append(s *Segment, k State) error {
	return sqliteError(w.conn.Raw(func(any) error { return w.transact(s, k) }))
}

func (w *sqliteWriter) transact(s *Segment, k State) error {
	if _, err := w.run(w.begin); err != nil {
		return err
	}
	err := w.write(s, k)
	if err == nil {
		_, err = w.run(w.commit)
	}
	if err != nil {
		// SQLite may have rolled back by itself; then this finds nothing to do.
		_, _ = w.run(w.undo)
	}
	return err
}

func (w *sqliteWriter) write(s *Segment, k State) error {
	if _, err := w.run(w.insert, int64(s.First), int64(s.Last), int64(s.Number), s.Earliest, s.Latest, int64(s.Kinds),
		s.Before[:], s.After[:], int64(s.Packing), s.Sum[:], s.Body); err != nil {
		return err
	}
	var moved driver.Result
	var err error
	if s.Number == 0 {
		moved, err = w.run(w.setTip, int64(0), int64(s.Last), s.After[:])
	} else {
		moved, err = w.run(w.moveTip, int64(s.Number), int64(s.Last), s.After[:], int64(s.Number))
	}
	if err != nil {
		return err
	}
	if n, err := moved.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("%w: segment %d does not follow the last", ErrTaken, s.Number))
	}
	if k.Whole {
		if _, err := w.run(w.clearState); err != nil {
			return err
		}
	}
	for _, row := range k.Rows {
		if _, err := w.run(w.setState, int64(row.Row), notNil(row.Value)); err != nil {
			return err
		}
	}
	return nil
}

// run executes a statement. A context that can end would cost a goroutine for each, and a
// transaction is not to be left half-way.
func (w *sqliteWriter) run(s statement, values ...driver.Value) (driver.Result, error) {
	args := w.args[:0]
	for i, v := range values {
		args = append(args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return s.ExecContext(context.Background(), args)
}
