package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"safemode/engine/direction"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// freeze writes a statement that the adapter is frozen for an identity, and has somebody
// sign it. base is of their PEM files.
func (s *scene) freeze(t *testing.T, identity servicerequests.EUI, until time.Time, base string) {
	t.Helper()
	now := time.Now().UTC()
	putFile(t, s.path("freeze.yaml"), fmt.Appendf(nil, "system: everyday adapter\nidentities: [%v]\nstated_by: Jo\nstated_at: %s\nfrom: %[2]s\nuntil: %[3]s\n",
		identity, now.Add(-time.Hour).Format(time.RFC3339), until.UTC().Format(time.RFC3339)))
	must(t, "", "sign", s.path("freeze.yaml"), "--cert", s.path(base+".pem"), "--key", s.path(base+".key"))
}

// A statement that the everyday adapter is frozen is asked for by preflight and start alike,
// where a configuration names one: who signed it, for whom, until when.
func TestFreezeStatement(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	s.configure(t, "frozen.yaml", "custody_dir: custody\n", "custody_dir: custody\ngates: {freeze_file: freeze.yaml}\n")
	sim := s.sim(t)
	s.plan(t, "frozen", "frozen.yaml", "direction.yaml")
	tomorrow := time.Now().AddDate(0, 0, 1)
	for _, c := range []struct {
		name string
		do   func()
		want string
	}{
		{"absent", func() {}, "no such file"},
		{"by an approver", func() { s.freeze(t, smki.TestSupplier, tomorrow, "pki/approvers/alice") }, "not by a recorder on the roster"},
		{"of another identity", func() { s.freeze(t, smki.TestSupplier+1, tomorrow, "pki/staff/rita") }, "says nothing of " + smki.TestSupplier.String()},
		{"expired", func() { s.freeze(t, smki.TestSupplier, time.Now().Add(-time.Minute), "pki/staff/rita") }, "was frozen until"},
		{"altered", func() {
			s.freeze(t, smki.TestSupplier, tomorrow, "pki/staff/rita")
			text, err := os.ReadFile(s.path("freeze.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			putFile(t, s.path("freeze.yaml"), []byte(strings.Replace(string(text), "Jo", "Jim", 1)))
		}, "not by a recorder on the roster"},
		{"unsigned", func() {
			if err := os.Remove(s.path("freeze.yaml.sig")); err != nil {
				t.Fatal(err)
			}
		}, "it is not signed"},
	} {
		c.do()
		r := safemode(t, "", "preflight", "--config", s.path("frozen.yaml"), "--plan", s.path("frozen"), "--journal", s.path("frozen.db"))
		if r.code != exitFailed || !strings.Contains(r.out, "FAIL gate adapter: ") || !strings.Contains(r.out, c.want) {
			t.Errorf("%s: preflight: exit %d, want %q: %s", c.name, r.code, c.want, r.out)
		}
		s.refusesSweep(t, exitRefused, "frozen.yaml", "frozen", "frozen.db", c.want)
	}
	s.freeze(t, smki.TestSupplier, tomorrow, "pki/staff/rita")
	r := safemode(t, "", "preflight", "--config", s.path("frozen.yaml"), "--plan", s.path("frozen"), "--journal", s.path("frozen.db"))
	if r.code != exitDone || !strings.Contains(r.out, `ok   gate adapter: open: "everyday adapter" is frozen until`) {
		t.Errorf("exit %d: %s", r.code, r.out)
	}
	s.untouched(t, sim)
}

// A sweep's journal tells by what statement it began, and an audit proves it.
func TestJournalTellsOfTheFreeze(t *testing.T) {
	long(t)
	s := newScene(t, 20, 5, hasty)
	s.configure(t, "safemode.yaml", "custody_dir: custody\n", "custody_dir: custody\ngates: {freeze_file: freeze.yaml}\n")
	s.sim(t)
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	s.freeze(t, smki.TestSupplier, time.Now().AddDate(0, 0, 3), "pki/staff/rita")
	start(t, s.sweepArgs("safemode.yaml", "plan", "journal.db")...).succeeds()
	found := false
	for _, rec := range journalRecords(t, s.path("journal.db")) {
		if rec.Kind != record.Opened {
			continue
		}
		o, err := record.Decode[record.Opening](rec)
		if err != nil {
			t.Fatal(err)
		}
		f, err := direction.ReadFreeze([]byte(o.Freeze), o.FreezeSignature)
		found = err == nil && f.StatedBy == "Jo" && len(f.Signature) > 0
	}
	if !found {
		t.Error("the journal does not tell of the statement")
	}
	must(t, "", "audit", "--journal", s.path("journal.db"), "--config", s.path("safemode.yaml"))
}

// A statement that runs out while a sweep runs halts it, and names the gate.
func TestFreezeRunsOutMidSweep(t *testing.T) {
	long(t)
	s := newScene(t, 100, 5, 1)
	s.configure(t, "safemode.yaml", "custody_dir: custody\n", "custody_dir: custody\n"+oneWave+"gates: {freeze_file: freeze.yaml, drain: 2s}\n")
	s.sim(t)
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	s.freeze(t, smki.TestSupplier, s.inTheMiddle(t), "pki/staff/rita")
	start(t, s.sweepArgs("safemode.yaml", "plan", "journal.db")...).wait().says(t, exitHalted, "gate adapter is closed", "was frozen until")
}
