package sweep

import (
	"fmt"
	"slices"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// pause is an order to send nothing in a scope, until another order takes it back. The scope is
// the whole sweep, a region, a wave or a service.
type pause struct {
	order record.OrderBody // a pause or a stop
	at    time.Time
}

// pauses are the pauses and stops in force, in the order in which they were ordered.
type pauses struct{ all []pause }

// whole says whether the whole sweep is paused or stopped.
func (p *pauses) whole() bool {
	return slices.ContainsFunc(p.all, func(one pause) bool { return scopeOf(one.order) == scope{} })
}

// add adds a pause or a stop. It replaces one like it: the journal has both, and however often
// one is ordered, there is one to lift and to show.
func (p *pauses) add(o record.OrderBody, at time.Time) {
	p.all = slices.DeleteFunc(p.all, func(one pause) bool {
		was := one.order
		return scopeOf(was) == scopeOf(o) && was.Action == o.Action && was.Now == o.Now && was.Cause == o.Cause
	})
	p.all = append(p.all, pause{o, at})
}

// meter says whether a meter must not begin.
func (p *pauses) meter(m *head) bool {
	return slices.ContainsFunc(p.all, func(one pause) bool {
		at := scopeOf(one.order)
		return at != scope{} && at.covers(m.region, int(m.wave), 0)
	})
}

// half says whether a half must not be sent now. A stop that drains does not block what has
// begun: the meters of a region or a wave, the requests of a service.
func (p *pauses) half(r *request) bool {
	return slices.ContainsFunc(p.all, func(one pause) bool {
		at := scopeOf(one.order)
		switch {
		case at == scope{} || !at.covers(r.m.Plan.Region, r.m.wave, r.Service):
			return false
		case one.order.Action == record.OrderStop && !one.order.Now:
			return at.service != 0 && r.Phase == ledger.Queued
		}
		return true
	})
}

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
