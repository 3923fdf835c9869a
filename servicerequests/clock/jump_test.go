package clock_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"safemode/servicerequests/clock"
)

var six = time.Date(2027, 1, 13, 6, 0, 0, 0, time.UTC)

func jumping(t *testing.T) clock.Clock {
	t.Helper()
	c := clock.Showing(six, time.Now(), 600).Jumping()
	if !c.Jumps() || c.Now().Sub(six).Abs() > time.Second {
		t.Fatalf("it shows %v", c.Now())
	}
	return c
}

// Nobody drives it: time stands still, whatever waits.
func TestStandsStillUntilItIsDriven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := jumping(t)
		began := c.Now()
		timer := c.NewTimer()
		timer.Reset(began.Add(time.Hour))
		time.Sleep(time.Hour)
		if !c.Now().Equal(began) {
			t.Errorf("it went on to %v", c.Now())
		}
		park := c.Drive()
		<-timer.C
		if got := c.Now().Sub(began); got != time.Hour {
			t.Errorf("the timer fired after %v", got)
		}
		park()
		timer.Stop()
		if time.Sleep(time.Hour); c.Now().Sub(began) != time.Hour {
			t.Errorf("parked, it went on to %v", c.Now())
		}
	})
}

// Each of many sleepers wakes exactly when it wanted, in order, in no real time; and while one
// works, for however long, the clock shows the time at which it woke.
func TestJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := jumping(t)
		began, real := c.Now(), time.Now()
		var mu sync.Mutex
		var woke []time.Duration
		var workers sync.WaitGroup
		for range 50 {
			c.Begin()
			workers.Go(func() {
				defer c.End()
				for range 20 {
					until := c.Now().Add(time.Duration(1 + rand.Int64N(int64(time.Hour))))
					if err := c.Sleep(t.Context(), until); err != nil {
						t.Error(err)
					}
					if at := c.Now(); !at.Equal(until) {
						t.Errorf("woke at %v, wanted %v", at, until)
					}
					time.Sleep(time.Duration(rand.Int64N(int64(time.Millisecond)))) // work
					if at := c.Now(); !at.Equal(until) {
						t.Errorf("it went on to %v while there was work", at)
					}
					mu.Lock()
					woke = append(woke, until.Sub(began))
					mu.Unlock()
				}
			})
		}
		defer c.Drive()()
		workers.Wait()
		if len(woke) != 1000 || !slices.IsSorted(woke) {
			t.Errorf("%d woke, in order: %t", len(woke), slices.IsSorted(woke))
		}
		if took := time.Since(real); took > 2*time.Second || c.Overdue() != 0 {
			t.Errorf("it took %v, overdue %d times", took, c.Overdue())
		}
	})
}

// A timer that has fired holds the clock until it is set again.
func TestTimerHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := jumping(t)
		defer c.Drive()()
		c.Begin()
		began := c.Now()
		mine, other := c.NewTimer(), c.NewTimer()
		mine.Reset(began.Add(time.Minute))
		other.Reset(began.Add(2 * time.Minute))
		c.End()
		<-mine.C
		synctest.Wait()
		select {
		case <-other.C:
			t.Error("it went on though the timer that has fired is not set again")
		default:
		}
		mine.Reset(began.Add(3 * time.Minute))
		<-other.C
		if got := c.Now().Sub(began); got != 2*time.Minute {
			t.Errorf("the second fired after %v", got)
		}
		mine.Stop()
		other.Stop()
	})
}

func TestAfterFunc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := jumping(t)
		defer c.Drive()()
		c.Begin()
		began, called := c.Now(), make(chan time.Duration, 2)
		c.AfterFunc(began.Add(time.Hour), func() {
			time.Sleep(time.Second)
			called <- c.Now().Sub(began)
		})
		c.AfterFunc(began.Add(time.Minute), func() { t.Error("it was stopped") }).Stop()
		c.AfterFunc(began.Add(2*time.Hour), func() { called <- c.Now().Sub(began) })
		c.End()
		if first, second := <-called, <-called; first != time.Hour || second != 2*time.Hour {
			t.Errorf("called at %v and %v", first, second)
		}
	})
}

// Who waits for real time finds that the clock runs at its speed, and stands still at timers
// and under work all the same.
func TestSteady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := jumping(t)
		done := c.Steady()
		defer c.Drive()()
		began, real := c.Now(), time.Now()
		timer := c.NewTimer()
		timer.Reset(began.Add(time.Hour))
		time.Sleep(time.Second)
		if got := c.Now().Sub(began); got < 599*time.Second || got > 601*time.Second {
			t.Errorf("a second made %v", got)
		}
		<-timer.C
		if took := time.Since(real); c.Now().Sub(began) != time.Hour || took < 5900*time.Millisecond || took > 6100*time.Millisecond {
			t.Errorf("an hour is over at %v, after %v", c.Now(), took)
		}
		if time.Sleep(5 * time.Second); c.Now().Sub(began) != time.Hour {
			t.Error("it went on though the timer that has fired is not set again")
		}
		timer.Reset(began.Add(10 * time.Hour))
		done()
		<-timer.C
		if took := time.Since(real); took > 12*time.Second {
			t.Errorf("it did not jump: %v", took)
		}
		timer.Stop()
	})
}

// Work that waits for what others do lets the clock move meanwhile.
func TestApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := jumping(t)
		c.Begin()
		began, news := c.Now(), make(chan struct{})
		c.AfterFunc(began.Add(time.Minute), func() { close(news) })
		defer c.Drive()()
		c.Apart(func() { <-news })
		if got := c.Now().Sub(began); got != time.Minute {
			t.Errorf("heard after %v", got)
		}
		c.End()
	})
}

// A sleep that is cut short, and work that never ends, do not stop a rehearsal for good.
func TestWorkThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := jumping(t)
		defer c.Drive()()
		c.Begin()
		cut, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("cut")
		done := c.Steady()
		go func() { time.Sleep(time.Second); cancel(reason) }()
		if err := c.Sleep(cut, c.Now().Add(24*time.Hour)); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		done()
		began, real := c.Now(), time.Now()
		timer := c.NewTimer()
		timer.Reset(began.Add(time.Hour))
		<-timer.C
		if took := time.Since(real); c.Overdue() != 1 || took < 10*time.Second || took > 30*time.Second {
			t.Errorf("overdue %d times, %v", c.Overdue(), took)
		}
		timer.Stop()
	})
}

// Any other clock has the same methods, and they cost nothing.
func TestOtherClocksDoNotJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.Clock{Anchor: time.Now(), Speed: 60}.Start(time.Time{})
		c.Begin()
		defer c.Drive()()
		defer c.Steady()()
		real := time.Now()
		if err := c.Sleep(t.Context(), c.Now().Add(time.Hour)); err != nil || time.Since(real).Round(time.Millisecond) != time.Minute {
			t.Errorf("%v, an hour took %v", err, time.Since(real))
		}
		timer, called := c.NewTimer(), make(chan struct{})
		timer.Reset(c.Now().Add(time.Hour))
		<-timer.C
		c.AfterFunc(c.Now().Add(time.Hour), func() { close(called) })
		<-called
		if took := time.Since(real).Round(time.Millisecond); took != 3*time.Minute {
			t.Errorf("three hours took %v", took)
		}
	})
}
