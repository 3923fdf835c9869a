package plan_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/plan"
	"safemode/engine/portfolio"
	"safemode/servicerequests"
)

func TestDeadlines(t *testing.T) {
	o := options()
	start := o.CreatedAt.UTC()
	o.WindowEnds = []time.Time{start.Add(time.Hour), start.Add(12 * time.Second)}
	var list []portfolio.Row
	for home := range 10 {
		list = append(list, meter(home, 'e', servicerequests.North, 0))
	}
	safe := meter(10, 'e', servicerequests.North, 9)
	safe.Claimed = servicerequests.Credit
	p := build(t, o, append(list, safe, meter(9, 'g', servicerequests.North, 9))...)
	// 3.5 seconds a meter: after 12 three homes are done.
	want := []plan.Deadline{{At: start.Add(12 * time.Second), Homes: 10, Late: 7}, {At: start.Add(time.Hour), Homes: 10}}
	if diff := cmp.Diff(want, p.Estimate.Deadlines); diff != "" {
		t.Error(diff)
	}
	late, _ := p.Schedule().LateAt(start.Add(12 * time.Second))
	if len(late) != 7 || late[0].Hub != p.Targets[3].Hub || !late[0].Sent.Equal(start.Add(14*time.Second)) {
		t.Errorf("%+v", late)
	}
	o.Limits.Regions[servicerequests.North] = 0
	late, _ = build(t, o, list...).Schedule().LateAt(start.Add(time.Hour))
	if len(late) != 10 || !late[0].Sent.IsZero() {
		t.Errorf("behind a closed limit: %+v", late)
	}
}

// The non-disablement window ends in the morning of the next day that is not a Sunday.
func TestNextWindow(t *testing.T) {
	at := func(text string) time.Time {
		u, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, c := range []struct{ start, first, last string }{
		{"2026-11-23T18:00:00Z", "2026-11-24T09:00:00Z", "2026-11-24T11:00:00Z"}, // Monday
		{"2026-11-24T08:59:00Z", "2026-11-24T09:00:00Z", "2026-11-24T11:00:00Z"},
		{"2026-11-24T09:00:00Z", "2026-11-25T09:00:00Z", "2026-11-25T11:00:00Z"},
		{"2026-11-27T18:00:00Z", "2026-11-28T09:00:00Z", "2026-11-28T11:00:00Z"}, // Friday
		{"2026-11-28T18:00:00Z", "2026-11-30T09:00:00Z", "2026-11-30T11:00:00Z"}, // Saturday
		{"2026-07-13T20:00:00Z", "2026-07-14T08:00:00Z", "2026-07-14T10:00:00Z"}, // summer time
	} {
		ends := plan.NextWindow(at(c.start), 9*time.Hour, 11*time.Hour)
		if len(ends) != 2 || !ends[0].Equal(at(c.first)) || !ends[1].Equal(at(c.last)) {
			t.Errorf("%s: %v", c.start, ends)
		}
	}
}
