package heap

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestPercent(t *testing.T) {
	for _, test := range []struct {
		live, floor uint64
		want        int
	}{
		{0, 100 << 20, 2500},
		{10 << 20, 100 << 20, 900},
		{50 << 20, 100 << 20, 100},
		{90 << 20, 100 << 20, 55},
		{1000 << 20, 100 << 20, 25},
	} {
		if got := percent(test.live, test.floor); got != test.want {
			t.Errorf("%d of %d: got %d, want %d", test.live, test.floor, got, test.want)
		}
	}
}

// collections is how often the collector runs while so many bytes are thrown away.
func collections(bytes int) uint32 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range bytes >> 20 {
		garbage = make([]byte, 1<<20)
	}
	runtime.ReadMemStats(&after)
	return after.NumGC - before.NumGC
}

var garbage []byte

func TestGrow(t *testing.T) {
	t.Setenv("GOGC", "") // as if the operator had chosen nothing
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	without := collections(512 << 20)
	Grow(64 << 20)
	with := collections(512 << 20)
	// Some 60 MB between two of them, where it was 4; more on a busy machine, where the
	// collector comes late.
	if with > 24 || with < 1 || with >= without {
		t.Errorf("%d collections, %d before", with, without)
	}
	live := make([]byte, 200<<20)
	runtime.GC()
	runtime.GC()
	if large := collections(1024 << 20); large > 24 || large < 1 {
		t.Errorf("%d collections over a live heap of 200 MB", large)
	}
	runtime.KeepAlive(live)
}

func TestGrowLeavesTheOperatorsChoice(t *testing.T) {
	t.Setenv("GOGC", "150")
	defer debug.SetGCPercent(debug.SetGCPercent(150))
	Grow(1 << 30)
	if got := debug.SetGCPercent(150); got != 150 {
		t.Errorf("set to %d", got)
	}
}
