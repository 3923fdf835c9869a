package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"safemode/engine/journal"
	"safemode/engine/record"
)

// A sweep begins only with what two different approvers have signed, neither of whom
// prepared the plan: each fault is exit 3 and one line.
func TestSweepNeedsTwoApprovers(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	sim := s.sim(t)
	refused := func(plan string, words ...string) {
		t.Helper()
		s.refusesSweep(t, exitRefused, "safemode.yaml", plan, "journal.db", words...)
	}
	s.unapproved(t, "two", "safemode.yaml", "direction.yaml")
	refused("two", "not approved", "nobody has signed")
	s.approve(t, "two", "alice")
	refused("two", "one has signed (alice)")
	nextSecond() // or it would be the same file
	s.approve(t, "two", "alice", "--resumes", "3")
	refused("two", "the same person signed twice (alice)")
	s.approve(t, "two", "bob", "--valid", "1ns")
	refused("two", "bob: it expired")
	refuses(t, exitRefused, "olga has prepared this plan", "", "approve", "--plan", s.path("two"), "--yes",
		"--cert", s.path("pki/staff/olga.pem"), "--key", s.path("pki/staff/olga.key"))

	// With the configuration and the portfolio at hand, approve itself refuses what a
	// sweep would, and a sweep what is not in the portfolio.
	approving := func(person string, args ...string) []string {
		return append([]string{"approve", "--plan", s.path("two"), "--yes", "--cert", s.path("pki/" + person + ".pem"), "--key", s.path("pki/" + person + ".key")}, args...)
	}
	whole, err := os.ReadFile(filepath.Join(s.path("plan"), "plan.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := os.ReadFile(s.path("portfolio.csv"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(rows), "\n")
	putFile(t, s.path("shorter.csv"), []byte(strings.Join(append(lines[:3:3], lines[4:]...), "")))
	putFile(t, s.path("otherwise.csv"), []byte(strings.Replace(string(rows), "-C0-", "-C1-", 1)))
	refuses(t, exitRefused, "rita has recorded the direction", "", approving("staff/rita", "--config", s.path("safemode.yaml"))...)
	must(t, "", "pki", "init", "--out", s.path("strangers"))
	refuses(t, exitRefused, "alice: nobody on the roster has this name and key", "", "approve", "--plan", s.path("two"), "--yes",
		"--config", s.path("safemode.yaml"), "--cert", s.path("strangers/approvers/alice.pem"), "--key", s.path("strangers/approvers/alice.key"))
	outside, _, _ := strings.Cut(lines[3], ",")
	for portfolio, words := range map[string]string{"shorter.csv": outside + " is not in the portfolio", "otherwise.csv": "stands otherwise in line"} {
		refuses(t, exitRefused, words, "", approving("approvers/bob", "--portfolio", s.path(portfolio))...)
		r := safemode(t, "", append(s.sweepArgs("safemode.yaml", "plan", "journal.db"), "--portfolio", s.path(portfolio))...)
		r.says(t, exitRefused, words)
	}
	if r := safemode(t, "", approving("approvers/bob", "--config", s.path("safemode.yaml"), "--portfolio", s.path("portfolio.csv"))...); r.code != exitDone {
		t.Errorf("%+v", r)
	}

	// By somebody else's hand.
	s.copyTree(t, "plan", "altered")
	putFile(t, s.path("altered/plan.ndjson"), []byte(strings.Replace(string(whole), `"priority":`, `"priority":1`, 1)))
	refused("altered", "not as it was written")
	s.copyTree(t, "plan", "another") // a plan of its own, with another's approvals
	s.unapproved(t, "fresh", "safemode.yaml", "direction.yaml")
	fresh, err := os.ReadFile(s.path("fresh/plan.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, s.path("another/plan.ndjson"), fresh)
	refused("another", "it approves another plan")
	s.copyTree(t, "plan", "forged")
	forged, _ := filepath.Glob(s.path("forged/approval-*.json"))
	if len(forged) != 2 {
		t.Fatalf("approvals %v", forged)
	}
	text, err := os.ReadFile(forged[0])
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, forged[0], []byte(strings.Replace(string(text), `"resumes": 100`, `"resumes": 900`, 1)))
	refused("forged", "the signature is not valid")

	// A configuration that allows more than what was approved; less is fine.
	s.configure(t, "wider.yaml", "policy:\n", "policy:\n  arm_tries: 9\n")
	s.refusesSweep(t, exitRefused, "wider.yaml", "plan", "journal.db", "policy.arm_tries: 9 is wider than the plan's 3")
	s.configure(t, "narrower.yaml", "policy:\n", "policy:\n  arm_tries: 1\n")
	narrower := start(t, s.sweepArgs("narrower.yaml", "plan", "narrower.db")...)
	narrower.until("sending", func() bool { return s.requests(t) > 0 })
	if r := narrower.signal(syscall.SIGTERM); r.code != exitInterrupted {
		t.Errorf("narrower: %+v", r)
	}

	// Nobody's roster, and one that another has signed.
	s.configure(t, "nobody.yaml", "roster: {file: pki/roster.yaml, signed_by: pki/staff/rita.pem}\n", "")
	s.refusesSweep(t, exitRefused, "nobody.yaml", "plan", "journal.db", "no roster")
	s.configure(t, "usurper.yaml", "signed_by: pki/staff/rita.pem", "signed_by: pki/staff/olga.pem")
	s.refusesSweep(t, exitRefused, "usurper.yaml", "plan", "journal.db", "roster.signed_by")

	// A direction that its recorder has not signed makes no plan.
	replaceIn(t, s.path("direction.yaml"), s.path("unsigned.yaml"), "reference: REHEARSAL", "reference: MORE")
	refuses(t, exitRefused, "it is not signed", "", "plan", "--config", s.path("safemode.yaml"), "--direction", s.path("unsigned.yaml"),
		"--portfolio", s.path("portfolio.csv"), "--out", s.path("none"))
	stopSim(t, sim)
}

// The MPIDs move in the middle of a sweep: it halts with exit 5. It goes on when they
// are back, and two have approved it.
func TestGateClosesAndOpens(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for several seconds: left out by -short")
	}
	t.Parallel()
	s := smallScene(t)
	sim := s.sim(t)
	s.configure(t, "gated.yaml", "custody_dir: custody\n", "custody_dir: custody\ngates: {mpids_file: mpids.yaml, drain: 2s}\n")
	stays := []byte("mpids: [{mpid: TEST, source: registration data}]\n")
	moves := []byte("mpids: [{mpid: TEST, transferred_at: 2026-01-01T00:00:00Z, to: SOLR, source: the SoLR's letter}]\n")
	putFile(t, s.path("mpids.yaml"), stays)
	sweep := start(t, s.sweepArgs("gated.yaml", "plan", "journal.db")...)
	sweep.until("sending", func() bool { return s.requests(t) > 5 })
	if open := scrape(t, s.operations)[`safemode_gate_open{gate="mpids"}`]; open != 1 {
		t.Errorf("the gate's metric is %g", open)
	}
	putFile(t, s.path("mpids.yaml"), moves)
	halted := sweep.wait()
	halted.says(t, exitHalted, "gate mpids is closed", "TEST to SOLR", "the SoLR's letter")

	sent := s.requests(t)
	s.refusesSweep(t, exitRefused, "gated.yaml", "plan", "journal.db", "gate mpids is closed")
	putFile(t, s.path("mpids.yaml"), stays)
	s.refusesSweep(t, exitRefused, "gated.yaml", "plan", "journal.db", "it was halted", "nobody has signed", "resume")
	s.approve(t, "plan", "alice", "--journal", s.path("journal.db"))
	s.refusesSweep(t, exitRefused, "gated.yaml", "plan", "journal.db", "one has signed (alice)")
	if now := s.requests(t); now != sent {
		t.Errorf("%g requests were sent by sweeps that were refused", now-sent)
	}
	s.approve(t, "plan", "bob", "--journal", s.path("journal.db"))
	again := start(t, s.sweepArgs("gated.yaml", "plan", "journal.db")...)
	again.until("sending", func() bool { return s.requests(t) > sent })
	if r := again.signal(syscall.SIGTERM); r.code != exitInterrupted {
		t.Errorf("after it opened: %+v", r)
	}

	// The journal says by whose word it began, why it halted, and by whose it went on.
	var approvedBy [][2]string
	var reasons []string
	for _, r := range journalRecords(t, s.path("journal.db")) {
		switch r.Kind {
		case record.Opened:
			body, err := record.Decode[record.Opening](r)
			if err != nil || len(body.Approvals) != 2 {
				t.Fatalf("%v, %v", body.Approvals, err)
			}
			approvedBy = append(approvedBy, [2]string{body.Approvals[0].Name, body.Approvals[1].Name})
			if n := len(approvedBy); (n == 2) != strings.Contains(body.Approvals[0].Text, "purpose resume\n") {
				t.Errorf("start %d by %q", n, body.Approvals[0].Text)
			}
		case record.Closed:
			body, err := record.Decode[record.ClosedBody](r)
			if err != nil {
				t.Fatal(err)
			}
			reasons = append(reasons, r.Code+" "+body.Reason)
		}
	}
	if len(approvedBy) != 2 || len(reasons) != 2 || !strings.HasPrefix(reasons[0], "halted gate closed: ") || !strings.Contains(reasons[0], "gate mpids is closed") || !strings.HasPrefix(reasons[1], "interrupted") {
		t.Errorf("approved by %v, ended %v", approvedBy, reasons)
	}
	stopSim(t, sim)
}

// A sweep that a gate has halted is killed while it still waits for answers. It has not
// closed its journal, and the resumes given ahead are not for it: two must approve.
func TestKilledInTheDrainOfAHalt(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for several seconds: left out by -short")
	}
	t.Parallel()
	s := smallScene(t)
	sim := s.sim(t, "--faults", putFile(t, s.path("slow.yaml"), []byte("latency: {class: two_hours}\n")))
	s.configure(t, "gated.yaml", "custody_dir: custody\n", "custody_dir: custody\ngates: {mpids_file: mpids.yaml, drain: 1m}\n")
	stays := []byte("mpids: [{mpid: TEST, source: registration data}]\n")
	putFile(t, s.path("mpids.yaml"), stays)
	sweep := start(t, s.sweepArgs("gated.yaml", "plan", "journal.db")...)
	sweep.until("sending", func() bool { return s.requests(t) > 5 })
	putFile(t, s.path("mpids.yaml"), []byte("mpids: [{mpid: TEST, transferred_at: 2026-01-01T00:00:00Z, to: SOLR, source: the SoLR's letter}]\n"))
	kinds := func() map[record.Kind]int {
		n := map[record.Kind]int{}
		for _, r := range journalRecords(t, s.path("journal.db")) {
			n[r.Kind]++
		}
		return n
	}
	sweep.until("halted", func() bool { return kinds()[record.Halted] > 0 })
	sweep.signal(syscall.SIGKILL)
	if n := kinds(); n[record.Halted] != 1 || n[record.Closed] != 0 {
		t.Fatalf("it was not killed in the drain: %v", n)
	}
	sent := s.requests(t)
	putFile(t, s.path("mpids.yaml"), stays)
	s.refusesSweep(t, exitRefused, "gated.yaml", "plan", "journal.db", "it was halted", "nobody has signed", "resume")
	s.approve(t, "plan", "alice", "--journal", s.path("journal.db"))
	s.refusesSweep(t, exitRefused, "gated.yaml", "plan", "journal.db", "one has signed (alice)")
	if now := s.requests(t); now != sent {
		t.Errorf("%g requests were sent by sweeps that were refused", now-sent)
	}
	s.approve(t, "plan", "bob", "--journal", s.path("journal.db"))
	again := start(t, s.sweepArgs("gated.yaml", "plan", "journal.db")...)
	again.until("begun again", func() bool { return kinds()[record.Opened] == 2 })
	if r := again.signal(syscall.SIGTERM); r.code != exitInterrupted {
		t.Errorf("after it was approved: %+v", r)
	}
	stopSim(t, sim)
}

// A stop that is no halt needs nobody as long as resumes were given ahead.
func TestResumesAhead(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for several seconds: left out by -short")
	}
	t.Parallel()
	s := smallScene(t)
	sim := s.sim(t)
	s.unapproved(t, "once", "safemode.yaml", "direction.yaml")
	s.approve(t, "once", "alice", "--resumes", "1")
	s.approve(t, "once", "bob", "--resumes", "5")
	for range 2 {
		sweep := start(t, s.sweepArgs("safemode.yaml", "once", "journal.db")...)
		sent := s.requests(t)
		sweep.until("sending", func() bool { return s.requests(t) > sent })
		if r := sweep.signal(syscall.SIGTERM); r.code != exitInterrupted {
			t.Fatalf("%+v", r)
		}
	}
	s.refusesSweep(t, exitRefused, "safemode.yaml", "once", "journal.db", "not approved", "nobody has signed")
	s.approve(t, "once", "alice", "--journal", s.path("journal.db"))
	s.approve(t, "once", "bob", "--journal", s.path("journal.db"))
	sweep := start(t, s.sweepArgs("safemode.yaml", "once", "journal.db")...)
	sent := s.requests(t)
	sweep.until("sending", func() bool { return s.requests(t) > sent })
	if r := sweep.signal(syscall.SIGTERM); r.code != exitInterrupted {
		t.Fatalf("%+v", r)
	}
	stopSim(t, sim)
}

