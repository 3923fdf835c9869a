package plan

import (
	"time"

	"safemode/servicerequests/clock"
)

// NextWindow returns the earliest and the latest end of the first non-disablement
// window that ends after an instant: times of day in Great Britain, on any day but
// Sunday.
//
// That windows end between 09:00 and 11:00 is an assumption from what two suppliers
// tell their customers: every meter has a calendar of its own.
func NextWindow(after time.Time, first, last time.Duration) []time.Time {
	for day := 0; ; day++ {
		if from, to, cutsOff := clock.CutOffDay(after, day, first, last); cutsOff && from.After(after) {
			return []time.Time{from, to}
		}
	}
}
