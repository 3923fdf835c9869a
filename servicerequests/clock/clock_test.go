package clock_test

import (
	"testing"
	"time"

	"safemode/servicerequests/clock"
)

func TestClock(t *testing.T) {
	anchor := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		clock   clock.Clock
		instant time.Time // real
		want    time.Time
	}{
		{"zero is real time", clock.Clock{}, anchor.Add(time.Hour), anchor.Add(time.Hour)},
		{"speed 1 is real time", clock.Clock{Anchor: anchor.Add(-time.Hour), Speed: 1}, anchor, anchor},
		{"at the anchor both agree", clock.Clock{Anchor: anchor, Speed: 600}, anchor, anchor},
		{"faster after it", clock.Clock{Anchor: anchor, Speed: 600}, anchor.Add(time.Second), anchor.Add(10 * time.Minute)},
		{"slower than real time", clock.Clock{Anchor: anchor, Speed: 0.5}, anchor.Add(time.Minute), anchor.Add(30 * time.Second)},
	} {
		if got := c.clock.At(c.instant); !got.Equal(c.want) {
			t.Errorf("%s: At = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestRealNeverVanishes(t *testing.T) {
	fast := clock.Clock{Speed: 600}
	for span, want := range map[time.Duration]time.Duration{
		10 * time.Minute: time.Second,
		time.Nanosecond:  time.Nanosecond, // not zero: a loop that waits must wait
		0:                0,
		-time.Second:     -time.Second,
	} {
		if got := fast.Real(span); got != want {
			t.Errorf("Real(%v) = %v, want %v", span, got, want)
		}
	}
}

func TestShowing(t *testing.T) {
	instant := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for _, begin := range []time.Time{instant, instant.AddDate(0, 3, 0), instant.AddDate(-1, 0, 0)} {
		for _, speed := range []float64{0.5, 60, 600} {
			c := clock.Showing(begin, instant, speed)
			near := func(got, want time.Time) bool { return got.Sub(want).Abs() < time.Second }
			after := begin.Add(time.Duration(speed * float64(time.Minute)))
			if !near(c.At(instant), begin) || !near(c.At(instant.Add(time.Minute)), after) {
				t.Errorf("%v at %g: shows %v, a minute later %v", begin, speed, c.At(instant), c.At(instant.Add(time.Minute)))
			}
		}
	}
}

func TestWorkingDay(t *testing.T) {
	at := func(text string) time.Time {
		u, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, c := range []struct {
		instant  string
		later    int
		from, to string
		working  bool
	}{
		{"2026-11-23T18:00:00Z", 0, "2026-11-23T09:00:00Z", "2026-11-23T16:00:00Z", true},  // a Monday
		{"2026-11-23T18:00:00Z", 5, "2026-11-28T09:00:00Z", "2026-11-28T16:00:00Z", false}, // Saturday
		{"2026-07-13T23:30:00Z", 0, "2026-07-14T08:00:00Z", "2026-07-14T15:00:00Z", true},  // Tuesday there, in summer time
		{"2026-03-28T12:00:00Z", 2, "2026-03-30T08:00:00Z", "2026-03-30T15:00:00Z", true},  // summer time began on Sunday
	} {
		from, to, working := clock.WorkingDay(at(c.instant), c.later, 9*time.Hour, 16*time.Hour)
		if !from.Equal(at(c.from)) || !to.Equal(at(c.to)) || working != c.working {
			t.Errorf("%s and %d days: %v to %v, working %v", c.instant, c.later, from, to, working)
		}
	}
}
