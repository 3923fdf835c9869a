package pacer

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBudgetMargin(t *testing.T) {
	for _, test := range []struct {
		count  int
		margin float64
		want   int
	}{
		{100, 0.05, 95}, {10, 0.05, 9}, {2, 0.05, 1}, {1, 0.5, 1}, {0, 0.5, 0}, {100, 0, 100}, {3, 0.99, 1},
	} {
		if got := (Budget{test.count, time.Hour}).With(test.margin).Count; got != test.want {
			t.Errorf("%d less %v: got %d, want %d", test.count, test.margin, got, test.want)
		}
	}
}

func TestBudgetOfAnSRV(t *testing.T) {
	p := newPacer(t, Limits{User: Unlimited(), SRV: map[string]Budget{"1.6": {2, time.Minute}, "7.3": {0, time.Hour}}})
	signed := []Key{User(supplier), SRV(supplier, "1.6", true)}
	take := func(after time.Duration, ok bool, wait time.Duration, keys ...Key) {
		t.Helper()
		if gotOK, got := p.Take(start.Add(after), keys...); gotOK != ok || got != wait {
			t.Errorf("after %v: got %v, %v; want %v, %v", after, gotOK, got, ok, wait)
		}
	}
	p.Spent(start.Add(-30*time.Second), SRV(supplier, "1.6", true)) // before a restart
	take(0, true, 0, signed...)
	take(0, false, 30*time.Second+1, signed...)
	take(0, true, 0, SRV(supplier, "1.6", false)) // counted apart
	take(0, true, 0, SRV(supplier+1, "1.6", true))
	take(0, true, 0, SRV(supplier, "7.4", false)) // no budget, no limit
	take(0, false, forever, SRV(supplier, "7.3", false))
	take(30*time.Second, false, 1, signed...)
	take(30*time.Second+1, true, 0, signed...)
	take(31*time.Second, false, 29*time.Second+1, signed...)
}

func TestBudgetThatIsNone(t *testing.T) {
	for _, b := range []Budget{{-1, time.Hour}, {1, 0}, {maxBudget + 1, time.Hour}, {1, 2 * maxBurst}} {
		if _, err := New(Limits{SRV: map[string]Budget{"1.6": b}}); err == nil {
			t.Errorf("accepted %+v", b)
		}
	}
}

// No window of the period holds more than the count, wherever it begins and
// however often the process starts again.
func TestNoWindowExceedsItsBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Budget{rapid.IntRange(1, 6).Draw(t, "count"), time.Duration(rapid.IntRange(1, 50).Draw(t, "per")) * time.Second}
		limits := Limits{User: Unlimited(), SRV: map[string]Budget{"1.6": b}}
		p := newPacer(t, limits)
		key := SRV(supplier, "1.6", true)
		var sent []time.Time
		now := start
		for range rapid.IntRange(1, 200).Draw(t, "asks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "ms")) * time.Millisecond)
			if rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
				p = newPacer(t, limits)
				for _, at := range sent {
					p.Spent(at, key)
				}
			}
			if ok, wait := p.Take(now, User(supplier), key); ok {
				sent = append(sent, now)
			} else if later, _ := p.Take(now.Add(wait), key); !later {
				t.Fatalf("told to wait %v, and refused then", wait)
			} else {
				now = now.Add(wait)
				sent = append(sent, now)
			}
		}
		for i := range sent {
			if i >= b.Count && sent[i].Sub(sent[i-b.Count]) <= b.Per {
				t.Fatalf("%d messages from %v to %v, in %v", b.Count+1, sent[i-b.Count], sent[i], b.Per)
			}
		}
	})
}
