package engine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"safemode/engine"
	"safemode/engine/journal/store/pgtest"
	"safemode/servicerequests"
)

// A database whose commits wait for no second server is refused, unless the environment has
// no homes in it, or the configuration accepts it.
func TestDatabaseOfOneServer(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, "fsync=on")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ask := func(query string) string {
		t.Helper()
		said, err := c.Query(query)
		must(err)
		return said
	}
	d := newDCC(t, servicerequests.NotRegistered)
	foreseen := func(environment, journal string, accept bool) (string, error) {
		o := options(t, d, newPlan(t, environment, 1), t.TempDir())
		o.Journal, o.AcceptOneServer = journal, accept
		f := engine.Foresee(t.Context(), o)
		return f.Replicated, f.Said[engine.PartDatabase]
	}
	at := c.Address("one")
	lacking := func(what, at, want string) {
		t.Helper()
		if said, err := foreseen("live", at, false); said != "" || !errors.Is(err, engine.ErrRefused) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "journal.accept_one_server") {
			t.Errorf("%s: %s, %v, want %s", what, said, err, want)
		}
		if said, err := foreseen("live", at, true); err != nil || !strings.Contains(said, want) || !strings.HasSuffix(said, "as the configuration accepts") {
			t.Errorf("%s, accepted: %s, %v", what, said, err)
		}
		if said, err := foreseen(engine.Simulator, at, false); err != nil || !strings.Contains(said, want) || !strings.HasSuffix(said, "which environment live refuses") {
			t.Errorf("%s, in a simulator: %s, %v", what, said, err)
		}
	}
	standbys := func(want string) {
		t.Helper()
		for began := time.Now(); ask("SELECT string_agg(state || ' ' || sync_state, ',') FROM pg_stat_replication") != want; time.Sleep(20 * time.Millisecond) {
			if time.Since(began) > time.Minute {
				t.Fatalf("the standbys are not %q", want)
			}
		}
	}
	lacking("no standby", at, "synchronous_standby_names is empty")
	second, err := c.MakeStandby("second")
	must(err)
	defer second.Remove()
	standbys("streaming async")
	lacking("a standby that is not waited for", at, "synchronous_standby_names is empty")
	must(c.Set("synchronous_standby_names", "third"))
	lacking("another standby", at, `synchronous_standby_names is "third", and there is second at this machine (streaming, async)`)
	must(c.Set("synchronous_standby_names", "second"))
	standbys("streaming sync")
	for _, environment := range []string{"live", engine.Simulator} {
		if said, err := foreseen(environment, at, false); err != nil || !strings.HasPrefix(said, "commits wait for second at this machine (streaming, sync)") {
			t.Errorf("%s: %s, %v", environment, said, err)
		}
	}
	ask("CREATE ROLE stranger LOGIN")
	lacking("a role that may not look", strings.Replace(at, "user=safemode", "user=stranger", 1), "GRANT pg_read_all_stats")
	ask("GRANT pg_read_all_stats TO stranger; ALTER ROLE stranger SET synchronous_commit = off")
	if said, err := foreseen("live", strings.Replace(at, "user=safemode", "user=stranger", 1), false); err != nil || !strings.HasSuffix(said, "synchronous_commit is on") {
		t.Errorf("a role whose default is not to wait: %s, %v", said, err)
	}
	second.Stop(t)
	standbys("")
	lacking("a standby that is down", at, `synchronous_standby_names is "second", and there is no standby`)
	c.Stop(t)
	for _, environment := range []string{"live", engine.Simulator} {
		if said, err := foreseen(environment, at, true); err == nil || errors.Is(err, engine.ErrRefused) {
			t.Errorf("%s, a server that is down: %s, %v", environment, said, err)
		}
	}
	c.Serve(t)
	lacking("a server that does not write through", at, "fsync is off")
	if said, err := foreseen("live", "journal.db", false); said != "" || err != nil {
		t.Errorf("a file: %s, %v", said, err)
	}
}
