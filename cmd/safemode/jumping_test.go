package main

import (
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"safemode/cmd/rehearsal"
	"safemode/devicesim/fleet"
	"safemode/servicerequests/smki"
)

// jumping starts a rehearsal of so many meters in the test's own process, which stops it: on a
// clock that jumps, so that it takes as long as its work. Options may say what is not usual.
func jumping(t *testing.T, meters int, seed uint64, o rehearsal.Options) *dryRun {
	t.Helper()
	population, err := fleet.Generate(fleet.Options{Meters: meters, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	o.Dir, o.Supplier, o.Seed, o.Fleet, o.Clock = t.TempDir(), smki.TestSupplier, seed, population, rehearsal.NewClock(time.Time{}, 0)
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if err := writeFleet(population, filepath.Join(o.Dir, "fleet.csv"), filepath.Join(o.Dir, "portfolio.csv")); err != nil {
		t.Fatal(err)
	}
	if err := rehearsal.WriteDirection(filepath.Join(o.Dir, "direction.yaml"), o.Supplier, meters, o.Clock.Anchor); err != nil {
		t.Fatal(err)
	}
	r := &dryRun{Rehearsal: &rehearsal.Rehearsal{Options: o}}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}
