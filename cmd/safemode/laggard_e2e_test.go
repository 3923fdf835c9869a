package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"safemode/engine/journal/store/pgtest"
)

// A standby of the database is promoted that had not followed. The machine that sweeps halts, and
// the custody remembers that. The one that stands by takes nothing over: it has seen more than
// there is. So does each that is started, by what it has in its own folder; and once that is
// removed, the custody knows, and two must approve.
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
	p := newPair(t, primary, pairMeters, laggard)
	for _, n := range p.nodes { // a busy machine may take a while to promote the standby
		config, err := os.ReadFile(p.scene.path(n.config))
		if err != nil {
			t.Fatal(err)
		}
		putFile(t, p.scene.path(n.config), bytes.Replace(config, []byte("lease: 10s"), []byte("lease: 1m"), 1))
	}
	first := p.start(t, 0)
	p.untilSent(0, 5)
	second := p.start(t, 1)
	p.untilStandby(t, 1)
	for _, args := range [][]string{{"--journal", p.at}, {"--operations", p.nodes[0].operations}} {
		first.until("the status names both", func() bool {
			said := must(t, "", append([]string{"status"}, args...)...)
			return strings.Contains(said, "stands by") && strings.Contains(said, fmt.Sprintf("process %d since", second.command.Process.Pid))
		})
	}
	if said := must(t, "", "status", "--journal", p.at); !strings.Contains(said, fmt.Sprintf("process %d holds the sweep since", first.command.Process.Pid)) || !strings.Contains(said, ", its lease until ") {
		t.Errorf("who has it: %s", said)
	}
	laggard.Stop(t)
	p.untilSent(0, len(p.nodes[0].wire.posts())+25)
	looked := func() string {
		t.Helper()
		said, err := primary.Query("SELECT max(until) FROM safemode.standby")
		if err != nil {
			t.Fatal(err)
		}
		return said
	}
	was := looked()
	second.until("the second has seen what the standby lacks", func() bool { return looked() != was })
	primary.Stop(t)
	laggard.Serve(t, "fsync=off")
	if err := laggard.Promote(); err != nil {
		t.Fatal(err)
	}
	if r := first.wait(); r.code != exitHalted || !strings.Contains(r.err, "safemode: halted: the database has lost records: ") || strings.Contains(r.err, "the custody does not remember") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	const lacks = "the database lacks what it had acknowledged: start at the database that has it"
	second.wait().says(t, exitHalted, "the database lacks what it had acknowledged, segments ")
	sent := [2]int{len(p.nodes[0].wire.posts()), len(p.nodes[1].wire.posts())}
	for i, n := range p.nodes {
		p.start(t, i).wait().says(t, exitRefused, "winter.tip pins record", "it is an older copy", lacks)
		if err := os.Remove(filepath.Join(n.folder, "winter.tip")); err != nil {
			t.Error(err)
		}
		p.start(t, i).wait().says(t, exitRefused, "the journal ends at record", "approve --accept")
	}
	if now := [2]int{len(p.nodes[0].wire.posts()), len(p.nodes[1].wire.posts())}; now != sent {
		t.Errorf("%v messages were sent, %v after all", sent, now)
	}
	if starts := openings(t, p.at); len(starts) != 1 {
		t.Errorf("%d starts", len(starts))
	}
}
