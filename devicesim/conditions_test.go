package devicesim

import (
	"testing"

	"safemode/devicesim/fleet"
	"safemode/servicerequests"

	"pgregory.net/rapid"
)

// Each meter has the condition that was put for it last, and a meter without
// one has none, over many pages.
func TestConditions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const meters = 2000
		kept, want := newConditions(meters), map[int]servicerequests.Millipence{}
		for range rapid.IntRange(0, 1200).Draw(t, "puts") {
			i := rapid.IntRange(0, meters-1).Draw(t, "meter")
			want[i] = servicerequests.Millipence(rapid.Int32().Draw(t, "balance"))
			kept.put(i, fleet.Condition{Balance: want[i]})
		}
		for i := range meters {
			is := kept.get(i)
			if balance, touched := want[i]; touched != (is != nil) || touched && is.Balance != balance {
				t.Fatalf("meter %d: %+v, want %v %s", i, is, touched, balance)
			}
		}
	})
}
