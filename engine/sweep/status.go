package sweep

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Status is where a sweep stands. Every share has its denominator: Meters.
type Status struct {
	State     string         `json:"state"` // starting, running, paused, stopping, halted, ceased, finished
	Reason    string         `json:"reason,omitempty"`
	Meters    int            `json:"meters"`
	Started   int            `json:"started"`
	Done      int            `json:"done"`
	Verdicts  map[string]int `json:"verdicts"`
	InFlight  map[string]int `json:"in_flight"` // open requests by region
	Queued    int            `json:"queued"`    // legs waiting for a limit or a worker
	Throttled int            `json:"throttled"` // POSTs the DCC put off, in this run
	Elapsed   float64        `json:"elapsed_seconds"`
	// ETA is the time to go, by the sweep's clock: at the pace since the present wave
	// opened, or this run began, and with the soaks to come. Null while nothing is done,
	// in the first of several waves, and while one soaks: its pace is not that of the rest.
	ETA *float64 `json:"eta_seconds"`

	// ETARange is the time to go at the better and at the worse of two paces: ETA's,
	// and that of the last minute. Null while either is nothing.
	ETARange *[2]float64    `json:"eta_range_seconds"`
	Rate     float64        `json:"service_requests_per_second"` // ended in the last minute, by the sweep's clock
	Classes  map[string]int `json:"classes"`                     // of the requests that have ended
	Rates    Rates          `json:"rates"`                       // of the last ten seconds of real time

	// Regions are the meters by region and fuel; they sum to Meters. Services are the
	// requests that have ended by SRV and class; they sum to Classes.
	Regions  []RegionStatus            `json:"regions"`
	Services map[string]map[string]int `json:"services"`

	Waiting     map[string]int `json:"waiting"` // meters: quarantined, stuck, retrying, held
	Retries     int            `json:"retries"`
	RetryBudget int            `json:"retry_budget,omitempty"` // 0: no end
	Waves       []WaveStatus   `json:"waves"`
	Holds       []HoldStatus   `json:"holds,omitempty"`
	Quarantine  []string       `json:"quarantine,omitempty"` // event references of requests held back by the DCC
	// Delete are the event references of what the DCC must delete and not release: old
	// arming, and requests that had ended before it said that it holds them back.
	Delete  []string `json:"quarantine_delete,omitempty"`
	Renewal *float64 `json:"renewal_seconds,omitempty"` // real time in which an operator must renew

	Refusals []Refusal `json:"refusals,omitempty"` // the last requests that ended so, the newest first

	// Headroom is the share of each anomaly detection threshold that is left, by SRV;
	// below 0 by what exceeds it.
	Headroom map[string]float64 `json:"anomaly_headroom,omitempty"`

	// The engine's, by name.
	Breakers map[string]string `json:"breakers,omitempty"`         // of circuits that are not closed
	Gates    map[string]string `json:"gates,omitempty"`            // open, or why not
	Limit    *float64          `json:"limit_per_second,omitempty"` // POSTs a second by the sweep's clock, of all regions together; null: none
}

// WaveStatus is where a wave stands.
type WaveStatus struct {
	Number    int            `json:"wave"`
	Name      string         `json:"name"`
	State     string         `json:"state"` // waiting, opened, soaking, passed
	Since     time.Time      `json:"since,omitzero"`
	Until     time.Time      `json:"soaks_until,omitzero"` // while it soaks; both by the sweep's clock
	Meters    int            `json:"meters"`
	Unsettled int            `json:"unsettled"` // without a verdict, and not in long retries
	Sample    map[string]int `json:"sample"`    // requests that its abort rules judge, by class
}

// HoldStatus is what is paused or stopped, and why.
type HoldStatus struct {
	Scope  string    `json:"scope"`
	Action string    `json:"action"` // pause or stop
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
}

// Refusal is a request that the DCC or the device refused, or whose answer was not
// believed. It names no device: the journal does.
type Refusal struct {
	At     time.Time `json:"at"` // the sweep's clock
	SRV    string    `json:"srv"`
	Region string    `json:"region"`
	Class  string    `json:"class"`
	Code   string    `json:"code,omitempty"`
}

// mostRefusals are shown.
const mostRefusals = 10

// refusedNow notes a refusal to show. That emergency credit is refused is expected.
func (s *Sweep) refusedNow(region servicerequests.Region, service servicerequests.Service, class Class, code string, at time.Time) {
	if class != Rejected && class != Unverified && (class != Negative || service == servicerequests.ActivateEmergencyCredit) {
		return
	}
	s.refusals = slices.Insert(s.refusals[:min(len(s.refusals), mostRefusals-1)], 0, Refusal{at, service.SRV(), region.String(), class.String(), code})
}

// Status returns where the sweep stands; it is at most a fifth of a second old, or a
// second where nothing happens.
func (s *Sweep) Status() Status {
	s.status.Lock()
	defer s.status.Unlock()
	return s.status.Status
}

