package hub_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"safemode/devicesim/fault"
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
	mu   sync.Mutex // what follows is written on the agenda's goroutine
	log  []string
	at   map[string]time.Time
}

// done is the names of the exchanges so far, in order.
func (b *bench) done() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.log)
}

// when is the time of an exchange.
func (b *bench) when(name string) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at[name]
}

func inBubble(t *testing.T, rules fault.Hubs, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		agenda := schedule.New(clock.Clock{})
		b := &bench{at: map[string]time.Time{}}
		b.hubs = hub.New(hub.Wakes{Seed: 1}, rules, clock.Clock{}, agenda, func(f func()) { f() })
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { agenda.Run(ctx) })
		defer running.Wait()
		defer cancel()
		test(t, b)
	})
}

func (b *bench) put(name string, device servicerequests.EUI) { b.hubs.Put(b.exchange(name, device)) }

// exchange notes its name when it is done.
func (b *bench) exchange(name string, device servicerequests.EUI) hub.Exchange {
	return hub.Exchange{Hub: home, Device: device, Takes: 3 * time.Second, Sleeps: device == gas, Do: func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.log = append(b.log, name)
		b.at[name] = time.Now()
	}}
}

func TestElectricityIsAnsweredInSeconds(t *testing.T) {
	inBubble(t, fault.Hubs{}, func(t *testing.T, b *bench) {
		b.put("first", electricity)
		b.put("second", electricity)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"first", "second"}, b.done()); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
		if apart := b.when("second").Sub(b.when("first")); apart != 3*time.Second {
			t.Errorf("%v apart, want 3s: one exchange at a time", apart)
		}
		if n := b.hubs.Waiting(); n != 0 {
			t.Errorf("%d still wait", n)
		}
	})
}

func TestGasWaitsForTheMeterToWake(t *testing.T) {
	inBubble(t, fault.Hubs{}, func(t *testing.T, b *bench) {
		wake := hub.Wakes{Seed: 1}.Next(gas, time.Now())
		b.put("gas 1", gas)
		b.put("electricity", electricity)
		b.put("gas 2", gas)
		b.put("gas 3", gas)

		time.Sleep(time.Until(wake) - time.Nanosecond)
		synctest.Wait()
		if diff := cmp.Diff([]string{"electricity"}, b.done()); diff != "" {
			t.Errorf("before the wake (-want +got):\n%s", diff)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"electricity", "gas 1", "gas 2", "gas 3"}, b.done()); diff != "" {
			t.Errorf("after the wake (-want +got):\n%s", diff)
		}

		// The meter sleeps again: what comes now waits for the next wake.
		b.put("gas 4", gas)
		next := wake.Add(30 * time.Minute)
		time.Sleep(time.Until(next) + time.Minute)
		synctest.Wait()
		if at := b.when("gas 4"); at.Before(next) {
			t.Errorf("gas 4 at %v, before the next wake %v", at, next)
		}
		if n := b.hubs.Waiting(); n != 0 {
			t.Errorf("%d still wait", n)
		}
	})
}

// A setting gives the order of Commands for one device; devices take turns by arrival.
func TestOrder(t *testing.T) {
	for order, want := range map[fault.Order][]string{
		fault.FIFO:   {"e1", "e2", "e3", "g1", "g2", "g3", "g4"},
		fault.LIFO:   {"e1", "e3", "e2", "g4", "g3", "g2", "g1"},
		fault.Random: {"e1", "e3", "e2", "g2", "g4", "g1", "g3"},
	} {
		t.Run(string(order), func(t *testing.T) {
			inBubble(t, fault.Hubs{Order: order}, func(t *testing.T, b *bench) {
				chance := map[string]float64{"e2": 0.9, "e3": 0.1, "g1": 0.7, "g2": 0.2, "g3": 0.8, "g4": 0.3}
				put := func(name string, device servicerequests.EUI) {
					e := b.exchange(name, device)
					e.Chance = chance[name]
					b.hubs.Put(e)
				}
				for _, name := range []string{"g1", "e1", "e2", "g2", "e3", "g3", "g4"} {
					device := electricity
					if name[0] == 'g' {
						device = gas
					}
					put(name, device)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if diff := cmp.Diff(want, b.done()); diff != "" {
					t.Errorf("order (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A gas meter takes so many messages in one wake; electricity does not wait for it.
func TestMessagesAWake(t *testing.T) {
	for _, n := range []int{1, 2, 3} {
		inBubble(t, fault.Hubs{PerWake: n}, func(t *testing.T, b *bench) {
			first := hub.Wakes{Seed: 1}.Next(gas, time.Now())
			names := []string{"0", "1", "2", "3"}
			for _, name := range names {
				b.put(name, gas)
			}
			time.Sleep(40 * time.Minute)
			b.put("electricity", electricity)
			asked := time.Now()
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			for i, name := range names {
				wake := first.Add(time.Duration(i/n) * 30 * time.Minute)
				if late := b.when(name).Sub(wake); late < 0 || late > time.Minute {
					t.Errorf("%d a wake: message %s comes %v after wake %d", n, name, late, i/n)
				}
			}
			if took := b.when("electricity").Sub(asked); took > time.Minute {
				t.Errorf("electricity takes %v", took)
			}
			if n := b.hubs.Waiting(); n != 0 {
				t.Errorf("%d still wait", n)
			}
		})
	}
}

// A Command that a meter has not fetched in time is dropped, and takes no place in a wake.
func TestDropped(t *testing.T) {
	inBubble(t, fault.Hubs{PerWake: 1}, func(t *testing.T, b *bench) {
		for _, name := range []string{"first", "second", "third"} {
			e := b.exchange(name, gas)
			if name == "second" {
				e.Until = time.Now().Add(30 * time.Minute)
				e.Dropped = b.exchange("dropped", gas).Do
			}
			b.hubs.Put(e)
		}
		time.Sleep(65 * time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"first", "dropped", "third"}, b.done()); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestWakes(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	phases := map[time.Time]bool{}
	for device := servicerequests.EUI(1); device <= 100; device++ {
		wakes := hub.Wakes{Seed: 1}
		last, next := wakes.Last(device, now), wakes.Next(device, now)
		if last.After(now) || !next.After(now) || next.Sub(last) != 30*time.Minute {
			t.Fatalf("wakes at %v and %v about %v", last, next, now)
		}
		if again := wakes.Last(device, next); !again.Equal(next) {
			t.Fatalf("the wake at %v is at %v by another reckoning", next, again)
		}
		phases[next] = true
	}
	if len(phases) < 90 {
		t.Errorf("only %d phases among 100 meters", len(phases))
	}
}
