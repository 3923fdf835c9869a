package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/engine/record"
)

// Homes on the list of transfers are left alone from the margin before their day on. The
// list is read at the start and whenever it changes; one that is broken meanwhile changes
// nothing, and at the start it refuses.
func TestSweepLeavesHomesOnTheListAlone(t *testing.T) {
	long(t)
	s := newScene(t, 60, 4, brisk)
	_, meters := readCSV(t, s.path("portfolio.csv"))
	var lines []string
	list := func(n int) {
		lines = []string{"mpxn,effective_date,incoming_mpid,source,as_of\n"}
		for _, m := range meters[:n] {
			lines = append(lines, fmt.Sprintf("%s,%s,SOLR,CSS,2026-11-30\n", m["mpxn"], time.Now().Add(20*time.Hour).Format(time.RFC3339)))
		}
		lines = append(lines, "9999999,2030-01-01,SOLR,CSS,2026-11-30\n")
		putFile(t, s.path("next.csv"), []byte(strings.Join(lines, "")))
		if err := os.Rename(s.path("next.csv"), s.path("transfers.csv")); err != nil {
			t.Fatal(err)
		}
	}
	list(20)
	s.configure(t, "safemode.yaml", "custody_dir:", "transfers: {file: transfers.csv}\ncustody_dir:")
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	s.sim(t)
	if r := safemode(t, "", "preflight", "--config", s.path("safemode.yaml"), "--plan", s.path("plan"), "--journal", s.path("journal.db")); !strings.Contains(r.out, "21 transfers, 20 of them planned, 1 unknown") {
		t.Errorf("preflight: %s", r.out)
	}
	good, err := os.ReadFile(s.path("transfers.csv"))
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, s.path("transfers.csv"), []byte(strings.ReplaceAll(string(good), "\n", "\r")))
	start(t, s.sweepArgs("safemode.yaml", "plan", "journal.db")...).wait().says(t, exitRefused, "transfers", "CR only")
	putFile(t, s.path("transfers.csv"), good)
	sweep := s.sweep(t)
	listed := func() (st record.TransferCounts) {
		var whole record.Status
		body, err := tryGet("http://" + s.operations + "/api/v1/sweep")
		if err == nil && json.Unmarshal(body, &whole) == nil && whole.Transfers != nil {
			st = *whole.Transfers
		}
		return st
	}
	sweep.until("leaving 20 alone", func() bool { return listed().Left == 20 })
	order := func(word string) { // however slow the machine is, it has not finished when the list has changed
		t.Helper()
		if r := safemode(t, "", word, "--operations", s.operations); r.code != exitDone {
			t.Fatalf("%s: %+v", word, r)
		}
	}
	order("pause")
	list(30)
	sweep.until("leaving 30 alone", func() bool { return listed().Left == 30 })
	putFile(t, s.path("transfers.csv"), []byte("broken"))
	sweep.until("saying so", func() bool { return strings.Contains(sweep.err.String(), "the last good one stays in force") })
	order("resume")
	sweep.succeeds()
	_, reported := s.report(t, "journal.db")
	for _, line := range reported {
		at := slices.IndexFunc(meters, func(m meterLine) bool { return m["device_id"] == line["device_id"] })
		reasoned := strings.HasPrefix(line["reason"], record.ReasonLeaves)
		if at < 20 && (!reasoned || line["attempts"] != "0") || at >= 30 && reasoned { // of those between some have their verdict, which stays
			t.Errorf("%d of the list: %v", at, line)
		}
	}

	// The report takes the same list, by MPxN, and says who is to leave and in which state.
	putFile(t, s.path("given.csv"), []byte(strings.ReplaceAll(strings.Join(lines, ""), "SOLR", "NEXT")))
	for folder, args := range map[string][]string{"given": {"--transfers", s.path("given.csv")}, "own": nil} {
		if r := safemode(t, "", append([]string{"report", "--journal", s.path("journal.db"), "--out", s.path(folder)}, args...)...); r.code != exitDone {
			t.Fatalf("%s: exit %d: %s", folder, r.code, r.err)
		}
	}
	if _, err := os.Stat(s.path("given/reconciliation.csv")); err != nil {
		t.Error(err)
	}
	for folder, want := range map[string]string{"given": "NEXT", "own": "SOLR"} { // the one given, and the sweep's own
		_, left := readCSV(t, s.path(folder+"/transfers.csv"))
		alone := 0
		for _, line := range left {
			if line["left_alone_at"] == "" && line["refused_at"] != "" {
				continue // it was another supplier's before
			}
			alone++
			if line["incoming_mpid"] != want || line["transfer_date"] == "" || line["left_alone_at"] == "" || line["verdict"] == "" {
				t.Errorf("%s: %v", folder, line)
			}
		}
		if alone != 30 {
			t.Errorf("%s: %d meters leave, %d were left alone", folder, len(left), alone)
		}
	}
	putFile(t, s.path("neither.csv"), []byte("mpxn,day\n"))
	r := safemode(t, "", "report", "--journal", s.path("journal.db"), "--out", s.path("given"), "--transfers", s.path("neither.csv"))
	if r.code != exitUsage || !strings.Contains(r.err, "effective_date") {
		t.Errorf("a list without days: exit %d: %s", r.code, r.err)
	}
}
