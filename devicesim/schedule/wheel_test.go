package schedule_test

import (
	"slices"
	"testing"
	"time"

	"safemode/devicesim/schedule"

	"pgregory.net/rapid"
)

// A wheel against a list of when each thing is due.
func TestWheel(t *testing.T) {
	const things, slots, width = 12, 8, 10 * time.Second
	begin := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		w := schedule.NewWheel(things, slots, width, begin)
		due := map[int]time.Time{}
		turn := begin
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			thing := rapid.IntRange(0, things-1).Draw(t, "thing")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				due[thing] = turn.Add(time.Duration(rapid.Int64Range(-20, 150).Draw(t, "ahead")) * time.Second)
				w.Put(thing, due[thing])
			case 2:
				delete(due, thing)
				w.Remove(thing)
			default:
				if !w.Ends().Equal(turn.Add(width)) {
					t.Fatalf("slot ends %v, want %v", w.Ends(), turn.Add(width))
				}
				var want []int
				for thing, at := range due {
					// A thing that lay beyond the ring when it was put may come early, never late.
					if at.Before(turn.Add(width)) {
						want = append(want, thing)
					}
				}
				got := w.Turn(nil)
				turn = turn.Add(width)
				for _, thing := range got {
					if at, there := due[thing]; !there {
						t.Fatalf("%d is due and should not be", thing)
					} else if !at.Before(turn) {
						w.Put(thing, at) // as its user does
						continue
					}
					delete(due, thing)
				}
				got = slices.DeleteFunc(got, func(thing int) bool { _, again := due[thing]; return again })
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(want, got) {
					t.Fatalf("at %v: %v is due, want %v", turn, got, want)
				}
			}
		}
	})
}
