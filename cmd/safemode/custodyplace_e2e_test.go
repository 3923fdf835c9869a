package main

import (
	"bytes"
	"encoding/json"
	"os"
	"syscall"
	"testing"

	"safemode/engine/journal/store/pgtest"
)

// A custody is made once, in a folder or in a database, listed, copied there and back, and
// handed back. A copy is refused before two have approved that very one.
func TestCustodyPlaces(t *testing.T) {
	long(t)
	c := pgtest.Fresh(t)
	p := newPair(t, c, 10)
	s := p.scene
	refuses(t, exitUsage, "name a new one", "", "custody", "new", "--custody-dir", p.custody)
	refuses(t, exitUsage, `custody "": want 1 to 64`, "", "custody", "new", "--custody-dir", c.Database())
	refuses(t, exitUsage, "leave the password out", "", "custody", "new", "--custody-dir", "postgres://srp:secret@db/sweeps?custody=northern")
	refuses(t, exitUsage, "no such custody", "", "custody", "list", "--custody-dir", c.Database()+"&custody=southern")
	refuses(t, exitUsage, "is not empty", "", "custody", "new", "--custody-dir", s.path("pki"))
	must(t, "", "custody", "new", "--custody-dir", s.path("made"))

	start(t, s.sweepArgs("one.yaml", "plan", "journal.db")...).wait().says(t, exitRefused, "it goes with a journal in the same database")

	// sends has a sweep send some more, and ends it.
	sends := func() {
		t.Helper()
		begun := p.start(t, 0)
		p.untilSent(0, len(p.nodes[0].wire.posts())+10)
		begun.signal(syscall.SIGINT).says(t, exitInterrupted, "drained")
	}
	sends()
	type line struct {
		Originator string
		HighWater  uint64 `json:"high_water"`
		Released   bool
	}
	list := func(at string) (all []line) {
		t.Helper()
		if err := json.Unmarshal([]byte(must(t, "", "custody", "list", "--custody-dir", at, "--json")), &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := list(p.custody)
	if len(before) != 1 || before[0].HighWater == 0 || before[0].Released {
		t.Fatalf("%+v", before)
	}

	moved := c.Database() + "&custody=moved"
	must(t, "", "custody", "copy", "--from", p.custody, "--to", s.path("copied"))
	must(t, "", "custody", "copy", "--from", s.path("copied"), "--to", moved)
	refuses(t, exitUsage, "name a new one", "", "custody", "copy", "--from", p.custody, "--to", moved)
	refuses(t, exitRefused, "it has no book", "", "custody", "copy", "--from", s.path("made"), "--to", s.path("again"))
	if now := list(moved); len(now) != 1 || now[0] != before[0] {
		t.Errorf("%+v, was %+v", now, before)
	}
	text, err := os.ReadFile(s.path("one.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, s.path("one.yaml"), append(cut(t, text, "custody_dir: "), []byte("custody_dir: '"+moved+"'\n")...))
	p.start(t, 0).wait().says(t, exitRefused, "it is a copy", "safemode custody accept")
	for _, person := range []string{"alice", "bob"} {
		s.approve(t, "plan", person, "--accept", "--config", s.path("one.yaml"), "--journal", p.at)
	}
	must(t, "", "custody", "accept", "--config", s.path("one.yaml"), "--plan", s.path("plan"), "--journal", p.at, "--by", "A. Person")
	sends()
	p.custody = moved
	audited(t, exitDone, "--journal", p.at, "--custody-dir", moved, "--config", s.path("one.yaml"))

	must(t, "", "custody", "release", "--custody-dir", moved, "--originator", before[0].Originator, "--out", s.path("handback.json"))
	if now := list(moved); !now[0].Released || now[0].HighWater < before[0].HighWater {
		t.Errorf("%+v", now)
	}
	p.start(t, 0).wait().says(t, exitRefused, "handed back")
	stopSim(t, p.sim)
}

// cut is a text without the line that begins so.
func cut(t *testing.T, text []byte, begins string) (rest []byte) {
	t.Helper()
	found := false
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte(begins)) {
			found = true
			continue
		}
		rest = append(rest, line...)
	}
	if !found {
		t.Fatalf("no line begins with %q", begins)
	}
	return rest
}
