package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/cmd/cli"
	"safemode/engine/direction"
	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/servicerequests/smki"
)

// preflight has a line for each thing, and exit 0 only if all hold.
func TestPreflight(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	args := []string{"preflight", "--config", s.path("safemode.yaml"), "--plan", s.path("plan"), "--journal", s.path("journal.db")}
	lines := func(r commandResult, word string) (list []string) {
		for line := range strings.Lines(r.out) {
			if strings.HasPrefix(line, word) {
				list = append(list, line)
			}
		}
		return list
	}
	r := safemode(t, "", args...)
	if failed := lines(r, "FAIL"); r.code != exitFailed || len(failed) != 2 || !strings.Contains(failed[0], "DCC http") || !strings.Contains(failed[1], "SMKI http") {
		t.Errorf("without a DCC: exit %d: %s%s", r.code, r.out, r.err)
	}
	sim := s.sim(t)
	r = safemode(t, "", args...)
	if r.code != exitDone || len(lines(r, "FAIL")) > 0 || len(lines(r, "ok  ")) < 20 {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	for _, c := range []struct {
		name string
		swap []string
		want []string
	}{
		{"address", []string{"inbox: {listen: " + s.inbox, "inbox: {listen: " + s.duis}, []string{"FAIL inbox"}},
		{"roster", []string{"signed_by: pki/staff/rita.pem", "signed_by: pki/staff/olga.pem"}, []string{"FAIL roster: "}},
		{"gate", []string{"custody_dir: custody\n", "custody_dir: custody\ngates: {mpids_file: nowhere.yaml}\n"}, []string{"FAIL gate mpids: "}},
		{"custody", []string{"custody_dir: custody\n", "custody_dir: elsewhere\n"}, []string{"FAIL files: custody_dir: "}},
		{"bounds", []string{"policy:\n", "policy:\n  switch_tries: 9\n"}, []string{"FAIL limits: ", "switch_tries"}},
		{"certificate", []string{"[pki/dcc/transform.pem]", "[pki/supplier/xml-signing.pem]"}, []string{"FAIL keys: refused: the DCC's Transform certificate"}},
	} {
		s.configure(t, c.name+".yaml", c.swap...)
		r := safemode(t, "", "preflight", "--config", s.path(c.name+".yaml"), "--plan", s.path("plan"), "--journal", s.path("journal.db"))
		for _, want := range c.want {
			if r.code != exitFailed || !strings.Contains(r.out, want) {
				t.Errorf("%s: exit %d, want %q: %s", c.name, r.code, want, r.out)
			}
		}
	}
	if err := os.Chmod(s.path("pki/supplier/digital-signing.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	// In a simulator that is a warning, as the sweep gives it.
	if r := safemode(t, "", args...); r.code != exitDone || strings.Count(r.err, "digital-signing.key") != 1 {
		t.Errorf("a key that others may read: exit %d: %s", r.code, r.out)
	}
	s.untouched(t, sim)
}

// placeless is what is said, with every journal's ID the same, for a journal that is not there
// yet has one only once it is begun; and with no time of the machine's clock.
func placeless(said string) string {
	said = regexp.MustCompile(`a new journal|\b[0-9a-f]{32}\b`).ReplaceAllString(said, "JOURNAL")
	said = regexp.MustCompile(`26h0m\ds (ahead of the DCC's) \(.*?\)`).ReplaceAllString(said, "26h0m0s $1 (THEN)")
	return regexp.MustCompile(`at most \d+ now`).ReplaceAllString(said, "at most NOW")
}

// kept is what lies in the scene's folder, but for what SQLite notes of readers.
func (s *scene) kept(t *testing.T) map[string]string {
	t.Helper()
	all := readTree(t, s.dir)
	maps.DeleteFunc(all, func(name, _ string) bool { return strings.HasSuffix(name, "-shm") })
	return all
}

// startsAlike gives a start that must be refused to preflight and to sweep. Both refuse it in
// the same words, and preflight leaves all as it was.
func (s *scene) startsAlike(t *testing.T, config, plan, journalName, want string) {
	t.Helper()
	before := s.kept(t)
	foreseen := s.foreseen(t, config, plan, journalName)
	if diff := cmp.Diff(before, s.kept(t)); diff != "" {
		t.Errorf("preflight has changed (-before +after):\n%s", diff)
	}
	s.refusesAs(t, foreseen, config, plan, journalName, want)
}

// foreseen is what preflight would have the sweep refused for.
func (s *scene) foreseen(t *testing.T, config, plan, journalName string) string {
	t.Helper()
	r := safemode(t, "", "preflight", "--config", s.path(config), "--plan", s.path(plan), "--journal", s.path(journalName), "--json")
	var findings []finding
	if err := json.Unmarshal([]byte(r.out), &findings); err != nil || r.code != exitFailed || !strings.Contains(r.err, "the sweep would be refused") {
		t.Fatalf("preflight: exit %d, %v: %s%s", r.code, err, r.out, r.err)
	}
	var refused []string
	for _, f := range findings {
		if f.Refused {
			refused = append(refused, placeless(f.Detail))
		}
	}
	return strings.Join(refused, "\n")
}

// refusesAs has the sweep refuse in words that preflight has said.
func (s *scene) refusesAs(t *testing.T, foreseen, config, plan, journalName, want string) {
	t.Helper()
	start := safemode(t, "", s.sweepArgs(config, plan, journalName)...)
	_, said, _ := strings.Cut("\n"+start.err, "\nsafemode: ")
	said = placeless(strings.ReplaceAll(strings.TrimSpace(said), "\n", "; "))
	if start.code == exitDone || said == "" || !strings.Contains(said, want) || !strings.Contains(foreseen, said) {
		t.Errorf("want %q; sweep, exit %d, says\n%s\npreflight refuses for\n%s", want, start.code, said, foreseen)
	}
}

// Preflight refuses what the sweep refuses, in the same words, and changes nothing.
func TestPreflightRefusesWhatTheSweepRefuses(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	dcc := s.sim(t)
	s.unapproved(t, "unapproved", "safemode.yaml", "direction.yaml")
	s.unapproved(t, "once", "safemode.yaml", "direction.yaml")
	s.approve(t, "once", "alice")
	counters := s.path(filepath.Join("custody", smki.TestSupplier.String()+".json"))
	custodyOf := func(rest string) func() {
		return func() {
			putFile(t, counters, []byte(`{"originator":"`+smki.TestSupplier.String()+`","owner":"00112233445566778899aabbccddeeff",`+rest+"}"))
		}
	}
	begun := func(name string, records ...record.Record) {
		j, err := journal.Open(s.path(name), journal.Options{})
		if err == nil {
			err = errors.Join(j.Commit(t.Context(), records...), j.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	begun("other.db", record.Record{Kind: record.Planned, At: time.Now(), Code: "another plan"})
	putFile(t, s.path("text.db"), []byte("this is no journal, and never was one"))
	putFile(t, s.path("pki/nobody.pem"), []byte("no certificate"))
	putFile(t, s.path("spoilt.csv"), []byte("mpxn,when\n1,2\n"))
	late, err := dccWithClock("http://"+s.duis, -26*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(late.Close)
	gate := "custody_dir: custody\n"
	for _, c := range []struct {
		name          string
		swap          []string // of the configuration
		plan, journal string
		before        func()
		want          string
	}{
		{name: "counters of another journal", before: custodyOf(`"high_water":7`), want: "belongs to another journal: JOURNAL"},
		{name: "counters handed back", before: custodyOf(`"high_water":7,"released":"2026-11-01T00:00:00Z"`), want: "handed back"},
		{name: "counters too high", before: custodyOf(`"high_water":9223372036854775000`), want: "belongs to another journal"},
		{name: "counters damaged", before: custodyOf(`"low_water":7`), want: "not a custody file"},
		{name: "a counter floor too high", swap: []string{gate, gate + "counter_floor: 9223372036854775000\n"}, want: "counter floor is refused"},
		{name: "no folder of counters", swap: []string{gate, "custody_dir: elsewhere\n"}, want: "does not exist"},
		{name: "a folder of counters without its book", swap: []string{gate, "custody_dir: empty\n"}, before: func() { _ = os.Mkdir(s.path("empty"), 0o700) }, want: "book"},
		{name: "a journal of another plan", journal: "other.db", want: "was begun with another plan"},
		{name: "no journal at all", journal: "text.db", want: "text.db"},
		{name: "a folder for a journal", journal: "pki", want: "pki"},
		{name: "a journal nowhere", journal: "nowhere/journal.db", want: "no such file"},
		{name: "nobody has approved", plan: "unapproved", want: "nobody has signed"},
		{name: "one has approved", plan: "once", want: "one has signed (alice)"},
		{name: "no roster", swap: []string{"roster: {file: pki/roster.yaml, signed_by: pki/staff/rita.pem}\n", ""}, want: "no roster"},
		{name: "a roster that another has signed", swap: []string{"signed_by: pki/staff/rita.pem", "signed_by: pki/staff/olga.pem"}, want: "roster"},
		{name: "an approver who is not on the roster", swap: []string{"{file: pki/roster.yaml,", "{file: fewer.yaml,"}, before: func() { s.rosterWithout(t, "fewer.yaml", "bob") }, want: "bob"},
		{name: "more than was approved", swap: []string{"policy:\n", "policy:\n  switch_tries: 9\n"}, want: "switch_tries"},
		{name: "another environment", plan: "nowhere", want: "nowhere"},
		{name: "no DCC", swap: []string{s.duis, freeAddress(t)}, want: "cannot be reached"},
		{name: "no SMKI service", swap: []string{s.smki, freeAddress(t)}, want: "cannot be reached"},
		{name: "a wrong clock", swap: []string{"http://" + s.duis, late.URL}, want: "this machine's clock is 26h0m"},
		{name: "an inbox address in use", swap: []string{"inbox: {listen: " + s.inbox, "inbox: {listen: " + s.duis}, want: "inbox.listen: "},
		{name: "an operations address in use", swap: []string{"operations: {listen: " + s.operations, "operations: {listen: " + s.smki}, want: "operations.listen: "},
		{name: "a gate that is closed", swap: []string{gate, gate + "gates: {mpids_file: nowhere.yaml}\n"}, want: "gate mpids is closed"},
		{name: "certificates changed about", swap: []string{"[pki/dcc/transform.pem]", "[pki/supplier/xml-signing.pem]"}, want: "the DCC's Transform certificate"},
		{name: "what is no certificate", swap: []string{"[pki/dcc/transform.pem]", "[pki/nobody.pem]"}, want: "nobody.pem"},
		{name: "another's identity", swap: []string{"eui: " + smki.TestSupplier.String(), "eui: 90-B3-D5-1F-30-05-00-00"}, want: "90-B3-D5-1F-30-05-00-00"},
		{name: "a list of transfers that cannot be read", swap: []string{gate, gate + "transfers: {file: spoilt.csv}\n"}, want: "spoilt.csv"},
		{name: "a list of suppressed meters that cannot be read", swap: []string{gate, gate + "suppress_file: spoilt.csv\n"}, want: "suppress_file"},
		{name: "a setting that no engine takes", swap: []string{gate, gate + "retry_budget: -1\n"}, want: "retry_budget"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.Remove(counters); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if c.before != nil {
				c.before()
			}
			config := filepath.Base(s.configure(t, "tried.yaml", c.swap...))
			plan, journalName := c.plan, c.journal
			if plan == "" {
				plan = "plan"
			}
			if journalName == "" {
				journalName = "journal.db"
			}
			s.startsAlike(t, config, plan, journalName, c.want)
		})
	}
	if err := os.Remove(counters); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	s.goesOnAlike(t)
	stopSim(t, dcc)
}

// goesOnAlike has a sweep begun, and what goes on with it otherwise than it should refused by
// both.
func (s *scene) goesOnAlike(t *testing.T) {
	kill := func(p *process) {
		t.Helper()
		if err := p.command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-p.ended
	}
	running := s.sweep(t)
	running.until("sending", func() bool { return s.requests(t) > 0 })
	elsewhere := filepath.Base(s.configure(t, "elsewhere.yaml", s.inbox, freeAddress(t), s.operations, freeAddress(t)))
	t.Run("a journal in use", func(t *testing.T) {
		s.refusesAs(t, s.foreseen(t, elsewhere, "plan", "journal.db"), elsewhere, "plan", "journal.db", "in use")
	})
	t.Run("a sweep that runs", func(t *testing.T) {
		s.refusesAs(t, s.foreseen(t, "safemode.yaml", "plan", "journal.db"), "safemode.yaml", "plan", "journal.db", "address already in use")
	})
	kill(running)
	if _, err := journal.Backup(t.Context(), s.path("journal.db"), s.path("older.db")); err != nil {
		t.Fatal(err)
	}
	counters := s.path(filepath.Join("custody", smki.TestSupplier.String()+".json"))
	used := mustRead(t, counters)
	again := s.sweep(t)
	again.until("taking counters", func() bool { return !bytes.Equal(mustRead(t, counters), used) })
	kill(again)
	sent := s.requests(t)
	t.Run("yesterday's journal", func(t *testing.T) { s.startsAlike(t, "safemode.yaml", "plan", "older.db", "older copy") })
	t.Run("another journal for a plan that has begun", func(t *testing.T) {
		s.startsAlike(t, "safemode.yaml", "plan", "second.db", "the journal does not know the start of")
	})
	for name, clock := range map[string]string{"another speed": "{speed: 2}", "another clock's anchor": "{speed: 3, anchor: 2026-01-01T00:00:00Z}"} {
		config := filepath.Base(s.configure(t, "clock.yaml", "{speed: 10}", clock))
		t.Run(name, func(t *testing.T) { s.startsAlike(t, config, "plan", "journal.db", "clock") })
	}
	s.plan(t, "replanned", "safemode.yaml", "direction.yaml")
	t.Run("another plan", func(t *testing.T) { s.startsAlike(t, "safemode.yaml", "replanned", "journal.db", "another plan") })
	flip(t, s.path("journal.db"), "\x28\xb5\x2f\xfd") // how a packed body begins
	t.Run("a damaged journal", func(t *testing.T) { s.startsAlike(t, "safemode.yaml", "plan", "journal.db", "journal.db: record ") })
	if now := s.requests(t); now != sent {
		t.Errorf("%g requests were sent by sweeps that were refused", now-sent)
	}
}

// rosterWithout writes the scene's roster without a person, signed by its recorder.
func (s *scene) rosterWithout(t *testing.T, name, person string) {
	t.Helper()
	pinned, err := cli.Certificate(s.path("pki/staff/rita.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roster, err := direction.LoadRoster(s.path("pki/roster.yaml"), pinned)
	if err != nil {
		t.Fatal(err)
	}
	roster.People = slices.DeleteFunc(roster.People, func(p direction.Person) bool { return p.Name == person })
	putFile(t, s.path(name), direction.FormatRoster(roster))
	if err := signFile(s.path(name), s.path("pki/staff/rita")); err != nil {
		t.Fatal(err)
	}
}
