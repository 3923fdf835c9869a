// Package clock is the time that a sweep or a simulator runs on: real time, or the time of
// a rehearsal, which starts at an anchor and runs faster by a constant factor. It is a value; two
// clocks with the same anchor and speed agree.
//
// A clock that was started counts by monotonic time from its start: a step of the machine's
// clock, back or forward, does not move it. [Clock.Wall] is the machine's clock itself, as it is
// set; dates, for example of certificates, are compared with that. Monotonic time stands still
// while the machine is suspended.
package clock

import "time"

// Clock shows Anchor at the real instant Anchor, and from then on runs Speed
// times as fast as real time. The zero Clock is real time.
type Clock struct {
	Anchor time.Time
	Speed  float64 // over 0; 0 means 1

	// Set by Start: what the clock showed at a real instant. Zero: it follows the
	// machine's clock.
	real, shown time.Time

	jump *jump // set by Jumping
}

// Start returns this clock started, now, or where it was started before. It shows no
// time before notBefore: one that goes on from records must not show a time before
// theirs, whatever the machine's clock says today.
func (c Clock) Start(notBefore time.Time) Clock {
	if c.jump != nil {
		c.jump.notBefore(notBefore)
		return c
	}
	now := time.Now()
	shown := c.At(now)
	if c.real.IsZero() || shown.Before(notBefore) {
		if shown.Before(notBefore) {
			shown = notBefore.Round(0).UTC()
		}
		c.real, c.shown = now, shown
	}
	return c
}

// Now returns this clock's time, in UTC and without a monotonic reading: times of before
// a restart and of after it compare alike.
func (c Clock) Now() time.Time {
	if c.jump != nil {
		return c.jump.show()
	}
	return c.At(time.Now())
}

// Wall returns what this clock would show by the machine's clock as it is set now, in
// UTC: for what has a date, not for measuring.
func (c Clock) Wall() time.Time {
	if c.jump != nil {
		return c.jump.show()
	}
	return Clock{Anchor: c.Anchor.Round(0), Speed: c.Speed}.At(time.Now().Round(0))
}

// At returns what this clock shows at a real instant; a jumping one, if it runs at its speed
// until then.
func (c Clock) At(instant time.Time) time.Time {
	if c.jump != nil {
		return c.jump.show().Add(c.Span(time.Until(instant)))
	}
	shown := instant
	switch {
	case !c.real.IsZero():
		shown = c.shown.Add(c.Span(instant.Sub(c.real)))
	case c.scaled():
		shown = c.Anchor.Add(c.Span(instant.Sub(c.Anchor)))
	}
	return shown.Round(0).UTC()
}

// Real returns how long a span of this clock lasts in real time. A positive
// span never becomes zero.
func (c Clock) Real(span time.Duration) time.Duration {
	if !c.scaled() || span <= 0 {
		return span
	}
	return max(1, time.Duration(float64(span)/c.Speed))
}

// Span returns how far this clock goes in a span of real time.
func (c Clock) Span(real time.Duration) time.Duration {
	if !c.scaled() {
		return real
	}
	return time.Duration(float64(real) * c.Speed)
}

func (c Clock) scaled() bool { return c.Speed > 0 && c.Speed != 1 }

// Showing returns a clock of this speed, other than 1, that shows begin at a real
// instant. Its anchor is where it agrees with real time.
func Showing(begin, instant time.Time, speed float64) Clock {
	return Clock{Anchor: instant.Add(time.Duration(float64(instant.Sub(begin)) / (speed - 1))), Speed: speed}
}
