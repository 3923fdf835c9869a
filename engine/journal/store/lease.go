package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"

	"safemode/engine/record"
)

// Lengths of a lease: how long it lasts without a renewal, and so how long a second machine
// waits for one that died. The process that takes a lease chooses its length.
const (
	LeaseLength   = 10 * time.Second // unless [Options] say otherwise
	ShortestLease = time.Second
	LongestLease  = 5 * time.Minute
)

// Times that follow from a lease's length: how often it is renewed, how much earlier its holder
// stops by its own clock, and how long the database may take for an answer and for a new
// connection before another connection is tried, maybe to another server.
func renewEvery(length time.Duration) time.Duration { return length / 3 }
func margin(length time.Duration) time.Duration     { return length / 20 }
func perAttempt(length time.Duration) time.Duration { return length / 4 }
func perConnection(length time.Duration) time.Duration {
	return max(length/10, time.Second)
}

// lease is the right to write one sweep's journal, kept up by a goroutine of its own.
type lease struct {
	pool   *pgxpool.Pool
	id     int64
	epoch  int64
	length time.Duration

	end     atomic.Int64 // by uptime, in nanoseconds
	durable atomic.Int64 // number of the last segment that the database has acknowledged; -1: none

	lost    chan struct{} // closed when the lease is gone
	gone    atomic.Pointer[error]
	failing error // the last renewal; keep's own

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
func takeLease(ctx context.Context, pool *pgxpool.Pool, id int64, o Options) (*lease, error) {
	if o.Holder == "" {
		o.Holder = Self()
	}
	l := &lease{pool: pool, id: id, length: o.leaseLength(), lost: make(chan struct{})}
	asked := uptime()
	var durable int64
	err := certainly(ctx, pool, func(c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `UPDATE safemode.sweep SET holder = $2, epoch = epoch + 1, since = clock_timestamp(),
			until = clock_timestamp() + $3 WHERE id = $1 AND (until IS NULL OR until < clock_timestamp())
			RETURNING epoch, coalesce(number, -1)`, id, o.Holder, l.length).Scan(&l.epoch, &durable)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		held, err := heldBy(ctx, pool, id)
		switch {
		case err != nil:
		case held == nil: // it has ended meanwhile
			err = fmt.Errorf("%w: until a moment ago", ErrInUse)
		default:
			err = fmt.Errorf("%w: %v", ErrInUse, *held)
		}
		return nil, err
	}
	if err != nil {
		return nil, pgError(err)
	}
	l.durable.Store(durable)
	l.end.Store(int64(asked + l.length - margin(l.length)))
	ctx, l.cancel = context.WithCancel(context.Background())
	l.done.Go(func() { l.keep(ctx) })
	return l, nil
}

// certainly runs what commits by itself, on one connection. It fails where the server
// warns: so a commit ends that was told to wait for the second server no longer. Whether
// that one has it nobody knows then.
func certainly(ctx context.Context, pool *pgxpool.Pool, do func(c *pgxpool.Conn) error) error {
	return pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		said := c.Conn().PgConn().CustomData()
		delete(said, warning)
		if err := do(c); err != nil {
			return err
		}
		if text, is := said[warning]; is {
			return fmt.Errorf("%w: %s", errWarned, text)
		}
		return nil
	})
}

// errWarned says that nobody knows whether a commit holds.
var errWarned = errors.New("the database warns")

// certainly does so for the holder. A database without the tables has lost them.
func (l *lease) certainly(ctx context.Context, do func(c *pgxpool.Conn) error) error {
	err := pgError(certainly(ctx, l.pool, do))
	if errors.Is(err, ErrNone) {
		return lacking(-1, l.durable.Load())
	}
	return err
}

// warning is the key of a connection's last warning in its custom data.
const warning = "warning"

// notice keeps a warning of a connection for [certainly].
func notice(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" {
		c.CustomData()[warning] = n.Message
	}
}

// heldBy names the holder of the lease, since when and until when; nil: nobody.
func heldBy(ctx context.Context, pool *pgxpool.Pool, id int64) (*record.Holder, error) {
	var h record.Holder
	err := pool.QueryRow(ctx, `SELECT holder, since, until FROM safemode.sweep
		WHERE id = $1 AND until >= clock_timestamp()`, id).Scan(&h.Name, &h.Since, &h.Until)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	h.Since, h.Until = h.Since.UTC(), h.Until.UTC()
	return &h, pgError(err)
}

