package main

import (
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"safemode/config"
	"safemode/config/faults"
	"safemode/devicesim/fault"
	"safemode/engine/record"
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
			if longest := name == "transfer-midway"; longest {
				beside(t)
			} else {
				t.Parallel()
			}
			want, meters := exitDone, ofWhole(30, 100)
			switch name {
			case "switching-days":
				meters = ofWhole(50, 100) // one of them is refused
			case "transfer-midway":
				want, meters = exitHalted, ofWhole(300, 500) // enough are left at the moment of the transfer for a run of refusals
			}
			// Gas that says nothing is waited for a day.
			out := filepath.Join(t.TempDir(), "demo")
			r := start(t, "demo", "--meters", strconv.Itoa(meters), "--seed", "3", "--retries", "short", "--faults", name, "--json", "--out", out).wait()
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
			if left := s.Transfers; name == "switching-days" && (left == nil || left.Listed == 0 || left.LeftAlone == 0 || left.Unexpected == 0) {
				t.Errorf("homes that leave: %+v", left)
			}
		})
	}
}

// checkTransfer holds the journal of a sweep in which the MPIDs moved to what is
// promised: it halted within 300 answers, signed nothing a minute of its clock later, and
// gave no command to those whose turn had not come. What workers had in hand at that moment may follow.
func checkTransfer(t *testing.T, records []record.Record, meters int) {
	t.Helper()
	commanded := map[servicerequests.EUI]bool{}
	// The DCC answers nothing but E4 from the transfer on, except what was under way:
	// answers are those since ten on end were none.
	answers, others, inHand, late, trips := 0, 0, 0, 0, 0
	var tripped time.Time
	for _, r := range records {
		switch r.Kind {
		case record.Reply, record.PreCommand:
			answers++
			if others++; r.Code == string(servicerequests.NotRegistered) {
				others = 0
			}
			if others >= 10 {
				answers = 0
			}
		case record.Request, record.SignedCommand:
			if r.Kind == record.SignedCommand {
				commanded[r.Device] = true
			}
			switch {
			case trips == 0:
			case r.At.Sub(tripped) > time.Minute:
				late++
			default:
				inHand++
			}
		case record.Tripwire:
			trips++
			tripped = r.At
		}
	}
	t.Logf("the tripwire tripped within %d answers of the transfer; %d of %d meters were given no command", answers, meters-len(commanded), meters)
	if trips != 1 || answers < 10 || answers > 300 || late > 0 || inHand > 2*config.Default().Workers || len(commanded) == 0 || len(commanded) == meters {
		t.Errorf("%d trips, %d answers after the transfer, %d requests in hand and %d later, %d of %d meters commanded", trips, answers, inHand, late, len(commanded), meters)
	}
}
