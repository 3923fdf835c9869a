package pacer

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"safemode/servicerequests"
)

// excess is by how many messages the fullest of all windows, of whatever length and
// wherever it begins, is over rate times its length plus burst. sent is in order.
func excess(sent []time.Time, rate, burst float64) float64 {
	worst, least := math.Inf(-1), math.Inf(1)
	for i, at := range sent {
		earned := rate * at.Sub(sent[0]).Seconds()
		least = math.Min(least, float64(i)-earned)
		worst = math.Max(worst, float64(i+1)-earned-least-burst)
	}
	return worst
}

// excess is right: it agrees with trying every window.
func TestExcess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, burst := rapid.Float64Range(0.1, 100).Draw(t, "rate"), float64(rapid.IntRange(1, 5).Draw(t, "burst"))
		var sent []time.Time
		now := start
		for range rapid.IntRange(1, 30).Draw(t, "n") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "ms")) * time.Millisecond)
			sent = append(sent, now)
		}
		worst := math.Inf(-1)
		for first := range sent {
			for last := first; last < len(sent); last++ {
				worst = math.Max(worst, float64(last-first+1)-rate*sent[last].Sub(sent[first]).Seconds()-burst)
			}
		}
		if got := excess(sent, rate, burst); math.Abs(got-worst) > 1e-6 {
			t.Fatalf("got %v, want %v", got, worst)
		}
	})
}

// level is a bucket or window with the promise that is made for it.
type level struct {
	rate   float64 // with burst; of a bucket
	burst  float64
	budget Budget // of a window
}

// holds says what is wrong with the times at which messages of a level left; empty
// if nothing is.
func (l level) holds(sent []time.Time) string {
	if l.budget.Per == 0 {
		if over := excess(sent, l.rate, l.burst); over > 1e-6 {
			return fmt.Sprintf("%v messages over %v a second and %v at once", over, l.rate, l.burst)
		}
		return ""
	}
	for i := l.budget.Count; i < len(sent); i++ {
		if sent[i].Sub(sent[i-l.budget.Count]) <= l.budget.Per {
			return fmt.Sprintf("%d messages within %v", l.budget.Count+1, l.budget.Per)
		}
	}
	return ""
}

// world is limits on every level, with every key that a request may touch.
type world struct {
	limits Limits
	levels map[Key]level
}

var (
	truthRegions  = [...]servicerequests.Region{servicerequests.North, servicerequests.North4G, servicerequests.South}
	truthServices = [...]string{"transform", "send_command"}
	truthSRVs     = [...]string{"1.6", "7.4"}
	truthUsers    = [...]servicerequests.EUI{supplier, supplier + 1}
)

func drawWorld(t *rapid.T) world {
	w := world{
		limits: Limits{Region: map[servicerequests.Region]Limit{}, Service: map[string]Limit{}, SRV: map[string]Budget{}},
		levels: map[Key]level{},
	}
	limit := func(name string) Limit {
		return Limit{
			PerSecond: math.Pow(10, rapid.Float64Range(-1, 4.5).Draw(t, name+" rate, power of ten")),
			Burst:     rapid.IntRange(0, 30).Draw(t, name+" burst"),
		}
	}
	promise := func(l Limit) level { return level{rate: l.PerSecond, burst: float64(max(1, l.Burst))} }
	w.limits.User = limit("user")
	for _, user := range truthUsers {
		w.levels[User(user)] = promise(w.limits.User)
	}
	for _, region := range truthRegions {
		if region == servicerequests.North4G {
			continue // it has North's bucket
		}
		w.limits.Region[region] = limit(region.String())
		w.levels[Region(region)] = promise(w.limits.Region[region])
	}
	for _, service := range truthServices {
		w.limits.Service[service] = limit(service)
		w.levels[Service(service)] = promise(w.limits.Service[service])
	}
	for _, srv := range truthSRVs {
		b := Budget{rapid.IntRange(1, 40).Draw(t, "count of "+srv), time.Duration(rapid.IntRange(1, 120_000).Draw(t, "period of "+srv)) * time.Millisecond}
		w.limits.SRV[srv] = b
		for _, user := range truthUsers {
			w.levels[SRV(user, srv, false)], w.levels[SRV(user, srv, true)] = level{budget: b}, level{budget: b}
		}
	}
	return w
}

// drawRequest draws the keys of one message, and those that it counts for.
func drawRequest(t *rapid.T) (keys, counts []Key) {
	user := rapid.SampledFrom(truthUsers[:]).Draw(t, "user")
	region := rapid.SampledFrom(truthRegions[:]).Draw(t, "region")
	keys = []Key{
		User(user), Region(region), Service(rapid.SampledFrom(truthServices[:]).Draw(t, "service")),
		SRV(user, rapid.SampledFrom(truthSRVs[:]).Draw(t, "srv"), rapid.Bool().Draw(t, "signed")),
	}
	counts = append(counts, keys...)
	counts[1] = Region(region.Plain())
	return keys, counts
}

