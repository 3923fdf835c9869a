package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"safemode/engine"
	"safemode/engine/record"
)

// service tells systemd how a program of its own is, where systemd started it
// (NOTIFY_SOCKET); elsewhere it does nothing.
type service struct {
	status func() string // in a line
	alive  func() error  // feeds the watchdog while it gives none
}

// served tells systemd how a sweep is, from when it stands by or has begun.
type served struct {
	io     stdio
	status atomic.Pointer[record.Status] // of one that stands by
	engine atomic.Pointer[engine.Engine] // once it has begun
	stop   func()                        // nil: nothing was told yet
}

// standsBy says for whom the sweep stands by.
func (s *served) standsBy(ctx context.Context, st record.Status) {
	if s.status.Swap(&st) == nil {
		printIdentity(s.io.err, &st)
		s.run(ctx)
	}
	fmt.Fprintf(s.io.err, "%s; it goes on with the sweep when that one ends or its lease does\n", st.Reason)
}

// begins says how the engine is from now on.
func (s *served) begins(ctx context.Context, e *engine.Engine) {
	if s.engine.Store(e); s.stop == nil {
		s.run(ctx)
	}
}

func (s *served) run(ctx context.Context) {
	s.stop = service{
		status: func() string {
			if e := s.engine.Load(); e != nil {
				return statusLine(e.Status())
			}
			return statusLine(*s.status.Load())
		},
		alive: func() error {
			if e := s.engine.Load(); e != nil {
				return e.Turning()
			}
			return nil
		},
	}.run(ctx)
}

// ends says that the sweep's process ends.
func (s *served) ends() {
	if s.stop != nil {
		s.stop()
	}
}

// statusEvery is how often the line is renewed.
const statusEvery = 5 * time.Second

// run says that it is ready, and how it is until the function that it returns is called:
// then that it stops. It never waits for systemd.
func (s service) run(ctx context.Context) (stop func()) {
	if told, err := daemon.SdNotify(false, daemon.SdNotifyReady); !told || err != nil {
		return func() {}
	}
	every := statusEvery
	interval, _ := daemon.SdWatchdogEnabled(false) // a broken setting: systemd sets none
	if interval > 0 {
		every = min(every, interval/3)
	}
	telling, end := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			state := "STATUS=" + s.status()
			if interval > 0 && s.alive() == nil {
				state += "\n" + daemon.SdNotifyWatchdog
			}
			_, _ = daemon.SdNotify(false, state) // systemd that does not listen sees no watchdog
			select {
			case <-ticker.C:
			case <-telling.Done():
				return
			}
		}
	})
	return func() {
		end()
		running.Wait()
		_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping+"\nSTATUS="+s.status())
	}
}
