package plan

import (
	"time"
	_ "time/tzdata" // the window ends by British time on every machine
)

// NextWindow returns the earliest and the latest end of the first non-disablement
// window that ends after an instant: times of day in Great Britain, Monday to
// Friday. Bank holidays count as working days: a deadline that is too early harms
// nobody.
//
// That windows end between 09:00 and 11:00 is an assumption from what two suppliers
// tell their customers: every meter has a calendar of its own.
func NextWindow(after time.Time, first, last time.Duration) []time.Time {
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		zone = time.UTC // cannot be: the zones are linked in
	}
	local := after.In(zone)
	for day := 0; ; day++ {
		at := func(d time.Duration) time.Time {
			return time.Date(local.Year(), local.Month(), local.Day()+day, 0, int(d/time.Minute), 0, 0, zone).UTC()
		}
		if weekday := at(12 * time.Hour).Weekday(); weekday != time.Saturday && weekday != time.Sunday && at(first).After(after) {
			return []time.Time{at(first), at(last)}
		}
	}
}
