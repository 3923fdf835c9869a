package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/journal/store/pgtest"
	"safemode/engine/record"
	"safemode/servicerequests/safefile"
)

// load appends until it is told to stop.
type load struct {
	stop chan struct{}
	done chan error
	all  []Segment // acknowledged; to be read after done
	has  chan int  // how many they are, for who looks
}

// under has a writer append, every third time with a change of the state.
func under(s Store, all []Segment) *load {
	l := &load{stop: make(chan struct{}), done: make(chan error, 1), all: all, has: make(chan int)}
	go func() {
		for {
			select {
			case <-l.stop:
				l.done <- nil
				return
			case l.has <- len(l.all):
				continue
			default:
			}
			next := segment(l.all[len(l.all)-1].Tip(), 2)
			next.After[1] = byte(len(l.all))
			var k State
			if len(l.all)%3 == 0 {
				k.Rows = []record.StateRow{{Row: 0, Value: []byte{byte(len(l.all))}}}
			}
			if err := s.Append(next, k); err != nil {
				l.done <- err
				return
			}
			l.all = append(l.all, *next)
		}
	}()
	return l
}

// more waits until so many more segments are acknowledged.
func (l *load) more(t *testing.T, more int) {
	t.Helper()
	before := <-l.has
	patient(t, "the writer appends", func() bool {
		select {
		case n := <-l.has:
			return n >= before+more
		case err := <-l.done:
			l.done <- err
			t.Fatalf("the writer has ended: %v", err)
			return false
		}
	})
}

