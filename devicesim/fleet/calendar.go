package fleet

import "time"

// Calendar is a non-disablement calendar: while it is on, lack of credit does
// not disable the supply. Hours are UTC, as a meter's clock has it.
type Calendar struct {
	Until, From int  // on before hour Until and from hour From on, every day
	Sunday      bool // on all of Sunday
}

// The calendars of the catalogue. The first follows a published one (Monday to
// Friday 18:00 to 09:00, all Sunday), without its longer Saturday.
var (
	eveningsAndSundays = Calendar{Until: 9, From: 18, Sunday: true}
	nights             = Calendar{Until: 10, From: 16}
)

// Suspends says whether disablement is suspended at t.
func (c Calendar) Suspends(t time.Time) bool {
	t = t.UTC()
	if c.Sunday && t.Weekday() == time.Sunday {
		return true
	}
	return t.Hour() < c.Until || t.Hour() >= c.From
}
