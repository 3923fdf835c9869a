package engine

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/advice"
	"safemode/engine/console"
	"safemode/engine/direction"
	"safemode/engine/inbox"
	"safemode/engine/journal"
	"safemode/engine/journal/store"
	"safemode/engine/journal/store/pgtest"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/engine/sweep"
)

// An engine that has stood by takes over no sweep in which nothing is left to do, however it has
// ended. It looks when nobody else may write any more: another may have been sooner.
func TestNothingIsLeftToDo(t *testing.T) {
	opened := record.Record{Kind: record.Opened, Body: record.Encode(record.Opening{SweepID: "abababababab", StoreFirst: true})}
	closed := func(code string) record.Record {
		return record.Record{Kind: record.Closed, Code: code, Body: record.Encode(record.ClosedBody{})}
	}
	order := func(o record.OrderBody) record.Record {
		return record.Record{Kind: record.Operator, Code: o.Action, Body: record.Encode(o)}
	}
	stop := order(record.OrderBody{Action: record.OrderStop, By: "A. Person"})
	handover := order(record.OrderBody{Action: record.OrderHandover, By: "A. Person"})
	own := order(record.OrderBody{Action: record.OrderExclude, By: record.BySweep, Cause: record.CauseTransfer})
	for name, c := range map[string]struct {
		records []record.Record
		want    error
	}{
		"cut off":                       {[]record.Record{opened}, nil},
		"interrupted":                   {[]record.Record{opened, closed(record.ClosedInterrupted)}, nil},
		"handed over":                   {[]record.Record{opened, handover, closed(record.ClosedInterrupted)}, nil},
		"finished":                      {[]record.Record{opened, closed(record.ClosedFinished)}, ErrFinished},
		"stopped":                       {[]record.Record{opened, stop, closed(record.ClosedInterrupted)}, sweep.ErrStopped},
		"stopped, and killed":           {[]record.Record{opened, stop}, sweep.ErrStopped},
		"stopped, and halted":           {[]record.Record{opened, stop, {Kind: record.Halted, Body: record.Encode(record.HaltedBody{})}}, sweep.ErrStopped},
		"stopped, and a home has left":  {[]record.Record{opened, stop, own, closed(record.ClosedInterrupted)}, sweep.ErrStopped},
		"stopped, and then handed over": {[]record.Record{opened, stop, handover, closed(record.ClosedInterrupted)}, nil},
		"stopped, and goes on":          {[]record.Record{opened, stop, closed(record.ClosedInterrupted), opened}, nil},
		"stopped, and killed twice":     {[]record.Record{opened, stop, opened}, sweep.ErrStopped},
		"stopped, killed, and drained":  {[]record.Record{opened, stop, opened, closed(record.ClosedInterrupted)}, sweep.ErrStopped},
		"stopped, and cut off later":    {[]record.Record{opened, stop, opened, closed(record.ClosedInterrupted), opened}, nil},
		"stopped, halted, and goes on":  {[]record.Record{opened, stop, {Kind: record.Halted, Body: record.Encode(record.HaltedBody{})}, opened}, nil},
		"halted, stopped, and goes on":  {[]record.Record{opened, {Kind: record.Halted, Body: record.Encode(record.HaltedBody{})}, stop, opened}, nil},
		"a part was stopped":            {[]record.Record{opened, order(record.OrderBody{Action: record.OrderStop, By: "A. Person", SRV: "7.3"})}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.db")
			j, err := journal.Open(path, journal.Options{})
			if err != nil {
				t.Fatal(err)
			}
			planned := record.Record{Kind: record.Planned, Code: strings.Repeat("ab", 32), Body: []byte("{}")}
			for _, r := range append([]record.Record{planned}, c.records...) {
				r.At = time.Now()
				if err := j.Commit(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			e := &Engine{takeover: &record.Takeover{}, o: Options{Journal: path, CustodyDir: t.TempDir(), Log: zap.NewNop()}}
			if err := e.awaitJournal(t.Context()); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%v, want %v", err, c.want)
			}
			// Only a stop by which no run has ended holds at the next start of the same machine.
			by, err := e.undrained(t.Context())
			if holds := name == "stopped, and killed" || name == "stopped, and killed twice"; err != nil || (by == "A. Person") != holds || (by == "") == holds {
				t.Errorf("undrained: %q, %v", by, err)
			}
			if err := e.journal.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A machine that has taken the lease, and lost it before it has seen whether anything is left to
// do, takes it again first: another may have gone on with the sweep.
func TestTakeoverTakesItsLeaseAgain(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, "fsync=on")
	at := c.Address("one")
	e := newEngine(Options{
		Plan: &plan.Plan{}, Journal: at, CustodyDir: t.TempDir(), Log: zap.NewNop(), Gates: &direction.Gates{},
		Commits: journal.Options{Holder: "two", Lease: 3 * time.Second, Registerer: prometheus.NewRegistry()},
	})
	e.takeover = &record.Takeover{From: "one"}
	var err error
	if e.journal, err = journal.Open(at, e.o.Commits); err != nil {
		t.Fatal(err)
	}
	if err := e.journal.Commit(t.Context(), record.Record{At: time.Now(), Kind: record.Planned, Code: strings.Repeat("ab", 32), Body: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	c.Stop(t)
	for began := time.Now(); e.journal.Held() == nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("it has its lease still")
		}
	}
	took := make(chan error)
	go func() { took <- e.awaitJournal(t.Context()) }()
	time.Sleep(2 * time.Second)
	c.Serve(t, "fsync=on")
	select {
	case err := <-took:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits still")
	}
	if err := e.journal.Held(); err != nil {
		t.Errorf("it takes the sweep over without a lease: %v", err)
	}
	if err := e.journal.Close(); err != nil {
		t.Error(err)
	}
}

// A takeover waits where the database has one server left, and says so, but not for a sweep in
// which nothing is left to do.
func TestTakeoverWaitsForASecondServer(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, "fsync=on")
	live := func(sweep string) *Engine {
		return newEngine(Options{
			Plan:    &plan.Plan{Header: plan.Header{Environment: record.Live}},
			Journal: c.Address(sweep), Registry: prometheus.NewRegistry(), Log: zap.NewNop(),
		})
	}
	j, err := journal.Open(c.Address("done"), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []record.Record{
		{Kind: record.Planned, Code: strings.Repeat("ab", 32), Body: []byte("{}")},
		{Kind: record.Opened, Body: record.Encode(record.Opening{SweepID: "abababababab", StoreFirst: true})},
		{Kind: record.Closed, Code: record.ClosedFinished, Body: record.Encode(record.ClosedBody{})},
	} {
		r.At = time.Now()
		if err := j.Commit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := live("done").awaitReplicated(soon); err != nil {
		t.Errorf("a sweep that has finished: %v", err)
	}

	e := live("one")
	waited := make(chan error)
	go func() { waited <- e.awaitReplicated(t.Context()) }()
	says := func(want string) {
		t.Helper()
		for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			st := e.standbyStatus()
			if strings.Contains(st.Reason, want) && st.Health.Level == record.HealthNotSending && errors.Is(e.standbyReady(), console.ErrStandsBy) {
				return
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("it says %+v, want %s", st, want)
			}
		}
	}
	says("nobody has the sweep, and it is not taken over: ")
	says("synchronous_standby_names is empty")
	c.Stop(t)
	says("connect")
	c.Serve(t, "fsync=on")
	second, err := c.MakeStandby("second")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Remove()
	if err := c.Set("synchronous_standby_names", "second"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-waited:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatalf("it waits still: %+v", e.standbyStatus())
	}
	if st := e.standbyStatus(); st.Health.Level != record.HealthOK {
		t.Errorf("when it has waited: %+v", st)
	}
}

// A start that was killed before its first record has made a place and no journal: the next
// begins there, and a machine that is started with the first has nothing to foresee.
func TestAPlaceWithoutAJournal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal.db")
	for _, at := range []string{path, pgtest.Start(t, "fsync=off").Address("winter")} {
		s, err := store.Open(t.Context(), at, store.Options{Write: true})
		if err != nil {
			t.Fatal(err)
		}
		e := newEngine(Options{Plan: &plan.Plan{}, Journal: at, Log: zap.NewNop(), Gates: &direction.Gates{}})
		if store.IsAddress(at) {
			if err := e.foresee(t.Context()); err != nil {
				t.Errorf("while the first begins: %v", err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := e.readJournal(); err != nil || e.journal != nil {
			t.Errorf("%s: %v", at, err)
		}
		if _, err := StatusOf(t.Context(), at, "", nil, advice.Place{}); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the status of %s: %v", at, err)
		}
	}
}

// An engine that stands by lets the same callers look as one that sweeps.
func TestStandbyKnowsWhoMayLook(t *testing.T) {
	people := []console.Person{{Name: "Ada", TokenSHA256: [32]byte{1}, Role: console.Orders}}
	o := Options{
		Plan: &plan.Plan{}, Log: zap.NewNop(), Registry: prometheus.NewRegistry(), Gates: &direction.Gates{},
		Operations: console.Address{Listen: "127.0.0.1:0", Token: "order", LookToken: "look", People: people},
	}
	e := newEngine(o)
	var err error
	if e.console, err = console.Listen(t.Context(), o.Operations); err != nil {
		t.Fatal(err)
	}
	if e.inbox, err = inbox.Listen(t.Context(), inbox.Address{Listen: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	stop, err := e.serveStandby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]int{"order": http.StatusOK, "look": http.StatusOK, "": http.StatusUnauthorized} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.OperationsURL()+"/api/v1/sweep", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		reply, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := reply.Body.Close(); err != nil || reply.StatusCode != want {
			t.Errorf("token %q: %s, %v", token, reply.Status, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := errors.Join(e.console.Close(), e.inbox.Close()); err != nil {
		t.Error(err)
	}
}

// The metric says for how long nobody has stood by, in live alone; the status says so anywhere.
func TestStandbyMissing(t *testing.T) {
	for environment, counts := range map[string]bool{record.Live: true, record.Simulator: false} {
		e := newEngine(Options{Plan: &plan.Plan{Header: plan.Header{Environment: environment}}, Registry: prometheus.NewRegistry()})
		e.registerStandby()
		metric := func() float64 {
			t.Helper()
			all, err := e.o.Registry.Gather()
			if err != nil || len(all) != 1 || all[0].GetName() != "safemode_standby_missing_seconds" {
				t.Fatalf("%v, %v", all, err)
			}
			return all[0].Metric[0].GetGauge().GetValue()
		}
		if got := metric(); got != 0 || e.standbyMissing() != nil {
			t.Errorf("%s, not known: %v, %v", environment, got, e.standbyMissing())
		}
		e.alone.Store(time.Now().Add(-90 * time.Second).UnixNano())
		if got := metric(); counts != (got >= 90) || !counts && got != 0 {
			t.Errorf("%s: %v", environment, got)
		}
		if missing := e.standbyMissing(); missing == nil || *missing < 90 {
			t.Errorf("%s: %v", environment, missing)
		}
	}
}
