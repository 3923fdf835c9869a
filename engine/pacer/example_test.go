package pacer_test

import (
	"fmt"
	"time"

	"safemode/engine/pacer"
	"safemode/servicerequests"
)

// Two requests a second with a burst of two, and a region that lets one a second through: a
// request takes a place in both, or in none.
func ExamplePacer_Take() {
	p, err := pacer.New(pacer.Limits{
		User:   pacer.Limit{PerSecond: 2, Burst: 2},
		Region: map[servicerequests.Region]pacer.Limit{servicerequests.North: {PerSecond: 1}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	user, north := pacer.User(0x90B3D51F30010000), pacer.Region(servicerequests.North)
	now := time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	for range 3 {
		ok, wait := p.Take(now, user, north)
		fmt.Println(now.Format(time.TimeOnly), ok, wait)
		now = now.Add(wait)
	}
	ok, _ := p.Take(now, user, pacer.Region(servicerequests.South)) // has no limit: it is closed
	fmt.Println("South:", ok)
	// Output:
	// 03:00:00 true 0s
	// 03:00:00 false 1s
	// 03:00:01 true 0s
	// South: false
}
