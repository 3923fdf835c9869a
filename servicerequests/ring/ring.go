// Package ring keeps the values that were added last, and no more than so many. Trailing
// windows rest on it: at most so many messages in any period, so many answers of a kind among
// the last.
package ring

// Ring has the last values, at most Most of them. One goroutine at a time may use it.
type Ring[T any] struct {
	Most   int
	values []T
	oldest int // where the oldest stands, once the ring is full
}

// Add adds a value. In a full ring it replaces the oldest. A ring of none keeps none.
func (r *Ring[T]) Add(v T) {
	switch {
	case len(r.values) < r.Most:
		r.values = append(r.values, v)
	case r.Most > 0:
		r.values[r.oldest] = v
		r.oldest = (r.oldest + 1) % r.Most
	}
}

// Len is how many values there are.
func (r *Ring[T]) Len() int { return len(r.values) }

// Full says whether the next value takes the place of one that is there.
func (r *Ring[T]) Full() bool { return len(r.values) >= r.Most }

// Oldest is the i-th value, the oldest first.
func (r *Ring[T]) Oldest(i int) T { return r.values[(r.oldest+i)%len(r.values)] }

// All are the values, in no order.
func (r *Ring[T]) All() []T { return r.values }
