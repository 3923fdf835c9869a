package engine_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"safemode/engine"
	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/servicerequests"
)

func TestRunToTheEndAndAgain(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	p := newPlan(t, engine.Simulator, 5)
	e := open(t, options(t, d, p, dir))
	if err := e.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := e.Status(); st.State != "finished" || st.Verdicts[record.VerdictExcluded] != 5 {
		t.Errorf("status %+v", st)
	}
	for range 2 {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	sent := d.posts.Load()
	again := open(t, options(t, d, p, dir))
	if err := again.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if d.posts.Load() != sent {
		t.Errorf("a sweep that had finished sent %d requests", d.posts.Load()-sent)
	}
	all := records(t, filepath.Join(dir, "journal.db"))
	n := count(all)
	if n[record.Target] != 5 || n[record.Rejected] != 1 || n[record.Opened] != 2 || n[record.Closed] != 2 {
		t.Errorf("records %v", n)
	}
	if last := all[len(all)-1]; last.Kind != record.Closed || last.Code != record.ClosedFinished {
		t.Errorf("the last record is %v %s", last.Kind, last.Code)
	}
}

func TestInterruptAndGoOn(t *testing.T) {
	d, dir := newDCC(t, servicerequests.Acknowledged), t.TempDir()
	p := newPlan(t, engine.Simulator, 5)
	o := options(t, d, p, dir)
	o.Policy.ResponseWait.Electricity = time.Hour
	e := open(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for d.posts.Load() < 5 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if err := e.Run(ctx); !errors.Is(err, sweep.ErrStopped) {
		t.Fatalf("ended with %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if all := records(t, o.Journal); all[len(all)-1].Code != record.ClosedInterrupted {
		t.Errorf("closed as %s", all[len(all)-1].Code)
	}
	e = open(t, options(t, d, p, dir)) // with a wait of a moment: nobody answers
	if err := e.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := e.Status(); st.Verdicts[record.VerdictUnknown] != 5 {
		t.Errorf("status %+v", st)
	}
}

func TestInterruptBeforeTheBeginning(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	e := open(t, options(t, d, newPlan(t, engine.Simulator, 1), dir))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Run(ctx); !errors.Is(err, sweep.ErrStopped) {
		t.Errorf("ended with %v", err)
	}
	if d.posts.Load() != 0 {
		t.Error("something was sent")
	}
}

func TestHaltIsWritten(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotAUser), t.TempDir()
	o := options(t, d, newPlan(t, engine.Simulator, 3), dir)
	e := open(t, o)
	var halt *sweep.HaltError
	if err := e.Run(t.Context()); !errors.As(err, &halt) {
		t.Fatalf("ended with %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if all := records(t, o.Journal); all[len(all)-1].Code != record.ClosedHalted {
		t.Errorf("closed as %s", all[len(all)-1].Code)
	}
}

// A beginning that was cut off anywhere is finished, with each meter once.
func TestHalfWrittenPlanIsFinished(t *testing.T) {
	d, whole := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	p := newPlan(t, engine.Simulator, 3)
	o := options(t, d, p, whole)
	if err := open(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	beginning := records(t, o.Journal)
	for n := range beginning {
		t.Run(fmt.Sprintf("after %d records", n), func(t *testing.T) {
			o := options(t, d, p, t.TempDir())
			j, err := journal.Open(o.Journal, journal.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(j.Commit(t.Context(), beginning[:n]...), j.Close()); err != nil {
				t.Fatal(err)
			}
			e := open(t, o)
			if err := e.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			all := records(t, o.Journal)
			for i, r := range beginning {
				if all[i].Kind != r.Kind || all[i].Device != r.Device {
					t.Errorf("record %d is %v %v, want %v %v", i, all[i].Kind, all[i].Device, r.Kind, r.Device)
				}
			}
			if got := count(all); got[record.Verdict] != 3 || got[record.Opened] != 1 {
				t.Errorf("records %v", got)
			}
		})
	}
}

// A run of E4 closes the MPIDs' gate: status and metric say so, and why.
func TestRunOfE4ClosesTheGate(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	o := options(t, d, newPlan(t, engine.Simulator, 5), dir)
	o.Tripwires.Unregistered = sweep.Tripwire{Window: 10, Minimum: 2, Ratio: 0.2}
	e := open(t, o)
	if gate := e.Status().Gates["mpids"]; gate != "open" {
		t.Errorf("before: %s", gate)
	}
	var halt *sweep.HaltError
	if err := e.Run(t.Context()); !errors.As(err, &halt) || !strings.Contains(err.Error(), "have moved") {
		t.Fatalf("ended with %v", err)
	}
	if gates := e.Status().Gates; !strings.Contains(gates["mpids"], "E4") || gates["direction"] != "open" || gates["certificates"] != "open" {
		t.Errorf("gates %v", gates)
	}
	families, err := o.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]float64{}
	for _, family := range families {
		if family.GetName() == "safemode_gate_open" {
			for _, m := range family.GetMetric() {
				open[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	if open["mpids"] != 0 || open["direction"] != 1 || open["certificates"] != 1 {
		t.Errorf("safemode_gate_open: %v", open)
	}
}

// The machine's clock was set back between two starts: the sweep's goes on from the last
// record, and the gates' dates are compared with the machine's.
func TestClockNeverGoesBack(t *testing.T) {
	d := newDCC(t, servicerequests.NotRegistered)
	o := options(t, d, newPlan(t, engine.Simulator, 1), t.TempDir())
	e := open(t, o)
	if err := errors.Join(e.Run(t.Context()), e.Close()); err != nil {
		t.Fatal(err)
	}
	ahead := time.Now().Add(2 * time.Hour).Round(0).UTC() // after the direction's end
	j, err := journal.Open(o.Journal, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	begun := j.Tip().Seq
	end := record.Record{At: ahead, Kind: record.Closed, Code: record.ClosedInterrupted, Body: record.Encode(record.ClosedBody{})}
	if err := errors.Join(j.Commit(t.Context(), end), j.Close()); err != nil {
		t.Fatal(err)
	}
	again := open(t, options(t, d, o.Plan, filepath.Dir(o.Journal)))
	if err := errors.Join(again.Run(t.Context()), again.Close()); err != nil {
		t.Fatal(err)
	}
	all := records(t, o.Journal)
	if uint64(len(all)) < begun+3 {
		t.Fatalf("%d records, %d of them before", len(all), begun)
	}
	for _, r := range all[begun:] {
		if r.At.Before(ahead) || r.At.After(ahead.Add(time.Minute)) {
			t.Errorf("record %d, %v, is of %v, and the clock had shown %v", r.Seq, r.Kind, r.At, ahead)
		}
	}
}
