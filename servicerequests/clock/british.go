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

// WorkingDay returns what clocks in Great Britain show at two times of a day, in UTC:
// the day of an instant there, or so many days later. Working says whether it is one from
// Monday to Friday; bank holidays count, because what is taken to happen too early
// harms nobody.
func WorkingDay(instant time.Time, later int, first, second time.Duration) (from, to time.Time, working bool) {
	local := instant.In(British())
	at := func(d time.Duration) time.Time {
		return time.Date(local.Year(), local.Month(), local.Day()+later, 0, 0, int(d/time.Second), 0, British())
	}
	weekday := at(12 * time.Hour).Weekday()
	return at(first).UTC(), at(second).UTC(), weekday != time.Saturday && weekday != time.Sunday
}
