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

// tellPeople has people told of what needs them, until the function that it returns is
// called: that looks once more, at how the run has ended. It shares nothing with the core
// but the status, which the core leaves for whoever wants it.
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
	running.Go(func() {
		ticker := time.NewTicker(lookEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				look()
			case <-telling.Done():
				return
			}
		}
	})
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
