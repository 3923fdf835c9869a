package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"safemode/engine/durable"
	"safemode/servicerequests/safefile"
)

// OpenFiles returns the files at a place, for callers that write no journal: a folder, or the
// address of a custody in a database (see the package comment), to which each call then
// connects.
func OpenFiles(at string) (durable.Files, error) {
	if !IsAddress(at) {
		return durable.Folder(at), nil
	}
	return newFiles(at)
}

// MakeFiles makes a custody in a database. The error wraps [fs.ErrExist] where it has one of
// that name.
func MakeFiles(ctx context.Context, at string) error {
	f, err := newFiles(at)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pool, err := newPool(ctx, f.base, f.custody, Options{Write: true})
	if err != nil {
		return err
	}
	defer closePool(pool)
	if err := migrate(ctx, pool); err != nil {
		return err
	}
	made, err := pool.Exec(ctx, "INSERT INTO safemode.custody (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", f.custody)
	if err == nil && made.RowsAffected() == 0 {
		err = fmt.Errorf("custody %s: %w", f.at, fs.ErrExist)
	}
	return pgError(err)
}

// CheckFiles says whether files at a place may go with the journal at another: a custody in a
// database goes with a journal in the same.
func CheckFiles(journal, at string) error {
	if !IsAddress(at) {
		return nil
	}
	f, err := newFiles(at)
	if err != nil {
		return err
	}
	if IsAddress(journal) {
		base, _, err := split(journal)
		if err != nil || base == f.base {
			return err
		}
	}
	return fmt.Errorf("custody %s: it goes with a journal in the same database, and this one is %s: give both the same address, but for sweep=NAME and custody=NAME",
		f.at, Shown(journal))
}

// Files implements [Store].
func (s *SQLite) Files(at string) (durable.Files, error) {
	if err := CheckFiles(s.path, at); err != nil {
		return nil, err
	}
	return durable.Folder(at), nil
}

// Files implements [Store].
func (p *Postgres) Files(at string) (durable.Files, error) {
	if err := CheckFiles(p.at, at); err != nil {
		return nil, err
	}
	if !IsAddress(at) {
		return durable.Folder(at), nil
	}
	f, err := newFiles(at)
	if err != nil {
		return nil, err
	}
	f.pool, f.lease = p.pool, p.lease
	return f, nil
}

// files are those of a custody in a database.
type files struct {
	at, base, custody string // as it may be shown; of the database; the name

	pool  *pgxpool.Pool // nil: each call connects
	lease *lease        // under which files are written; nil: none
}

func newFiles(at string) (*files, error) {
	f := &files{at: Shown(at)}
	var err error
	if f.base, f.custody, err = splitOff(at, "custody", ""); err != nil {
		return nil, fmt.Errorf("custody %s: %w", f.at, err)
	}
	return f, nil
}

// Path implements [durable.Files].
func (f *files) Path(name string) string { return f.at + " " + name }

