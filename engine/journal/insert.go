package journal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"

	"safemode/engine/record"
)

// rowsAtOnce is how many rows one statement inserts. What a statement costs beside its
// rows is then shared by many.
const rowsAtOnce = 16

// columnCount is how many columns a record has.
const columnCount = 11

// statements are prepared with the driver itself: what package sql does around each of
// them costs as much as a small row. They are used inside [sql.Conn.Raw] only.
type statements struct {
	begin, insert, insertMany, moveTip, clearState, setState, commit, undo statement
}

// statement is a prepared statement of a driver that takes a context.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
}

// prepare prepares the statements of a connection.
func prepare(ctx context.Context, conn *sql.Conn) (s statements, err error) {
	row := "(?" + strings.Repeat(",?", columnCount-1) + ")"
	err = conn.Raw(func(c any) error {
		preparer, ok := c.(driver.ConnPrepareContext)
		if !ok {
			return fmt.Errorf("%T does not prepare statements", c)
		}
		for _, p := range [...]struct {
			stmt *statement
			text string
		}{
			{&s.begin, "BEGIN IMMEDIATE"},
			{&s.insert, "INSERT INTO record VALUES " + row},
			{&s.insertMany, "INSERT INTO record VALUES " + row + strings.Repeat(","+row, rowsAtOnce-1)},
			{&s.moveTip, "UPDATE tip SET seq = ?, hash = ?"},
			{&s.clearState, "DELETE FROM state"},
			{&s.setState, "REPLACE INTO state VALUES (?, ?)"},
			{&s.commit, "COMMIT"},
			{&s.undo, "ROLLBACK"},
		} {
			prepared, err := preparer.PrepareContext(ctx, p.text)
			if err != nil {
				return err
			}
			if *p.stmt, ok = prepared.(statement); !ok {
				return fmt.Errorf("%T takes no context", prepared)
			}
		}
		return nil
	})
	return s, err
}

// closeStatements frees those that were prepared.
func (w *writer) closeStatements() {
	_ = w.conn.Raw(func(any) error {
		for _, s := range [...]statement{w.begin, w.insert, w.insertMany, w.moveTip, w.clearState, w.setState, w.commit, w.undo} {
			if s != nil {
				_ = s.Close() // what is wrong with it was said when it ran
			}
		}
		return nil
	})
}

// write makes records durable after the tip and replaces rows of the state, in one
// transaction, and returns the new tip.
func (w *writer) write(tip Tip, records []record.Record, k kept) (next Tip, err error) {
	err = w.conn.Raw(func(any) error {
		next, err = w.transact(tip, records, k)
		return err
	})
	if err != nil {
		return tip, sqliteError(err)
	}
	return next, nil
}

func (w *writer) transact(tip Tip, records []record.Record, k kept) (next Tip, err error) {
	// A context that can end would cost a goroutine for every statement, and
	// a transaction is not to be left half-way.
	ctx := context.Background()
	if _, err := w.begin.ExecContext(ctx, nil); err != nil {
		return tip, err
	}
	next, err = w.insertAll(ctx, tip, records)
	if err == nil && k.anew {
		_, err = w.clearState.ExecContext(ctx, nil)
	}
	for _, row := range k.rows {
		if err == nil {
			_, err = w.setState.ExecContext(ctx, appendValues(w.args[:0], int64(row.Row), row.Value))
		}
	}
	if err == nil {
		_, err = w.commit.ExecContext(ctx, nil)
	}
	if err != nil {
		// SQLite may have rolled back by itself; then this finds nothing to do.
		_, _ = w.undo.ExecContext(ctx, nil)
	}
	return next, err
}

func (w *writer) insertAll(ctx context.Context, tip Tip, records []record.Record) (Tip, error) {
	for len(records) > 0 {
		n, stmt := 1, w.insert
		if len(records) >= rowsAtOnce {
			n, stmt = rowsAtOnce, w.insertMany
		}
		args := w.args[:0]
		for i := range records[:n] {
			args, tip = w.appendRow(args, tip, &records[i])
		}
		if _, err := stmt.ExecContext(ctx, args); err != nil {
			return tip, err
		}
		records = records[n:]
	}
	_, err := w.moveTip.ExecContext(ctx, appendValues(w.args[:0], int64(tip.Seq), tip.Hash[:]))
	return tip, err
}

// appendRow appends the columns of the record that follows the tip, and moves the tip.
func (w *writer) appendRow(args []driver.NamedValue, tip Tip, r *record.Record) ([]driver.NamedValue, Tip) {
	tip.Seq++
	r.Seq = tip.Seq
	tip.Hash, w.scratch = link(w.scratch, tip.Hash, r)
	body := r.Body
	if body == nil {
		body = []byte{} // nil would be NULL
	}
	return appendValues(args,
		int64(r.Seq), r.At.UnixNano(), r.Kind.String(), int64(r.Device), srv(r.Service),
		int64(r.ID.Originator), int64(r.ID.Target), int64(r.ID.Counter), r.Code, body, tip.Hash[:],
	), tip
}

// appendValues appends values as the driver takes them.
func appendValues(args []driver.NamedValue, values ...driver.Value) []driver.NamedValue {
	for _, v := range values {
		args = append(args, driver.NamedValue{Ordinal: len(args) + 1, Value: v})
	}
	return args
}
