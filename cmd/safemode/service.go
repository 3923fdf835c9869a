package main

import (
	"context"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// service tells systemd how a program of its own is, where systemd started it
// (NOTIFY_SOCKET); elsewhere it does nothing.
type service struct {
	status func() string // in a line
	alive  func() error  // feeds the watchdog while it gives none
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
