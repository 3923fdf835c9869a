package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"safemode/cmd/rehearsal"
	"safemode/engine/record"
)

// gatedMeters is how many meters the sweeps have that a gate closes on.
func gatedMeters() int {
	return ofWhole(200, 5000)
}

// oneWave is a configuration's one wave of all meters, which no rejection pauses: by a clock of
// real time the first requests to end are those that the DCC refuses at once, of meters that
// are another supplier's.
const oneWave = "waves: {canary: 0, abort: {rejected: {ratio: 1, min_sample: 20, action: pause}}}\n"

// gatedScene has every gate's evidence, and a simulated DCC. Its clock is real time,
// so that what the journal says can be held against a second.
func gatedScene(t *testing.T) (*scene, *process) {
	t.Helper()
	s := newScene(t, gatedMeters(), 11, 1)
	s.configure(t, "safemode.yaml", fmt.Sprintf("user: {per_second: %d,", rehearsal.Posts), fmt.Sprintf("user: {per_second: %d,", ofWhole(100, rehearsal.Posts)), // so that it lasts
		"custody_dir: custody\n",
		"custody_dir: custody\n"+oneWave+"gates: {mpids_file: mpids.yaml, revocation_lists: [revoked.crl], drain: 2s}\n")
	s.revoke(t)
	putFile(t, s.path("mpids.yaml"), []byte("mpids: [{mpid: TEST, source: registration data}]\n"))
	return s, s.sim(t)
}

// revoke replaces the revocation list by one that names these certificates.
func (s *scene) revoke(t *testing.T, certificates ...string) {
	t.Helper()
	args := []string{"pki", "revoke", "--pki", s.path("pki"), "--out", s.path("revoked.crl")}
	for _, name := range certificates {
		args = append(args, "--cert", s.path(name))
	}
	must(t, "", args...)
}

// starved measures for how long this machine kept a goroutine waiting that was due,
// at worst, until it is asked.
func starved(t *testing.T) func() time.Duration {
	var worst atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			due := time.Now().Add(10 * time.Millisecond)
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			worst.Store(max(worst.Load(), int64(time.Since(due))))
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
	return func() time.Duration { return time.Duration(worst.Load()) }
}

// inTheMiddle is when a sweep that is planned and begun at once has sent for some seconds. It
// goes by how long this machine takes now to plan and to look at a start.
func (s *scene) inTheMiddle(t *testing.T) time.Time {
	t.Helper()
	if _, err := program(); err != nil { // it is built by then
		t.Fatal(err)
	}
	begun := time.Now()
	s.plan(t, "tried", "safemode.yaml", "direction.yaml")
	start(t, "preflight", "--config", s.path("safemode.yaml"), "--plan", s.path("tried"), "--journal", s.path("tried.db")).wait()
	return time.Now().Add(3*time.Since(begun) + 4*time.Second)
}

// signedAfter is for how long after an instant the journal goes on to show signatures,
// and how many there are in all and after it.
func signedAfter(records []record.Record, closed time.Time) (last time.Duration, all, after int) {
	for _, r := range records {
		if r.Kind != record.Request && r.Kind != record.SignedCommand {
			continue
		}
		all++
		if late := r.At.Sub(closed); late > 0 {
			last, after = max(last, late), after+1
		}
	}
	return last, all, after
}

// halts checks how a sweep ended on which a gate closed.
func (s *scene) halts(t *testing.T, sweep *process, journalName, gate string, closed time.Time, slow func() time.Duration, words ...string) {
	t.Helper()
	sweep.wait().says(t, exitHalted, append(words, "gate "+gate+" is closed")...)
	records := journalRecords(t, s.path(journalName))
	last, all, after := signedAfter(records, closed)
	t.Logf("gate %s: %d signatures, %d of them within %v after it closed; this machine was late by %v", gate, all, after, last, slow())
	// It goes through four hands, each of which may be as late: who looks at the evidence, the
	// core, the worker that signs, and who makes the journal's record durable.
	if last > time.Second+4*slow() {
		t.Errorf("gate %s: signed %v after it closed", gate, last)
	}
	if all < 100 || all > gatedMeters()*8 {
		t.Errorf("gate %s: %d signatures: it did not close in the middle", gate, all)
	}
	end := lastClosed(records)
	body, err := record.Decode[record.ClosedBody](end)
	if err != nil || end.Kind != record.Closed || end.Code != record.ClosedHalted || !strings.Contains(body.Reason, "gate "+gate+" is closed") {
		t.Errorf("the journal ends with %v %s, %+v, %v", end.Kind, end.Code, body, err)
	}
}

