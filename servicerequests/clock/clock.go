// Package clock is the time that a sweep or a simulator runs on: real time, or
// a rehearsal's time that runs faster by a constant factor from an anchor on.
// It is a value; two clocks with the same anchor and speed agree.
package clock

import "time"

// Clock shows Anchor at the real instant Anchor, and from then on runs Speed
// times as fast as real time. The zero Clock is real time.
type Clock struct {
	Anchor time.Time
	Speed  float64 // over 0; 0 means 1
}

// Now returns this clock's time, in UTC.
func (c Clock) Now() time.Time { return c.At(time.Now()) }

// At returns what this clock shows at a real instant.
func (c Clock) At(instant time.Time) time.Time {
	if !c.scaled() {
		return instant.UTC()
	}
	return c.Anchor.Add(time.Duration(float64(instant.Sub(c.Anchor)) * c.Speed)).UTC()
}

// Real returns how long a span of this clock lasts in real time. A positive
// span never becomes zero.
func (c Clock) Real(span time.Duration) time.Duration {
	if !c.scaled() || span <= 0 {
		return span
	}
	return max(1, time.Duration(float64(span)/c.Speed))
}

func (c Clock) scaled() bool { return c.Speed > 0 && c.Speed != 1 }

// Showing returns a clock of this speed, other than 1, that shows begin at a real
// instant. Its anchor is where it agrees with real time.
func Showing(begin, instant time.Time, speed float64) Clock {
	return Clock{Anchor: instant.Add(time.Duration(float64(instant.Sub(begin)) / (speed - 1))), Speed: speed}
}
