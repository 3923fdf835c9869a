package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// A journal's meters are the plan's or the start is refused; those of the state that it
// keeps are the plan's or it is not taken up.
func TestAttackMetersOfAnotherPlan(t *testing.T) {
	targets := []plan.Target{
		{Order: 1, Device: 11, Hub: 21, Type: servicerequests.ESME, Region: servicerequests.North, Originator: 5},
		{Order: 2, Device: 12, Hub: 22, Type: servicerequests.GSME, Region: servicerequests.South, Originator: 5, Suppressed: true},
	}
	content, places := plan.NewContent(), sha256.New()
	for i, t := range targets {
		content.Target(t.Device, targets[i].Body())
		places.Write(record.PlannedMeter{Device: t.Device, Hub: t.Hub, Originator: t.Originator, Type: t.Type, Region: t.Region}.Append(nil))
	}
	begin := func(t *testing.T, change func([]plan.Target)) (*Engine, error) {
		j, err := journal.Open(filepath.Join(t.TempDir(), "journal.db"), journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { j.Close() })
		written := slices.Clone(targets)
		change(written)
		records := []record.Record{{At: time.Now(), Kind: record.Planned, Code: "plan"}}
		for i := range written {
			records = append(records, record.Record{At: time.Now(), Kind: record.Target, Device: written[i].Device, Body: written[i].Body()})
		}
		if err := j.Commit(context.WithoutCancel(t.Context()), records...); err != nil {
			t.Fatal(err)
		}
		e := &Engine{journal: j, o: Options{Plan: &plan.Plan{Header: plan.Header{Content: content.String(), Places: hex.EncodeToString(places.Sum(nil))}}}}
		return e, e.readPlanned(t.Context(), 1+len(targets))
	}
	e, err := begin(t, func([]plan.Target) {})
	if _, left := e.o.Suppressed[12]; err != nil || !left || len(e.o.Suppressed) != 1 {
		t.Fatalf("%v, suppressed %v", err, e.o.Suppressed)
	}
	kept := []record.PlannedMeter{
		{Device: 11, Hub: 21, Originator: 5, Type: servicerequests.ESME, Region: servicerequests.North},
		{Device: 12, Hub: 22, Originator: 5, Type: servicerequests.GSME, Region: servicerequests.South},
	}
	e.unread, e.o.Log = 1+len(targets), zap.NewNop()
	if e.watchPlanned(t.Context()); e.damage.Load() != nil {
		t.Errorf("the plan's own closes a gate: %v", *e.damage.Load())
	}
	if err := e.fits(slices.Values(kept)); err != nil {
		t.Errorf("the plan's own: %v", err)
	}
	for name, change := range map[string]func([]record.PlannedMeter) []record.PlannedMeter{
		"another meter": func(s []record.PlannedMeter) []record.PlannedMeter { s[1].Device = 13; return s },
		"another hub":   func(s []record.PlannedMeter) []record.PlannedMeter { s[1].Hub = 13; return s },
		"another fuel":  func(s []record.PlannedMeter) []record.PlannedMeter { s[1].Type = servicerequests.ESME; return s },
		"one more":      func(s []record.PlannedMeter) []record.PlannedMeter { return append(s, record.PlannedMeter{Device: 13}) },
		"another order": func(s []record.PlannedMeter) []record.PlannedMeter { slices.Reverse(s); return s },
	} {
		if e.fits(slices.Values(change(slices.Clone(kept)))) == nil {
			t.Errorf("a state of %s was taken", name)
		}
	}
	for name, change := range map[string]func([]plan.Target){
		"another meter":          func(s []plan.Target) { s[1].Device = 13 },
		"one suppressed no more": func(s []plan.Target) { s[1].Suppressed = false },
		"another originator":     func(s []plan.Target) { s[0].Originator = 6 },
	} {
		e, err := begin(t, change)
		if err == nil {
			t.Errorf("a journal of %s was taken", name)
		}
		// A start that took up a kept state reads it beside the sweep.
		e.unread, e.o.Log = 1+len(targets), zap.NewNop()
		if e.watchPlanned(t.Context()); e.damage.Load() == nil {
			t.Errorf("a journal of %s closes no gate", name)
		}
	}
}