// publish makes the dispatcher's state visible.
func (s *Sweep) publish() {
	s.news, s.published = false, time.Now()
	st := Status{
		State: "running", Meters: s.roll.size, Done: s.done, Throttled: s.throttled,
		Verdicts: map[string]int{}, InFlight: map[string]int{},
		Elapsed: s.now().Sub(s.started).Seconds(),
	}
	switch {
	case s.halt != nil:
		st.State, st.Reason = "halted", s.halt.Error()
	case s.ceased != "":
		st.State, st.Reason = "ceased", s.ceased
	case s.finished():
		st.State = "finished"
	case s.stopping:
		st.State = "stopping"
	case s.paused:
		st.State = "paused"
	}
	s.metrics.is(st.State)
	s.metrics.planned.Set(float64(st.Meters))
	s.publishControl(&st)
	st.Started = s.roll.size - s.notBegun
	for _, l := range s.lanes {
		st.Queued += l.len()
		if l.region != 0 {
			st.InFlight[l.region.String()] = l.inFlight
			s.metrics.inFlight.WithLabelValues(l.region.String()).Set(float64(l.inFlight))
		}
	}
	for verdict, n := range s.verdicts {
		st.Verdicts[verdict] = n
	}
	s.publishPace(&st)
	s.publishFlow(&st)
	now := s.now()
	for service, w := range s.headroom {
		if st.Headroom == nil {
			st.Headroom = map[string]float64{}
		}
		st.Headroom[service.SRV()] = w.free(now)
		s.metrics.headroom.WithLabelValues(service.SRV()).Set(w.free(now))
	}
	s.status.Lock()
	s.status.Status = st
	s.status.Unlock()
}

// publishControl shows waves, holds, and what waits for a person.
func (s *Sweep) publishControl(st *Status) {
	if s.paused && len(s.holds) > 0 {
		st.Reason = s.holds[len(s.holds)-1].order.Reason
	}
	st.Classes = classMap(&s.classes)
	st.Regions, st.Services = s.regionStatus(), map[string]map[string]int{}
	for service, classes := range s.services {
		st.Services[service.SRV()] = classMap(classes)
	}
	st.Refusals = slices.Clone(s.refusals)
	st.Retries, st.RetryBudget = s.retries, s.o.RetryBudget
	st.Waiting = map[string]int{}
	for p := noPlight + 1; p < plightCount; p++ {
		st.Waiting[p.String()] = s.plights[p]
		s.metrics.waiting.WithLabelValues(p.String()).Set(float64(s.plights[p]))
	}
	for _, w := range s.waves {
		wave := WaveStatus{
			Number: w.number, Name: w.Name, State: cmp.Or(w.state, "waiting"), Since: w.since,
			Meters: w.meters, Unsettled: w.unsettled, Sample: classMap(&w.sample),
		}
		if w.state == record.WaveSoaking {
			wave.Until = w.since.Add(w.Soak)
		}
		st.Waves = append(st.Waves, wave)
	}
	for _, h := range s.holds {
		st.Holds = append(st.Holds, HoldStatus{scopeOf(h.order).String(), h.order.Action, h.order.By, h.order.Reason, h.at})
	}
	if st.Quarantine = slices.Sorted(maps.Keys(s.quarantined)); len(st.Quarantine) > mostShown {
		st.Quarantine = st.Quarantine[:mostShown]
	}
	st.Delete = s.toDelete(s.now())
	st.Delete = st.Delete[:min(len(st.Delete), mostShown)]
	if s.o.DeadMan > 0 {
		left := (s.o.DeadMan - time.Since(s.renewed)).Seconds()
		st.Renewal = &left
	}
}

// mostShown bounds the list of event references; the journal has all.
const mostShown = 1000

func classMap(counts *[Withdrawn + 1]int) map[string]int {
	classes := map[string]int{}
	for class, n := range counts {
		if n > 0 {
			classes[Class(class).String()] = n
		}
	}
	return classes
}

// pace is how far the sweep had come at an instant.
type pace struct {
	published   time.Time // real time
	at          time.Time // by the sweep's clock
	done, ended int
}

// publishPace reckons with the pace of this wave, and of the last minute of real time.
func (s *Sweep) publishPace(st *Status) {
	now := pace{published: s.published, at: s.now(), done: s.done}
	for class, n := range s.classes {
		if Class(class) != Withdrawn {
			now.ended += n
		}
	}
	s.paces = append(s.paces, now)
	for s.published.Sub(s.paces[0].published) > time.Minute {
		s.paces = s.paces[1:]
	}
	since := s.paces[0]
	if lasted := now.at.Sub(since.at).Seconds(); lasted > 0 {
		st.Rate = float64(now.ended-since.ended) / lasted
	}
	eta, known := s.toGo(s.from, now)
	s.metrics.eta.Set(eta) // 0 where it is not known
	if !known {
		return
	}
	st.ETA = &eta
	if other, known := s.toGo(since, now); known {
		st.ETARange = &[2]float64{min(eta, other), max(eta, other)}
	}
}

// toGo is the time to go, in seconds, at the pace between two instants.
func (s *Sweep) toGo(since, now pace) (eta float64, known bool) {
	w, done := s.current(), now.done-since.done
	if w == nil || done <= 0 || s.done == s.roll.size || w.state == record.WaveSoaking || w.number == 1 && len(s.waves) > 1 {
		return 0, false
	}
	eta = now.at.Sub(since.at).Seconds() / float64(done) * float64(s.roll.size-s.done)
	for _, w := range s.waves[w.number-1 : len(s.waves)-1] {
		eta += w.Soak.Seconds()
	}
	return eta, true
}

// resume looks again at all meters that have begun. While nothing could be sent
// nothing could be learnt of them.
func (s *Sweep) resume() {
	s.paused = false
	now := s.now()
	for seat := range int32(s.roll.size) {
		if h := s.roll.head(seat); h.begun && !h.done {
			m := s.meter(seat)
			m.heard = now
			s.schedule(m, now)
		}
	}
}

// do runs an operator's action in the dispatcher.
func (s *Sweep) do(ctx context.Context, act func()) error {
	done := make(chan struct{})
	select {
	case s.control <- func() { act(); s.publish(); close(done) }:
		<-done
		return nil
	case <-s.ended:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}
