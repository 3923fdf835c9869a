package store

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/journal/store/pgtest"
)

// A custody whose database cannot be reached any more is given up with the lease, also where the
// last renewal could not reach it.
func TestFilesAreGivenUp(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, "fsync=off")
	s := leased(t, c.Address("files"), 2*time.Second)
	defer s.Close()
	custody := c.Database() + "&custody=one"
	must(t, MakeFiles(t.Context(), custody))
	files, err := s.Files(custody)
	must(t, err)
	c.Stop(t)
	patient(t, "a renewal finds no server", func() bool { return s.Held() != nil })
	done := make(chan error, 2)
	go func() {
		_, err := files.Names()
		done <- err
		done <- files.Replace("counter", nil, []byte("1"))
	}()
	for range 2 {
		select {
		case err := <-done:
			if !errors.Is(err, ErrLapsed) { // with the cause only if a renewal was tried before the end
				t.Errorf("%v: want a lease that has lapsed", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("it still tries")
		}
	}
}

// If the first server ends or hangs, a holder reads from the one that was promoted. A read
// that was under way with its connection may fail, and without a lease there is one try. When
// the lease is gone, nothing is tried again.
func TestReadsOfAHolder(t *testing.T) {
	t.Parallel()
	for name, hangs := range map[string]bool{"crash": false, "hang": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := pgtest.Start(t)
			second := first.Standby(t)
			s := leased(t, first.Address("reads", second), LeaseLength)
			defer s.Close()
			all := grow(t, s, 3)
			reader := openStore(t, first.Address("reads", second), false)
			defer reader.Close()
			moment, err := s.Snapshot(t.Context())
			must(t, err)
			locked := make(chan struct{})
			go func() {
				defer close(locked)
				_, _ = first.Query("BEGIN; LOCK TABLE safemode.segment, safemode.state IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)") // the server ends
			}()
			waiting := func(n string) {
				t.Helper()
				patient(t, "reads wait", func() bool {
					got, err := first.Query("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
					must(t, err)
					return got == n
				})
			}
			patient(t, "the lock is taken", func() bool {
				n, err := first.Query("SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' AND relation = 'safemode.state'::regclass")
				must(t, err)
				return n == "1"
			})
			type answer struct {
				segments []Segment
				err      error
			}
			ask := func(r Reader, ctx context.Context) chan answer {
				done := make(chan answer, 1)
				go func() {
					found, err := r.Read(ctx, 0, 100)
					done <- answer{found, err}
				}()
				return done
			}
			soon, cancel := context.WithTimeout(t.Context(), LeaseLength/2)
			defer cancel()
			held, once, without := ask(s, t.Context()), ask(moment, soon), ask(reader, soon)
			waiting("3")
			if hangs {
				first.Freeze()
			} else {
				first.Stop(t)
			}
			must(t, second.Promote())
			got := <-held
			must(t, got.err)
			if diff := cmp.Diff(all, got.segments); diff != "" {
				t.Error(diff)
			}
			if got := <-once; !Passing(got.err) {
				t.Errorf("a moment: %v", got.err)
			}
			_ = moment.Close() // its connection is gone
			if got := <-without; !Passing(got.err) {
				t.Errorf("without a lease: %v", got.err)
			}
			first.Stop(t)
			<-locked

			second.Stop(t)
			began := time.Now()
			if got := <-ask(s, t.Context()); !errors.Is(got.err, ErrLapsed) || time.Since(began) > LeaseLength+5*time.Second {
				t.Errorf("%v after %v", got.err, time.Since(began))
			}
		})
	}
}

// A store whose server does not answer any more closes soon, also where a read of it is given up
// that nobody had bounded.
func TestCloseThoughTheServerHangs(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	at := c.Address("hangs")
	writer := openStore(t, at, true)
	reader := openStore(t, at, false)
	time.Sleep(1100 * time.Millisecond) // the driver asks connections that have been idle for longer whether they live
	c.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	unbounded, giveUp := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, giveUp)
	for _, ctx := range [...]context.Context{ctx, unbounded} {
		if _, err := reader.Read(ctx, 0, 1); err == nil {
			t.Error("a server that stands still has answered")
		}
	}
	for name, s := range map[string]Store{"reader": reader, "writer": writer} {
		begun := time.Now()
		if err := s.Close(); (err == nil) != (s == reader) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begun); took > pausePatience+2*closePatience {
			t.Errorf("the %s took %v to close", name, took)
		}
	}
}

// A holder whose server is away for long reads again once it is back, however many tries were in
// vain: the time of a try does not grow without end.
func TestReadsAfterManyTries(t *testing.T) {
	pool, err := newPool(t.Context(), "postgres://safemode@/safemode?host="+t.TempDir(), "winter", Options{Write: true})
	must(t, err)
	defer closePool(pool)
	synctest.Test(t, func(t *testing.T) {
		l := &lease{pool: pool, length: LongestLease, lost: make(chan struct{})}
		l.end.Store(1<<63 - 1)
		tries := 0
		err := l.read(t.Context(), func(ctx context.Context) error {
			switch tries++; {
			case tries > 200:
				return errors.New("no try had any time")
			case tries < 100:
				return io.EOF
			}
			return ctx.Err()
		})
		if err != nil {
			t.Errorf("%v after %d tries", err, tries)
		}
	})
}
