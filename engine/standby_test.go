package engine

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"safemode/engine/plan"
	"safemode/engine/record"
)

// The metric says for how long nobody has stood by, in live alone; the status says so anywhere.
func TestStandbyMissing(t *testing.T) {
	for environment, counts := range map[string]bool{record.Live: true, record.Simulator: false} {
		e := newEngine(Options{Plan: &plan.Plan{Header: plan.Header{Environment: environment}}, Registry: prometheus.NewRegistry()})
		e.registerStandby()
		metric := func() float64 {
			t.Helper()
			all, err := e.o.Registry.Gather()
			if err != nil || len(all) != 1 || all[0].GetName() != "safemode_standby_missing_seconds" {
				t.Fatalf("%v, %v", all, err)
			}
			return all[0].Metric[0].GetGauge().GetValue()
		}
		if got := metric(); got != 0 || e.standbyMissing() != nil {
			t.Errorf("%s, not known: %v, %v", environment, got, e.standbyMissing())
		}
		e.alone.Store(time.Now().Add(-90 * time.Second).UnixNano())
		if got := metric(); counts != (got >= 90) || !counts && got != 0 {
			t.Errorf("%s: %v", environment, got)
		}
		if missing := e.standbyMissing(); missing == nil || *missing < 90 {
			t.Errorf("%s: %v", environment, missing)
		}
	}
}
