package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"safemode/engine/journal/store/pgtest"
)

// A standby of the database is promoted that had not followed. The machine that sweeps halts, and
// the custody remembers that. The one that stands by takes nothing over: it has seen more than
// there is. So does each that is started, by what it has in its own folder; and once that is
// removed, two must approve.
func TestDatabaseThatHadNotFollowed(t *testing.T) {
	long(t)
	primary := pgtest.Start(t, "fsync=off")
	laggard, err := primary.MakeStandby("second", "fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := laggard.Remove(); err != nil {
			t.Error(err)
		}
	})
	p := newPair(t, primary, laggard)
	first := p.start(t, 0)
	p.untilDone(t, 0, 5)
	second := p.start(t, 1)
	p.untilStandby(t, 1)
	laggard.Stop(t)
	p.untilDone(t, 0, 30)
	primary.Stop(t)
	laggard.Serve(t, "fsync=off")
	if err := laggard.Promote(); err != nil {
		t.Fatal(err)
	}
	if r := first.wait(); r.code != exitHalted || !strings.Contains(r.err, "the database has lost records: ") || strings.Contains(r.err, "the custody does not remember") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	const lacks = "the database lacks what it had acknowledged: start at the database that has them"
	second.wait().says(t, exitRefused, "it is an older copy", lacks)
	sent := [2]int{len(p.nodes[0].wire.posts()), len(p.nodes[1].wire.posts())}
	for i, n := range p.nodes {
		p.start(t, i).wait().says(t, exitRefused, "winter.tip pins record", "it is an older copy", lacks)
		if err := os.Remove(filepath.Join(n.folder, "winter.tip")); err != nil {
			t.Error(err)
		}
		if r := p.start(t, i).wait(); r.code != exitRefused || !strings.Contains(r.err, "not approved") || !strings.Contains(r.err, "the database has lost records") {
			t.Errorf("exit %d: %s", r.code, r.err)
		}
	}
	if now := [2]int{len(p.nodes[0].wire.posts()), len(p.nodes[1].wire.posts())}; now != sent {
		t.Errorf("%v messages were sent, %v after all", sent, now)
	}
	if starts := openings(t, p.at); len(starts) != 1 {
		t.Errorf("%d starts", len(starts))
	}
}
