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
