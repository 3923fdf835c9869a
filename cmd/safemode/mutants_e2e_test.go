package main

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var truthMutants = flag.Int("truth.mutants", 1, "how many false engines to build and have judged, one after the other; 0: all")

// mutant is an engine that does wrong by the homes, or by the report. edits put it in
// the place of the real one for the length of one demo.
type mutant struct {
	name  string
	kind  kind // of mismatch that must show
	edits []edit
}

// edit replaces a text, which must stand in the file once.
type edit struct{ file, old, new string }

const ledgerRoom = "../../engine/ledger/"

var mutants = []mutant{
	{"found state invented", wrongFound, []edit{{
		ledgerRoom + "verdict.go", "Mode: m.Found.Mode.Value, Supply: m.Found.Supply.Value}", "Mode: m.Now.Mode.Value, Supply: m.Now.Supply.Value}",
	}}},
	{"wrong reason", wrongReason, []edit{{
		ledgerRoom + "arm.go", `return "disabled with credit left"`, `return "disabled, balance not known"`,
	}}},
	{"wrong balance", wrongBalance, []edit{
		{ledgerRoom + "verdict.go", "\t\tv.End.Balance = &m.Now.Balance.Value\n", "\t\tbalance := m.Now.Balance.Value + 1\n\t\tv.End.Balance = &balance\n"},
		{"../../engine/report/reading.go", "m.Verdict.End.Balance = m.After.Balance", "balance := *m.After.Balance + 1\n\t\tm.Verdict.End.Balance = &balance"},
	}},
	{"arms late", wronglyLate, []edit{{
		ledgerRoom + "policy.go", "\tswitch {\n\tcase buysTime && p.readsIn(s, m, now):",
		"\tif late := m.Started.Add(5 * time.Hour); p.arms(m) && now.Before(late) {\n\t\ts.wakeAt(late)\n\t\treturn true\n\t}\n" +
			"\tswitch {\n\tcase buysTime && p.readsIn(s, m, now):",
	}}},
	{"reports unknown by thirds", wrongUnknown, []edit{{
		ledgerRoom + "verdict.go", "\tcase v.ModeCounter == 0:\n", "\tcase v.ModeCounter == 0 || m.Device%3 == 0:\n",
	}}},
	{"never arms", wronglyOff, []edit{{
		ledgerRoom + "arm.go", "\treturn m.ModeCurrent() && m.Now.Mode.Value == servicerequests.Credit &&\n\t\tm.SupplyCurrent()",
		"\treturn false && m.ModeCurrent() && m.Now.Mode.Value == servicerequests.Credit &&\n\t\tm.SupplyCurrent()",
	}}},
}

// TestTruthFindsMutants has engines that do wrong rehearse: the truth must contradict
// each, in the way that it is wrong.
func TestTruthFindsMutants(t *testing.T) {
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
	replace := map[string]string{}
	for i, e := range m.edits {
		path, err := filepath.Abs(e.file)
		if err != nil {
			t.Fatal(err)
		}
		from := path
		if edited, ok := replace[path]; ok {
			from = edited
		}
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), e.old); n != 1 {
			t.Fatalf("%s has it %d times:\n%s", e.file, n, e.old)
		}
		to := filepath.Join(dir, "edit"+strconv.Itoa(i)+".go")
		if err := os.WriteFile(to, []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[path] = to
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "safemode")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", list, "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}
