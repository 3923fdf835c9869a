package hub_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"safemode/devicesim/hub"
	"safemode/devicesim/schedule"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"

	"github.com/google/go-cmp/cmp"
)

const (
	home        servicerequests.EUI = 0xC0
	electricity servicerequests.EUI = 0xE0
	gas         servicerequests.EUI = 0x60
)

// bench is one home's hub in a bubble of time.
type bench struct {
	hubs *hub.Hubs
	log  []string
	at   map[string]time.Time
}

func inBubble(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		agenda := schedule.New(clock.Clock{})
		b := &bench{at: map[string]time.Time{}}
		b.hubs = hub.New(hub.Timing{Seed: 1}, clock.Clock{}, agenda, func(f func()) { f() })
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { agenda.Run(ctx) })
		defer running.Wait()
		defer cancel()
		test(t, b)
	})
}

func (b *bench) put(name string, device servicerequests.EUI, counter uint64) {
	b.hubs.Put(hub.Exchange{Hub: home, Device: device, Counter: counter, Sleeps: device == gas, Do: func() {
		b.log = append(b.log, name)
		b.at[name] = time.Now()
	}})
}

func TestElectricityIsAnsweredInSeconds(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.put("first", electricity, 1)
		b.put("second", electricity, 2)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"first", "second"}, b.log); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
		if b.at["second"].Equal(b.at["first"]) {
			t.Error("two exchanges at once on one hub")
		}
		if n := b.hubs.Waiting(); n != 0 {
			t.Errorf("%d still wait", n)
		}
	})
}

func TestGasWaitsForTheMeterToWake(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		wake := hub.Timing{Seed: 1}.NextWake(gas, time.Now())
		b.put("gas 1", gas, 1)
		b.put("electricity", electricity, 2)
		b.put("gas 2", gas, 3)
		b.put("gas 3", gas, 4)

		time.Sleep(time.Until(wake) - time.Nanosecond)
		synctest.Wait()
		if diff := cmp.Diff([]string{"electricity"}, b.log); diff != "" {
			t.Errorf("before the wake (-want +got):\n%s", diff)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"electricity", "gas 1", "gas 2", "gas 3"}, b.log); diff != "" {
			t.Errorf("after the wake (-want +got):\n%s", diff)
		}

		// The meter sleeps again: what comes now waits for the next wake.
		b.put("gas 4", gas, 5)
		next := wake.Add(30 * time.Minute)
		time.Sleep(time.Until(next) + time.Minute)
		synctest.Wait()
		if at := b.at["gas 4"]; at.Before(next) {
			t.Errorf("gas 4 at %v, before the next wake %v", at, next)
		}
		if n := b.hubs.Waiting(); n != 0 {
			t.Errorf("%d still wait", n)
		}
	})
}

func TestDurationsAndWakes(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		const samples = 400
		var took []time.Duration
		for i := range samples {
			start := time.Now()
			device := servicerequests.EUI(0x1000 + i)
			b.hubs.Put(hub.Exchange{Hub: device, Device: device, Counter: 7, Do: func() { took = append(took, time.Since(start)) }})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(took) != samples {
			t.Fatalf("%d of %d answered within a minute", len(took), samples)
		}
		slices.Sort(took)
		if m := took[samples/2]; m < 2500*time.Millisecond || m > 3500*time.Millisecond {
			t.Errorf("median %v, want about 3s", m)
		}
		if took[0] < 375*time.Millisecond || took[samples-1] > 25*time.Second || took[samples-1] < 10*time.Second {
			t.Errorf("from %v to %v, want within 0.375s and 25s with a tail", took[0], took[samples-1])
		}
	})
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	phases := map[time.Time]bool{}
	for device := servicerequests.EUI(1); device <= 100; device++ {
		timing := hub.Timing{Seed: 1}
		last, next := timing.LastWake(device, now), timing.NextWake(device, now)
		if last.After(now) || !next.After(now) || next.Sub(last) != 30*time.Minute {
			t.Fatalf("wakes at %v and %v about %v", last, next, now)
		}
		if again := timing.LastWake(device, next); !again.Equal(next) {
			t.Fatalf("the wake at %v is at %v by another reckoning", next, again)
		}
		phases[next] = true
	}
	if len(phases) < 90 {
		t.Errorf("only %d phases among 100 meters", len(phases))
	}
}
