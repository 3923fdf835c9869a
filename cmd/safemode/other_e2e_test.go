package main

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/devicesim/fault"
	"safemode/engine/record"
)

// TestDemoOfAnEverydayDCC: what a real DCC varies, and what else comes to the same inbox,
// changes no verdict. Every message of other traffic is counted as what it is.
func TestDemoOfAnEverydayDCC(t *testing.T) {
	long(t)
	run := func(faults string) *process {
		return start(t, "demo", "--meters", strconv.Itoa(ofWhole(50, 150)), "--seed", "5", "--retries", "short", "--faults", faults, "--json")
	}
	calm, everyday := run("calm"), run("everyday")
	want, got := calm.wait(), everyday.wait()
	if want.code != exitDone || got.code != exitDone {
		t.Fatalf("exit %d and %d\n%s", want.code, got.code, got.err)
	}
	a, b := parseSummary(t, want.out), parseSummary(t, got.out)
	if diff := cmp.Diff(a.Verdicts, b.Verdicts); diff != "" {
		t.Errorf("verdicts, -calm +everyday: %s", diff)
	}
	if o := b.Truth.OtherTraffic; o == nil || o.Sent < 20 || o.Counted+o.Unjudged != o.Sent || o.Lost != 0 || o.Mistaken != 0 || b.Truth.Mismatches != 0 {
		t.Errorf("%s", got.out)
	}
	if o := b.Truth.OtherTraffic; o != nil && len(o.Kinds) < 9 {
		t.Errorf("only these kinds came: %v", o.Kinds)
	}
	sum := 0
	for _, n := range b.OtherMessages {
		sum += n
	}
	if sum == 0 || b.OtherMessages[record.OtherUnproven] != 0 {
		t.Errorf("counted by kind: %v", b.OtherMessages)
	}
	if b.Quarantined != 0 {
		t.Errorf("%d requests are said to be quarantined", b.Quarantined)
	}
}

// TestFaultsOfSeveralProfiles: names and files go together, and each must be there.
func TestFaultsOfSeveralProfiles(t *testing.T) {
	file := putFile(t, t.TempDir()+"/mine.yaml", []byte("no_answer: 0.25\n"))
	p, err := loadFaults("north-outage," + file + ",everyday")
	if err != nil || p.Share(fault.NoAnswer) != 0.25 || p.Outage.Lasts == 0 || p.Variety.OtherTraffic != 24 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := loadFaults("everyday,stormy"); err == nil || !strings.Contains(err.Error(), "stormy") {
		t.Errorf("everyday,stormy: %v", err)
	}
}
