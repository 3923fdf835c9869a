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
	// lastWords is how long the end of a run waits for people to be told how it ended. What
	// is not taken by then is told at the next start.
	lastWords = 5 * time.Second
)

// every does something again and again, with a pause of real time before each, until ctx ends.
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

// tellPeople has people told of what needs them, until the function that it returns is
// called: that looks once more, at how the run has ended. It shares nothing with the core
// but the status, which the core leaves for whoever wants it.
func (e *Engine) tellPeople(ctx context.Context) (stop func()) {
	desk := e.o.Notices
	if desk == nil {
		return func() {}
	}
	look := func() {
		st := e.Status()
		desk.Look(&st)
	}
	telling, end := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { desk.Run(telling) })
	running.Go(func() { every(telling, lookEvery, look) })
	return func() {
		look()
		last, cancel := context.WithTimeout(telling, lastWords)
		defer cancel()
		if n := desk.Settle(last); n > 0 {
			e.o.Log.Warn("not everybody was told: it is told at the next start, or by safemode notify send", zap.Int("waiting", n))
		}
		end()
		running.Wait()
	}
}
