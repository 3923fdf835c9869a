package rehearsal

import (
	"cmp"
	"time"

	"safemode/servicerequests/clock"
)

// NewClock starts a rehearsal's clock: at begin, or now where that is zero. With
// speed 0 it jumps.
func NewClock(begin time.Time, speed float64) clock.Clock {
	now := time.Now().UTC()
	c := clock.Clock{Anchor: now.Truncate(time.Millisecond), Speed: cmp.Or(speed, jumpingSpeed)}
	if !begin.IsZero() {
		c = clock.Showing(begin, now, c.Speed)
	}
	if speed == 0 {
		return c.Jumping()
	}
	return c.Start(time.Time{})
}

// jumpingSpeed is how fast a jumping clock runs where it cannot jump, for something waits for
// real time; and what a span of real time counts by it.
const jumpingSpeed = 600
