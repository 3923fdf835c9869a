// Package priority has the one heap of this module: a queue whose first item is the one that
// its order puts first. It is not safe for concurrent use.
package priority

import "container/heap"

// Nowhere is the place of an item that is in no heap.
const Nowhere = -1

// Order is how a heap sorts its items. Its zero value is used.
type Order[T any] interface {
	// Before says whether a comes out before b.
	Before(a, b T) bool
	// Moved tells an item its place in the heap, or Nowhere. A queue that moves and removes only
	// its first item may ignore it.
	Moved(item T, place int)
}

// Heap is a heap in the order O. Its first item is at place 0; an empty one is ready for use.
type Heap[T any, O Order[T]] []T

// Add puts an item in.
func (h *Heap[T, O]) Add(item T) { heap.Push((*items[T, O])(h), item) }

// Take takes the first item out. The heap must not be empty.
func (h *Heap[T, O]) Take() T { return heap.Pop((*items[T, O])(h)).(T) }

// Remove takes out the item at a place.
func (h *Heap[T, O]) Remove(place int) { heap.Remove((*items[T, O])(h), place) }

// Fix puts the item at a place where its changed priority belongs.
func (h *Heap[T, O]) Fix(place int) { heap.Fix((*items[T, O])(h), place) }

// items is a heap as container/heap wants it.
type items[T any, O Order[T]] []T

func (s items[T, O]) Len() int { return len(s) }

func (s items[T, O]) Less(i, j int) bool {
	var order O
	return order.Before(s[i], s[j])
}

func (s items[T, O]) Swap(i, j int) {
	var order O
	s[i], s[j] = s[j], s[i]
	order.Moved(s[i], i)
	order.Moved(s[j], j)
}

func (s *items[T, O]) Push(x any) {
	var order O
	item := x.(T)
	order.Moved(item, len(*s))
	*s = append(*s, item)
}

func (s *items[T, O]) Pop() any {
	var (
		order O
		none  T
	)
	last := len(*s) - 1
	item := (*s)[last]
	(*s)[last] = none // so that the removed item can be collected
	*s = (*s)[:last]
	order.Moved(item, Nowhere)
	return item
}
