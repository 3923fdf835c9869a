package sweep

import (
	"container/heap"
	"time"
)

// diary says when which meter is to be looked at again.
type diary struct {
	agenda agenda
	naps   naps
	wake   time.Time // when a limit or a circuit lets go; zero if none is in the way
}

// Next is when the machine has something to do by itself; zero if it has nothing.
func (s *Machine) Next() (next time.Time) {
	if len(s.run.parts) > 0 {
		return s.now
	}
	times := [...]time.Time{s.diary.wake, {}, {}, s.transfers.nextLeave()}
	if len(s.diary.agenda) > 0 {
		times[1] = s.diary.agenda[0].due
	}
	if len(s.diary.naps) > 0 {
		times[2] = s.diary.naps[0].due
	}
	for _, t := range times {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// wakeAt has the machine look at its queues again at an instant.
func (d *diary) wakeAt(t time.Time) {
	if d.wake.IsZero() || t.Before(d.wake) {
		d.wake = t
	}
}

// schedule puts a meter on the agenda, or moves it; the zero time takes it off.
func (s *Machine) schedule(m *meter, due time.Time) {
	s.roll.stir(m)
	m.due = due
	switch {
	case due.IsZero() && m.position >= 0:
		s.diary.agenda.remove(m)
	case due.IsZero():
	case m.position >= 0:
		heap.Fix(&s.diary.agenda, m.position)
	default:
		heap.Push(&s.diary.agenda, m)
	}
}

// agenda is a heap of meters by the time they are due.
type agenda []*meter

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	if !a[i].due.Equal(a[j].due) {
		return a[i].due.Before(a[j].due)
	}
	return a[i].number < a[j].number
}

func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].position, a[j].position = i, j
}

func (a *agenda) Push(x any) {
	m := x.(*meter)
	m.position = len(*a)
	*a = append(*a, m)
}

func (a *agenda) Pop() any {
	old := *a
	m := old[len(old)-1]
	old[len(old)-1] = nil
	m.position = nowhere
	*a = old[:len(old)-1]
	return m
}

func (a *agenda) remove(m *meter) { heap.Remove(a, m.position) }

// nap is when a sleeping meter is to be looked at again. Where it was woken earlier, and
// has another time by now, the nap is void.
type nap struct {
	due    time.Time
	number int32
}

// naps is a heap of naps by their end.
type naps []nap

func (n naps) Len() int { return len(n) }
func (n naps) Less(i, j int) bool {
	if !n[i].due.Equal(n[j].due) {
		return n[i].due.Before(n[j].due)
	}
	return n[i].number < n[j].number
}
func (n naps) Swap(i, j int) { n[i], n[j] = n[j], n[i] }
func (n *naps) Push(x any)   { *n = append(*n, x.(nap)) }

func (n *naps) Pop() any {
	old := *n
	last := old[len(old)-1]
	*n = old[:len(old)-1]
	return last
}

func (n *naps) push(one nap) { heap.Push(n, one) }

// wakeUp wakes meters whose naps have ended, the longest first. After a night's pause all
// naps have; more than a turn can bear are left to the next one, which [Machine.Next] then
// wants at once.
func (s *Machine) wakeUp() {
	for range manyStirred {
		if len(s.diary.naps) == 0 || s.diary.naps[0].due.After(s.now) {
			return
		}
		ended := heap.Pop(&s.diary.naps).(nap)
		if s.roll.awake[ended.number] == nil {
			s.meter(ended.number) // puts it on the agenda, if this nap is not void
		}
	}
}
