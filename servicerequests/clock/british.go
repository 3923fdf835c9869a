package clock

import (
	"sync"
	"time"
	_ "time/tzdata" // British time is the same on every machine
)

// British returns the time zone of Great Britain.
var British = sync.OnceValue(func() *time.Location {
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		return time.UTC // cannot be: the zones are linked in
	}
	return zone
})

// CutOffDay returns what clocks in Great Britain show at two times of a day, in UTC: the
// day of an instant there, or so many days later. CutsOff says whether homes without credit
// are cut off on it: any day but Sunday. Published calendars cut off on Saturdays. Bank
// holidays count, because what is taken to happen too early harms nobody.
func CutOffDay(instant time.Time, later int, first, second time.Duration) (from, to time.Time, cutsOff bool) {
	local := instant.In(British())
	at := func(d time.Duration) time.Time {
		return time.Date(local.Year(), local.Month(), local.Day()+later, 0, 0, int(d/time.Second), 0, British())
	}
	return at(first).UTC(), at(second).UTC(), at(12*time.Hour).Weekday() != time.Sunday
}
