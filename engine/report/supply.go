package report

import (
	"cmp"
	"slices"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// sighting is what a read or an alert said about a meter's supply.
type sighting struct {
	counter uint64 // of the read, or the latest one asked for before the alert was heard
	at      time.Time
	supply  servicerequests.SupplyState
	told    bool // by an alert: the supply changed then, and was not only seen so
}

// Supply is a meter's supply as it was last known.
type Supply struct {
	State servicerequests.SupplyState // 0: not known
	At    time.Time                   // when it was read, or when the meter told of it

	// OffSince is since when it is known to be Disabled or Armed without a break; zero:
	// it is not off, or not known. Told says that the meter's own alert gave that moment;
	// else it was first seen off then, and may have been off for longer.
	OffSince time.Time
	Told     bool
}

// hours is how long it has been off at an instant, if nobody has turned it on since.
func (s Supply) hours(to time.Time) float64 {
	if s.OffSince.IsZero() {
		return 0
	}
	return max(0, to.Sub(s.OffSince).Hours())
}

// alertSupply is what an alert says of the supply; 0: nothing. GBCS alert list.
func alertSupply(code string) servicerequests.SupplyState {
	switch code {
	case "8F0F", "81BE": // below the disablement threshold; disabled, then locked
		return servicerequests.Disabled
	case "81BF": // disabled, then armed: uncontrolled gas flow
		return servicerequests.Armed
	}
	return servicerequests.UnknownSupply
}

// alerted takes in what a proven alert says of a meter's supply.
func (f *reading) alerted(r record.Record, b record.ProvenBody) {
	supply := alertSupply(b.Code)
	if supply == servicerequests.UnknownSupply {
		return
	}
	m := f.meter(r.Device)
	issued := b.Issued
	if issued == 0 { // an older journal
		for _, q := range m.requests {
			issued = max(issued, q.ID.Counter)
		}
	}
	m.seen = append(m.seen, sighting{issued, notAfter(b.At, r.At), supply, true})
}

// sees takes in what the end of a request showed of a meter's supply.
func (m *meter) sees(rec record.Record, o record.OutcomeBody) {
	if o.Observed == nil || o.Observed.Supply == servicerequests.UnknownSupply {
		return
	}
	m.seen = append(m.seen, sighting{rec.ID.Counter, notAfter(o.AnsweredAt, rec.At), o.Observed.Supply, false})
}

// notAfter is when something was so, by a clock that may be wrong: not later than it was
// heard of. Older journals may not say.
func notAfter(at, heard time.Time) time.Time {
	if at.IsZero() || at.After(heard) {
		return heard
	}
	return at
}

// order sorts what was seen by when it was true. As in the sweep, a later request shows a later
// state; an alert counts only if it is later than that. If there is no request, the verdict
// counts.
func (m *Meter) order(last time.Time) {
	if v := m.Verdict; len(m.seen) == 0 && v.End.Supply != servicerequests.UnknownSupply {
		m.seen = append(m.seen, sighting{v.SupplyCounter, notAfter(v.AsOf, last), v.End.Supply, false})
	}
	slices.SortStableFunc(m.seen, func(a, b sighting) int {
		if a.counter == b.counter && a.told != b.told {
			if a.told {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(a.counter, b.counter), a.at.Compare(b.at))
	})
	kept := m.seen[:0]
	for _, s := range m.seen {
		if s.told && len(kept) > 0 && !s.at.After(kept[len(kept)-1].at) {
			continue
		}
		kept = append(kept, s)
	}
	m.seen = kept
}

// supplyAt is the supply as it was last known at an instant.
func (m *Meter) supplyAt(t time.Time) (s Supply) {
	for _, seen := range m.seen {
		if seen.at.After(t) {
			continue
		}
		s.State, s.At = seen.supply, seen.at
		switch {
		case seen.supply == servicerequests.Enabled:
			s.OffSince, s.Told = time.Time{}, false
		case s.OffSince.IsZero():
			s.OffSince, s.Told = seen.at, seen.told
		}
	}
	return s
}

// home is the planned meters behind one hub, in the plan's order.
type home []*Meter

// homes are in the order of their first meters.
func (r *Report) homes() (list []home) {
	place := map[servicerequests.EUI]int{}
	for i := range r.Meters {
		m := &r.Meters[i]
		at, known := place[m.Target.Hub]
		if !known {
			at = len(list)
			place[m.Target.Hub] = at
			list = append(list, nil)
		}
		list[at] = append(list[at], m)
	}
	return list
}

// need says what person a meter's home needs at an instant: its supply is off.
func (m *Meter) need(t time.Time) Need {
	switch state := m.supplyAt(t).State; {
	case m.verdictAt(t) == record.VerdictExcluded:
		return needNobody
	case state == servicerequests.Armed:
		return needButton
	case state == servicerequests.Disabled:
		return needPerson
	}
	return needNobody
}

// need is the gravest of its meters'.
func (h home) need(t time.Time) (n Need) {
	for _, m := range h {
		n = max(n, m.need(t))
	}
	return n
}

// priority is that of the most urgent meter, 0 first to 9.
func (h home) priority() int {
	first := slices.MinFunc(h, func(a, b *Meter) int { return cmp.Compare(a.Target.Priority, b.Target.Priority) })
	return min(max(0, first.Target.Priority), 9)
}
