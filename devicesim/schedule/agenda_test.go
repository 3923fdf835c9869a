package schedule_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"safemode/devicesim/schedule"
	"safemode/servicerequests/clock"

	"github.com/google/go-cmp/cmp"
)

// run starts the agenda and stops it, with everything it started, at the end
// of the bubble.
func run(t *testing.T, a *schedule.Agenda) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { a.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func TestDoneInOrderOfTimeThenArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := schedule.New(clock.Clock{})
		start := time.Now()
		var done []string
		note := func(name string) func() { return func() { done = append(done, name) } }
		a.At(start.Add(2*time.Hour), note("later"))
		a.At(start.Add(time.Hour), note("first"))
		a.At(start.Add(time.Hour), note("second"))
		a.At(start.Add(-time.Hour), note("overdue"))
		run(t, a)

		time.Sleep(time.Hour)
		synctest.Wait()
		if diff := cmp.Diff([]string{"overdue", "first", "second"}, done); diff != "" {
			t.Errorf("after one hour (-want +got):\n%s", diff)
		}
		if a.Len() != 1 {
			t.Errorf("%d entries wait, want 1", a.Len())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(done) != 4 {
			t.Errorf("after two hours: %v", done)
		}
	})
}

func TestEarlierEntryOvertakesTheOneWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := schedule.New(clock.Clock{})
		run(t, a)
		start := time.Now()
		var at time.Duration
		a.At(start.Add(24*time.Hour), func() {})
		synctest.Wait()
		a.At(start.Add(time.Minute), func() { at = time.Since(start) })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if at != time.Minute {
			t.Errorf("done after %v, want 1m", at)
		}
	})
}

func TestEntriesMayAddEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := schedule.New(clock.Clock{})
		run(t, a)
		steps := 0
		var step func()
		step = func() {
			if steps++; steps < 1000 {
				a.At(time.Now().Add(time.Second), step)
			}
		}
		a.At(time.Now(), step)
		time.Sleep(1000 * time.Second)
		synctest.Wait()
		if steps != 1000 {
			t.Errorf("%d steps, want 1000", steps)
		}
	})
}

func TestFastClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fast := clock.Clock{Anchor: time.Now(), Speed: 60}
		a := schedule.New(fast)
		run(t, a)
		start := time.Now()
		var at time.Duration
		a.At(fast.Now().Add(time.Hour), func() { at = time.Since(start) })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if at < time.Minute || at > time.Minute+time.Millisecond {
			t.Errorf("an hour at speed 60 took %v of real time, want 1m", at)
		}
	})
}

func TestStopLeavesTheRestUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := schedule.New(clock.Clock{})
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() { a.Run(ctx); close(stopped) }()
		done := false
		a.At(time.Now().Add(time.Minute), func() { done = true })
		synctest.Wait()
		cancel()
		<-stopped
		time.Sleep(time.Hour)
		if done {
			t.Error("an entry was done after the stop")
		}
	})
}

func BenchmarkAt(b *testing.B) {
	a := schedule.New(clock.Clock{})
	start := time.Now().Add(time.Hour)
	nothing := func() {}
	for b.Loop() {
		a.At(start, nothing)
	}
}
