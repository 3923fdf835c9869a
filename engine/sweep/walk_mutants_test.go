package sweep_test

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"safemode/engine/sweep/sweeptest"
)

var walkMutants = flag.Int("walk.mutants", 1, "how many of the gravest faults to put back, one after the other, for the walk to find; 0: all")

// mutant is a fault that is put back into the code for the length of one walk.
type mutant struct {
	name  string
	edits []sweeptest.Edit
}

// mutants are the gravest faults that this core has had. The last is found at once.
var mutants = []mutant{
	{"a machine that has lost the journal sends all the same", []sweeptest.Edit{{
		"../exchange/exchange.go", "if err := x.o.Journal.Commit(ctx, signed); err != nil {", "if err := x.o.Journal.Commit(ctx, signed); err != nil && !errors.Is(err, record.ErrTaken) {",
	}}},
	{"a quarantined request stays in its queue", []sweeptest.Edit{{
		"quarantine.go", "\t\tif r.Phase.Waits() {\n\t\t\ts.queues.remove(r)\n\t\t}\n", "",
	}}},
	{"exclusion does nothing to a meter that has its verdict", []sweeptest.Edit{{
		"../ledger/meter.go", "\tif m.Bars.Excluded == \"\" || m.Bars.Moved {\n\t\tm.Bars.Excluded", "\tif m.Verdict.Verdict == \"\" {\n\t\tm.Bars.Excluded",
	}}},
	{"a lost balance is not asked for again", []sweeptest.Edit{{
		"../ledger/arm.go", "return !m.Found.Balance.Known() || m.ranOut() || m.fromProxy(m.Found.Balance.Counter)", "return m.ranOut() || m.fromProxy(m.Found.Balance.Counter)",
	}}},
	{"a halt is written in teardown", []sweeptest.Edit{{
		"machine.go", "\ts.write(record.Record{At: s.now, Kind: record.Halted, Body: record.Encode(body)})\n", "\t_ = body\n",
	}}},
	{"an old alert counts as new", []sweeptest.Edit{
		{"../ledger/alert.go", "\t\tif read := m.Now.Supply; read.Known() && !a.At.After(read.At) || !read.Known() && a.Heard.Sub(a.At) >= alertWindow {\n\t\t\treturn false\n\t\t}\n", ""},
		{"../ledger/meter.go", "(counter > m.Alarm.After || !m.Alarm.At.After(at))", "counter > m.Alarm.After"},
	}},
	{"an outcome without an answer consumes one", []sweeptest.Edit{{
		"replay.go", "\t\t\tif !s.replay.storeFirst {\n\t\t\t\told = func(m message) bool {\n\t\t\t\t\treturn !body.Class.Unanswered() || body.Code != \"\" && m.code == body.Code\n\t\t\t\t}\n\t\t\t}\n",
		"\t\t\told = func(message) bool { return true }\n",
	}}},
	{"sleepers use up what is in flight", []sweeptest.Edit{
		{"store.go", "func (m *meter) fuel() int { return fuelOf(m.Plan.Type) }", "func (m *meter) fuel() int { return 0 }"},
		{"store.go", "func (h *head) fuel() int { return fuelOf(h.kind) }", "func (h *head) fuel() int { return 0 }"},
		{"request.go", "counts := r.Phase.Counted() && r.m.wait == ledger.NotWaiting", "counts := r.Phase.Counted()"},
		{"export_test.go", "r.Phase.Counted() && m.wait == ledger.NotWaiting", "r.Phase.Counted()"},
	}},
	{"the limits are asked before the commit", []sweeptest.Edit{{
		"../exchange/exchange.go", "\t\tif x.o.Limits == nil {\n\t\t\tbreak\n\t\t}\n", "\t\tbreak\n",
	}}},
	{"the gate and what was recalled are asked before the commit", []sweeptest.Edit{{
		"../exchange/exchange.go", "\tfor {\n\t\tif err := x.stands(half); err != nil {\n\t\t\treturn err\n\t\t}\n", "\tfor {\n",
	}}},
	{"a later 429 shortens a Retry-After", []sweeptest.Edit{
		{"../pacer/pacer.go", "if b := p.bucket(key); until.After(b.held) {", "if b := p.bucket(key); true {"},
		{"../exchange/exchange.go", "if !errors.As(err, &throttled) || throttled.RetryAfter <= 0 {", "if !errors.As(err, &throttled) {"},
	}},
	{"a proxy that the portfolio names is believed", []sweeptest.Edit{{
		"../ledger/proxy.go", "return m.ProxyClaimed && m.fromProxy(counter)", "return false",
	}}},
	{"a crash between two waves ends the sweep", []sweeptest.Edit{{
		"wave.go", "\tcase record.WavePassed: // a start found that nothing more of it was durable\n\t\ts.beginWave(s.waves.all[w.number])\n\t\treturn\n", "",
	}}},
	{"what cannot be proven yet is given up", []sweeptest.Edit{{
		"answer.go", "\tif d.Final {\n\t\tother := record.JudgedBody", "\tif true {\n\t\tother := record.JudgedBody",
	}}},
}

// TestWalkFindsMutants puts faults back, which the walk must find within ten million steps,
// some minutes, and say which invariant breaks. It runs the tests of this package with the
// changed files in place of the real ones. The same seed without the mutant must break
// nothing: else something else was found.
func TestWalkFindsMutants(t *testing.T) {
	for _, m := range mutants { // those that are not built now can still be
		sweeptest.Overlay(t, t.TempDir(), m.edits)
	}
	some := mutants
	if n := *walkMutants; n > 0 && n < len(some) {
		some = some[len(some)-n:]
	}
	broke := regexp.MustCompile(`seed (\d+): invariant \d+ [^:]*`)
	walk := func(ctx context.Context, binary string, flags ...string) (out string, err error) {
		flags = append(flags, "-test.run", "^TestWalks$", "-walk.noshrink")
		text, err := exec.CommandContext(ctx, binary, flags...).CombinedOutput()
		return string(text), err
	}
	healthy, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range some {
		t.Run(m.name, func(t *testing.T) {
			dir := t.TempDir()
			binary := filepath.Join(dir, "walk.test")
			if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", sweeptest.Overlay(t, dir, m.edits), "-o", binary, ".").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // of a machine that is busy
			defer cancel()
			began := time.Now()
			out, err := walk(ctx, binary, "-walk.once", "400000", "-walk.steps", "10000000")
			found := broke.FindStringSubmatch(out)
			if err == nil || found == nil {
				t.Fatalf("not found in %v: %v\n%.2000s", time.Since(began).Round(time.Second), err, out)
			}
			t.Logf("found in %v: %s", time.Since(began).Round(100*time.Millisecond), found[0])
			if out, err := walk(ctx, healthy, "-walk.seed", found[1], "-walk.once", "20000", "-walk.steps", "1"); err != nil {
				t.Fatalf("another fault was found: this seed breaks an invariant without the mutant, too: %v\n%.2000s", err, out)
			}
		})
	}
}
