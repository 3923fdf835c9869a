package dcc

import (
	"testing"
	"time"

	"safemode/devicesim/fault"
)

func TestGate(t *testing.T) {
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name  string
		limit fault.Allocation
		at    []time.Duration // of requests since the start
		want  []time.Duration // how long to wait; 0 passes
	}{
		{"no limit", fault.Allocation{}, []time.Duration{0, 0, 0}, []time.Duration{0, 0, 0}},
		{
			"one at a time",
			fault.Allocation{PerSecond: 10, Burst: 1},
			[]time.Duration{0, 0, 50 * time.Millisecond, 100 * time.Millisecond, 150 * time.Millisecond},
			[]time.Duration{0, 100 * time.Millisecond, 50 * time.Millisecond, 0, 50 * time.Millisecond},
		},
		{
			"burst, and an idle second saves up no more than it",
			fault.Allocation{PerSecond: 10, Burst: 2},
			[]time.Duration{0, 0, 0, 10 * time.Second, 10 * time.Second, 10 * time.Second},
			[]time.Duration{0, 0, 100 * time.Millisecond, 0, 0, 100 * time.Millisecond},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newGate(test.limit)
			for i, at := range test.at {
				wait, ok := g.pass(start.Add(at))
				if wait = max(wait, 0); wait != test.want[i] || ok != (test.want[i] == 0) {
					t.Errorf("request %d: wait %v, %v; want %v", i, wait, ok, test.want[i])
				}
			}
		})
	}
}
