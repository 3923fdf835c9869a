package ring_test

import (
	"slices"
	"testing"

	"safemode/servicerequests/ring"
)

func TestKeepsTheLast(t *testing.T) {
	for most := range 5 {
		r := ring.Ring[int]{Most: most}
		for n := range 12 {
			if full := n >= most; r.Full() != full || r.Len() != min(n, most) {
				t.Fatalf("of %d, after %d: %d values, full %t", most, n, r.Len(), r.Full())
			}
			for i := range r.Len() {
				if got, want := r.Oldest(i), n-r.Len()+i; got != want {
					t.Errorf("of %d, after %d: value %d is %d, want %d", most, n, i, got, want)
				}
			}
			all := slices.Sorted(slices.Values(r.All()))
			if len(all) != r.Len() || len(all) > 0 && all[len(all)-1] != n-1 {
				t.Errorf("of %d, after %d: %v", most, n, all)
			}
			r.Add(n)
		}
	}
}
