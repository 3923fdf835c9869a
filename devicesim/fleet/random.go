package fleet

import (
	"math/rand/v2"

	"safemode/servicerequests"
)

// stream is the random numbers of one meter for one purpose. It depends on
// seed, EUI and label alone, so that no draw shifts another.
type stream struct{ *rand.PCG }

func newStream(seed uint64, device servicerequests.EUI, label string) stream {
	return stream{rand.NewPCG(mix(seed^hash(label)), mix(uint64(device)))}
}

// hash is FNV-1a, which hash/fnv does not do without allocating.
func hash(label string) uint64 {
	sum := uint64(14695981039346656037)
	for i := range len(label) {
		sum = (sum ^ uint64(label[i])) * 1099511628211
	}
	return sum
}

// Draw returns a number by chance that depends on its arguments alone: of one
// device, for the purpose that label names, the number-th time.
func Draw(seed uint64, device servicerequests.EUI, label string, number uint64) uint64 {
	return mix(mix(seed^hash(label)^mix(number)) + mix(uint64(device)))
}

// below draws 0 to n-1. The bias of the remainder is under n in 2^64.
func (s stream) below(n uint64) uint64 { return s.Uint64() % n }

// share draws whether something holds that holds so often, 0 to 1.
func (s stream) share(share float64) bool { return float64(s.Uint64()>>11)/(1<<53) < share }

// between draws from..to, both inclusive.
func (s stream) between(from, to servicerequests.Millipence) servicerequests.Millipence {
	return from + servicerequests.Millipence(s.below(uint64(to-from)+1))
}

// mix is the finaliser of SplitMix64: it spreads near inputs apart.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xBF58476D1CE4E5B9
	x ^= x >> 27
	x *= 0x94D049BB133111EB
	return x ^ x>>31
}

// scramble maps home numbers one to one onto identifiers, by the seed.
func scramble(home uint32, seed uint64) uint32 {
	key := mix(seed)
	x := home ^ uint32(key)
	x = (x ^ x>>16) * 0x7FEB352D
	x = (x ^ x>>15) * 0x846CA68B
	return x ^ x>>16 ^ uint32(key>>32)
}

// unscramble is scramble the other way round: each multiplier has its inverse
// modulo 2^32, and each shift is undone by itself, repeated.
func unscramble(id uint32, seed uint64) uint32 {
	key := mix(seed)
	x := id ^ uint32(key>>32)
	x = (x ^ x>>16) * 0x43021123
	x = (x ^ x>>15 ^ x>>30) * 0x1D69E2A5
	return x ^ x>>16 ^ uint32(key)
}
