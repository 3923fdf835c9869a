package clock_test

import (
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

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

func TestCutOffDay(t *testing.T) {
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
		cutsOff  bool
	}{
		{"2026-11-23T18:00:00Z", 0, "2026-11-23T09:00:00Z", "2026-11-23T16:00:00Z", true},  // a Monday
		{"2026-11-23T18:00:00Z", 5, "2026-11-28T09:00:00Z", "2026-11-28T16:00:00Z", true},  // Saturday
		{"2026-11-23T18:00:00Z", 6, "2026-11-29T09:00:00Z", "2026-11-29T16:00:00Z", false}, // Sunday
		{"2026-07-13T23:30:00Z", 0, "2026-07-14T08:00:00Z", "2026-07-14T15:00:00Z", true},  // Tuesday there, in summer time
		{"2026-03-28T12:00:00Z", 2, "2026-03-30T08:00:00Z", "2026-03-30T15:00:00Z", true},  // summer time began on Sunday
	} {
		from, to, cutsOff := clock.CutOffDay(at(c.instant), c.later, 9*time.Hour, 16*time.Hour)
		if !from.Equal(at(c.from)) || !to.Equal(at(c.to)) || cutsOff != c.cutsOff {
			t.Errorf("%s and %d days: %v to %v, cuts off %v", c.instant, c.later, from, to, cutsOff)
		}
	}
}

// stepped is an instant as the machine tells it after its clock was set by so many
// seconds: the wall time is another, the monotonic reading the same. Package time has no
// way to say so; it keeps the seconds of such an instant over 30 bits of nanoseconds.
func stepped(t *testing.T, instant time.Time, seconds int64) time.Time {
	t.Helper()
	after := instant
	*(*uint64)(unsafe.Pointer(&after)) += uint64(seconds << 30)
	if after.Sub(instant) != 0 || after.Round(0).Sub(instant.Round(0)) != time.Duration(seconds)*time.Second {
		t.Fatalf("package time has changed: %v was not stepped to %v", instant, after)
	}
	return after
}

// A step of the machine's clock does not move a clock that was started, and what it
// shows compares with what was read from a file.
func TestStepOfTheMachinesClock(t *testing.T) {
	for _, speed := range []float64{0, 1, 0.5, 600} {
		for _, seconds := range []int64{-3600, 3600} {
			c := clock.Clock{Anchor: time.Now().Add(-time.Minute), Speed: speed}.Start(time.Time{})
			now := time.Now()
			if before, after := c.At(now), c.At(stepped(t, now, seconds)); before != after {
				t.Errorf("speed %g, a step of %d s moves it from %v to %v", speed, seconds, before, after)
			}
			shown := c.Now()
			if read := time.Unix(0, shown.UnixNano()).UTC(); shown != read {
				t.Errorf("speed %g: %#v is not what is read again, %#v", speed, shown, read)
			}
		}
	}
	now := time.Now()
	if shown := (clock.Clock{}).At(now); shown != now.Round(0).UTC() {
		t.Errorf("the zero clock shows %#v at %v", shown, now)
	}
}

// A clock that goes on from records shows nothing before them, and does not stand still.
func TestStartNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, speed := range []float64{1, 60} {
			anchor := time.Now()
			unstarted := clock.Clock{Anchor: anchor, Speed: speed}
			c := unstarted.Start(anchor.Add(time.Hour))
			if got := c.Now(); !got.Equal(anchor.Add(time.Hour)) {
				t.Errorf("speed %g: begins at %v", speed, got)
			}
			if got := c.Wall(); !got.Equal(anchor) {
				t.Errorf("speed %g: the wall shows %v", speed, got)
			}
			time.Sleep(time.Minute)
			later := anchor.Add(time.Duration(speed) * time.Minute)
			if got := c.Now(); !got.Equal(later.Add(time.Hour)) {
				t.Errorf("speed %g: after a minute %v", speed, got)
			}
			if got := c.Wall(); !got.Equal(later) {
				t.Errorf("speed %g: after a minute the wall shows %v", speed, got)
			}
			if again := c.Start(later); again != c {
				t.Errorf("speed %g: started again from what is past: %+v", speed, again)
			}
			if got := unstarted.Start(anchor).Now(); !got.Equal(later) {
				t.Errorf("speed %g: started later, from what is past: %v", speed, got)
			}
		}
	})
}

// Both sides of a rehearsal agree, whenever each starts.
func TestStartedClocksAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		anchor := time.Now()
		for _, speed := range []float64{1, 0.5, 60, 600} {
			first := clock.Clock{Anchor: anchor, Speed: speed}.Start(time.Time{})
			time.Sleep(17*time.Minute + 123456789)
			second := clock.Clock{Anchor: anchor.Round(0), Speed: speed}.Start(time.Time{})
			time.Sleep(72 * time.Hour)
			if apart := first.Now().Sub(second.Now()).Abs(); apart > time.Microsecond {
				t.Errorf("speed %g: %v apart", speed, apart)
			}
		}
	})
}
