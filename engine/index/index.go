package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver

	"safemode/engine/record"
	"safemode/servicerequests/safefile"
)

// Journal is what the index reads; see [journal.Journal].
type Journal interface {
	Heads(ctx context.Context, from uint64, limit int) (heads []record.Record, last [32]byte, err error)
	At(ctx context.Context, seq uint64) (record.Record, error)
	HashAt(seq uint64) ([32]byte, error)
}

// Index finds records. Its methods may be called concurrently.
type Index struct {
	journal Journal
	db      *sql.DB

	mu    sync.Mutex // one catches up at a time
	upto  uint64
	place int // of the last planned meter
}

const version = 2

var schema = [...]string{
	`CREATE TABLE meter (place INTEGER PRIMARY KEY, device INTEGER NOT NULL UNIQUE, hub INTEGER NOT NULL, mpxn TEXT NOT NULL, region TEXT NOT NULL, fuel TEXT NOT NULL,
		verdict TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', at INTEGER NOT NULL DEFAULT 0) STRICT`,
	`CREATE INDEX meter_mpxn ON meter (mpxn)`,
	`CREATE INDEX meter_hub ON meter (hub)`,
	`CREATE INDEX meter_verdict ON meter (verdict, place)`,
	`CREATE TABLE spot (device INTEGER NOT NULL, seq INTEGER NOT NULL, target INTEGER NOT NULL, PRIMARY KEY (device, seq)) STRICT, WITHOUT ROWID`,
	`CREATE TABLE mark (class TEXT NOT NULL, device INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (class, device)) STRICT, WITHOUT ROWID`,
	`CREATE TABLE upto (journal TEXT NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL) STRICT`,
	fmt.Sprintf("PRAGMA user_version = %d", version),
}

// Open opens the index at path of the journal with an ID, and makes it again where it
// is not there, cannot be read, or is of another journal or of one that has changed.
func Open(ctx context.Context, path, id string, j Journal) (*Index, error) {
	x := &Index{journal: j}
	err := x.open(ctx, path, id)
	if err != nil {
		err = errors.Join(x.Close(), remove(path), x.open(ctx, path, id))
	}
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", path, errors.Join(err, x.Close()))
	}
	return x, nil
}

func remove(path string) error {
	for _, suffix := range [...]string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (x *Index) open(ctx context.Context, path, id string) error {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	f, err := safefile.OpenToWrite(path, os.O_CREATE, 0o600) // only its owner may read
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// NORMAL: no fsync but at checkpoints, and still never torn.
	dsn := url.URL{Scheme: "file", Path: absolute, RawQuery: "_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(normal)"}
	if x.db, err = sql.Open("sqlite", dsn.String()); err != nil {
		return err
	}
	var has int
	if err := x.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&has); err != nil {
		return err
	}
	switch has {
	case version:
		return x.resume(ctx, id)
	case 0:
		return x.begin(ctx, id)
	}
	return fmt.Errorf("version %d", has)
}

// begin makes an empty index.
func (x *Index) begin(ctx context.Context, id string) error {
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	for _, text := range schema {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO upto VALUES (?, 0, x'')", id); err != nil {
		return err
	}
	x.upto, x.place = 0, 0
	return tx.Commit()
}

// resume takes an index up that was made before, if the journal still has what it is of.
func (x *Index) resume(ctx context.Context, id string) error {
	var of string
	var seq int64
	var hash []byte
	if err := x.db.QueryRowContext(ctx, "SELECT journal, seq, hash, (SELECT coalesce(max(place), 0) FROM meter) FROM upto").Scan(&of, &seq, &hash, &x.place); err != nil {
		return err
	}
	x.upto = uint64(seq)
	if of != id {
		return fmt.Errorf("is of journal %s", of)
	}
	if x.upto == 0 {
		return nil
	}
	is, err := x.journal.HashAt(x.upto)
	if err == nil && string(is[:]) != string(hash) {
		err = fmt.Errorf("record %d is not the one that was indexed", x.upto)
	}
	return err
}

// Close gives the file free.
func (x *Index) Close() error {
	if x.db == nil {
		return nil
	}
	return x.db.Close()
}

// Follow keeps up with the journal, a look a second, until ctx ends.
func (x *Index) Follow(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		for more := true; more; {
			var err error
			if more, err = x.CatchUp(ctx); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// batch is how many records one CatchUp takes in.
const batch = 4096

// CatchUp takes in the next records of the journal, some thousand at most, and says
// whether there may be more.
func (x *Index) CatchUp(ctx context.Context) (more bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	heads, hash, err := x.journal.Heads(ctx, x.upto+1, batch)
	if err != nil || len(heads) == 0 {
		return false, err
	}
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return false, fmt.Errorf("index: %w", err)
	}
	defer tx.Rollback() // does nothing after Commit
	t := taking{ctx: ctx, tx: tx, place: x.place}
	for _, r := range heads {
		t.take(r)
	}
	last := heads[len(heads)-1].Seq
	t.exec("UPDATE upto SET seq = ?, hash = ?", int64(last), hash[:])
	if t.err == nil {
		t.err = tx.Commit()
	}
	if t.err != nil {
		return false, fmt.Errorf("index: %w", t.err)
	}
	x.upto, x.place = last, t.place
	return len(heads) == batch, nil
}

// taking is one batch; the first error stays.
type taking struct {
	ctx   context.Context
	tx    *sql.Tx
	known map[string]*sql.Stmt
	place int
	err   error
}

func (t *taking) exec(text string, args ...any) {
	if t.err != nil {
		return
	}
	if t.known[text] == nil {
		statement, err := t.tx.PrepareContext(t.ctx, text) //nolint:sqlclosecheck // it closes with the transaction
		if err != nil {
			t.err = err
			return
		}
		if t.known == nil {
			t.known = map[string]*sql.Stmt{}
		}
		t.known[text] = statement
	}
	_, t.err = t.known[text].ExecContext(t.ctx, args...)
}

func (t *taking) take(r record.Record) {
	if t.err != nil {
		return
	}
	device := r.Device
	if device == 0 {
		device = r.ID.Target
	}
	switch {
	case device != 0, r.Kind == record.Opened, r.Kind == record.Planned, r.Kind == record.Operator, r.Kind == record.Closed:
		t.exec("INSERT INTO spot VALUES (?, ?, ?)", int64(device), int64(r.Seq), int64(r.ID.Target))
	}
	switch r.Kind {
	case record.Target:
		body, err := record.Decode[record.TargetBody](r)
		if err != nil {
			t.err = err
			return
		}
		t.place++
		t.exec("INSERT INTO meter (place, device, hub, mpxn, region, fuel) VALUES (?, ?, ?, ?, ?, ?)", t.place, int64(r.Device), int64(body.Hub), body.MPxN, body.Region.String(), body.Type.Fuel())
	case record.Verdict:
		body, err := record.Decode[record.VerdictBody](r)
		if err != nil {
			t.err = err
			return
		}
		t.exec("UPDATE meter SET verdict = ?, reason = ?, at = ? WHERE device = ?", body.Verdict, body.Reason, r.At.UnixNano(), int64(r.Device))
	case record.Refused:
		t.mark("refused_"+r.Code, r)
	case record.Outcome:
		if r.Code == record.ClassRejected.String() || r.Code == record.ClassUnverified.String() {
			t.mark(r.Code, r)
		}
	}
}

func (t *taking) mark(class string, r record.Record) {
	t.exec("INSERT INTO mark VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq", class, int64(r.Device), int64(r.Seq))
}
