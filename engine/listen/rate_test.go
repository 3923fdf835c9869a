package listen

import (
	"net/netip"
	"testing"
	"time"
)

func TestRatesEarnAgain(t *testing.T) {
	l := NewRates(Rate{PerSecond: 1}, Rate{})
	peer, start := "192.0.2.1", time.Now()
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{0, ""}, {0, OverPeer}, {900 * time.Millisecond, OverPeer}, {1100 * time.Millisecond, ""}, {1200 * time.Millisecond, OverPeer}} {
		if got := l.Over(peer, start.Add(step.after)); got != step.want {
			t.Errorf("after %v: %q, want %q", step.after, got, step.want)
		}
	}
}

// However many addresses a stranger comes from, a peer that is heard of all the time
// is not forgotten. The map's own test checks that its memory is bounded.
func TestRatesForget(t *testing.T) {
	l := NewRates(Rate{PerSecond: 1e-9, Burst: 1}, Rate{})
	steady, now := "192.0.2.1", time.Now()
	l.Over(steady, now)
	address := netip.MustParseAddr("10.0.0.0")
	for i := range 10 * rememberedPeers {
		address = address.Next()
		l.Over(address.String(), now)
		if i%100 == 0 && l.Over(steady, now) != OverPeer {
			t.Fatalf("forgotten after %d others", i)
		}
	}
}
