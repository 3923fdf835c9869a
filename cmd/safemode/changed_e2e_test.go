package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"safemode/engine/journal/store/pgtest"
)

// A machine that stands by for weeks takes over with the configuration and the approvals as they
// are then, and not as they were when it began to stand by.
func TestStandbyReadsWhatHasChanged(t *testing.T) {
	long(t)
	p := newPair(t, pgtest.Fresh(t), 20)
	first := p.start(t, 0)
	p.untilSent(0, 1)
	second := p.start(t, 1)
	p.untilStandby(t, 1)

	config := p.scene.path("two.yaml")
	was, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := freeAddress(t)
	write(strings.Replace(string(was), "{listen: "+p.nodes[1].operations+"}", "{listen: "+other+"}", 1))
	p.nodes[1].operations = other
	p.untilStandby(t, 1) // at the new address
	if r := safemode(t, "", "handover", "--operations", p.nodes[0].operations, "--reason", "new kernel"); r.code != exitDone {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	first.wait().says(t, exitHandedOver, "handed over")
	second.until("sending", func() bool { return len(p.nodes[1].wire.posts()) > 0 })
	if _, counts := scrape(t, other)["safemode_log_dropped_total"]; !counts {
		t.Error("it does not count the log lines that are dropped")
	}
	if starts := openings(t, p.at); len(starts) != 2 || starts[1].Takeover == nil || !starts[1].Takeover.HandedOver {
		t.Errorf("starts: %+v", starts)
	}

	first = p.start(t, 0)
	p.untilStandby(t, 0)
	config = p.scene.path("one.yaml")
	write("nothing: 1\n")
	if r := first.wait(); r.code != exitUsage || !strings.Contains(r.err, "one.yaml") || !strings.Contains(r.err, "nothing: unknown key") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	second.signal(syscall.SIGINT).says(t, exitInterrupted, "drained")
}
