package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// probeLines are the lines of a preflight about what was tried on the DCC.
func probeLines(r commandResult) (ok, failed []string) {
	for line := range strings.Lines(r.out) {
		if after, found := strings.CutPrefix(line, "ok   probe: "); found {
			ok = append(ok, after)
		}
		if after, found := strings.CutPrefix(line, "FAIL probe: "); found {
			failed = append(failed, after)
		}
	}
	return ok, failed
}

// TestPreflightProbe tries on the simulated DCC what can be tried without touching a home. The
// Service Request that it asks goes only if the sweep might begin, and leaves the custody as
// it was.
func TestPreflightProbe(t *testing.T) {
	t.Parallel()
	s := newScene(t, 20, 5, 1)
	s.unapproved(t, "plan", "safemode.yaml", "direction.yaml")
	s.configure(t, "shut.yaml", "custody_dir: custody\n", "custody_dir: custody\ngates: {mpids_file: nowhere.yaml}\n")
	sim := s.sim(t)
	probe := func(config string, args ...string) commandResult {
		return safemode(t, "", append([]string{"preflight", "--probe", "--config", s.path(config), "--journal", s.path("journal.db")}, args...)...)
	}
	asked := func() float64 {
		return scrape(t, s.control)[`devicesim_requests_total{code="I0",service="non_device"}`]
	}
	book := mustRead(t, s.path("custody/book.ndjson"))
	for name, c := range map[string]struct {
		config string
		args   []string
		why    string
	}{
		"without a plan":    {"safemode.yaml", nil, "not asked: no plan is given"},
		"without approvals": {"safemode.yaml", []string{"--plan", s.path("plan")}, "not asked: "},
		"with a gate shut":  {"shut.yaml", []string{"--plan", s.path("plan")}, "not asked: "},
	} {
		r := probe(c.config, c.args...)
		ok, failed := probeLines(r)
		if r.code != exitFailed || len(failed) != 1 || !strings.Contains(failed[0], "(8.2): "+c.why) || len(ok) != 6 {
			t.Errorf("%s: exit %d: %s", name, r.code, r.out)
		}
	}
	s.approve(t, "plan", "alice")
	s.approve(t, "plan", "bob")
	if r := probe("shut.yaml", "--plan", s.path("plan")); r.code != exitFailed || !strings.Contains(r.out, "FAIL probe: inventory of a planned device (8.2): not asked: ") {
		t.Errorf("with a gate that is closed: exit %d: %s", r.code, r.out)
	}
	if n := asked(); n != 0 {
		t.Fatalf("the DCC was asked %g times", n)
	}
	for range 2 { // and once more: another Request ID
		r := probe("safemode.yaml", "--plan", s.path("plan"))
		ok, failed := probeLines(r)
		if r.code != exitDone || len(failed) != 0 || len(ok) != 7 || !strings.Contains(r.out, "devices of its home, signed by the DCC, in answer to ") {
			t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
		}
	}
	if n := asked(); n != 2 {
		t.Errorf("the DCC was asked %g times: %v", n, scrape(t, s.control))
	}
	left, err := os.ReadDir(s.path("custody"))
	if err != nil || len(left) != 1 || !bytes.Equal(mustRead(t, s.path("custody/book.ndjson")), book) {
		t.Errorf("the custody has %v, %v", left, err)
	}
	if summary := stopSim(t, sim); len(summary.Executed) != 0 || summary.Deliveries.Delivered != 0 {
		t.Errorf("simulator: %+v", summary)
	}
	// Of a DCC that is not there nothing else is tried.
	r := probe("safemode.yaml", "--plan", s.path("plan"))
	if _, failed := probeLines(r); r.code != exitFailed || len(failed) != 1 || !strings.Contains(failed[0], "(8.2): ") {
		t.Errorf("without a DCC: exit %d: %s", r.code, r.out)
	}
}

// TestPreflightProbeSeesWhatDiffers: a certificate that is not in use, and a DCC that answers
// otherwise, are named.
func TestPreflightProbeSeesWhatDiffers(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	other := t.TempDir() + "/pki"
	must(t, "", "pki", "init", "--out", other, "--seed", "99")
	s.sim(t, "--fleet", s.path("fleet.csv"), "--pki", other) // another PKI: nothing of ours is listed
	r := safemode(t, "", "preflight", "--probe", "--config", s.path("safemode.yaml"), "--plan", s.path("plan"), "--journal", s.path("journal.db"))
	_, failed := probeLines(r)
	if r.code != exitFailed || len(failed) < 5 {
		t.Errorf("exit %d: %s", r.code, r.out)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
