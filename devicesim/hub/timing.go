package hub

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"time"

	"safemode/servicerequests"
)

// Timing says how long things take. Zero fields have the value named; all are
// assumptions, in the simulator's time.
type Timing struct {
	Seed uint64

	// Median and Longest bound how long one exchange takes: log-normal about
	// the median, cut off at an eighth of it and at the longest.
	Median  time.Duration // 3 s
	Longest time.Duration // 25 s, the DCC's round-trip target

	// WakeInterval is how often a gas meter wakes; each has a phase of its own.
	WakeInterval time.Duration // 30 min
}

func (t Timing) withDefaults() Timing {
	if t.Median == 0 {
		t.Median = 3 * time.Second
	}
	if t.Longest == 0 {
		t.Longest = 25 * time.Second
	}
	if t.WakeInterval == 0 {
		t.WakeInterval = 30 * time.Minute
	}
	return t
}

// spread is the standard deviation of the logarithm: one exchange in a hundred
// takes five times the median.
const spread = 0.7

// exchange returns how long the exchange with this counter takes.
func (t Timing) exchange(device servicerequests.EUI, counter uint64) time.Duration {
	u := (float64(t.draw("exchange", device, counter)>>11) + 0.5) / (1 << 53) // between 0 and 1, neither included
	factor := math.Exp(spread * math.Sqrt2 * math.Erfinv(2*u-1))
	return min(max(time.Duration(float64(t.Median)*factor), t.Median/8), t.Longest)
}

// NextWake returns when a gas meter wakes next, strictly after now.
func (t Timing) NextWake(device servicerequests.EUI, now time.Time) time.Time {
	return t.LastWake(device, now).Add(t.withDefaults().WakeInterval)
}

// LastWake returns when a gas meter woke last, now included. It is also when
// the gas proxy was last told what the meter holds.
func (t Timing) LastWake(device servicerequests.EUI, now time.Time) time.Time {
	t = t.withDefaults()
	phase := time.Duration(t.draw("wake", device, 0) % uint64(t.WakeInterval)) //nolint:gosec // under WakeInterval
	since := time.Duration(now.UnixNano()-int64(phase)) % t.WakeInterval
	if since < 0 {
		since += t.WakeInterval
	}
	return now.Add(-since)
}

// draw hashes seed, purpose, device and counter to 64 bits, so that chance does
// not depend on the order in which things happen.
func (t Timing) draw(purpose string, device servicerequests.EUI, counter uint64) uint64 {
	h := fnv.New64a()
	var b [24]byte
	binary.BigEndian.PutUint64(b[0:], t.Seed)
	binary.BigEndian.PutUint64(b[8:], uint64(device))
	binary.BigEndian.PutUint64(b[16:], counter)
	_, _ = h.Write([]byte(purpose))
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
