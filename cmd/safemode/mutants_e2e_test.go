package main

import (
	"flag"
	"os/exec"
	"path/filepath"
	"testing"

	"safemode/cmd/truth"
	"safemode/engine/sweep/sweeptest"
)

var truthMutants = flag.Int("truth.mutants", 1, "how many false engines to build and have judged, one after the other; 0: all")

// mutant is an engine that does wrong by the homes, or by the report. edits put it in
// the place of the real one for the length of one demo.
type mutant struct {
	name  string
	kind  truth.Kind // of mismatch that must show
	edits []sweeptest.Edit
}

const ledgerRoom = "../../engine/ledger/"

var mutants = []mutant{
	{"found state invented", truth.WrongFound, []sweeptest.Edit{
		{ledgerRoom + "verdict.go", "Supply: m.Found.Supply.Value}}", "Supply: m.Now.Supply.Value}}"},
		{ledgerRoom + "verdict.go", "v.Found.Mode = m.Found.Mode.Value", "v.Found.Mode = m.Now.Mode.Value"},
	}},
	{"wrong reason", truth.WrongReason, []sweeptest.Edit{{
		ledgerRoom + "arm.go", "case !p.creditSpent(m):\n\t\treturn \"disabled with credit left\"", "case !p.creditSpent(m):\n\t\treturn \"disabled, balance not known\"",
	}}},
	{"wrong balance", truth.WrongBalance, []sweeptest.Edit{
		{ledgerRoom + "verdict.go", "\t\tv.End.Balance = &m.Now.Balance.Value\n", "\t\tbalance := m.Now.Balance.Value + 1\n\t\tv.End.Balance = &balance\n"},
		{"../../engine/report/balances.go", "m.Verdict.End.Balance = m.After.Balance", "balance := *m.After.Balance + 1\n\t\tm.Verdict.End.Balance = &balance"},
	}},
	{"arms late", truth.WronglyLate, []sweeptest.Edit{{
		ledgerRoom + "policy.go", "\tswitch {\n\tcase emergency && p.readsDone(s, m, now):",
		"\tif late := m.Started.Add(5 * time.Hour); p.wantsArm(m) && now.Before(late) {\n\t\ts.wakeAt(late)\n\t\treturn true\n\t}\n" +
			"\tswitch {\n\tcase emergency && p.readsDone(s, m, now):",
	}}},
	{"reports unknown by thirds", truth.WrongUnknown, []sweeptest.Edit{{
		ledgerRoom + "verdict.go", "\tcase v.ModeCounter == 0:\n", "\tcase v.ModeCounter == 0 || m.Device%3 == 0:\n",
	}}},
	{"never arms", truth.WronglyOff, []sweeptest.Edit{{
		ledgerRoom + "arm.go", "\treturn m.ModeCurrent() && m.Now.Mode.Value == servicerequests.Credit &&\n\t\tm.SupplyCurrent()",
		"\treturn false && m.ModeCurrent() && m.Now.Mode.Value == servicerequests.Credit &&\n\t\tm.SupplyCurrent()",
	}}},
}

// TestTruthFindsMutants has engines that do wrong rehearse: the truth must contradict
// each, in the way that it is wrong. Without -whole the edits must still fit the code, and
// TestTruth has such claims judged without an engine.
func TestTruthFindsMutants(t *testing.T) {
	for _, m := range mutants { // those that are not built now can still be
		sweeptest.Overlay(t, t.TempDir(), m.edits)
	}
	onlyWhole(t)
	long(t)
	some := mutants
	if n := *truthMutants; n > 0 && n < len(some) {
		some = some[len(some)-n:]
	}
	for _, m := range some {
		t.Run(m.name, func(t *testing.T) {
			dir := t.TempDir()
			p := startCommand(t, exec.Command(m.build(t, dir), "demo", "--meters", "150", "--seed", "1", "--json", "--out", filepath.Join(dir, "demo")))
			r := p.wait()
			r.says(t, exitNotHeld)
			s := parseSummary(t, r.out)
			if s.Truth == nil || s.Truth.Mismatches == 0 || s.Truth.ByKind[string(m.kind)] == 0 {
				t.Fatalf("%+v\n%s", s.Truth, r.err)
			}
			t.Logf("%d of %d claims are wrong: %v", s.Truth.Mismatches, s.Truth.Checked, s.Truth.ByKind)
		})
	}
}

// build builds the program with the edits in place of the real files.
func (m mutant) build(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "safemode")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", sweeptest.Overlay(t, dir, m.edits), "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}
