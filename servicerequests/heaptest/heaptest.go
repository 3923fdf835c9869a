// Package heaptest checks that decoders take memory in proportion to the length of
// their input and not more, because strangers send it. It is for fuzz targets.
package heaptest

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

const (
	// slack pays for what does not depend on the input and for tables that are
	// built on first use.
	slack   = 1 << 20
	perByte = 512
)

// Limit fails the test if decode allocates more than 1 MiB and 512 bytes for each
// of the size bytes of its input. It counts the whole process: nothing else may be
// running. Decode is called again to be sure of an excess.
func Limit(t testing.TB, size int, decode func()) {
	t.Helper()
	most := uint64(slack + perByte*size)
	before := allocated()
	decode()
	if allocated()-before <= most {
		return
	}
	// The runtime's cheap count lags behind, by more than a MiB when a collection
	// catches up with small objects. The exact one stops the world.
	var first, second runtime.MemStats
	runtime.ReadMemStats(&first)
	decode()
	runtime.ReadMemStats(&second)
	if got := second.TotalAlloc - first.TotalAlloc; got > most {
		t.Errorf("%d bytes of input took %d bytes of memory, more than %d", size, got, most)
	}
}

// allocated returns about the bytes allocated since the program began.
func allocated() uint64 {
	sample := [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64()
}
