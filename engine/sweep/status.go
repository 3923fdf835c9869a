package sweep

import (
	"context"
)

// Status is where a sweep stands. Every share has its denominator: Meters.
type Status struct {
	State     string         `json:"state"` // starting, running, paused, stopping, halted, finished
	Reason    string         `json:"reason,omitempty"`
	Meters    int            `json:"meters"`
	Started   int            `json:"started"`
	Done      int            `json:"done"`
	Verdicts  map[string]int `json:"verdicts"`
	InFlight  map[string]int `json:"in_flight"` // open requests by region
	Queued    int            `json:"queued"`    // legs waiting for a limit or a worker
	Throttled int            `json:"throttled"` // POSTs the DCC put off, in this run
	Elapsed   float64        `json:"elapsed_seconds"`
	ETA       *float64       `json:"eta_seconds"` // by the sweep's clock; null while nothing is done
}

// Status returns where the sweep stands; it is at most a fifth of a second old.
func (s *Sweep) Status() Status {
	s.status.Lock()
	defer s.status.Unlock()
	return s.status.Status
}

// publish makes the dispatcher's state visible.
func (s *Sweep) publish() {
	st := Status{
		State: "running", Meters: len(s.meters), Done: s.done, Throttled: s.throttled,
		Verdicts: map[string]int{}, InFlight: map[string]int{},
		Elapsed: s.now().Sub(s.started).Seconds(),
	}
	switch {
	case s.halt != nil:
		st.State, st.Reason = "halted", s.halt.Error()
	case s.done == len(s.meters):
		st.State = "finished"
	case s.stopping:
		st.State = "stopping"
	case s.paused:
		st.State = "paused"
	}
	st.Started = len(s.meters) - s.notBegun
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
	if done := s.done - s.doneAt; done > 0 && s.done < len(s.meters) {
		eta := st.Elapsed / float64(done) * float64(len(s.meters)-s.done)
		st.ETA = &eta
		s.metrics.eta.Set(eta)
	} else {
		s.metrics.eta.Set(0)
	}
	now := s.now()
	for service, w := range s.headroom {
		s.metrics.headroom.WithLabelValues(service.SRV()).Set(w.free(now))
	}
	s.status.Lock()
	s.status.Status = st
	s.status.Unlock()
}

// Pause stops new requests; answers are still taken in. When it returns, only what
// workers have in hand already is still sent.
func (s *Sweep) Pause(ctx context.Context) error {
	return s.do(ctx, func() { s.paused = true })
}

// Resume goes on after [Sweep.Pause].
func (s *Sweep) Resume(ctx context.Context) error {
	return s.do(ctx, s.resume)
}

func (s *Sweep) resume() {
	s.paused = false
	now := s.now()
	for _, m := range s.meters {
		if !m.done && !m.started.IsZero() {
			s.schedule(m, now)
		}
	}
}

// Stop drains the sweep: Run returns [ErrStopped] once the POSTs under way have
// their replies.
func (s *Sweep) Stop(ctx context.Context) error {
	return s.do(ctx, func() { s.stopping = true })
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
