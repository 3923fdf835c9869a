package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"safemode/engine/record"
)

// lookEvery is how often one that stands by looks whether the lease has ended, and says that
// it is still there.
const lookEvery = 500 * time.Millisecond

// StandBy waits until nobody may write the journal at an address, and says meanwhile in the
// database that it does. It returns who could write it last; a zero Until means that the
// lease was given back. tell is told of who holds it and, where the database does not answer,
// why, whenever that has changed. The error is the context's, or says that the address is none,
// or that there is no such sweep; or it wraps [ErrLacking]: it has seen segments that the
// database has no more.
func StandBy(ctx context.Context, at string, o Options, tell func(record.Holder, error)) (last record.Holder, err error) {
	holder := cmp.Or(o.Holder, self())
	p := &Postgres{seen: -1}
	sweep, err := p.connect(ctx, at, Options{Write: true, Lease: o.Lease})
	if err != nil {
		return last, err
	}
	defer p.pool.Close()
	defer p.leaveStandby(ctx, holder)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var told record.Holder
	var fault error
	for {
		now, held, err := p.lookAt(ctx, sweep, holder, o.leaseLength())
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

// Passing says whether a database may do in a moment what it did not now: it cannot be
// reached, does not answer in time, is starting or ending, or is no primary yet.
func Passing(err error) bool {
	if said, ok := errors.AsType[*pgconn.PgError](err); ok {
		return fleeting(said)
	}
	_, unreached := errors.AsType[*pgconn.ConnectError](err)
	return unreached || errors.Is(err, context.DeadlineExceeded) || pgconn.SafeToRetry(err)
}

// lookAt says who holds the lease, or held it last, and has the database know who stands by.
func (p *Postgres) lookAt(ctx context.Context, sweep, holder string, length time.Duration) (h record.Holder, held bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, perAttempt(length))
	defer cancel()
	if p.id == 0 {
		if err := checkMigrations(ctx, p.pool); err != nil {
			return h, false, err
		}
		err := p.pool.QueryRow(ctx, "SELECT id FROM safemode.sweep WHERE name = $1", sweep).Scan(&p.id)
		if errors.Is(err, pgx.ErrNoRows) {
			return h, false, fmt.Errorf("%w: the database has no sweep %q", ErrNone, sweep)
		}
		if err != nil {
			return h, false, pgError(err)
		}
	}
	var name *string
	var since, until *time.Time
	number := int64(-1)
	err = p.pool.QueryRow(ctx, `WITH here AS (INSERT INTO safemode.standby (sweep, holder, since, until)
			SELECT id, $2, clock_timestamp(), clock_timestamp() + $3 FROM safemode.sweep WHERE id = $1
			ON CONFLICT (sweep, holder) DO UPDATE SET until = excluded.until)
		SELECT holder, since, until, coalesce(until >= clock_timestamp(), false), coalesce(number, -1) FROM safemode.sweep WHERE id = $1`,
		p.id, holder, length).Scan(&name, &since, &until, &held, &number)
	switch {
	case errors.Is(err, pgx.ErrNoRows) && p.seen < 0: // it was discarded
		return h, false, nil
	case errors.Is(err, pgx.ErrNoRows):
		return h, false, fmt.Errorf("%w: the sweep is not there any more; if its first start was refused, give the command again", ErrLacking)
	case err != nil:
		return h, false, pgError(err)
	case number < p.seen:
		return h, false, lacking(number, p.seen)
	}
	p.seen = number
	if name != nil && since != nil {
		h.Name, h.Since = *name, since.UTC()
	}
	if until != nil {
		h.Until = until.UTC()
	}
	return h, held, nil
}

// leaveStandby says that this one stands by no more.
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
