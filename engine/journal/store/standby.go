package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"safemode/engine/record"
)

// lookEvery is how often one that stands by looks whether the lease has ended, and says that
// it is still there.
const lookEvery = 500 * time.Millisecond

// StandBy waits until nobody may write the journal at an address. Meanwhile it says in the
// database that it stands by. It returns the last holder; a zero Until means that the lease was
// given back. It calls tell with the holder, and with an error if the database does not answer,
// whenever that has changed. StandBy's error is the context's, or says that the address is
// invalid, or that there is no such sweep; or it wraps [ErrLacking]: it has seen segments that
// the database has no more.
func StandBy(ctx context.Context, at string, o Options, tell func(record.Holder, error)) (last record.Holder, err error) {
	holder := cmp.Or(o.Holder, Self())
	p := &Postgres{seen: -1}
	sweep, err := p.connect(ctx, at, Options{Write: true, Lease: o.Lease})
	if err != nil {
		return last, err
	}
	defer closePool(p.pool)
	defer p.leaveStandby(ctx, holder)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var told record.Holder
	var fault error
	for {
		now, tip, held, err := p.lookAt(ctx, sweep, holder, o.leaseLength())
		if err == nil && o.Seen != nil {
			o.Seen(tip)
		}
		switch {
		case ctx.Err() != nil:
			return last, ctx.Err()
		case errors.Is(err, ErrNone), errors.Is(err, ErrVersion), errors.Is(err, ErrLacking):
			return last, err
		case err == nil && !held:
			if last.Name == "" {
				last = now
			}
			last.Until = now.Until
			return last, nil
		case err == nil:
			last = now
		default:
			p.pool.Reset() // its connections may all be to a server that is no more
		}
		if (err == nil) != (fault == nil) || last.Name != told.Name || !last.Since.Equal(told.Since) {
			told, fault = last, err
			tell(last, err)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return last, ctx.Err()
		}
	}
}

// Passing says whether the same call may succeed in a moment: the database cannot be reached,
// does not answer in time, is starting or ending, or is no primary yet; or the connection
// broke, and nobody knows whether the call has succeeded.
func Passing(err error) bool {
	if said, ok := errors.AsType[*pgconn.PgError](err); ok {
		return fleeting(said)
	}
	if errors.Is(err, ErrDamaged) {
		return false
	}
	for _, said := range [...]error{errWarned, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, said) {
			return true
		}
	}
	_, unreached := errors.AsType[*pgconn.ConnectError](err)
	_, broken := errors.AsType[*net.OpError](err)
	return unreached || broken || pgconn.SafeToRetry(err)
}

// lookAt returns the holder of the lease, or the last one, and where the journal ends, and
// writes into the database that this process stands by. The second server has the journal so
// far: it has this call's own commit, which is later in the log.
func (p *Postgres) lookAt(ctx context.Context, sweep, holder string, length time.Duration) (h record.Holder, tip Tip, held bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, perAttempt(length))
	defer cancel()
	if p.id == 0 {
		if err := checkMigrations(ctx, p.pool); err != nil {
			return h, tip, false, err
		}
		err := p.pool.QueryRow(ctx, "SELECT id FROM safemode.sweep WHERE name = $1", sweep).Scan(&p.id)
		if errors.Is(err, pgx.ErrNoRows) {
			return h, tip, false, fmt.Errorf("%w: the database has no sweep %q", ErrNone, sweep)
		}
		if err != nil {
			return h, tip, false, pgError(err)
		}
	}
	var name *string
	var since, until *time.Time
	var sum []byte
	number := int64(-1)
	err = certainly(ctx, p.pool, func(c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `WITH here AS (INSERT INTO safemode.standby (sweep, holder, since, until)
			SELECT id, $2, clock_timestamp(), clock_timestamp() + $3 FROM safemode.sweep WHERE id = $1
			ON CONFLICT (sweep, holder) DO UPDATE SET until = excluded.until)
		SELECT holder, since, until, coalesce(until >= clock_timestamp(), false), coalesce(number, -1), coalesce(seq, 0), hash
			FROM safemode.sweep WHERE id = $1`,
			p.id, holder, length).Scan(&name, &since, &until, &held, &number, &tip.Seq, &sum)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows) && p.seen < 0: // it was discarded
		return h, tip, false, nil
	case errors.Is(err, pgx.ErrNoRows):
		return h, tip, false, fmt.Errorf("%w: the sweep is not there any more; if its first start was refused, give the command again", ErrLacking)
	case err != nil:
		return h, tip, false, pgError(err)
	case number < p.seen:
		return h, tip, false, lacking(number, p.seen)
	}
	p.seen = number
	tip.Number = uint64(max(number, 0))
	copy(tip.Hash[:], sum)
	if name != nil && since != nil {
		h.Name, h.Since = *name, since.UTC()
	}
	if until != nil {
		h.Until = until.UTC()
	}
	return h, tip, held, nil
}

// leaveStandby removes from the database that this process stands by.
func (p *Postgres) leaveStandby(ctx context.Context, holder string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pausePatience)
	defer cancel()
	// If it cannot be said, the entry ends by itself.
	_, _ = p.pool.Exec(ctx, "DELETE FROM safemode.standby WHERE sweep = $1 AND (holder = $2 OR until < clock_timestamp() - interval '1 day')", p.id, holder)
}

// Standby implements [Store].
func (p *Postgres) Standby(ctx context.Context) ([]record.Holder, error) {
	return standby(ctx, p.pool, p.id)
}

// standby lists who stands by for a sweep.
func standby(ctx context.Context, pool *pgxpool.Pool, id int64) ([]record.Holder, error) {
	rows, err := pool.Query(ctx, `SELECT holder, since, until FROM safemode.standby WHERE sweep = $1 AND until >= clock_timestamp() ORDER BY since`, id)
	if err != nil {
		return nil, pgError(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h record.Holder, err error) {
		err = row.Scan(&h.Name, &h.Since, &h.Until)
		h.Since, h.Until = h.Since.UTC(), h.Until.UTC()
		return h, err
	})
	return all, pgError(err)
}

// Standby implements [Store]: a file's lock is waited for by nobody.
func (s *SQLite) Standby(context.Context) ([]record.Holder, error) { return nil, nil }
