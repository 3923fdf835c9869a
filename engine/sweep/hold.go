package sweep

import (
	"fmt"
	"slices"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// hold keeps something from being sent, from an order on until another takes it back. Of
// the whole sweep, a region, a wave or a service.
type hold struct {
	Order record.OrderBody `json:"order"` // a pause or a stop
	At    time.Time        `json:"at"`
}

// holds are what is paused or stopped, in the order of the orders.
type holds struct{ all []hold }

// whole says whether the whole sweep is held.
func (h *holds) whole() bool {
	return slices.ContainsFunc(h.all, func(one hold) bool { return scopeOf(one.Order) == scope{} })
}

// add notes a pause or a stop. It takes the place of one like it: the journal has both,
// and however often one is ordered, there is one to lift and to show.
func (h *holds) add(o record.OrderBody, at time.Time) {
	h.all = slices.DeleteFunc(h.all, func(one hold) bool {
		was := one.Order
		return scopeOf(was) == scopeOf(o) && was.Action == o.Action && was.Now == o.Now && was.Cause == o.Cause
	})
	h.all = append(h.all, hold{o, at})
}

// meter says whether a meter must not begin.
func (h *holds) meter(m *head) bool {
	return slices.ContainsFunc(h.all, func(one hold) bool {
		at := scopeOf(one.Order)
		return at != scope{} && at.covers(m.region, int(m.wave), 0)
	})
}

// half says whether a half must not be sent now. A stop that drains lets go on what has
// begun: of a region or a wave the meters, of a service the requests.
func (h *holds) half(r *request) bool {
	return slices.ContainsFunc(h.all, func(one hold) bool {
		at := scopeOf(one.Order)
		switch {
		case at == scope{} || !at.covers(r.m.Plan.Region, r.m.wave, r.Service):
			return false
		case one.Order.Action == record.OrderStop && !one.Order.Now:
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
	return scope{o.Region, o.Wave, servicerequests.FindService(o.SRV)}
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
