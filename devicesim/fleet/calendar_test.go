package fleet_test

import (
	"testing"
	"time"

	"safemode/devicesim/fleet"
)

// TestCalendars: the models' calendars hold by British time, in summer and in winter,
// and Saturday is a day on which supplies are cut off.
func TestCalendars(t *testing.T) {
	const evenings, nights fleet.Model = 0, 2
	for _, c := range []struct {
		model    fleet.Model
		at, ends string
	}{
		{evenings, "2026-11-25T08:30:00Z", "2026-11-25T09:00:00Z"}, // a Wednesday
		{evenings, "2026-11-25T12:00:00Z", "2026-11-25T12:00:00Z"},
		{evenings, "2026-11-27T18:00:00Z", "2026-11-28T09:00:00Z"}, // Friday evening to Saturday
		{evenings, "2026-11-28T18:00:00Z", "2026-11-30T09:00:00Z"}, // Saturday evening to Monday
		{evenings, "2026-07-15T07:30:00Z", "2026-07-15T08:00:00Z"}, // 08:30 in summer time
		{evenings, "2026-07-15T16:59:00Z", "2026-07-15T16:59:00Z"},
		{evenings, "2026-07-15T17:00:00Z", "2026-07-16T08:00:00Z"},
		{evenings, "2026-07-18T23:30:00Z", "2026-07-20T08:00:00Z"}, // Sunday there already
		{evenings, "2026-10-24T20:00:00Z", "2026-10-26T09:00:00Z"}, // summer time ends on Sunday
		{nights, "2026-11-28T17:00:00Z", "2026-11-29T10:00:00Z"},   // Sunday is like any other
		{nights, "2026-07-15T08:59:00Z", "2026-07-15T09:00:00Z"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		calendar := c.model.Configuration().NonDisablement
		ends, ok := calendar.Ends(at)
		if got := ends.UTC().Format(time.RFC3339); got != c.ends || !ok {
			t.Errorf("%s at %s ends %s (%t), want %s", c.model.Name(), c.at, got, ok, c.ends)
		}
		if suspends := c.at != c.ends; calendar.Suspends(at) != suspends {
			t.Errorf("%s at %s suspends: %t", c.model.Name(), c.at, !suspends)
		}
	}
}

// TestCalendarEndsAreThoseOfSuspends: hour by hour through two years.
func TestCalendarEndsAreThoseOfSuspends(t *testing.T) {
	for model := fleet.Model(0); model < 9; model++ {
		c := model.Configuration().NonDisablement
		for at := time.Date(2026, 1, 1, 0, 7, 0, 0, time.UTC); at.Year() < 2028; at = at.Add(97 * time.Minute) {
			want := at
			for c.Suspends(want) {
				want = want.Truncate(time.Hour).Add(time.Hour)
			}
			if got, ok := c.Ends(at); !ok || !got.Equal(want) {
				t.Fatalf("%s: what suspends at %v ends at %v (%t), want %v", model.Name(), at, got, ok, want)
			}
		}
	}
}
