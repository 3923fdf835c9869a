package pacer

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"safemode/servicerequests"
)

const supplier servicerequests.EUI = 0x90B3D51F30010000

var start = time.Date(2026, 11, 1, 18, 0, 0, 0, time.UTC)

func newPacer(t interface{ Fatal(...any) }, limits Limits) *Pacer {
	p, err := New(limits)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTake(t *testing.T) {
	type ask struct {
		after time.Duration
		ok    bool
		wait  time.Duration
	}
	for _, test := range []struct {
		name  string
		limit Limit
		asks  []ask
	}{
		{"closed by default", Limit{}, []ask{{0, false, forever}, {time.Hour, false, forever}}},
		{"one by one", Limit{PerSecond: 2}, []ask{
			{0, true, 0},
			{0, false, 500 * time.Millisecond},
			{400 * time.Millisecond, false, 100 * time.Millisecond},
			{500 * time.Millisecond, true, 0},
			{500 * time.Millisecond, false, 500 * time.Millisecond},
		}},
		{"burst, then the rate", Limit{PerSecond: 10, Burst: 3}, []ask{
			{0, true, 0},
			{0, true, 0},
			{0, true, 0},
			{0, false, 100 * time.Millisecond},
			{100 * time.Millisecond, true, 0},
			{100 * time.Millisecond, false, 100 * time.Millisecond},
			{time.Hour, true, 0},
			{time.Hour, true, 0},
			{time.Hour, true, 0},
			{time.Hour, false, 100 * time.Millisecond},
		}},
		{"an old reading counts as the newest", Limit{PerSecond: 1}, []ask{
			{10 * time.Second, true, 0},
			{0, false, time.Second},
			{9 * time.Second, false, time.Second},
			{11 * time.Second, true, 0},
		}},
		{"unlimited", Unlimited(), []ask{{0, true, 0}, {0, true, 0}, {0, true, 0}}},
		{"slower than one a day", Limit{PerSecond: 1.0 / (48 * 3600)}, []ask{
			{0, true, 0},
			{47 * time.Hour, false, time.Hour},
			{48 * time.Hour, true, 0},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPacer(t, Limits{User: test.limit})
			for i, a := range test.asks {
				ok, wait := p.Take(start.Add(a.after), User(supplier))
				if ok != a.ok || wait.Round(time.Microsecond) != a.wait.Round(time.Microsecond) {
					t.Errorf("ask %d: got %v, %v; want %v, %v", i, ok, wait, a.ok, a.wait)
				}
			}
		})
	}
}

func TestTakeIsAllOrNothing(t *testing.T) {
	p := newPacer(t, Limits{
		User:    Limit{PerSecond: 1, Burst: 2},
		Region:  map[servicerequests.Region]Limit{servicerequests.North: {PerSecond: 1}},
		Service: map[string]Limit{"transform": Unlimited()},
	})
	north := []Key{User(supplier), Region(servicerequests.North), Service("transform")}
	if ok, _ := p.Take(start, north...); !ok {
		t.Fatal("the first request was refused")
	}
	for range 5 {
		if ok, wait := p.Take(start, north...); ok || wait != time.Second {
			t.Fatalf("got %v, %v with the region used up", ok, wait)
		}
	}
	// The refusals took nothing from the User's bucket.
	if ok, _ := p.Take(start, User(supplier)); !ok {
		t.Error("a refused request was charged to the User")
	}
}

func TestBuckets(t *testing.T) {
	p := newPacer(t, Limits{
		User: Limit{PerSecond: 1},
		Region: map[servicerequests.Region]Limit{
			servicerequests.North:   {PerSecond: 1},
			servicerequests.South:   {PerSecond: 1},
			servicerequests.South4G: {PerSecond: 1},
		},
	})
	take := func(key Key) bool { ok, _ := p.Take(start, key); return ok }
	if !take(User(1)) || !take(User(2)) || take(User(1)) {
		t.Error("Users do not have a bucket each")
	}
	if !take(Region(servicerequests.North4G)) || take(Region(servicerequests.North)) {
		t.Error("4G North without a limit does not share North's bucket")
	}
	if !take(Region(servicerequests.South)) || !take(Region(servicerequests.South4G)) {
		t.Error("4G South with a limit does not have its own bucket")
	}
	if take(Region(servicerequests.Central4G)) || take(Service("transform")) || take(Key{}) {
		t.Error("a bucket that is not configured is open")
	}
}

func TestHold(t *testing.T) {
	p := newPacer(t, Limits{Service: map[string]Limit{"transform": Unlimited()}})
	key := Service("transform")
	p.Hold(key, start.Add(30*time.Second))
	p.Hold(key, start.Add(10*time.Second))
	if ok, wait := p.Take(start, key); ok || wait != 30*time.Second {
		t.Errorf("got %v, %v during the hold", ok, wait)
	}
	if got := p.Wait(start.Add(20*time.Second), key); got != 10*time.Second {
		t.Errorf("wait: got %v", got)
	}
	if ok, _ := p.Take(start.Add(30*time.Second), key); !ok {
		t.Error("still held after its end")
	}
}

func TestLimitsValidate(t *testing.T) {
	_, err := New(Limits{
		User:    Limit{PerSecond: -1},
		Region:  map[servicerequests.Region]Limit{servicerequests.North: {PerSecond: math.NaN()}},
		Service: map[string]Limit{"transform": {PerSecond: 1, Burst: -1}, "send_command": {PerSecond: 1e-9}},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 4 {
		t.Errorf("want four faults, got %v", err)
	}
}

// The promise of the package: no window of any length holds more than rate
// times its length plus the burst, whatever the clock readings.
func TestPacerNeverExceedsItsLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := func(name string) Limit {
			return Limit{
				PerSecond: rapid.Float64Range(0.01, 50_000).Draw(t, name+" rate"),
				Burst:     rapid.IntRange(0, 20).Draw(t, name+" burst"),
			}
		}
		user, north := limit("user"), limit("north")
		p := newPacer(t, Limits{User: user, Region: map[servicerequests.Region]Limit{servicerequests.North: north}})
		clock := start
		p.Wait(clock, User(supplier)) // shows the pacer the start
		sent := map[Key][]time.Time{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			step := time.Duration(rapid.Int64Range(-int64(time.Second), int64(time.Second)).Draw(t, "step"))
			reading := clock.Add(step)
			if step > 0 {
				clock = reading
			}
			keys := []Key{User(supplier)}
			if rapid.Bool().Draw(t, "in the north") {
				keys = append(keys, Region(servicerequests.North))
			}
			for range rapid.IntRange(1, 10).Draw(t, "asks") {
				if ok, _ := p.Take(reading, keys...); ok {
					for _, key := range keys {
						sent[key] = append(sent[key], clock)
					}
				}
			}
		}
		check := func(key Key, limit Limit) {
			times := sent[key]
			for first := range times {
				for last := first; last < len(times); last++ {
					window := times[last].Sub(times[first]).Seconds()
					allowed := limit.PerSecond*window + float64(max(limit.Burst, 1))
					if n := last - first + 1; float64(n) > allowed+1e-6 {
						t.Fatalf("%v: %d sent in %v s, allowed %v", key.Scope(), n, window, allowed)
					}
				}
			}
		}
		check(User(supplier), user)
		check(Region(servicerequests.North), north)
	})
}

// A dispatcher that asks every millisecond must get the whole rate.
func TestPacerGivesTheWholeRate(t *testing.T) {
	for _, rate := range []float64{1_000, 20_000, 50_000} {
		p := newPacer(t, Limits{User: Limit{PerSecond: rate, Burst: int(rate / 100)}})
		sent := 0
		for tick := range 10_000 {
			now := start.Add(time.Duration(tick) * time.Millisecond)
			for ok := true; ok; {
				if ok, _ = p.Take(now, User(supplier)); ok {
					sent++
				}
			}
		}
		if got := float64(sent) / (10 * rate); got < 0.999 || got > 1.002 {
			t.Errorf("rate %v: got %v of it", rate, got)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	p := newPacer(b, Limits{
		User:    Limit{PerSecond: 1e9, Burst: 1},
		Region:  map[servicerequests.Region]Limit{servicerequests.North: {PerSecond: 1e9}},
		Service: map[string]Limit{"transform": {PerSecond: 1e9}},
	})
	keys := []Key{User(supplier), Region(servicerequests.North), Service("transform")}
	now := start
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Microsecond)
		p.Take(now, keys...)
	}
}