// A certificate of the supplier is revoked, then an MPID moves, each in the middle of a
// sweep: nothing is signed a second later, it halts, and it goes on when
// the gate is open again and two have signed.
func TestCertificatesAndMPIDsCloseMidSweep(t *testing.T) {
	long(t)
	s, sim := gatedScene(t)
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	// The lists hold for the DCC's certificates, too: what they signed proves nothing.
	s.revoke(t, "pki/dcc/transform.pem")
	s.refusesSweep(t, exitFailed, "safemode.yaml", "plan", "journal.db", "transform: every certificate is revoked")
	s.revoke(t)
	slow := starved(t)
	sent := 0.0
	for _, gate := range []struct {
		name        string
		close, open func()
		words       []string
	}{
		{
			"certificates", func() { s.revoke(t, "pki/supplier/digital-signing.pem") }, func() { s.revoke(t) },
			[]string{"certificate is revoked"},
		},
		{
			"mpids",
			func() {
				putFile(t, s.path("mpids.yaml"), []byte("mpids: [{mpid: TEST, transferred_at: 2026-01-01T00:00:00Z, to: SOLR, source: the SoLR's letter}]\n"))
			},
			func() { putFile(t, s.path("mpids.yaml"), []byte("mpids: [{mpid: TEST, source: registration data}]\n")) },
			[]string{"TEST to SOLR", "the SoLR's letter"},
		},
	} {
		sweep := s.sweep(t)
		sweep.until("sending", func() bool { return s.requests(t) > sent+100 })
		gate.close()
		s.halts(t, sweep, "journal.db", gate.name, time.Now(), slow, gate.words...)

		sent = s.requests(t)
		s.refusesSweep(t, exitRefused, "safemode.yaml", "plan", "journal.db", "gate "+gate.name+" is closed")
		gate.open()
		s.refusesSweep(t, exitRefused, "safemode.yaml", "plan", "journal.db", "it was halted", "nobody has signed", "resume")
		s.approve(t, "plan", "alice", "--journal", s.path("journal.db"))
		s.refusesSweep(t, exitRefused, "safemode.yaml", "plan", "journal.db", "one has signed (alice)")
		s.approve(t, "plan", "bob", "--journal", s.path("journal.db"))
		if now := s.requests(t); now != sent {
			t.Errorf("%g requests were sent by sweeps that were refused", now-sent)
		}
	}
	again := s.sweep(t)
	again.until("sending", func() bool { return s.requests(t) > sent })
	if r := again.signal(syscall.SIGTERM); r.code != exitInterrupted {
		t.Errorf("after it opened: %+v", r)
	}
	stopSim(t, sim)
}

// The direction ends in the middle of a sweep. It never opens again:
// what there is to do then needs a new direction, and a plan under it.
func TestDirectionEndsMidSweep(t *testing.T) {
	long(t)
	s, sim := gatedScene(t)
	text, err := os.ReadFile(s.path("direction.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	ends := s.inTheMiddle(t).UTC().Truncate(time.Second)
	line := regexp.MustCompile(`(?m)^not_after: .*$`)
	putFile(t, s.path("short.yaml"), line.ReplaceAll(text, fmt.Appendf(nil, "not_after: %s", ends.Format(time.RFC3339))))
	s.plan(t, "plan", "safemode.yaml", "short.yaml")
	slow := starved(t)
	sweep := s.sweep(t)
	sweep.until("sending", func() bool { return s.requests(t) > 100 })
	sweep.wait()
	s.halts(t, sweep, "journal.db", "direction", ends, slow, "ended "+ends.Format(time.RFC3339))
	s.refusesSweep(t, exitRefused, "safemode.yaml", "plan", "journal.db", "gate direction is closed")
	for _, name := range []string{"alice", "bob"} {
		s.approve(t, "plan", name, "--journal", s.path("journal.db"))
	}
	sent := s.requests(t)
	s.refusesSweep(t, exitRefused, "safemode.yaml", "plan", "journal.db", "gate direction is closed")
	if now := s.requests(t); now != sent {
		t.Errorf("%g requests were sent by sweeps that were refused", now-sent)
	}
	stopSim(t, sim)
}

// A test revocation list closes the gate for the certificates that it names and no
// others; what it cannot sign it says in a line, and leaves the old list.
func TestPKIRevoke(t *testing.T) {
	dir := t.TempDir()
	pki, list := filepath.Join(dir, "pki"), filepath.Join(dir, "revoked.crl")
	must(t, "", "pki", "init", "--out", pki)
	args := func(files ...string) []string {
		args := []string{"pki", "revoke", "--pki", pki, "--out", list}
		for _, name := range files {
			args = append(args, "--cert", filepath.Join(pki, name))
		}
		return args
	}
	if out := must(t, "", append(args("supplier/digital-signing.pem", "dcc/transform.pem"), "--json")...); !strings.Contains(out, `"revoked":2`) {
		t.Errorf("printed %s", out)
	}
	before, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	refuses(t, exitUsage, "is issued by", "", args("ca/root.pem", "supplier/digital-signing.pem")...)
	refuses(t, exitUsage, "no such file", "", args("nobody.pem")...)
	refuses(t, exitUsage, "--valid -1s", "", append(args(), "--valid", "-1s")...)
	if err := os.Remove(filepath.Join(pki, "ca/issuing.key")); err != nil {
		t.Fatal(err)
	}
	refuses(t, exitUsage, "has no key of", "", args("supplier/digital-signing.pem")...)
	if after, err := os.ReadFile(list); err != nil || string(after) != string(before) {
		t.Errorf("the list has changed: %v", err)
	}
}
