package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"safemode/cmd/rehearsal"
	"safemode/devicesim/fleet"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// A portfolio names gas proxies: most rightly, some another home's, some that are nowhere. The
// right ones save most inventory reads, no claim of the report is wrong for the
// others, and the audit finds every target in the plan.
func TestPortfolioNamesGasProxies(t *testing.T) {
	long(t)
	population, err := fleet.Generate(fleet.Options{Meters: 80, Seed: 9})
	if err != nil {
		t.Fatal(err)
	}
	r := &dryRun{Rehearsal: &rehearsal.Rehearsal{Options: rehearsal.Options{
		Dir: t.TempDir(), Supplier: smki.TestSupplier, Seed: 9, Fleet: population,
		Clock: rehearsal.NewClock(time.Time{}, 0), Log: zap.NewNop(),
	}}}
	r.Faults.Hubs.PerWake = 1
	portfolio := filepath.Join(r.Dir, "portfolio.csv")
	if err := writeFleet(population, filepath.Join(r.Dir, "fleet.csv"), portfolio); err != nil {
		t.Fatal(err)
	}
	proxies := map[string]servicerequests.EUI{}
	var all []servicerequests.EUI
	for i := range population.Len() {
		if m := population.Meter(i); m.GPF() != 0 {
			proxies[m.Device.String()] = m.GPF()
			all = append(all, m.GPF())
		}
	}
	text, err := os.ReadFile(portfolio)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	lines[0] += ",gpf_id,balance_estimate,balance_at"
	at := r.Clock.Now().Add(-48 * time.Hour).Format(time.RFC3339)
	// Of whose proxy others ask, that home is not in the plan: the truth would take what it
	// told them for its own.
	lines = slices.DeleteFunc(lines, func(line string) bool {
		device, _, _ := strings.Cut(line, ",")
		return proxies[device] == all[0]
	})
	for i := range lines[1:] {
		device, _, _ := strings.Cut(lines[i+1], ",")
		claim := ""
		if proxy := proxies[device]; proxy != 0 {
			switch i % 8 {
			case 0:
				proxy = all[0]
			case 1:
				proxy ^= 0x7700
			}
			claim = proxy.String()
		}
		lines[i+1] += fmt.Sprintf(",%s,30.00,%s", claim, at)
	}
	putFile(t, portfolio, []byte(strings.Join(lines, "\n")+"\n"))
	if err := rehearsal.WriteDirection(filepath.Join(r.Dir, "direction.yaml"), r.Supplier, population.Len(), r.Clock.Anchor); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	}()
	conf := r.Settings(false, 0)
	r.Point(&conf)
	quiet := stdio{out: io.Discard, err: io.Discard}
	o, err := r.prepare(quiet, &conf)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := r.run(t.Context(), quiet, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := holds(rep); err != nil {
		t.Errorf("%v: %+v", err, rep.Summary.Truth)
	}
	var said strings.Builder
	if code := run(t.Context(), []string{"audit", "--journal", filepath.Join(r.Dir, "journal.db")}, stdio{out: &said, err: io.Discard}); strings.Contains(said.String(), "neither the meter nor its gas proxy") || said.Len() == 0 {
		t.Errorf("audit ends %d: %s", code, said.String())
	}
	inventories, spend := rep.Summary.Requests["8.2"].Sent, 0
	if inventories == 0 || inventories > len(all)*6/10 {
		t.Errorf("%d inventories for %d gas meters", inventories, len(all))
	}
	for _, m := range rep.Meters {
		if m.Verdict.Spend != nil {
			spend++
		}
	}
	if spend == 0 {
		t.Error("no home's own rate is known")
	}
	t.Logf("%d inventories for %d gas meters, %d own rates", inventories, len(all), spend)
}