// Names implements [durable.Files].
func (f *files) Names() (names []string, err error) {
	err = f.look(func(ctx context.Context, q pgQuerier, custody int64) error {
		rows, err := q.Query(ctx, "SELECT DISTINCT file FROM safemode.piece WHERE custody = $1 ORDER BY file", custody)
		if err == nil {
			names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		return err
	})
	return names, err
}

// Read implements [durable.Files]. Whom the database lets write is the database's to say.
func (f *files) Read(name string, most int64, _ safefile.Trust) (text []byte, err error) {
	err = f.look(func(ctx context.Context, q pgQuerier, custody int64) error {
		text, err = f.read(ctx, q, custody, name, most)
		return err
	})
	return text, err
}

func (f *files) read(ctx context.Context, q pgQuerier, custody int64, name string, most int64) ([]byte, error) {
	rows, err := q.Query(ctx, "SELECT at, bytes FROM safemode.piece WHERE custody = $1 AND file = $2 ORDER BY at", custody, name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var text []byte
	pieces := 0
	for ; rows.Next(); pieces++ {
		var at int64
		var piece []byte
		if err := rows.Scan(&at, &piece); err != nil {
			return nil, err
		}
		switch text = append(text, piece...); {
		case at != int64(len(text)-len(piece)):
			return nil, fmt.Errorf("%s: %w: a piece of it is missing before byte %d", f.Path(name), ErrDamaged, at)
		case int64(len(text)) > most:
			return nil, fmt.Errorf("%s: %w: it has more than %d bytes", f.Path(name), safefile.ErrTooLong, most)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if pieces == 0 {
		return nil, fmt.Errorf("%s: %w", f.Path(name), fs.ErrNotExist)
	}
	return text, nil
}

// Replace implements [durable.Files].
func (f *files) Replace(name string, was, now []byte) error {
	return f.change(name, func(ctx context.Context, tx pgx.Tx, custody int64, again bool) error {
		is, err := f.read(ctx, tx, custody, name, safefile.List)
		none := errors.Is(err, fs.ErrNotExist)
		switch {
		case err != nil && !none:
			return err
		case again && none == (now == nil) && bytes.Equal(is, now): // it was written, and nobody heard
			return nil
		case none && len(was) > 0, !bytes.Equal(is, was): // an empty file counts as none here
			return f.changed(name)
		}
		if _, err := tx.Exec(ctx, "DELETE FROM safemode.piece WHERE custody = $1 AND file = $2", custody, name); err != nil || now == nil {
			return err
		}
		return f.add(ctx, tx, custody, name, 0, now)
	})
}

// Append implements [durable.Files]. A write is there as a whole or not at all: something torn
// comes from a folder alone, of which this is a copy. An engine whose database lacks records
// may still add to a file, if it can at once: what it writes there keeps others from going on.
func (f *files) Append(name string, size, at int64, text []byte) error {
	adds := f.changing(name, func(ctx context.Context, tx pgx.Tx, custody int64, again bool) error {
		var last int64
		var tail []byte
		err := tx.QueryRow(ctx, "SELECT at, bytes FROM safemode.piece WHERE custody = $1 AND file = $2 ORDER BY at DESC LIMIT 1", custody, name).Scan(&last, &tail)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		switch end := last + int64(len(tail)); {
		case again && end == at+int64(len(text)) && bytes.HasSuffix(tail, text): // it was written, and nobody heard
			return nil
		case end != max(size, 0), at > end:
			return f.changed(name)
		case at < end:
			if err := f.cut(ctx, tx, custody, name, at); err != nil {
				return err
			}
		}
		if len(text) == 0 {
			return nil
		}
		return f.add(ctx, tx, custody, name, at, text)
	})
	return f.stillAllowed(adds)
}

// stillAllowed is what somebody may do whose database lacks records, once.
func (f *files) stillAllowed(do func(ctx context.Context, pool *pgxpool.Pool, again bool) error) error {
	if f.lease == nil || !errors.Is(f.lease.Held(), ErrLacking) {
		return f.patiently(do)
	}
	ctx, cancel := context.WithTimeout(context.Background(), pausePatience)
	defer cancel()
	return hidden(pgError(do(ctx, f.pool, false)))
}

// cut drops what stands behind the first bytes of a file.
func (f *files) cut(ctx context.Context, tx pgx.Tx, custody int64, name string, at int64) error {
	if _, err := tx.Exec(ctx, "DELETE FROM safemode.piece WHERE custody = $1 AND file = $2 AND at >= $3", custody, name, at); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "UPDATE safemode.piece SET bytes = substring(bytes FROM 1 FOR ($3 - at)::int) WHERE custody = $1 AND file = $2 AND at + length(bytes) > $3", custody, name, at)
	return err
}

func (f *files) add(ctx context.Context, tx pgx.Tx, custody int64, name string, at int64, text []byte) error {
	_, err := tx.Exec(ctx, "INSERT INTO safemode.piece (custody, file, at, bytes) VALUES ($1, $2, $3, $4)", custody, name, at, notNil(text))
	return err
}

func (f *files) changed(name string) error {
	return fmt.Errorf("%s: %w", f.Path(name), durable.ErrChanged)
}

// Mark implements [durable.Files]. It names the database cluster, the database and the custody.
// A promoted standby has the same mark; a restored dump has another.
func (f *files) Mark(string) (mark uint64, err error) {
	err = f.look(func(ctx context.Context, q pgQuerier, custody int64) error {
		var cluster, database int64
		if err := q.QueryRow(ctx, `SELECT system_identifier, (SELECT oid::bigint FROM pg_database WHERE datname = current_database())
			FROM pg_control_system()`).Scan(&cluster, &database); err != nil {
			return err
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %d", cluster, database, custody))
		mark = binary.BigEndian.Uint64(sum[:]) >> 1
		return nil
	})
	return mark, err
}

// Lock implements [durable.Files]. The lock belongs to the writer's lease, and ends with it.
// A process that writes no journal is kept out, and keeps out nobody: the lock is checked again
// when it writes.
func (f *files) Lock(name string) (durable.Locked, error) {
	if f.lease == nil {
		return unlocked{}, f.Free(name)
	}
	err := f.change(name, func(ctx context.Context, tx pgx.Tx, custody int64, again bool) error {
		taken, err := tx.Exec(ctx, `INSERT INTO safemode.lock (custody, file, sweep, epoch) VALUES ($1, $2, $3, $4)
			ON CONFLICT (custody, file) DO UPDATE SET sweep = $3, epoch = $4 WHERE (lock.sweep, lock.epoch) <> ($3, $4)`,
			custody, name, f.lease.id, f.lease.epoch)
		if err == nil && taken.RowsAffected() == 0 && !again {
			err = fmt.Errorf("%s: %w: this one", f.Path(name), durable.ErrLocked)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return lock{f, name}, nil
}

// Free implements [durable.Files].
func (f *files) Free(name string) error {
	return f.look(func(ctx context.Context, q pgQuerier, custody int64) error {
		return f.free(ctx, q, custody, name, 0, 0)
	})
}

// free refuses a file that another lease than one has locked.
func (f *files) free(ctx context.Context, q pgQuerier, custody int64, name string, sweep, epoch int64) error {
	var held, holder string
	err := q.QueryRow(ctx, `SELECT sweep.name, sweep.holder FROM safemode.lock JOIN safemode.sweep ON sweep.id = lock.sweep AND sweep.epoch = lock.epoch
		WHERE custody = $1 AND file = $2 AND until >= clock_timestamp() AND (lock.sweep, lock.epoch) <> ($3, $4)`,
		custody, name, sweep, epoch).Scan(&held, &holder)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%s: %w: %s, for sweep %q", f.Path(name), durable.ErrLocked, holder, held)
	}
	return err
}

type (
	lock struct {
		files *files
		name  string
	}
	unlocked struct{}
)

// Release implements [durable.Locked].
func (l lock) Release() error {
	f := l.files
	err := f.change(l.name, func(ctx context.Context, tx pgx.Tx, custody int64, _ bool) error {
		_, err := tx.Exec(ctx, "DELETE FROM safemode.lock WHERE custody = $1 AND file = $2 AND sweep = $3 AND epoch = $4", custody, l.name, f.lease.id, f.lease.epoch)
		return err
	})
	if errors.Is(err, ErrTaken) || errors.Is(err, ErrLapsed) { // it has ended with its lease
		return nil
	}
	return err
}

// Discard implements [durable.Locked].
func (l lock) Discard() error { return l.Release() }

// Release implements [durable.Locked].
func (unlocked) Release() error { return nil }

// Discard implements [durable.Locked].
func (unlocked) Discard() error { return nil }

// look reads, and is repeated where the connection broke.
func (f *files) look(do func(ctx context.Context, q pgQuerier, custody int64) error) error {
	return f.stillAllowed(func(ctx context.Context, pool *pgxpool.Pool, _ bool) error {
		custody, err := f.find(ctx, pool, "")
		if err != nil {
			return err
		}
		return do(ctx, pool, custody)
	})
}

// change writes in one transaction, for which the custody's row is locked: it holds while
// the lease is the writer's, and while no other has locked the file. again says that an
// earlier try may have been carried out.
func (f *files) change(name string, do func(ctx context.Context, tx pgx.Tx, custody int64, again bool) error) error {
	return f.patiently(f.changing(name, do))
}

// changing is one try of a change.
func (f *files) changing(name string, do func(ctx context.Context, tx pgx.Tx, custody int64, again bool) error) func(context.Context, *pgxpool.Pool, bool) error {
	return func(ctx context.Context, pool *pgxpool.Pool, again bool) error {
		return inTransaction(ctx, pool, func(tx pgx.Tx) error {
			var sweep, epoch int64
			if f.lease != nil {
				sweep, epoch = f.lease.id, f.lease.epoch
				// A process that takes the lease over waits for the end of this transaction.
				held, err := tx.Exec(ctx, "SELECT FROM safemode.sweep WHERE id = $1 AND epoch = $2 FOR SHARE", sweep, epoch)
				if err != nil {
					return err
				}
				if held.RowsAffected() == 0 {
					return fmt.Errorf("%s: %w", f.Path(name), f.lease.refused(ctx))
				}
			}
			custody, err := f.find(ctx, tx, " FOR UPDATE")
			if err != nil {
				return err
			}
			if err := f.free(ctx, tx, custody, name, sweep, epoch); err != nil {
				return err
			}
			return do(ctx, tx, custody, again)
		})
	}
}

// inTransaction counts a commit only where the second server has it, too (see [certainly]).
// So it has what an earlier try had written: this one locks rows, and comes later in the log.
func inTransaction(ctx context.Context, pool *pgxpool.Pool, do func(tx pgx.Tx) error) error {
	return certainly(ctx, pool, func(c *pgxpool.Conn) error { return pgx.BeginFunc(ctx, c, do) })
}

// find returns the custody's number.
func (f *files) find(ctx context.Context, q pgQuerier, locked string) (custody int64, err error) {
	err = q.QueryRow(ctx, "SELECT id FROM safemode.custody WHERE name = $1"+locked, f.custody).Scan(&custody)
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("%s: the database has no such custody: %w", f.at, fs.ErrNotExist)
	}
	return custody, err
}

// patiently tries until something is known to be done: as long as the lease lasts or, without
// a lease, for a moment. Without a lease it reports at once that the database cannot be
// reached.
func (f *files) patiently(do func(ctx context.Context, pool *pgxpool.Pool, again bool) error) error {
	begun := time.Now()
	for again := false; ; again = true {
		if f.lease != nil {
			if err := f.lease.Held(); err != nil {
				return err
			}
		}
		err := f.once(do, again)
		if err == nil || f.known(err) || f.lease == nil && time.Since(begun) > patience {
			return err
		}
		var lost chan struct{}
		if f.lease != nil {
			lost = f.lease.lost
			f.pool.Reset() // its connections may all be to a server that is no more
		}
		select {
		case <-time.After(pause):
		case <-lost:
		}
	}
}

// errNoWay says that the database cannot be reached. It hides the cause, because a missing
// socket must not look like a missing file.
var errNoWay = errors.New("the database cannot be reached")

func hidden(err error) error {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return fmt.Errorf("%w: %v", errNoWay, err) //nolint:errorlint // hidden, as said above
	}
	return err
}

func (f *files) once(do func(ctx context.Context, pool *pgxpool.Pool, again bool) error, again bool) (err error) {
	defer func() { err = hidden(err) }()
	if f.lease != nil {
		ctx, cancel := f.lease.attempt(0)
		defer cancel()
		return pgError(do(ctx, f.pool, again))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pool := f.pool
	if pool == nil {
		if pool, err = newPool(ctx, f.base, f.custody, Options{Write: true}); err != nil {
			return fmt.Errorf("%w: %v", errNoWay, err) //nolint:errorlint // hidden, as said above
		}
		defer closePool(pool)
		if err := checkMigrations(ctx, pool); err != nil {
			return err
		}
	}
	return pgError(do(ctx, pool, again))
}

// known says whether an error shows if a change was made.
func (f *files) known(err error) bool {
	for _, said := range [...]error{
		ErrTaken, ErrLapsed, ErrLacking, ErrNone, ErrVersion, ErrDamaged, durable.ErrChanged, durable.ErrLocked, fs.ErrNotExist, safefile.ErrTooLong, os.ErrPermission,
	} {
		if errors.Is(err, said) {
			return true
		}
	}
	if said, ok := errors.AsType[*pgconn.PgError](err); ok {
		return !fleeting(said)
	}
	return f.lease == nil && errors.Is(err, errNoWay)
}
