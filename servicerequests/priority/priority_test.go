package priority

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

type item struct{ key, place int }

type byKey struct{}

func (byKey) Before(a, b *item) bool       { return a.key < b.key }
func (byKey) Moved(moved *item, place int) { moved.place = place }

// After any acts the heap's places are what its items were told, and it gives the least key.
func TestHeap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h Heap[*item, byKey]
		var in []*item
		draw := func() *item { return in[rapid.IntRange(0, len(in)-1).Draw(t, "which")] }
		out := func(gone *item) {
			if gone.place != Nowhere {
				t.Fatalf("an item that is out has place %d", gone.place)
			}
			in = slices.DeleteFunc(in, func(i *item) bool { return i == gone })
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				added := &item{key: rapid.IntRange(0, 9).Draw(t, "key")}
				h.Add(added)
				in = append(in, added)
			},
			"take": func(t *rapid.T) {
				if len(in) == 0 {
					t.Skip()
				}
				least := slices.MinFunc(in, func(a, b *item) int { return a.key - b.key }).key
				taken := h.Take()
				if taken.key != least {
					t.Fatalf("took %d, the least is %d", taken.key, least)
				}
				out(taken)
			},
			"remove": func(t *rapid.T) {
				if len(in) == 0 {
					t.Skip()
				}
				gone := draw()
				h.Remove(gone.place)
				out(gone)
			},
			"fix": func(t *rapid.T) {
				if len(in) == 0 {
					t.Skip()
				}
				changed := draw()
				changed.key = rapid.IntRange(0, 9).Draw(t, "key")
				h.Fix(changed.place)
			},
			"": func(t *rapid.T) {
				if len(h) != len(in) {
					t.Fatalf("%d items, want %d", len(h), len(in))
				}
				for place, one := range h {
					if one.place != place {
						t.Fatalf("the item at %d was told %d", place, one.place)
					}
				}
			},
		})
	})
}
