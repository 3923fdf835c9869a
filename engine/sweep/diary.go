package sweep

import (
	"time"

	"safemode/servicerequests/priority"
)

// diary says when each meter must be looked at again.
type diary struct {
	agenda agenda
	timers priority.Heap[timer, byEnd] // of sleeping meters
	wake   time.Time                   // when a limit or a circuit allows requests again; zero if none is in the way
}

// Next is when the machine must be stepped without an event; zero: not at all.
func (s *Machine) Next() (next time.Time) {
	if len(s.run.parts) > 0 {
		return s.now
	}
	times := [...]time.Time{s.diary.wake, {}, {}, s.transfers.nextLeave()}
	if len(s.diary.agenda) > 0 {
		times[1] = s.diary.agenda[0].due
	}
	if len(s.diary.timers) > 0 {
		times[2] = s.diary.timers[0].due
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
	s.store.markDirty(m)
	m.due = due
	switch {
	case due.IsZero() && m.position >= 0:
		s.diary.agenda.Remove(m.position)
	case due.IsZero():
	case m.position >= 0:
		s.diary.agenda.Fix(m.position)
	default:
		s.diary.agenda.Add(m)
	}
}

// agenda is the meters that are to be looked at, the next one first.
type agenda = priority.Heap[*meter, byDue]

type byDue struct{}

func (byDue) Before(a, b *meter) bool {
	if !a.due.Equal(b.due) {
		return a.due.Before(b.due)
	}
	return a.number < b.number
}

func (byDue) Moved(m *meter, place int) { m.position = place }

// timer is when a sleeping meter must be looked at again. It is void if the meter was woken
// earlier and has another time now.
type timer struct {
	due    time.Time
	number int32
}

type byEnd struct{}

func (byEnd) Before(a, b timer) bool {
	if !a.due.Equal(b.due) {
		return a.due.Before(b.due)
	}
	return a.number < b.number
}

func (byEnd) Moved(timer, int) {}

// wakeUp wakes meters with expired timers, the oldest first. After a night's pause all timers
// have expired. One step takes only so many; [Machine.Next] then asks for the next step at
// once.
func (s *Machine) wakeUp() {
	for range manyDirty {
		if len(s.diary.timers) == 0 || s.diary.timers[0].due.After(s.now) {
			return
		}
		ended := s.diary.timers.Take()
		if s.store.awake[ended.number] == nil {
			s.meter(ended.number) // puts it on the agenda, if this timer is not void
		}
	}
}
