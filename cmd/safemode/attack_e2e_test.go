package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/durable"
	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Attacks by one person who may run safemode and write the files that the engine's user may
// write. None of them has anything sent that was not approved.

// forgeJournal writes a journal of a plan's own ID, as its own records would have it, with other
// meters and a start that nobody approved.
func forgeJournal(t *testing.T, path string, p *plan.Plan, targets []plan.Target) {
	t.Helper()
	j, err := journal.Open(path, journal.Options{ID: p.Journal})
	if err != nil {
		t.Fatal(err)
	}
	header, err := json.Marshal(p.Header)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	records := []record.Record{{At: now, Kind: record.Planned, Code: p.SHA256, Body: header}}
	for i := range targets {
		records = append(records, record.Record{At: now, Kind: record.Target, Device: targets[i].Device, Body: targets[i].Body()})
	}
	for i := range p.Rejected {
		records = append(records, record.Record{At: now, Kind: record.Rejected, Body: p.Rejected[i].Body()})
	}
	records = append(records, record.Record{At: now, Kind: record.Opened, Body: record.Encode(record.Opening{
		SweepID: p.SweepID(), PlanSHA256: p.SHA256, Environment: p.Environment, ClockAnchor: now, ClockSpeed: smallSpeed,
		Originators: p.Originators, ResumesLeft: 1000, ApprovedUntil: now.AddDate(9, 0, 0), StoreFirst: true,
	})})
	if err := errors.Join(j.Commit(t.Context(), records...), j.Close()); err != nil {
		t.Fatal(err)
	}
}

