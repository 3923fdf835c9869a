package sweep

import (
	"fmt"
	"slices"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// hold keeps something from being sent, from an order on until another takes it
// back. Of the whole sweep, a region, a wave or a service.
type hold struct {
	order record.OrderBody // a pause or a stop
	at    time.Time
}

// whole says whether the hold is of the whole sweep.
func (h *hold) whole() bool { return scopeOf(h.order) == scope{} }

// scope is what an order is about; the zero scope is the whole sweep.
type scope struct {
	region  servicerequests.Region
	wave    int
	service servicerequests.Service
}

func scopeOf(o record.OrderBody) scope {
	s := scope{region: o.Region, wave: o.Wave}
	for _, service := range servicerequests.Services {
		if service.SRV() == o.SRV {
			s.service = service
		}
	}
	return s
}

func (s scope) String() string {
	switch {
	case s.region != servicerequests.UnknownRegion:
		return "region " + s.region.String()
	case s.wave != 0:
		return fmt.Sprintf("wave %d", s.wave)
	case s.service != 0:
		return "SRV " + s.service.SRV()
	}
	return "the sweep"
}

// covers says whether a meter of a region and wave, or its requests of a service, are in
// the scope.
func (s scope) covers(region servicerequests.Region, wave int, service servicerequests.Service) bool {
	switch {
	case s.region != servicerequests.UnknownRegion:
		return region == s.region
	case s.wave != 0:
		return wave == s.wave
	case s.service != 0:
		return service == s.service
	}
	return true
}

// holdsMeter says whether a meter must not begin.
func (s *Sweep) holdsMeter(m head) bool {
	return slices.ContainsFunc(s.holds, func(h hold) bool { return !h.whole() && scopeOf(h.order).covers(m.region, m.wave, 0) })
}

// holdsLeg says whether a leg must not be sent now. A stop that drains lets go on
// what has begun: of a region or a wave the meters, of a service the requests.
func (s *Sweep) holdsLeg(r *request) bool {
	return slices.ContainsFunc(s.holds, func(h hold) bool {
		at := scopeOf(h.order)
		switch {
		case h.whole() || !at.covers(r.meter.target.Region, r.meter.wave, r.service):
			return false
		case h.order.Action == record.OrderStop && !h.order.Now:
			return at.service != 0 && r.id.Counter == 0
		}
		return true
	})
}

// park puts a leg aside that something but the order of risk keeps waiting, so that
// it does not keep what is behind it waiting, too.
func (s *Sweep) park(r *request) { s.parked = append(s.parked, r) }

// unpark queues again what was put aside.
func (s *Sweep) unpark() {
	parked := s.parked
	s.parked = nil
	for _, r := range parked {
		if !r.closed {
			s.requeue(r)
		}
	}
}

// dryRead says whether a first read waits for an anomaly detection threshold: then no
// home begins that could not be read.
func (s *Sweep) dryRead(now time.Time) bool {
	for budget, until := range s.dry {
		if now.Before(until) && !budget.service.Critical() {
			return true
		}
	}
	return false
}

// budget names what an anomaly detection threshold counts.
type budget struct {
	originator servicerequests.EUI
	service    servicerequests.Service
	signed     bool
}

func budgetOf(r *request) budget { return budget{r.id.Originator, r.service, r.leg == commandLeg} }

// refill queues again what waited for a threshold whose period has moved on.
func (s *Sweep) refill(now time.Time) {
	refilled := false
	for b, until := range s.dry {
		if now.Before(until) {
			s.wakeAt(until)
		} else {
			delete(s.dry, b)
			refilled = true
		}
	}
	if refilled {
		s.unpark()
	}
}
