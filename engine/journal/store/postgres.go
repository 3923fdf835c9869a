package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"

	"safemode/engine/record"
)

// patience is how long the database may take for a query outside a lease.
const patience = 30 * time.Second

// Postgres is a store in a PostgreSQL database (see migrations for its tables). The row of
// a sweep in safemode.sweep has its tip and its lease.
type Postgres struct {
	pgReader
	pool *pgxpool.Pool
	at   string
	made bool  // the sweep was, by openPostgres
	seen int64 // of one that stands by: number of the last segment that it has seen; -1: none
}

func openPostgres(ctx context.Context, at string, o Options) (_ *Postgres, err error) {
	p := &Postgres{at: at}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.release(ctx, true))
		}
	}()
	sweep, err := p.connect(ctx, at, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if o.Write {
		if err := p.reach(ctx, o.leaseLength()); err != nil {
			return nil, err
		}
		err = migrate(ctx, p.pool)
	} else {
		err = checkMigrations(ctx, p.pool)
	}
	if err != nil {
		return nil, err
	}
	if o.Write {
		made, err := p.pool.Exec(ctx, "INSERT INTO safemode.sweep (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", sweep)
		if err != nil {
			return nil, pgError(err)
		}
		p.made = made.RowsAffected() == 1
	}
	err = p.pool.QueryRow(ctx, "SELECT id FROM safemode.sweep WHERE name = $1", sweep).Scan(&p.id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, fmt.Errorf("%w: the database has no sweep %q", ErrNone, sweep)
	case err != nil:
		return nil, pgError(err)
	}
	if o.Write {
		if p.lease, err = takeLease(ctx, p.pool, p.id, o); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// connect makes the pool of connections, without one yet, and returns the sweep's name.
func (p *Postgres) connect(ctx context.Context, at string, o Options) (sweep string, err error) {
	address, sweep, err := split(at)
	if err != nil {
		return "", err
	}
	if p.pool, err = newPool(ctx, address, sweep, o); err != nil {
		return "", err
	}
	p.q = p.pool
	return sweep, nil
}

// newPool makes connections to the database at an address, without one yet, for the sweep or
// custody of a name.
func newPool(ctx context.Context, address, name string, o Options) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, err // the driver hides a password
	}
	config.MaxConns = 8
	c := config.ConnConfig
	c.DialFunc, c.OnNotice = dialer.DialContext, notice
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "safemode " + name
	}
	limit := 5 * time.Second
	if o.Write {
		config.MaxConns = 16 // one to a server that does not answer takes a while to close
		length := o.leaseLength()
		config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error { return waitForCommits(ctx, c, length) }
		limit = min(limit, perConnection(length))
		if c.ValidateConnect == nil {
			c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
		}
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = limit
	}
	if config.PingTimeout == 0 {
		config.PingTimeout = limit
	}
	return pgxpool.NewWithConfig(ctx, config)
}

// closePool closes a pool. Connections that do not close soon, as to a server that does not answer,
// are left to close by themselves: the driver may wait for more than a minute for them.
func closePool(pool *pgxpool.Pool) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		pool.Close()
	}()
	select {
	case <-closed:
	case <-time.After(closePatience):
	}
}

// closePatience is how long connections may take to close.
const closePatience = 2 * time.Second

// reach waits until a server takes writes, for a while: at a takeover a server may just be in
// promotion.
func (p *Postgres) reach(ctx context.Context, long time.Duration) error {
	for end := time.Now().Add(long); ; {
		err := p.pool.Ping(ctx)
		var said *pgconn.PgError
		if err == nil || time.Now().After(end) || errors.As(err, &said) && !fleeting(said) {
			return pgError(err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return pgError(err)
		}
	}
}

// dialer notices within seconds that a server's machine is gone.
var dialer = &net.Dialer{
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 3 * time.Second, Interval: time.Second, Count: 3},
	Control: func(network, _ string, c syscall.RawConn) (err error) {
		if network == "unix" {
			return nil
		}
		return errors.Join(c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 10_000) // ms
		}), err)
	},
}

