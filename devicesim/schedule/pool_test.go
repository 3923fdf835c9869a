package schedule_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"safemode/devicesim/schedule"
	"safemode/servicerequests/clock"
)

func TestPoolWorksAtOnceOnWorkersJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := schedule.NewPool(clock.Clock{}, 2)
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() { p.Run(ctx); close(stopped) }()
		var done atomic.Int64
		for range 6 {
			p.Do(func() { time.Sleep(time.Second); done.Add(1) })
		}
		time.Sleep(2500 * time.Millisecond)
		if n := done.Load(); n != 4 {
			t.Errorf("%d jobs done in 2.5 s, want 4", n)
		}
		cancel()
		<-stopped
		if n := done.Load(); n != 6 {
			t.Errorf("%d jobs done at the stop, want 6: those in hand are finished", n)
		}
		p.Do(func() { t.Error("a job was done after the stop") })
		for range 1000 { // more than may wait: a stopped pool never blocks
			p.Do(func() {})
		}
	})
}