// ends has the writer stop, and compares what was acknowledged with what a reader finds.
func (l *load) ends(t *testing.T, from Reader) {
	t.Helper()
	close(l.stop)
	if err := <-l.done; err != nil {
		t.Fatal(err)
	}
	var got []Segment
	for {
		read, last := from.Read, uint64(0)
		if len(got) > 0 {
			read, last = from.After, got[len(got)-1].First
		}
		page, err := read(t.Context(), last, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
	}
	if diff := cmp.Diff(l.all, got); diff != "" {
		t.Error(diff)
	}
	t.Logf("%d segments", len(l.all))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The primary ends or hangs under load, and its synchronous standby is promoted: the writer
// goes on there within its lease, and nothing that was acknowledged is missing.
func TestFailover(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(t *testing.T, c *pgtest.Cluster){
		"crash": func(t *testing.T, c *pgtest.Cluster) { c.Stop(t) },
		"hang":  func(_ *testing.T, c *pgtest.Cluster) { c.Freeze() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := pgtest.Start(t)
			second := first.Standby(t)
			s := openStore(t, first.Address("failover", second), true)
			defer s.Close()
			l := under(s, grow(t, s, 2))
			l.more(t, 20)
			began := time.Now()
			fails(t, first)
			must(t, second.Promote())
			l.more(t, 20)
			took := time.Since(began)
			if took > LeaseLength {
				t.Errorf("it took %v", took)
			}
			l.ends(t, s)
			first.Stop(t) // a connection to one that hangs takes long to close
			t.Logf("it went on after %v", took)
		})
	}
}

// A standby is promoted that lacks what was acknowledged, because commits did not wait for
// it: segments, a lease, a sweep. The writer ends, at a renewal as at an append.
func TestStandbyLacks(t *testing.T) {
	t.Parallel()
	first := pgtest.Start(t)
	second, err := first.MakeStandby("second")
	must(t, err)
	defer second.Remove()
	type writer struct {
		*Postgres
		tip Tip
	}
	open := func(sweep string) *writer {
		s := leased(t, first.Address(sweep, second), time.Minute)
		t.Cleanup(func() { _ = s.Close() })
		return &writer{Postgres: s}
	}
	more := func(w *writer, more int) {
		for range more {
			next := segment(w.tip, 1)
			must(t, w.Append(next, State{}))
			w.tip = next.Tip()
		}
	}
	segments, lease := open("segments"), open("lease")
	segments.tip = grow(t, segments, 2)[2].Tip()
	end := grow(t, lease, 2)[2].Tip()
	wal, err := first.Query("SELECT pg_current_wal_lsn()")
	must(t, err)
	patient(t, "the standby follows", func() bool {
		has, err := second.Query("SELECT pg_last_wal_replay_lsn() >= '" + wal + "'")
		must(t, err)
		return has == "t"
	})
	second.Stop(t)
	more(segments, 3)
	must(t, lease.Close())
	lease = open("lease")
	lease.tip = end
	sweep := open("sweep")
	sweep.tip = grow(t, sweep, 2)[2].Tip()
	first.Stop(t)
	second.Serve(t)
	must(t, second.Promote())
	refused := func(w *writer, want string) {
		t.Helper()
		var renewed error
		patient(t, "a connection to the server that was promoted", func() bool {
			renewed = w.lease.renew() // its connection may be to the one that stopped
			return isOver(renewed)
		})
		errs := []error{renewed, w.Append(segment(w.tip, 1), State{})}
		<-w.Lost()
		for _, err := range append(errs, w.Held()) {
			if !errors.Is(err, ErrLacking) || errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
		}
	}
	refused(segments, "segments 3 to 5")
	refused(lease, "the lease of this engine")
	refused(sweep, "segments 0 to 2")
	tables := open("tables")
	tables.tip = grow(t, tables, 1)[1].Tip()
	_, err = second.Query("DROP SCHEMA safemode CASCADE")
	must(t, err)
	refused(tables, "segments 0 to 1")
}

// A commit that waits for the standby is cut short, by a cancel, by the end of its backend
// or by a crash of the server. It is in the tables then, and the standby has not got it: it
// is acknowledged when the standby has, and not sooner. So is a counter of the custody.
func TestCommitIsNotTakenForReplicated(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	second := c.Standby(t)
	s := leased(t, c.Address("unheard"), LongestLease)
	defer s.Close()
	tip := grow(t, s, 1)[1].Tip()
	const waits = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
	waiting := func(what string) {
		t.Helper()
		patient(t, what, func() bool {
			n, err := c.Query("SELECT count(*) " + waits)
			must(t, err)
			return n == "1"
		})
	}
	custody := c.Database() + "&custody=one"
	must(t, MakeFiles(t.Context(), custody))
	files, err := s.Files(custody)
	must(t, err)
	var counter []byte
	for name, cut := range map[string]func(){
		"cancel": func() { _, err := c.Query("SELECT pg_cancel_backend(pid) " + waits); must(t, err) },
		"end":    func() { _, err := c.Query("SELECT pg_terminate_backend(pid) " + waits); must(t, err) },
		"crash":  func() { c.Stop(t); c.Serve(t) },
	} {
		t.Run(name, func(t *testing.T) {
			second.Stop(t)
			next := segment(tip, 1)
			done := make(chan error, 1)
			go func() { done <- s.Append(next, State{Rows: []record.StateRow{{Row: 0, Value: []byte(name)}}}) }()
			waiting("the commit waits")
			cut()
			patient(t, "it is in the table", func() bool {
				is, _, err := s.Tip(context.Background())
				return err == nil && is == next.Tip()
			})
			waiting("what comes after it waits")
			select {
			case err := <-done:
				t.Errorf("acknowledged, and no standby has it: %v", err)
			default:
			}
			second.Serve(t)
			must(t, <-done)
			tip = next.Tip()
		})
		t.Run(name+", of a counter", func(t *testing.T) {
			second.Stop(t)
			done := make(chan error, 1)
			go func() { done <- files.Replace("counter", counter, []byte(name)) }()
			waiting("the commit waits")
			cut()
			patient(t, "it is in the table", func() bool {
				is, err := files.Read("counter", 100, safefile.Own)
				return err == nil && string(is) == name
			})
			waiting("what comes after it waits")
			select {
			case err := <-done:
				t.Errorf("acknowledged, and no standby has it: %v", err)
			default:
			}
			second.Serve(t)
			must(t, <-done)
			counter = []byte(name)
		})
	}
}

// Open waits while a standby is being promoted.
func TestOpenedWhilePromoted(t *testing.T) {
	t.Parallel()
	first := pgtest.Start(t)
	second := first.Standby(t)
	at := first.Address("promoted", second)
	s := openStore(t, at, true)
	all := grow(t, s, 2)
	must(t, s.Close())
	first.Stop(t)
	opened := make(chan error, 1)
	var next Store
	go func() {
		var err error
		next, err = Open(context.Background(), at, Options{Write: true, Lease: time.Minute})
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("no server takes writes: %v", err)
	case <-time.After(3 * pause): // it has tried by now
	}
	must(t, second.Promote())
	must(t, <-opened)
	defer next.Close()
	must(t, next.Append(segment(all[2].Tip(), 1), State{}))
	if _, err := Open(t.Context(), strings.Replace(at, "user=safemode", "user=nobody", 1), Options{Write: true, Lease: time.Minute}); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("a role that there is not: %v", err)
	}
}
