package main

import (
	"path/filepath"
	"strconv"
	"testing"

	"safemode/config/faults"
	"safemode/devicesim/fault"
	"safemode/engine/journal"
	"safemode/servicerequests"
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
			out := filepath.Join(t.TempDir(), "demo")
			r := start(t, "demo", "--meters", strconv.Itoa(meters), "--seed", "3", "--speed", "1800", "--faults", name, "--json", "--out", out).wait()
			if r.code != want {
				t.Fatalf("exit %d, want %d\n%s", r.code, want, r.err)
			}
			s := parseSummary(t, r.out)
			if s.Truth == nil || s.Truth.Checked != meters || s.Truth.Mismatches != 0 || s.ForbiddenCommands != 0 || s.Counters.Reused != 0 {
				t.Errorf("%s", r.out)
			}
			if name == "transfer-midway" {
				checkTransfer(t, journalRecords(t, filepath.Join(out, "journal.db")), meters)
			}
		})
	}
}

// checkTransfer holds the journal of a sweep in which the MPIDs moved to what is
// promised: it halted within 300 answers, and left alone what it had not begun.
func checkTransfer(t *testing.T, records []journal.Record, meters int) {
	t.Helper()
	asked := map[servicerequests.EUI]bool{}
	// The DCC answers nothing but E4 from the transfer on, except what was under way:
	// answers are those since ten on end were none.
	answers, others, after, trips := 0, 0, 0, 0
	for _, r := range records {
		switch r.Kind {
		case journal.Reply, journal.PreCommand:
			answers++
			if others++; r.Code == string(servicerequests.NotRegistered) {
				others = 0
			}
			if others >= 10 {
				answers = 0
			}
		case journal.Request, journal.SignedCommand:
			asked[r.Device] = true
			if trips > 0 {
				after++
			}
		case journal.Tripwire:
			trips++
		}
	}
	t.Logf("the tripwire tripped within %d answers of the transfer; %d of %d meters had not begun, and were not touched", answers, meters-len(asked), meters)
	if trips != 1 || answers < 10 || answers > 300 || after != 0 || len(asked) == 0 || len(asked) == meters {
		t.Errorf("%d trips, %d answers after the transfer, %d requests after the trip, %d of %d meters asked", trips, answers, after, len(asked), meters)
	}
}
