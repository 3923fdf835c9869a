package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"safemode/engine/record"
)

// One rehearsal through the states in which somebody may meet it. In each the page and the
// terminal say at once whether it is real, how it is, how far, by when, and what waits for
// people; the page fits a wide and a narrow screen, in the light and in the dark. With
// SAFEMODE_SCREENSHOTS=DIR pictures of all are kept there to be looked at.
func TestStatesAreLookedAt(t *testing.T) {
	onlyWhole(t) // TestPagesInABrowser has the states of a night that goes well
	long(t)
	b := openBrowser(t)
	s := newScene(t, 400, 5, 300)
	s.configure(t, "safemode.yaml", "custody_dir: custody\n", "custody_dir: custody\ngates: {revocation_lists: ["+s.path("revoked.crl")+"], drain: 1s}\n")
	s.revoke(t)
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	sim := s.sim(t)
	started := func() *process {
		return start(t, append(s.sweepArgs("safemode.yaml", "plan", "journal.db"), "--stay", "5m")...)
	}
	p := started()
	look := func(state string, holds func(record.Status) bool, words ...string) {
		t.Helper()
		p.until(state, func() bool {
			var st record.Status
			body, err := tryGet("http://" + s.operations + "/api/v1/sweep")
			return err == nil && json.Unmarshal(body, &st) == nil && holds(st)
		})
		st := s.status(t)
		screens(t, state, st, append(words, "SIMULATOR: a drill", strings.ToUpper(st.Health.Words()))...)
		b.show("http://" + s.operations + "/")
		var badge string
		b.run(`document.querySelector('.badge').textContent`, &badge)
		if now := s.status(t); badge != st.Health.Words() && badge != now.Health.Words() {
			t.Errorf("%s: the page says %q, the status %q", state, badge, now.Health.Words())
		}
		b.atOnce(state, append(words, "SIMULATOR: a drill", badge, "meters have a verdict", "To go", "Waits for people")...)
		b.looked(state)
	}
	faults := func(profile string) {
		t.Helper()
		reply, err := http.Post("http://"+s.control+"/sim/v1/faults", "application/yaml", strings.NewReader(profile))
		if err != nil {
			t.Fatal(err)
		}
		reply.Body.Close()
		if reply.StatusCode != http.StatusNoContent {
			t.Fatalf("%s: %s", profile, reply.Status)
		}
	}

	look("running", func(st record.Status) bool { return st.Done > 20 })
	faults("outage: {region: North, lasts: 12h}")
	look("silent", func(st record.Status) bool {
		return len(st.Heard) > 0 && st.Heard[0].Region == "North" && st.Heard[0].Silent
	}, "no meter answers in North")
	faults("")
	order := func(args ...string) {
		t.Helper()
		if r := safemode(t, "", append(args, "--operations", s.operations)...); r.code != exitDone {
			t.Fatalf("%q: %+v", args, r)
		}
	}
	order("pause", "--reason", "a look at the North")
	look("paused", func(st record.Status) bool { return st.State == "paused" }, "a look at the North")
	order("resume")
	s.revoke(t, "pki/supplier/digital-signing.pem")
	look("halted", func(st record.Status) bool { return st.State == "halted" }, "certificate is revoked")
	if r := p.signal(syscall.SIGINT); r.code != exitHalted {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	s.revoke(t)
	for _, person := range []string{"alice", "bob"} {
		s.approve(t, "plan", person, "--journal", s.path("journal.db"))
	}
	p = started()
	look("finished", func(st record.Status) bool { return st.State == "finished" })
	b.show("http://" + s.operations + "/meters?list=armed")
	b.looked("meters")
	b.run(`location.href = document.querySelector('tbody th a').href`, nil)
	b.until(`document.querySelector('.story')`)
	b.looked("story")
	b.printed("story")
	if r := p.signal(syscall.SIGINT); r.code != exitDone {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	out := filepath.Join(t.TempDir(), "report")
	must(t, "", "report", "--journal", s.path("journal.db"), "--out", out, "--json")
	for _, page := range []string{"summary.html", "weekly.html", "handover/handover.html"} {
		name := strings.TrimSuffix(filepath.Base(page), ".html")
		b.show("file://" + filepath.Join(out, page))
		b.looked(name)
		b.printed(name)
	}
	stopSim(t, sim)
}
