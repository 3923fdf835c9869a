package engine_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"safemode/engine"
	"safemode/engine/direction"
	"safemode/engine/pacer"
	"safemode/engine/sweep"
	"safemode/servicerequests"
)

var longStalls = flag.Bool("long-stalls", false, "have what stands still in the tests of the door do so for half a minute")

// arrivals is when each POST had arrived as a whole.
type arrivals struct {
	mu sync.Mutex
	at []time.Time
}

// note stands before a front that takes POSTs.
func (a *arrivals) note(front http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			a.mu.Lock()
			a.at = append(a.at, time.Now())
			a.mu.Unlock()
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		front.ServeHTTP(w, r)
	})
}

func (a *arrivals) all() []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.SortedFunc(slices.Values(a.at), time.Time.Compare)
}

// await waits until so many have come in all.
func (a *arrivals) await(t *testing.T, n int) {
	t.Helper()
	for begun := time.Now(); len(a.all()) < n; time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("%d POSTs in a minute, want %d", len(a.all()), n)
		}
	}
}

// starved measures for how long this machine kept a goroutine waiting that was due, at
// worst, until it is asked: what a receiver sees is as much out of step.
func starved(t *testing.T) func() time.Duration {
	var worst atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			due := time.Now().Add(5 * time.Millisecond)
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			worst.Store(max(worst.Load(), int64(time.Since(due))))
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
	return func() time.Duration { return time.Duration(worst.Load()) }
}

// The limits hold at the receiver in every window, and nothing comes once a gate has been
// closed for a second, while the disk stands still under the journal, and while a worker
// is held between its commit and its POST.
func TestLimitsAndGateHoldAtTheReceiver(t *testing.T) {
	stall := time.Second
	if *longStalls {
		stall = 30 * time.Second
	}
	for name, point := range map[string]string{
		"the journal stalls before a commit": "before commit",
		"workers are held before the POST":   "before post",
	} {
		t.Run(name, func(t *testing.T) {
			d, dir := newDCC(t, servicerequests.Acknowledged), t.TempDir()
			var a arrivals
			d.Config.Handler = a.note(d.Config.Handler)
			o := options(t, d, newPlan(t, engine.Simulator, 200), dir)
			o.Limits.User = pacer.Limit{PerSecond: perSecond, Burst: 1}
			o.Policy.ResponseWait.Electricity = time.Hour
			mpids := filepath.Join(dir, "mpids.yaml")
			write := func(text string) {
				if err := os.WriteFile(mpids, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("mpids: [{mpid: TEST, source: registration data}]\n")
			o.Gates = direction.NewGates(direction.GateOptions{
				Direction: &o.Plan.Direction, MPIDs: direction.NewMPIDFile(mpids, &o.Plan.Direction),
				MaxAge: time.Hour, Poll: 500 * time.Millisecond,
			})
			var held atomic.Pointer[chan struct{}] // what passes the point waits for it
			var waiting atomic.Int64
			reset := engine.SetPassing(func(p string) {
				if c := held.Load(); c != nil && p == point {
					waiting.Add(1)
					<-*c
					waiting.Add(-1)
				}
			})
			hold := func(d time.Duration, least int64, meanwhile func()) (most int64) {
				c := make(chan struct{})
				held.Store(&c)
				meanwhile()
				time.Sleep(d)
				for begun := time.Now(); waiting.Load() < least && time.Since(begun) < time.Minute; {
					time.Sleep(50 * time.Millisecond) // a busy machine is slow to bring them here
				}
				held.Store(nil)
				most = waiting.Load()
				close(c)
				return most
			}
			e, err := engine.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- e.Run(context.WithoutCancel(t.Context())) }()
			slow := starved(t)

			a.await(t, 3)
			queued := hold(stall, 2, func() {})
			before := len(a.all())
			a.await(t, before+4)
			var closed time.Time
			hold(1500*time.Millisecond, 0, func() {
				write("mpids: [{mpid: TEST, transferred_at: 2026-01-01T00:00:00Z, to: SOLR, source: the SoLR's letter}]\n")
				closed = time.Now()
			})
			var halt *sweep.HaltError
			if err := <-ended; !errors.As(err, &halt) || !strings.Contains(err.Error(), "gate mpids is closed") {
				t.Fatalf("ended with %v", err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			reset()
			if queued < 2 {
				t.Errorf("%d were held: not enough to break a limit", queued)
			}
			checkLimits(t, a.all(), closed, slow())
		})
	}
}

// perSecond is the limit of the tests of the door.
const perSecond = 4

// checkLimits checks arrivals by a limit without a burst, and by a gate.
func checkLimits(t *testing.T, at []time.Time, closed time.Time, slow time.Duration) {
	t.Helper()
	closest := time.Hour
	for i := range at[1:] {
		closest = min(closest, at[i+1].Sub(at[i]))
	}
	late := at[len(at)-1].Sub(closed)
	t.Logf("%d POSTs, the closest two %v apart; the last %v after the gate closed; this machine was late by %v", len(at), closest, late, slow)
	if closest < time.Second/perSecond-slow-5*time.Millisecond {
		t.Errorf("two POSTs in %v, where %d a second are let", closest, perSecond)
	}
	if late > time.Second+slow {
		t.Errorf("a POST %v after the gate closed", late)
	}
}
