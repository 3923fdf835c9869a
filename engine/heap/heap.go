// Package heap tunes the garbage collector, so that it does not run more often than it is
// worth. A request makes some 150 kB of garbage, and a sweep of a few thousand meters holds
// 20 MB. With Go's default the collector then runs dozens of times a second, and took a sixth
// of the engine's processor time.
//
// It sets one thing: how far the heap may grow before it is collected. It may grow to a floor,
// and by half the floor in any case. A heap whose live part is larger than that grows by a
// quarter of the live part; Go's default would double it. A large sweep holds packed ledgers
// mostly. They contain no pointers to follow, so collecting more often costs little, and the
// memory of a million meters does not double. It sets nothing if GOGC is in the environment:
// the operator has decided.
package heap

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Floor is what a process of safemode may hold before it collects, in bytes.
const Floor = 128 << 20

const (
	usual = 100     // per cent: Go's default
	small = 4 << 20 // bytes: at 100 per cent the runtime collects no heap that is smaller, at 200 none of twice that
)

// Grow lets the heap grow to floor bytes from now on, for the life of the process. It
// is called once, and does nothing where the environment has GOGC.
func Grow(floor uint64) {
	if os.Getenv("GOGC") != "" {
		return
	}
	k := &keeper{floor: floor, set: usual}
	k.adjust()
	k.again()
}

// keeper adjusts after each collection.
type keeper struct {
	floor uint64
	set   int
}

// again waits for the next collection: it finds an object that nobody holds.
func (k *keeper) again() {
	runtime.AddCleanup(new(sentinel), func(k *keeper) { k.adjust(); k.again() }, k)
}

// sentinel is larger than what the runtime may put into one block with others that
// live.
type sentinel [32]byte

// adjust sets the percentage at which the next collection is at the floor, or at
// twice the live heap, whichever is more. A small difference is not worth the stop of
// the world that a change takes.
func (k *keeper) adjust() {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	want := percent(sample[0].Value.Uint64(), k.floor)
	if diff := want - k.set; 10*max(diff, -diff) > k.set {
		k.set = want
		debug.SetGCPercent(want)
	}
}

// percent is how much a live heap may grow by, in per cent of itself.
func percent(live, floor uint64) int {
	live = max(live, 1)
	target := max(floor, live+max(floor/2, live/4))
	return int(min(100*(target-live)/live, 100*floor/small))
}