// No window of any length at any level is over its promise: many keys at once, a
// dispatcher that is late, pauses of hours, a clock that jumps forwards and back,
// readings out of order, services held, restarts.
func TestNoWindowOfAnyLevelIsOverItsPromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		p := newPacer(t, w.limits)
		clock := start // the newest reading: the clock that the promise is about
		p.Wait(clock, User(supplier))
		sent := map[Key][]time.Time{}
		for range rapid.IntRange(1, 120).Draw(t, "pumps") {
			reading := clock
			switch rapid.IntRange(0, 9).Draw(t, "what happens") {
			case 0: // a pause, or a clock that jumps forwards
				reading = clock.Add(time.Duration(rapid.IntRange(1, 7200).Draw(t, "seconds")) * time.Second)
			case 1: // a clock that jumps back
				reading = clock.Add(-time.Duration(rapid.IntRange(1, 7200).Draw(t, "seconds back")) * time.Second)
			case 2:
				p.Hold(Service(rapid.SampledFrom(truthServices[:]).Draw(t, "held")), clock.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms held"))*time.Millisecond))
			default: // a tick, more or less late
				reading = clock.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "us")) * time.Microsecond)
			}
			if reading.After(clock) {
				clock = reading
			}
			for range rapid.IntRange(1, 40).Draw(t, "waiting") {
				keys, counts := drawRequest(t)
				if ok, wait := p.Take(reading, keys...); ok {
					for _, key := range counts {
						sent[key] = append(sent[key], clock)
					}
				} else if wait <= 0 {
					t.Fatalf("refused, with a wait of %v", wait)
				}
			}
		}
		for key, times := range sent {
			if fault := w.levels[key].holds(times); fault != "" {
				t.Fatalf("%v: %s", key.Scope(), fault)
			}
		}
	})
}

// dispatch takes all it may for a span, as the sweep's dispatcher does: it sleeps as
// long as it is told, a millisecond at least, and late makes that longer.
func dispatch(p *Pacer, span time.Duration, late func() time.Duration, keys ...Key) (sent []time.Time) {
	for end := time.Now().Add(span); time.Now().Before(end); {
		ok, wait := p.Take(time.Now(), keys...)
		if ok {
			sent = append(sent, time.Now())
			continue
		}
		time.Sleep(max(time.Millisecond, wait) + late())
	}
	return sent
}

// An idle machine issues what it may: at least 99 in 100 at any rate, with every
// level bound to it in turn, and not one message too many.
func TestAnIdleMachineIssuesWhatItMay(t *testing.T) {
	const span = 20 * time.Second
	punctual := func() time.Duration { return 0 }
	for _, rate := range []float64{10, 100, 1_000, 20_000} {
		limit := Limit{PerSecond: rate, Burst: max(1, int(rate/100))} // ten milliseconds' worth
		wide := Limit{PerSecond: 10 * rate, Burst: 10 * limit.Burst}
		region, service, srv := servicerequests.South, "transform", "7.4"
		for name, bind := range map[string]func(*Limits){
			"user":    func(l *Limits) { l.User = limit },
			"region":  func(l *Limits) { l.Region[region] = limit },
			"service": func(l *Limits) { l.Service[service] = limit },
			"all": func(l *Limits) {
				l.User, l.Region[region], l.Service[service] = limit, limit, limit
			},
			"anomaly threshold": func(l *Limits) { l.SRV[srv] = Budget{int(rate), time.Second} },
		} {
			t.Run(fmt.Sprintf("%v a second by %s", rate, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					limits := Limits{
						User: wide, Region: map[servicerequests.Region]Limit{region: wide},
						Service: map[string]Limit{service: wide}, SRV: map[string]Budget{},
					}
					bind(&limits)
					sent := dispatch(newPacer(t, limits), span, punctual,
						User(supplier), Region(region), Service(service), SRV(supplier, srv, false))
					if share := float64(len(sent)) / (rate * span.Seconds()); share < 0.99 {
						t.Errorf("issued %v of what it may", share)
					}
					promise := level{rate: rate, burst: float64(limit.Burst)}
					if b, ok := limits.SRV[srv]; ok {
						promise = level{budget: b}
					}
					if fault := promise.holds(sent); fault != "" {
						t.Error(fault)
					}
				})
			})
		}
	}
}

// A dispatcher that is up to five milliseconds late, as on a busy machine, still
// issues what it may where the burst is worth more than that, and never more.
func TestALateDispatcherIssuesNoMore(t *testing.T) {
	for _, rate := range []float64{10, 100, 1_000, 20_000} {
		synctest.Test(t, func(t *testing.T) {
			limit := Limit{PerSecond: rate, Burst: max(1, int(rate/100))}
			n := 0
			late := func() time.Duration { n++; return time.Duration(n*7919%5000) * time.Microsecond }
			sent := dispatch(newPacer(t, Limits{User: limit}), 20*time.Second, late, User(supplier))
			least := 0.99
			if rate < 1000 { // a burst of one: what is late is lost, and only that
				least = 1 / (1 + 0.005*rate)
			}
			if share := float64(len(sent)) / (rate * 20); share < least {
				t.Errorf("%v a second: issued %v of what it may, want %v", rate, share, least)
			}
			if over := excess(sent, rate, float64(limit.Burst)); over > 1e-6 {
				t.Errorf("%v a second: %v too many", rate, over)
			}
		})
	}
}
