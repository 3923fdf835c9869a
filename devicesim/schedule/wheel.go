package schedule

import "time"

// Wheel says which of many numbered things are due, at 8 bytes each: a ring of
// slots, each a span of time, with the things that fall into it in a list that
// runs through two arrays. Things beyond the ring go into its last slot, to be
// asked about again. It has no clock and does not lock.
type Wheel struct {
	width time.Duration
	turn  time.Time // when the slot begins that is taken next
	at    int       // that slot
	first []uint32  // by slot: 1 + its first thing; 0: empty
	next  []uint32  // by thing: 1 + the one after it; 0: it is the last
	prior []uint32  // by thing: 1 + the one before it, or isFirst | its slot; 0: it is in no slot
}

const isFirst = 1 << 31

// NewWheel returns a wheel for things 0 to n-1, n under 2^31, none of which is
// due; its first slot begins at from.
func NewWheel(n, slots int, width time.Duration, from time.Time) *Wheel {
	return &Wheel{width: width, turn: from, first: make([]uint32, slots), next: make([]uint32, n), prior: make([]uint32, n)}
}

// Put says when a thing is due, in place of what was said before.
func (w *Wheel) Put(i int, at time.Time) {
	w.Remove(i)
	ahead := max(0, at.Sub(w.turn)) / w.width
	slot := (w.at + int(min(ahead, time.Duration(len(w.first)-1)))) % len(w.first)
	w.prior[i] = isFirst | uint32(slot)
	w.next[i] = w.first[slot]
	if after := w.next[i]; after != 0 {
		w.prior[after-1] = uint32(i) + 1
	}
	w.first[slot] = uint32(i) + 1
}

// Remove says that a thing is not due.
func (w *Wheel) Remove(i int) {
	before, after := w.prior[i], w.next[i]
	switch {
	case before == 0:
		return
	case before&isFirst != 0:
		w.first[before&^isFirst] = after
	default:
		w.next[before-1] = after
	}
	if after != 0 {
		w.prior[after-1] = before
	}
	w.prior[i], w.next[i] = 0, 0
}

// Ends returns when the next slot ends: all that falls into it is then due.
func (w *Wheel) Ends() time.Time { return w.turn.Add(w.width) }

// Turn takes all things out of the next slot, appends them to due and goes on to
// the slot after it.
func (w *Wheel) Turn(due []int) []int {
	for w.first[w.at] != 0 {
		i := int(w.first[w.at]) - 1
		due = append(due, i)
		w.Remove(i)
	}
	w.turn = w.Ends()
	w.at = (w.at + 1) % len(w.first)
	return due
}
