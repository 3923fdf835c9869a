package devicesim

import (
	"time"

	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/servicerequests"
)

// Leaving is a meter whose home leaves the failed supplier on a day of its own.
type Leaving struct {
	Device    servicerequests.EUI
	MPxN      fleet.MPxN
	Effective time.Time // when it changes to another supplier
	Incoming  servicerequests.EUI
	Listed    bool // the list of transfers names it
}

// Leaving lists the meters of homes that leave by the present profile, on the list or not, in
// the order of the fleet. Meters that belonged to another supplier at first are left out.
func (s *Simulator) Leaving() (all []Leaving) {
	w := s.line.world.Load()
	for i := range s.fleet.Len() {
		m := s.fleet.Meter(i)
		if l, leaves := s.line.leaving(w, &m); leaves {
			all = append(all, Leaving{m.Device, m.MPxN, w.began.Add(l.At), l.To, l.Listed})
		}
	}
	return all
}

// leaving says how a meter's home leaves.
func (l *line) leaving(w *world, m *fleet.Meter) (fault.Leaving, bool) {
	if m.Supplier != l.failed {
		return fault.Leaving{}, false
	}
	return w.Rules.SwitchingDays.Leaving(l.fleet.Seed, m.Hub)
}

// credentials is the supplier whose credentials a meter has: the new supplier's come when it
// leaves for good.
func (l *line) credentials(m *fleet.Meter) servicerequests.EUI {
	w := l.world.Load()
	if to, leaves := l.leaving(w, m); leaves && l.since(w) >= to.ForGood() {
		return to.To
	}
	return m.Supplier
}

// tellLeaving has the DCC send an alert for each home that leaves for good by the present
// profile, when it leaves. Homes that left before the profile began were reported before.
func (s *Simulator) tellLeaving() {
	w := s.line.world.Load()
	for _, at := range w.Rules.SwitchingDays.Moments() {
		if at < 0 {
			continue
		}
		s.agenda.At(w.began.Add(at), func() {
			if s.line.world.Load() == w {
				s.pool.Do(func() { s.tellGone(w, at) })
			}
		})
	}
}

func (s *Simulator) tellGone(w *world, at time.Duration) {
	for i := range s.fleet.Len() {
		m := s.fleet.Meter(i)
		if l, leaves := s.line.leaving(w, &m); leaves && l.Told && l.ForGood() == at {
			s.dcc.Gone(&m, s.history.Leave(m.Device))
		}
	}
}