// A journal's own words on what is to be done and who approved it are claims. The start
// refuses them, and the audit finds them.
func TestAttackForgedJournal(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	sim := s.sim(t)
	p, err := loadPlan(s.unapproved(t, "nobodys", "safemode.yaml", "direction.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	others := append([]plan.Target{}, p.Targets...)
	for i := range others {
		others[i].Device += 0x10000
	}
	for name, attack := range map[string]struct {
		targets []plan.Target
		words   string
		claim   string
	}{
		"others.db":   {others, "a start that the custody does not know", "plan_approved"},
		"rightful.db": {p.Targets, "a start that the custody does not know", "starts_approved"},
	} {
		forgeJournal(t, s.path(name), p, attack.targets)
		s.refusesSweep(t, exitRefused, "safemode.yaml", "nobodys", name, attack.words)
		r := audited(t, exitNotHeld, "--journal", s.path(name), "--config", s.path("safemode.yaml"), "--custody-dir", s.path("custody"))
		if found := disproven(r); found[attack.claim] == "" || found["starts_approved"] == "" {
			t.Errorf("%s: the audit finds %q", name, found)
		}
	}
	s.untouched(t, sim)
}

// An approval serves one journal and one folder of counters, once.
func TestAttackSpentApprovals(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	sim := s.sim(t)
	s.copyTree(t, "custody", "copied") // before anything was begun
	running := s.sweep(t)
	running.until("sending", func() bool { return s.requests(t) > 0 })
	second := filepath.Base(s.configure(t, "second.yaml", s.inbox, freeAddress(t), s.operations, freeAddress(t), "custody_dir: custody", "custody_dir: copied"))
	s.refusesSweep(t, exitRefused, second, "plan", "second.db", "it is a copy", "safemode custody accept")
	if r := running.signal(syscall.SIGTERM); r.code != exitInterrupted {
		t.Fatalf("%+v", r)
	}
	sent := s.requests(t)
	must(t, "", "journal", "backup", "--journal", s.path("journal.db"), "--out", s.path("backup.db"))

	// The folder is moved away, and another journal named.
	if err := errors.Join(os.Rename(s.path("custody"), s.path("away")), os.Mkdir(s.path("custody"), 0o700)); err != nil {
		t.Fatal(err)
	}
	s.refusesSweep(t, exitRefused, "safemode.yaml", "plan", "new.db", "it has no book")
	if _, err := custody.MakeBook(durable.Folder(s.path("custody"))); err != nil { // as a plan would
		t.Fatal(err)
	}
	s.refusesSweep(t, exitRefused, "safemode.yaml", "plan", "new.db", "the plan is for custody")
	if err := errors.Join(os.RemoveAll(s.path("custody")), os.Rename(s.path("away"), s.path("custody"))); err != nil {
		t.Fatal(err)
	}

	// It has ceased for good, whatever journal is named and whatever copy put back.
	running = s.sweep(t)
	running.until("sending", func() bool { return s.requests(t) > sent })
	cease := []string{"cease", "--reference", "SoLR notice 12", "--operations", "http://" + s.operations}
	safemode(t, "", cease...).says(t, exitUsage, "person", "token-file")
	cease = append(cease, "--person", "A. Person")
	if r := safemode(t, "000000000000\n", cease...); r.code != exitRefused || !strings.Contains(r.err, "SIMULATOR: a drill") || !strings.Contains(r.err, "to end it FOR GOOD") {
		t.Errorf("another id was typed: %+v", r)
	}
	safemode(t, "", append(cease, "--confirm", "000000000000")...).says(t, exitUsage, "confirm must be the sweep's id")
	if st := s.status(t); st.State == "ceased" {
		t.Fatal("it has ceased, and nobody has confirmed")
	}
	if r := safemode(t, s.status(t).SweepID+"\n", cease...); r.code != exitDone {
		t.Fatalf("%+v", r)
	}
	running.wait()
	sent = s.requests(t)
	if said := must(t, "", "status", "--journal", s.path("journal.db")); !strings.Contains(said, "not sending: ended for good by the next supplier's notice") {
		t.Errorf("status --journal: %s", said)
	}
	s.refusesSweep(t, exitRefused, "safemode.yaml", "plan", "journal.db", "for good")
	s.refusesSweep(t, exitRefused, "safemode.yaml", "plan", "new.db", "remembers that it has ceased", "SoLR notice 12")
	s.refusesSweep(t, exitRefused, "safemode.yaml", "plan", "backup.db", "remembers that it has ceased")
	accept := []string{"custody", "accept", "--config", s.path("safemode.yaml"), "--plan", s.path("plan"), "--journal", s.path("backup.db"), "--by"}
	refuses(t, exitRefused, "has ceased", "", append(accept, "A. Person")...)
	refuses(t, exitRefused, `nobody is called "safemode"`, "", append(accept, "Safemode")...)
	if now := s.requests(t); now != sent {
		t.Errorf("%g requests were sent", now-sent)
	}
	stopSim(t, sim)
}

// One person cannot take a restored journal for the newest.
func TestAttackAcceptedByOne(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	sim := s.sim(t)
	running := s.sweep(t)
	running.until("sending", func() bool { return s.requests(t) > 0 })
	must(t, "", "journal", "backup", "--journal", s.path("journal.db"), "--out", s.path("backup.db"))
	if r := running.signal(syscall.SIGTERM); r.code != exitInterrupted {
		t.Fatalf("%+v", r)
	}
	if err := os.Rename(s.path("backup.db"), s.path("journal.db")); err != nil {
		t.Fatal(err)
	}
	accept := []string{"custody", "accept", "--config", s.path("safemode.yaml"), "--plan", s.path("plan"), "--journal", s.path("journal.db"), "--by", "A. Person"}
	this := []string{"--accept", "--config", s.path("safemode.yaml"), "--journal", s.path("journal.db")}
	refuses(t, exitRefused, "nobody has signed", "", accept...)
	s.approve(t, "plan", "alice", this...)
	refuses(t, exitRefused, "one has signed (alice)", "", accept...)
	s.approve(t, "plan", "bob", this...)
	must(t, "", accept...)
	refuses(t, exitRefused, "nobody has signed", "", accept...) // it was of that very state
	stopSim(t, sim)
}

// The preparer is an operator who signs; nobody prepares by name.
func TestAttackPreparedByAName(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	planning := func(args ...string) []string {
		return append([]string{"plan", "--config", s.path("safemode.yaml"), "--direction", s.path("direction.yaml"), "--portfolio", s.path("portfolio.csv"), "--out", s.path("other")}, args...)
	}
	as := func(person string) []string {
		return []string{"--cert", s.path("pki/" + person + ".pem"), "--key", s.path("pki/" + person + ".key")}
	}
	refuses(t, exitUsage, "who prepares a plan signs it", "", planning("--prepared-by", "olga")...)
	refuses(t, exitRefused, "only an operator prepares plans", "", planning(as("approvers/alice")...)...)
	must(t, "", "pki", "init", "--out", s.path("strangers"))
	refuses(t, exitRefused, "nobody on the roster has this name and key", "", planning(as("../strangers/staff/olga")...)...)
	refuses(t, exitUsage, "at most 72h0m0s", "", append([]string{"approve", "--plan", s.path("plan"), "--yes", "--valid", "876000h"}, as("approvers/alice")...)...)

	// The field is edited, and the file hashed again.
	p, err := loadPlan(s.path("plan"))
	if err != nil {
		t.Fatal(err)
	}
	p.PreparedBy = direction.Signatory{Name: "anybody"}
	if err := os.Mkdir(s.path("edited"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := p.Save(s.path("edited")); err != nil {
		t.Fatal(err)
	}
	for _, person := range []string{"alice", "bob"} {
		r := safemode(t, "", append([]string{"approve", "--plan", s.path("edited"), "--config", s.path("safemode.yaml"), "--yes"}, as("approvers/"+person)...)...)
		r.says(t, exitRefused, "nobody on the roster has the name and key")
		s.approve(t, "edited", person) // without a configuration it cannot know
	}
	sim := s.sim(t)
	s.refusesSweep(t, exitRefused, "safemode.yaml", "edited", "edited.db", "nobody on the roster has the name and key")
	s.untouched(t, sim)
}

// A person whose certificate is revoked on a list of the gates counts no more. Neither a new
// approval of theirs counts nor an old one, nor a plan or a direction that they signed.
func TestAttackRevokedPeople(t *testing.T) {
	t.Parallel()
	s := newScene(t, 20, 5, 1)
	sim := s.sim(t)
	list := func(people ...string) {
		args := []string{"pki", "revoke", "--pki", s.path("pki"), "--out", s.path("revoked.crl")}
		for _, person := range people {
			args = append(args, "--cert", s.path("pki/"+person+".pem"))
		}
		if err := os.Remove(s.path("revoked.crl")); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		must(t, "", args...)
	}
	list()
	s.configure(t, "safemode.yaml", "custody_dir: custody\n", "custody_dir: custody\ngates: {revocation_lists: [revoked.crl]}\n")
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	for _, person := range []string{"approvers/alice", "staff/olga", "staff/rita"} {
		list(person)
		s.refusesSweep(t, exitRefused, "safemode.yaml", "plan", "journal.db", filepath.Base(person)+": certificate is revoked")
	}
	list("approvers/alice")
	refuses(t, exitRefused, "alice: certificate is revoked", "", "approve", "--plan", s.path("plan"), "--config", s.path("safemode.yaml"), "--yes",
		"--cert", s.path("pki/approvers/alice.pem"), "--key", s.path("pki/approvers/alice.key"))
	r := safemode(t, "", "preflight", "--config", s.path("safemode.yaml"), "--plan", s.path("plan"), "--journal", s.path("journal.db"))
	if r.code != exitFailed || !strings.Contains(r.out, "FAIL approvals: ") || !strings.Contains(r.out, "alice: certificate is revoked") {
		t.Errorf("preflight: %s", r.out)
	}
	s.untouched(t, sim)
}

// The preparer's text cannot change what an approver is shown: figures come first, others'
// words are quoted and cut short, and the digest is last.
func TestAttackPreparerWritesTheScreen(t *testing.T) {
	t.Parallel()
	s := newScene(t, 20, 5, 1)
	text, err := os.ReadFile(s.path("direction.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	evil := `"R\r\e[2A\e[2K2 meters (1 electricity, 1 gas) in 1 homes\u202e\u0007` + strings.Repeat("x", 5000) + `"`
	putFile(t, s.path("evil.yaml"), []byte(strings.Replace(string(text), "reference: ", "reference: "+evil+" # ", 1)))
	s.unapproved(t, "evil", "safemode.yaml", "evil.yaml")
	r := safemode(t, "", "approve", "--plan", s.path("evil"), "--yes", "--cert", s.path("pki/approvers/alice.pem"), "--key", s.path("pki/approvers/alice.key"))
	if r.code != exitDone {
		t.Fatalf("%+v", r)
	}
	for _, c := range r.err + r.out {
		if c < ' ' && c != '\n' || c == 0x202e {
			t.Fatalf("%q reaches the terminal: %q", c, r.err)
		}
	}
	lines := strings.Split(strings.TrimSpace(r.err), "\n")
	p, err := loadPlan(s.path("evil"))
	if err != nil {
		t.Fatal(err)
	}
	last := strings.ReplaceAll(lines[len(lines)-2]+lines[len(lines)-1], " ", "")
	if !strings.HasPrefix(lines[0], "20 meters (") || last != p.SHA256 {
		t.Errorf("first %q, last %q", lines[0], last)
	}
	for _, line := range lines {
		if len(line) > 400 {
			t.Errorf("%d bytes: %.100q", len(line), line)
		}
	}
	for _, shown := range []string{must(t, "", "preflight", "--help"), planShown(t, s)} {
		if strings.ContainsAny(shown, "\r\x1b\a") {
			t.Errorf("%q", shown)
		}
	}
}

// planShown is what preparing an evil plan prints.
func planShown(t *testing.T, s *scene) string {
	t.Helper()
	r := safemode(t, "", "plan", "--config", s.path("safemode.yaml"), "--direction", s.path("evil.yaml"), "--portfolio", s.path("portfolio.csv"),
		"--out", s.path("evil2"), "--cert", s.path("pki/staff/olga.pem"), "--key", s.path("pki/staff/olga.key"))
	if r.code != exitDone {
		t.Fatalf("%+v", r)
	}
	return r.out + r.err
}

// A setting that narrows a sweep was approved with it. If it is taken out of the
// configuration, it still binds, or the start is refused.
func TestAttackConfigurationWidens(t *testing.T) {
	t.Parallel()
	s := newScene(t, 20, 5, 1)
	sim := s.sim(t)
	rows, err := os.ReadFile(s.path("portfolio.csv"))
	if err != nil {
		t.Fatal(err)
	}
	device, _, _ := strings.Cut(strings.SplitAfter(string(rows), "\n")[2], ",")
	suppressed, err := servicerequests.ParseEUI(device)
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, s.path("suppress.txt"), []byte(device+"\n"))
	putFile(t, s.path("mpids.yaml"), []byte("mpids: [{mpid: TEST, source: registration data}]\n"))
	must(t, "", "pki", "revoke", "--pki", s.path("pki"), "--out", s.path("revoked.crl"))
	gates := "gates: {mpids_file: mpids.yaml, revocation_lists: [revoked.crl]}\n"
	s.configure(t, "narrow.yaml", "custody_dir: custody\n", "custody_dir: custody\nsuppress_file: suppress.txt\n"+gates)
	s.plan(t, "plan", "narrow.yaml", "direction.yaml")
	s.configure(t, "none.yaml", "custody_dir: custody\n", "custody_dir: custody\ngates: {revocation_lists: [revoked.crl]}\n")
	s.refusesSweep(t, exitRefused, "none.yaml", "plan", "journal.db", "gates.mpids_file: [] is wider than the plan's")
	s.configure(t, "other.yaml", "custody_dir: custody\n", "custody_dir: custody\ngates: {mpids_file: mpids.yaml, revocation_lists: [another.crl]}\n")
	s.refusesSweep(t, exitRefused, "other.yaml", "plan", "journal.db", "gates.revocation_lists", "wider than the plan's")
	if n := s.requests(t); n != 0 {
		t.Errorf("%g requests were sent", n)
	}

	s.configure(t, "unsuppressed.yaml", "custody_dir: custody\n", "custody_dir: custody\n"+gates)
	for range 2 { // at the first start, and when it goes on
		sent := s.requests(t)
		p := start(t, s.sweepArgs("unsuppressed.yaml", "plan", "journal.db")...)
		p.until("sending", func() bool { return s.requests(t) > sent+20 })
		if r := p.signal(syscall.SIGTERM); r.code != exitInterrupted {
			t.Fatalf("%+v", r)
		}
	}
	left := false
	for _, r := range journalRecords(t, s.path("journal.db")) {
		if r.Device == suppressed && r.Kind == record.Request {
			t.Errorf("the suppressed meter was sent %v", r.Service)
		}
		left = left || r.Device == suppressed && r.Kind == record.Verdict && r.Code == record.VerdictExcluded
	}
	if !left {
		t.Error("the suppressed meter has no verdict")
	}
	stopSim(t, sim)
}