// A person types the sweep's id to sign; anything else signs nothing.
func TestApproveAsks(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	dir := s.unapproved(t, "asked", "safemode.yaml", "direction.yaml")
	args := []string{"approve", "--plan", dir, "--cert", s.path("pki/approvers/alice.pem"), "--key", s.path("pki/approvers/alice.key")}
	for _, typed := range []string{"", "yes\n"} {
		if r := safemode(t, typed, args...); r.code != exitRefused || !strings.Contains(r.err, "not confirmed") {
			t.Errorf("%q: %+v", typed, r)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "approval-*")); len(left) != 0 {
		t.Errorf("signed: %v", left)
	}
	var header struct {
		SHA string `json:"plan_sha256"`
	}
	p, err := loadPlan(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := safemode(t, p.SweepID()+"\n", append(args, "--json")...)
	if err := json.Unmarshal([]byte(r.out), &header); r.code != exitDone || err != nil || header.SHA != p.SHA256 {
		t.Errorf("%+v, %v", r, err)
	}
	for _, shown := range []string{"environment SIMULATOR", `prepared by "olga"`, `recorded by "rita"`, "20 meters", "7.4: 40", "limits: user", "BEGINS"} {
		if !strings.Contains(r.err, shown) {
			t.Errorf("not shown: %s in %s", shown, r.err)
		}
	}
}

// journalRecords reads a journal that nobody writes.
func journalRecords(t *testing.T, path string) (all []record.Record) {
	t.Helper()
	j, err := journal.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for r, err := range j.Records(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// lastClosed is the last record that says how a run ended. What the DCC delivers until the
// inbox is closed stands after it.
func lastClosed(all []record.Record) (end record.Record) {
	for _, r := range all {
		if r.Kind == record.Closed {
			end = r
		}
	}
	return end
}
