package hub

import (
	"encoding/binary"
	"hash/fnv"
	"time"

	"safemode/servicerequests"
)

// Wakes says when sleeping gas meters wake: each on its own phase, drawn from
// seed and EUI, and then at a constant interval. The phases count from Began, so
// that two runs with one seed agree on them whatever the hour.
type Wakes struct {
	Seed     uint64
	Began    time.Time     // zero: the Unix epoch
	Interval time.Duration // the simulator's time; 0: 30 min (assumption)
}

func (w Wakes) interval() time.Duration {
	if w.Interval <= 0 {
		return 30 * time.Minute
	}
	return w.Interval
}

// Next returns when a gas meter wakes next, strictly after now.
func (w Wakes) Next(device servicerequests.EUI, now time.Time) time.Time {
	return w.Last(device, now).Add(w.interval())
}

// Last returns when a gas meter woke last, now included.
func (w Wakes) Last(device servicerequests.EUI, now time.Time) time.Time {
	interval := w.interval()
	phase := int64(draw(w.Seed, device) % uint64(interval)) // under interval
	began := w.Began
	if began.IsZero() {
		began = time.Unix(0, 0)
	}
	since := (now.Sub(began) - time.Duration(phase)) % interval
	if since < 0 {
		since += interval
	}
	return now.Add(-since)
}

// draw hashes seed and device to 64 bits, so that chance does not depend on
// the order in which things happen.
func draw(seed uint64, device servicerequests.EUI) uint64 {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], seed)
	binary.BigEndian.PutUint64(b[8:], uint64(device))
	h := fnv.New64a()
	_, _ = h.Write(b[:])
	return mix(h.Sum64())
}

// mix spreads the bits of an FNV sum, whose upper ones hardly move with the
// last octets (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xBF58476D1CE4E5B9
	x ^= x >> 27
	x *= 0x94D049BB133111EB
	return x ^ x>>31
}