// waitForCommits has a writer's commits wait for the disk, and for the standbys that the
// server names, and has each statement see what was committed before it, whatever the defaults
// of the role and of the database are: who has waited for a lock looks again. And it has the
// server notice within seconds that the writer's machine is gone, and end a transaction in
// which nothing happens for as long as a lease: until then it may keep another from that.
func waitForCommits(ctx context.Context, c *pgx.Conn, lease time.Duration) error {
	_, err := c.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false)
		WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')`)
	if err == nil {
		_, err = c.Exec(ctx, `SELECT set_config('default_transaction_isolation', 'read committed', false), set_config('tcp_keepalives_idle', '3', false), set_config('tcp_keepalives_interval', '1', false),
			set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '10000', false),
			set_config('idle_in_transaction_session_timeout', $1, false)`, strconv.FormatInt(lease.Milliseconds(), 10))
	}
	return pgError(err)
}

// vacantPostgres is Vacant of an address.
func vacantPostgres(ctx context.Context, at string) error {
	p := &Postgres{}
	sweep, err := p.connect(ctx, at, Options{})
	if err != nil {
		return err
	}
	defer closePool(p.pool)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = checkMigrations(ctx, p.pool)
	if errors.Is(err, ErrNone) {
		return nil
	}
	if err == nil {
		err = p.pool.QueryRow(ctx, "SELECT id FROM safemode.sweep WHERE name = $1", sweep).Scan(&p.id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
	}
	if err != nil {
		return pgError(err)
	}
	held, err := heldBy(ctx, p.pool, p.id)
	if err == nil && held != nil {
		err = fmt.Errorf("%w: %v", ErrInUse, *held)
	}
	return err
}

// pgError adds the package's own word to what PostgreSQL says.
func pgError(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code {
		case "42P01", "3F000": // undefined table, undefined schema
			return fmt.Errorf("%w: the database has no tables of safemode", ErrNone)
		case "XX001", "XX002": // corrupted data, corrupted index
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return err
}

// Append implements [Store]: one statement, which commits by itself. A server that does
// not answer, is going down or is not the primary any more leaves it open whether the
// segment is durable. Then it is tried again, on whichever server takes it, until the lease
// ends.
func (p *Postgres) Append(s *Segment, k State) error {
	for {
		if err := p.lease.Held(); err != nil {
			return err
		}
		err := p.append(s, k)
		if err == nil {
			p.lease.durable.Store(int64(s.Number))
			return nil
		}
		if errors.Is(err, ErrLacking) {
			p.lease.give(err)
		}
		var said *pgconn.PgError
		if isOver(err) || errors.As(err, &said) && !fleeting(said) {
			return err
		}
		p.pool.Reset()
		select {
		case <-time.After(pause):
		case <-p.lease.lost:
		}
	}
}

// pause is between two attempts to reach the database.
const pause = 100 * time.Millisecond

// fleeting says whether a server that answers so may answer otherwise in a moment: it is
// going down, starting, or a standby that is to be promoted; or the segment conflicts with
// one that this store has written before the connection broke.
func fleeting(e *pgconn.PgError) bool {
	switch e.Code[:2] {
	case "57", "53", "08", "25", "40": // operator intervention, resources, connection, read only, rollback
		return true
	}
	return false
}

const (
	moveTip = `WITH moved AS (
	UPDATE safemode.sweep SET number = $4, seq = $3, hash = $9
	WHERE id = $1 AND epoch = $13 AND coalesce(number, -1) = $4 - 1 AND coalesce(hash, $8) = $8 RETURNING id
)`
	appendSegment = ` INSERT INTO safemode.segment (sweep, ` + columns + `)
	SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 FROM moved`
	// Deleted rows and inserted rows are different ones: a statement may change a row only once.
	changeState = `, gone AS (
	DELETE FROM safemode.state WHERE $14 AND sweep = (SELECT id FROM moved) AND row <> ALL ($15::bigint[])
), kept AS (
	INSERT INTO safemode.state (sweep, row, value)
	SELECT moved.id, new.row, new.value FROM moved, unnest($15::bigint[], $16::bytea[]) AS new (row, value)
	ON CONFLICT (sweep, row) DO UPDATE SET value = excluded.value
)`
)

// append tries once. It is one statement, so that a writer that dies or is cut off in the
// middle leaves no transaction that keeps another from the lease.
func (p *Postgres) append(s *Segment, k State) error {
	query, size := moveTip+appendSegment, len(s.Body)
	args := []any{
		p.id, int64(s.First), int64(s.Last), int64(s.Number), s.Earliest, s.Latest, int64(s.Kinds),
		s.Before[:], s.After[:], int64(s.Packing), s.Sum[:], s.Body, p.lease.epoch,
	}
	if len(k.Rows) > 0 || k.Whole {
		query = moveTip + changeState + appendSegment
		rows, values := make([]int64, 0, len(k.Rows)), make([][]byte, 0, len(k.Rows))
		changed := map[int]bool{}
		for _, r := range slices.Backward(k.Rows) { // the last change of a row is the one that stays
			if !changed[r.Row] {
				changed[r.Row] = true
				rows, values = append(rows, int64(r.Row)), append(values, notNil(r.Value))
				size += len(r.Value)
			}
		}
		args = append(args, k.Whole, rows, values)
	}
	ctx, cancel := p.lease.attempt(size)
	defer cancel()
	var done pgconn.CommandTag
	err := p.lease.certainly(ctx, func(c *pgxpool.Conn) (err error) {
		done, err = c.Exec(ctx, query, args...)
		return err
	})
	if err != nil || done.RowsAffected() == 1 {
		return err
	}
	// It may be this store's own, of a commit with a lost reply. A visible segment need not be on
	// the second server. But a later commit is acknowledged only after the segment is.
	is, _, err := p.Tip(ctx)
	switch {
	case errors.Is(err, pgx.ErrNoRows): // not even the sweep
	case err != nil:
		return err
	case is == s.Tip():
		return p.lease.renew()
	}
	return fmt.Errorf("segment %d: %w", s.Number, p.lease.refused(ctx))
}

// Check implements [Store]: PostgreSQL checks pages when it reads them, if the cluster was
// made with checksums.
func (p *Postgres) Check(ctx context.Context) (found []string, segments int, err error) {
	err = p.pool.QueryRow(ctx, "SELECT count(*) FROM safemode.segment WHERE sweep = $1", p.id).Scan(&segments)
	return nil, segments, pgError(err)
}

// Snapshot implements [Store].
func (p *Postgres) Snapshot(ctx context.Context) (Reader, error) {
	var tx pgx.Tx
	err := p.read(ctx, func(ctx context.Context) (err error) {
		tx, err = p.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		return err
	})
	if err != nil {
		return nil, err
	}
	return &pgReader{q: tx, id: p.id, end: func() error { return tx.Rollback(context.WithoutCancel(ctx)) }}, nil
}

// Held implements [Store].
func (p *Postgres) Held() error { return p.lease.Held() }

// Holder implements [Store].
func (p *Postgres) Holder(ctx context.Context) (*record.Holder, error) {
	return heldBy(ctx, p.pool, p.id)
}

// Lost implements [Store].
func (p *Postgres) Lost() <-chan struct{} { return p.lease.lost }

// Close implements [Store]: it gives the lease back.
func (p *Postgres) Close() error { return p.release(context.Background(), false) }

// Discard implements [Store].
func (p *Postgres) Discard() error { return p.release(context.Background(), true) }

func (p *Postgres) release(ctx context.Context, discard bool) error {
	if p.pool == nil {
		return nil
	}
	defer closePool(p.pool)
	if p.lease == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pausePatience)
	defer cancel()
	p.lease.stop()
	if discard && p.made {
		_, err := p.pool.Exec(ctx, "DELETE FROM safemode.sweep WHERE id = $1 AND epoch = $2", p.id, p.lease.epoch)
		return pgError(err)
	}
	return p.lease.giveBack(ctx)
}

// pausePatience is how long a lease is tried to be given back: if it cannot be, it ends.
const pausePatience = 5 * time.Second

// pgQuerier is what a pool and a transaction can do.
type pgQuerier interface {
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
}

// pgReader reads by the pool, or in one transaction.
type pgReader struct {
	q     pgQuerier
	id    int64
	lease *lease // by which it reads until it has an answer; nil: it reads once
	end   func() error
}

// read reads, until it has an answer where it has a lease.
func (r *pgReader) read(ctx context.Context, do func(ctx context.Context) error) error {
	if r.lease == nil {
		return pgError(do(ctx))
	}
	return r.lease.read(ctx, func(ctx context.Context) error { return pgError(do(ctx)) })
}

// Close implements [Reader] for a snapshot.
func (r *pgReader) Close() error { return r.end() }

// Tip implements [Reader].
func (r *pgReader) Tip(ctx context.Context) (t Tip, ok bool, err error) {
	var number, seq *int64
	var sum []byte
	err = r.read(ctx, func(ctx context.Context) error {
		return r.q.QueryRow(ctx, "SELECT number, seq, hash FROM safemode.sweep WHERE id = $1", r.id).Scan(&number, &seq, &sum)
	})
	switch {
	case err != nil:
		return t, false, err
	case number == nil || seq == nil:
		return t, false, nil
	case len(sum) != len(t.Hash):
		return t, false, short("the tip's hash", sum)
	}
	return Tip{uint64(*number), uint64(*seq), [32]byte(sum)}, true, nil
}

// Range implements [Reader].
func (r *pgReader) Range(ctx context.Context) (first, last int64, err error) {
	err = r.read(ctx, func(ctx context.Context) error {
		return r.q.QueryRow(ctx, `SELECT coalesce(min(first), 0),
			coalesce((SELECT last FROM safemode.segment WHERE sweep = $1 ORDER BY first DESC LIMIT 1), 0)
			FROM safemode.segment WHERE sweep = $1`, r.id).Scan(&first, &last)
	})
	return first, last, err
}

// Read implements [Reader].
func (r *pgReader) Read(ctx context.Context, seq uint64, most int) ([]Segment, error) {
	return r.segments(ctx, `SELECT `+columns+` FROM safemode.segment WHERE sweep = $1 AND first >= coalesce(
		(SELECT max(first) FROM safemode.segment WHERE sweep = $1 AND first <= $2), $2) ORDER BY first LIMIT $3`, r.id, int64(seq), int64(most))
}

// After implements [Reader].
func (r *pgReader) After(ctx context.Context, first uint64, most int) ([]Segment, error) {
	return r.segments(ctx, `SELECT `+columns+` FROM safemode.segment WHERE sweep = $1 AND first > $2 ORDER BY first LIMIT $3`,
		r.id, int64(first), int64(most))
}

// Newest implements [Reader].
func (r *pgReader) Newest(ctx context.Context, kinds, after, before uint64, most int) ([]Segment, error) {
	condition := `kinds & $2 <> 0 AND first < $4
		AND first >= coalesce((SELECT max(first) FROM safemode.segment WHERE sweep = $1 AND first <= $3), $3)`
	if kinds&^Marked == 0 {
		condition += " AND " + marked
	}
	return r.segments(ctx, `SELECT `+columns+` FROM safemode.segment WHERE sweep = $1 AND `+condition+`
		AND last > $3 ORDER BY first DESC LIMIT $5`, r.id, int64(kinds), int64(after), int64(min(before, math.MaxInt64)), int64(most))
}

func (r *pgReader) segments(ctx context.Context, query string, args ...any) (found []Segment, err error) {
	err = r.read(ctx, func(ctx context.Context) error {
		found = nil
		rows, err := r.q.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for size := 0; size <= largest && rows.Next(); {
			var w row
			if err := rows.Scan(w.columns()...); err != nil {
				return fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			s := w.segment()
			size += len(s.Body)
			found = append(found, s)
		}
		rows.Close()
		return rows.Err()
	})
	return found, err
}

// State implements [Reader].
func (r *pgReader) State(ctx context.Context) (rows []record.StateRow, err error) {
	err = r.read(ctx, func(ctx context.Context) error {
		found, err := r.q.Query(ctx, "SELECT row, value FROM safemode.state WHERE sweep = $1 ORDER BY row", r.id)
		if err == nil {
			rows, err = pgx.CollectRows(found, pgx.RowToStructByPos[record.StateRow])
		}
		return err
	})
	return rows, err
}

// Self names this machine and process.
func Self() string {
	host, err := os.Hostname()
	if err != nil {
		host = "a machine without a name"
	}
	return fmt.Sprintf("%s, process %d", host, os.Getpid())
}