// keep renews the lease until ctx ends, or until it is gone.
func (l *lease) keep(ctx context.Context) {
	renew := time.NewTicker(renewEvery(l.length))
	defer renew.Stop()
	look := time.NewTicker(pause)
	defer look.Stop()
	for due := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-l.lost:
			return
		case <-renew.C:
			due = true
		case <-look.C:
		}
		if due {
			err := l.renew()
			if isOver(err) {
				l.give(err)
				return
			}
			l.failing = err
			if due = err != nil; due {
				l.pool.Reset() // its connections may all be to a server that is no more
			}
		}
		if err := l.Held(); err != nil {
			if l.failing != nil {
				err = fmt.Errorf("%w (%w)", err, l.failing)
			}
			l.give(err)
			return
		}
	}
}

// give ends the lease, for good. The first reason stays.
func (l *lease) give(err error) {
	if l.gone.CompareAndSwap(nil, &err) {
		close(l.lost)
	}
}

// read reads until it has an answer, or the lease is gone: a server that ends or does not
// answer is left for another, as with what is written. Each try has twice the time of the one
// before, up to an hour: what is asked may take long.
func (l *lease) read(ctx context.Context, do func(ctx context.Context) error) error {
	for long := perAttempt(l.length); ; long = min(2*long, time.Hour) {
		err := within(ctx, long, do)
		if err == nil || ctx.Err() != nil || !Passing(err) {
			return err
		}
		if gone := l.Held(); gone != nil {
			return fmt.Errorf("%w (%w)", gone, err)
		}
		l.pool.Reset()
		select {
		case <-time.After(pause):
		case <-l.lost:
		case <-ctx.Done():
		}
	}
}

func within(ctx context.Context, long time.Duration, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	return do(ctx)
}

// isOver says whether an error ends the right to write.
func isOver(err error) bool { return errors.Is(err, ErrTaken) || errors.Is(err, ErrLacking) }

// renew moves the lease's end. One that has ended is not renewed: another may be about to
// take it. All that was committed before is with the second server when it returns, if
// commits wait for one: the log is one.
func (l *lease) renew() error {
	ctx, cancel := l.attempt(0)
	defer cancel()
	asked, durable, has := uptime(), l.durable.Load(), int64(-1)
	err := l.certainly(ctx, func(c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `UPDATE safemode.sweep SET until = clock_timestamp() + $3
			WHERE id = $1 AND epoch = $2 AND until >= clock_timestamp() RETURNING coalesce(number, -1)`,
			l.id, l.epoch, l.length).Scan(&has)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return l.refused(ctx)
	case err != nil:
		return err
	case has < durable:
		return lacking(has, durable)
	}
	l.end.Store(int64(asked + l.length - margin(l.length)))
	return nil
}

// refused says why the database does not take this holder's word: another has the lease,
// it has ended, or this is not the database any more that has given it.
func (l *lease) refused(ctx context.Context) error {
	durable := l.durable.Load()
	var epoch, has int64
	err := l.pool.QueryRow(ctx, "SELECT epoch, coalesce(number, -1) FROM safemode.sweep WHERE id = $1", l.id).Scan(&epoch, &has)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return lacking(-1, durable)
	case err != nil:
		return pgError(err)
	case has < durable:
		return lacking(has, durable)
	case epoch < l.epoch:
		return fmt.Errorf("%w, the lease of this engine", ErrLacking)
	}
	says := "the lease had ended, and nobody holds it now"
	if held, err := heldBy(ctx, l.pool, l.id); err == nil && held != nil {
		says = held.String()
	}
	return fmt.Errorf("%w: %s", ErrTaken, says)
}

// lacking says which segments a database does not have any more.
func lacking(has, durable int64) error {
	return fmt.Errorf("%w, segments %d to %d: a server took over that never had them, or a backup was restored; "+
		"go on only with a database that has them", ErrLacking, has+1, durable)
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

// attempt ends with the lease as it is now, but not sooner than a moment, or earlier if so
// many bytes should have been there and back by then: a server that does not answer is left
// for another while the lease lasts.
func (l *lease) attempt(bytes int) (context.Context, context.CancelFunc) {
	const perSecond = 10 << 20 // bytes that the slowest database takes
	left := time.Duration(l.end.Load()) - uptime()
	long := perAttempt(l.length) + time.Duration(bytes)*time.Second/perSecond
	return context.WithTimeout(context.Background(), max(min(left, long), pause))
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
