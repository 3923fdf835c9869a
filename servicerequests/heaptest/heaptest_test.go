package heaptest_test

import (
	"testing"

	"safemode/servicerequests/heaptest"
)

// recorder takes the failures of a test that should fail.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

var sink []byte

func TestLimit(t *testing.T) {
	for size, want := range map[int]bool{1 << 10: false, 64 << 20: true} {
		r := &recorder{TB: t}
		heaptest.Limit(r, 100, func() { sink = make([]byte, size) })
		if r.failed != want {
			t.Errorf("%d bytes for 100: refused %v, want %v", size, r.failed, want)
		}
	}
}
