package devicesim

import (
	"time"

	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
)

// Dark is how long the supplies of one fuel are not on, all homes together, from
// when the fleet began to [Options].DarkUntil. A home with two meters of a fuel
// counts as two.
type Dark struct {
	Homes int
	// Reachable homes are neither out of reach for good nor another supplier's as the
	// fleet begins. The times are theirs alone.
	Reachable int

	Truly     time.Duration // with what devices were sent
	Untouched time.Duration // as if nothing had been sent
	AtOnce    time.Duration // as if all had been in credit mode, and armed where credit had run out, from the beginning
}

// Dark reckons by fuel how long supplies are not on: from what happened up to now,
// and for the rest of the time from what happens to a meter to which nothing more is
// sent. It knows nothing if Options.DarkUntil was not set.
func (s *Simulator) Dark() map[servicerequests.DeviceType]Dark {
	all := map[servicerequests.DeviceType]Dark{}
	if s.population.darkUntil.IsZero() {
		return all
	}
	for i := range s.fleet.Len() {
		m := s.fleet.Meter(i)
		d := all[m.Type]
		d.Homes++
		if s.reachable(&m) {
			d.Reachable++
			d.Truly += s.population.dark(i)
			d.Untouched += s.population.darkFrom(m)
			d.AtOnce += s.population.darkFrom(s.population.atOnce(m))
		}
		all[m.Type] = d
	}
	return all
}

func (s *Simulator) reachable(m *fleet.Meter) bool {
	return m.Reachable && m.Supplier == s.line.failed &&
		s.line.world.Load().Away(s.fleet.Seed, s.line.site(m.Device), 0) != fault.Forever
}

// pass has time pass for a meter of a shard, and adds up for how long it is dark.
func (p *population) pass(s *shard, at int, m *fleet.Meter, now time.Time) (raised []meter.Raised) {
	if p.darkUntil.IsZero() {
		raised, _ = p.life.Pass(m, now)
		return raised
	}
	if s.dark == nil {
		s.dark = make([]time.Duration, p.shardSize())
	}
	until := now
	if p.darkUntil.Before(now) {
		until = p.darkUntil
	}
	raised, dark := p.life.Pass(m, until)
	s.dark[at] += dark
	after, _ := p.life.Pass(m, now)
	return append(raised, after...)
}

// dark is for how long a meter is dark by what was sent to it.
func (p *population) dark(i int) time.Duration {
	s, at := &p.shards[i/p.shardSize()], i%p.shardSize()
	s.mu.Lock()
	defer s.mu.Unlock()
	m := p.fleet.Meter(i)
	if c := s.conditions.get(at); c != nil {
		m.Condition = *c
	}
	dark := p.darkFrom(m)
	if s.dark != nil {
		dark += s.dark[at]
	}
	return dark
}

// darkFrom is for how long a meter will be dark if nothing is sent to it.
func (p *population) darkFrom(m fleet.Meter) time.Duration {
	_, dark := p.life.Pass(&m, p.darkUntil)
	return dark
}

// atOnce is a meter for which all that is permitted was done as the fleet began.
func (p *population) atOnce(m fleet.Meter) fleet.Meter {
	// It begins, and everybody sees what there is to do before more is done.
	soon := p.life.Began.Add(time.Millisecond)
	p.life.Pass(&m, soon)
	if m.Mode != servicerequests.Prepayment {
		return m
	}
	ranOut := m.Supply == servicerequests.Disabled && m.Balance <= m.Model.Configuration().DisablementThreshold
	meter.SwitchToCredit(&m, p.life.Behaviour)
	if ranOut && m.Supply == servicerequests.Disabled {
		meter.ArmSupply(&m, soon, p.life.Behaviour)
	}
	return m
}
