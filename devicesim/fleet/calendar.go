package fleet

import (
	"time"

	"safemode/servicerequests/clock"
)

// Calendar is a non-disablement calendar: while it is on, lack of credit does
// not disable the supply. Hours and days are what clocks in Great Britain show, also
// in summer (assumption: suppliers publish them so; a meter itself counts in UTC).
type Calendar struct {
	Until, From int  // on before hour Until and from hour From on, every day
	Sunday      bool // on all of Sunday
}

// The calendars of the catalogue. The first follows a published one (Monday to
// Friday 18:00 to 09:00, all Sunday), without its longer Saturday: it cuts off from
// Monday to Saturday between 09:00 and 18:00. The second cuts off every day between
// 10:00 and 16:00.
var (
	eveningsAndSundays = Calendar{Until: 9, From: 18, Sunday: true}
	nights             = Calendar{Until: 10, From: 16}
)

// Suspends says whether disablement is suspended at t.
func (c Calendar) Suspends(t time.Time) bool {
	t = t.In(clock.British())
	if c.Sunday && t.Weekday() == time.Sunday {
		return true
	}
	return t.Hour() < c.Until || t.Hour() >= c.From
}

// Ends returns when the suspension that holds at t ends, t itself if none holds;
// ok is false if it never does.
func (c Calendar) Ends(t time.Time) (at time.Time, ok bool) {
	if !c.Suspends(t) {
		return t, true
	}
	local := t.In(clock.British())
	for day := range 3 { // today, tomorrow, or the day after a Sunday
		at = time.Date(local.Year(), local.Month(), local.Day()+day, c.Until, 0, 0, 0, clock.British())
		if at.After(t) && !c.Suspends(at) {
			return at.UTC(), true
		}
	}
	return t, false
}
