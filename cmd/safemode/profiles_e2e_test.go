package main

import (
	"path/filepath"
	"strconv"
	"testing"

	"safemode/config/faults"
	"safemode/devicesim/fault"
)

// TestDemoOfEveryProfile: whatever goes wrong, no claim differs from the truth,
// nothing forbidden reaches a meter, and no counter is used twice. Where the
// supplier's market participant IDs move midway the sweep halts.
func TestDemoOfEveryProfile(t *testing.T) {
	long(t)
	names, err := fault.Names(faults.Files)
	if err != nil || len(names) < 5 {
		t.Fatalf("profiles %v, %v", names, err)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, meters := exitDone, 150
			if name == "transfer-midway" {
				want, meters = exitHalted, 500 // enough are left at the moment of the transfer for a run of refusals
			}
			// Gas that says nothing is waited for a day.
			r := start(t, "demo", "--meters", strconv.Itoa(meters), "--seed", "3", "--speed", "1800", "--faults", name, "--json",
				"--out", filepath.Join(t.TempDir(), "demo")).wait()
			if r.code != want {
				t.Fatalf("exit %d, want %d\n%s", r.code, want, r.err)
			}
			s := parseSummary(t, r.out)
			if s.Truth == nil || s.Truth.Checked != meters || s.Truth.Mismatches != 0 || s.ForbiddenCommands != 0 || s.Counters.Reused != 0 {
				t.Errorf("%s", r.out)
			}
		})
	}
}
