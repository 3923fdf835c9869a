package sweep

import "fmt"

// Tell is what is open, for whoever looks for a fault.
func (s *Machine) Tell() (text string) {
	for number := range int32(s.roll.size()) {
		m := s.meter(number)
		text += fmt.Sprintf("%v done %t due %v waits %t wait %v excluded %q person %q\n", m.Device, m.Done, m.due, m.waits, m.wait, m.Bars.Excluded, m.Bars.Person)
		for _, r := range m.Open {
			q := of(r)
			text += fmt.Sprintf("   %v %v %v place %d parked %t inHub %t after %t\n", r.Service, r.Phase, r.ID, q.place, q.parked, q.inHub, r.After)
		}
	}
	return text + fmt.Sprintf("parked %d, legs %d, counters %+v, lanes %d", len(s.queues.parked), len(s.workers.legs), *s.counters[s.o.Originators[0]], s.queues.legs())
}
