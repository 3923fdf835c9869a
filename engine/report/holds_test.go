package report

import (
	"slices"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Pauses and stops stand until an order of the same scope takes them back, also from one
// process to the next.
func TestHolds(t *testing.T) {
	north, south := servicerequests.North, servicerequests.South
	pause := record.OrderBody{Action: record.OrderPause, By: "Ada", Reason: "to look"}
	for name, c := range map[string]struct {
		orders []record.OrderBody
		stand  []string
	}{
		"none":                    {nil, nil},
		"a pause":                 {[]record.OrderBody{pause}, []string{"pause the sweep"}},
		"twice is once":           {[]record.OrderBody{pause, pause}, []string{"pause the sweep"}},
		"resumed":                 {[]record.OrderBody{pause, {Action: record.OrderResume}}, nil},
		"another scope resumed":   {[]record.OrderBody{{Action: record.OrderPause, Region: north}, {Action: record.OrderResume, Region: south}}, []string{"pause region North"}},
		"the sweep's own resume":  {[]record.OrderBody{{Action: record.OrderPause, SRV: "7.3"}, pause, {Action: record.OrderResume}}, []string{"pause SRV 7.3"}},
		"a stop of a wave":        {[]record.OrderBody{{Action: record.OrderStop, Wave: 2, Now: true}}, []string{"stop wave 2"}},
		"a stop of the process":   {[]record.OrderBody{{Action: record.OrderStop}, {Action: record.OrderStop, Now: true}}, nil},
		"renewed":                 {[]record.OrderBody{{Action: record.OrderPause, Cause: record.CauseRenewal}, {Action: record.OrderRenew}}, nil},
		"renewed, paused by Ada":  {[]record.OrderBody{pause, {Action: record.OrderRenew}}, []string{"pause the sweep"}},
		"by two, and one renewed": {[]record.OrderBody{pause, {Action: record.OrderPause, Cause: record.CauseRenewal}, {Action: record.OrderRenew}}, []string{"pause the sweep"}},
	} {
		r, err := Read(func(yield func(record.Record, error) bool) {
			for i, o := range c.orders {
				if !yield(record.Record{Seq: uint64(i + 1), At: time.Unix(int64(i), 0), Kind: record.Operator, Code: o.Action, Body: record.Encode(o)}, nil) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		var stand []string
		for _, h := range r.Holds() {
			stand = append(stand, h.Action+" "+h.Scope)
		}
		if !slices.Equal(stand, c.stand) {
			t.Errorf("%s: %q stand, want %q", name, stand, c.stand)
		}
	}
}
