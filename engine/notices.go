package engine

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// In real time.
const (
	lookEvery = time.Second
	// lastWords is how long the end of a run waits until people have been told how it ended.
	// Notices that no channel has taken by then are sent at the next start.
	lastWords = 5 * time.Second
)

// every calls do again and again, with a pause of real time before each call, until ctx ends.
func every(ctx context.Context, pause time.Duration, do func()) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			do()
		}
	}
}

// tellPeople sends notices of what needs people, until the function that it returns is called.
// That looks at the status a last time, after the run has ended. Notices and core share nothing
// but the status.
func (e *Engine) tellPeople(ctx context.Context) (stop func()) {
	notifier := e.o.Notices
	if notifier == nil {
		return func() {}
	}
	look := func() {
		st := e.Status()
		notifier.Look(&st)
	}
	telling, end := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { notifier.Run(telling) })
	running.Go(func() { every(telling, lookEvery, look) })
	return func() {
		look()
		last, cancel := context.WithTimeout(telling, lastWords)
		defer cancel()
		if n := notifier.Settle(last); n > 0 {
			e.o.Log.Warn("not everybody was told: it is told at the next start, or by safemode notify send", zap.Int("waiting", n))
		}
		end()
		running.Wait()
	}
}
