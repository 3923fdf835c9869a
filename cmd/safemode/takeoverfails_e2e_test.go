package main

import (
	"strings"
	"sync"
	"testing"

	"safemode/engine/journal/store/pgtest"
)

// failing is a pair with a database of two servers, of which the second follows, while the
// machine that had the sweep is dead and the other takes it over.
type failing struct {
	*pair
	primary, standby *pgtest.Cluster
	second           *process // the machine that takes over
	locker           sync.WaitGroup
}

// waits are the machine's statements that wait for a lock.
const waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'safemode%'"

// newFailing has the second machine stand by, and the first one killed.
func newFailing(t *testing.T) *failing {
	t.Helper()
	f := &failing{}
	t.Cleanup(f.locker.Wait) // after the server has ended, and with it the lock
	f.primary = pgtest.Start(t)
	f.standby = f.primary.Standby(t)
	f.pair = newPair(t, f.primary, pairMeters, f.standby)
	first := f.start(t, 0)
	f.untilSent(0, 5)
	f.second = f.start(t, 1)
	f.untilStandby(t, 1)
	if err := first.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-first.ended
	return f
}

// lock keeps a table from the machine, so that its takeover comes no further than there.
func (f *failing) lock(t *testing.T, table, mode string) {
	t.Helper()
	f.locker.Go(func() {
		// It ends with an error: the server ends, or the statement is ended.
		_, _ = f.primary.Query("BEGIN; LOCK TABLE safemode." + table + " IN " + mode + " MODE; SELECT pg_sleep(600)")
	})
	f.untilSays(t, "1", "SELECT count(*) FROM pg_locks WHERE granted AND lower(mode) = lower('"+strings.ReplaceAll(mode, " ", "")+"Lock') AND relation = 'safemode."+table+"'::regclass")
}

// untilSays waits until the primary answers a query so.
func (f *failing) untilSays(t *testing.T, want, query string) {
	t.Helper()
	f.second.until(query, func() bool {
		got, err := f.primary.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		return strings.EqualFold(got, want)
	})
}

// The database fails over while a machine takes a sweep over: it has the lease, and its first
// record is not written. It goes on at the server that was promoted, wherever it was.
func TestDatabaseFailsOverDuringTakeover(t *testing.T) {
	long(t)
	for name, c := range map[string]struct {
		table, mode string
		hangs, long bool
	}{
		"at its first read":    {table: "segment", mode: "ACCESS EXCLUSIVE"},
		"at the kept state":    {table: "state", mode: "ACCESS EXCLUSIVE", hangs: true, long: true},
		"at the counters":      {table: "piece", mode: "ACCESS EXCLUSIVE", long: true},
		"at its first record":  {table: "segment", mode: "EXCLUSIVE", long: true}, // others may read
		"the same, that hangs": {table: "segment", mode: "EXCLUSIVE", hangs: true, long: true},
	} {
		t.Run(name, func(t *testing.T) {
			if c.long {
				onlyWhole(t) // one place of five is enough where the others have not changed
			}
			beside(t)
			f := newFailing(t)
			f.lock(t, c.table, c.mode)
			f.untilSays(t, "2", "SELECT epoch FROM safemode.sweep")
			f.untilSays(t, "1", waits)
			if c.hangs {
				f.primary.Freeze()
			} else {
				f.primary.Stop(t)
			}
			if err := f.standby.Promote(); err != nil {
				t.Fatal(err)
			}
			f.second.succeeds()
			f.tookOver(t, false)
			f.holds(t)
		})
	}
}

// Nobody knows whether the lease was taken: the server crashes while its commit waits for the
// standby. The machine waits for that lease's end as for another's, and takes over from whom it
// stood by for.
func TestTakeoverIsUnheard(t *testing.T) {
	onlyWhole(t) // TestDatabaseFailsOverDuringTakeover
	long(t)
	f := newFailing(t)
	f.lock(t, "sweep", "SHARE") // it may look, and not write
	f.untilSays(t, "1", waits)
	f.standby.Stop(t)
	if _, err := f.primary.Query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE%'"); err != nil {
		t.Fatal(err)
	}
	f.untilSays(t, "1", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'UPDATE safemode.sweep%'")
	f.primary.Stop(t)
	f.primary.Serve(t)
	f.standby.Serve(t)
	f.second.succeeds()
	f.tookOver(t, false)
	starts := openings(t, f.at)
	if log := f.second.err.String(); !strings.Contains(log, "cannot take the sweep over yet") || strings.Contains(log, `"from":"`+starts[1].Takeover.From+`"`) == false {
		t.Errorf("from %s: %s", starts[1].Takeover.From, log)
	}
	if epoch, err := f.primary.Query("SELECT epoch FROM safemode.sweep"); err != nil || epoch != "3" {
		t.Errorf("epoch %s, %v: the lease was not taken twice", epoch, err)
	}
	f.holds(t)
}

// The database is away for longer than the lease while a machine takes a sweep over. Before it
// has the journal it tries again, for as long as that takes. Later it gives up, and has written
// and sent nothing: the same command goes on when the database is back, by one of the starts
// that were given ahead.
func TestTakeoverIsGivenUp(t *testing.T) {
	onlyWhole(t) // package store's TestReadsOfAHolder gives up, too
	long(t)
	t.Run("before the journal is read", func(t *testing.T) {
		t.Parallel()
		f := newFailing(t)
		f.lock(t, "segment", "ACCESS EXCLUSIVE")
		f.untilSays(t, "2", "SELECT epoch FROM safemode.sweep")
		f.untilSays(t, "1", waits)
		f.primary.Stop(t)
		f.second.until("giving up", func() bool { return strings.Count(f.second.err.String(), "cannot take the sweep over yet") > 1 })
		if err := f.standby.Promote(); err != nil {
			t.Fatal(err)
		}
		f.second.succeeds()
		f.tookOver(t, false)
		f.holds(t)
	})
	t.Run("after", func(t *testing.T) {
		t.Parallel()
		givesUp(t)
	})
}

func givesUp(t *testing.T) {
	f := newFailing(t)
	f.lock(t, "piece", "ACCESS EXCLUSIVE")
	f.untilSays(t, "2", "SELECT epoch FROM safemode.sweep")
	f.untilSays(t, "1", waits)
	f.primary.Stop(t)
	r := f.second.wait()
	if r.code != exitFailed || !strings.Contains(r.err, "the lease on this journal could not be renewed within 10s") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	if n := len(f.nodes[1].wire.posts()); n != 0 {
		t.Errorf("it has sent %d messages", n)
	}
	if err := f.standby.Promote(); err != nil {
		t.Fatal(err)
	}
	if starts := openings(t, f.at); len(starts) != 1 {
		t.Errorf("%d starts", len(starts))
	}
	f.start(t, 1).succeeds()
	starts := openings(t, f.at)
	if len(starts) != 2 || starts[1].ResumesLeft != starts[0].ResumesLeft-1 {
		t.Errorf("starts: %+v", starts)
	}
	f.holds(t)
}
