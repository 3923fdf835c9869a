package main

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"

	"safemode/engine/loadtest"
)

// A load test against the simulator: reads and switches, every answer proven, and
// files of all three forms.
func TestLoadTest(t *testing.T) {
	t.Parallel()
	s := newScene(t, 60, 3, 600)
	sim := s.sim(t)
	args := func(more ...string) []string {
		return append([]string{
			"loadtest", "--url", "http://" + s.duis, "--smki-url", "http://" + s.smki, "--inbox", s.inbox, "--pki", s.path("pki"),
			"--portfolio", s.path("portfolio.csv"), "--custody", s.path("loadtest-custody"), "--duration", "2s", "--wait", "20s",
		}, more...)
	}
	p := start(t, args("--rate", "10", "--srv", "7.4,1.6", "--json", "--out", s.path("first"),
		"--threshold", "accepted>=50%", "--threshold", "answered>=50%")...)
	r := p.wait()
	var result loadtest.Result
	if err := json.Unmarshal([]byte(r.out), &result); err != nil || r.code != exitDone {
		t.Fatalf("exit %d, %v: %s%s", r.code, err, r.out, r.err)
	}
	if step := result.Steps[0]; !result.Pass || step.Requested != 20 || step.Answered < 10 || step.Unverified > 0 || step.Answer.P50 == nil {
		t.Errorf("%s", r.out)
	}
	for _, name := range []string{"loadtest.json", "loadtest.csv", "loadtest.html"} {
		if text, err := os.ReadFile(s.path("first/" + name)); err != nil || len(text) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}

	// Its counters go on where they were, or the simulator would call them used.
	r = start(t, args("--rate", "10", "--srv", "7.4", "--threshold", "ack_max<1us", "--compare", s.path("first/loadtest.json"))...).wait()
	r.says(t, exitNotHeld, "1 of 1 thresholds")
	if !strings.Contains(r.out, "beside the earlier test") || !strings.Contains(r.out, "does not hold") {
		t.Errorf("%s", r.out)
	}
	if strings.Contains(string(get(t, "http://"+s.control+"/sim/v1/summary")), `"forbidden_commands":1`) {
		t.Error("a forbidden command")
	}

	start(t, args("--srv", "7.1")...).wait().says(t, exitRefused, "7.1", "permitted")
	start(t, args("--srv", "7.3")...).wait().says(t, exitUsage, "7.3")
	start(t, args("--url", "http://192.0.2.1:8079")...).wait().says(t, exitRefused, "loopback")
	start(t, args("--search", "--to", "100")...).wait().says(t, exitUsage, "--threshold")
	start(t, args("--threshold", "speed<3")...).wait().says(t, exitUsage, "speed")
	sim.signal(syscall.SIGINT)
	start(t, args()...).wait().says(t, exitFailed, "cannot be reached")
}
