package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"
)

// leaseLength is how long a lease holds without being renewed, and so how long a second
// machine waits for one that died. margin is what a holder stops earlier, by its own
// clock.
const (
	leaseLength = 10 * time.Second
	renewEvery  = leaseLength / 3
	margin      = 500 * time.Millisecond
)

// lease is the right to write one sweep's journal, kept up by a goroutine of its own.
type lease struct {
	pool   *pgxpool.Pool
	id     int64
	epoch  int64
	length time.Duration

	end  atomic.Int64  // by uptime, in nanoseconds
	lost chan struct{} // closed by keep, when the lease is gone
	gone atomic.Pointer[error]

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// uptime is how long the machine has been up, also suspended (CLOCK_BOOTTIME).
func uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 1<<63 - 1 // no clock: no lease holds
	}
	return time.Duration(t.Nano())
}

// takeLease takes a lease that nobody holds. The error wraps [ErrInUse] where somebody
// does, and says who.
func takeLease(ctx context.Context, pool *pgxpool.Pool, id int64, holder string) (*lease, error) {
	if holder == "" {
		holder = self()
	}
	l := &lease{pool: pool, id: id, length: leaseLength, lost: make(chan struct{})}
	asked := uptime()
	err := pool.QueryRow(ctx, `UPDATE safemode.sweep SET holder = $2, epoch = epoch + 1, since = clock_timestamp(),
		until = clock_timestamp() + $3 WHERE id = $1 AND (until IS NULL OR until < clock_timestamp()) RETURNING epoch`,
		id, holder, l.length).Scan(&l.epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		held, err := heldBy(ctx, pool, id)
		if err == nil {
			err = fmt.Errorf("%w: %s", ErrInUse, held)
		}
		return nil, err
	}
	if err != nil {
		return nil, pgError(err)
	}
	l.end.Store(int64(asked + l.length - margin))
	ctx, l.cancel = context.WithCancel(context.Background())
	l.done.Go(func() { l.keep(ctx) })
	return l, nil
}

// heldBy says who holds the lease, since when and until when; empty: nobody.
func heldBy(ctx context.Context, pool *pgxpool.Pool, id int64) (string, error) {
	var holder string
	var since, until time.Time
	err := pool.QueryRow(ctx, `SELECT holder, since, until FROM safemode.sweep
		WHERE id = $1 AND until >= clock_timestamp()`, id).Scan(&holder, &since, &until)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return fmt.Sprintf("%s holds the sweep since %s, its lease until %s", holder,
		since.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339)), pgError(err)
}

// keep renews the lease until ctx ends, or until it is gone.
func (l *lease) keep(ctx context.Context) {
	renew := time.NewTicker(renewEvery)
	defer renew.Stop()
	look := time.NewTicker(pause)
	defer look.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-renew.C:
			failing = true
		case <-look.C:
		}
		if failing {
			switch err := l.renew(); {
			case err == nil:
				failing = false
			case errors.Is(err, ErrTaken):
				l.give(err)
				return
			}
		}
		if err := l.Held(); err != nil {
			l.give(err)
			return
		}
	}
}

// give ends the lease, for good.
func (l *lease) give(err error) {
	l.gone.Store(&err)
	close(l.lost)
}

// renew moves the lease's end. One that has ended is not renewed: another may be about to
// take it.
func (l *lease) renew() error {
	ctx, cancel := l.context()
	defer cancel()
	asked := uptime()
	done, err := l.pool.Exec(ctx, `UPDATE safemode.sweep SET until = clock_timestamp() + $3
		WHERE id = $1 AND epoch = $2 AND until >= clock_timestamp()`, l.id, l.epoch, l.length)
	if err != nil {
		return pgError(err)
	}
	if done.RowsAffected() == 0 {
		held, err := heldBy(ctx, l.pool, l.id)
		if err != nil || held == "" {
			held = "the lease had ended"
		}
		return fmt.Errorf("%w: %s", ErrTaken, held)
	}
	l.end.Store(int64(asked + l.length - margin))
	return nil
}

// Held says why the journal may not be written any more; nil while it may.
func (l *lease) Held() error {
	if gone := l.gone.Load(); gone != nil {
		return *gone
	}
	if over := uptime() - time.Duration(l.end.Load()); over >= 0 {
		return fmt.Errorf("%w within %v: the machine was suspended, or the database does not answer", ErrLapsed, l.length)
	}
	return nil
}

// context ends with the lease as it is now, but not sooner than a moment.
func (l *lease) context() (context.Context, context.CancelFunc) {
	left := time.Duration(l.end.Load()) - uptime()
	return context.WithTimeout(context.Background(), max(left, pause))
}

// stop ends the renewals.
func (l *lease) stop() {
	l.cancel()
	l.done.Wait()
}

// giveBack ends the lease now, so that nobody need wait for its end.
func (l *lease) giveBack(ctx context.Context) error {
	_, err := l.pool.Exec(ctx, "UPDATE safemode.sweep SET until = NULL WHERE id = $1 AND epoch = $2", l.id, l.epoch)
	return pgError(err)
}
