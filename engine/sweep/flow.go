package sweep

import (
	"slices"
	"time"
)

// Rates are what passes the sweep in a second, by its clock. A critical Service Request
// takes two POSTs and brings one answer.
type Rates struct {
	At           time.Time `json:"at"`           // real time, the end of the span
	Requested    float64   `json:"requested"`    // POSTs that meters' next steps asked for
	Sent         float64   `json:"sent"`         // POSTs that the limits let go: what limit_per_second bounds
	Acknowledged float64   `json:"acknowledged"` // POSTs that the DCC took
	Answered     float64   `json:"answered"`     // proven answers that ended a request
}

// flow is how much has passed at an instant.
type flow struct {
	real, at                                time.Time // real time, the sweep's clock
	requested, sent, acknowledged, answered int
}

const (
	mostFlows = 600 // a sample a second: ten minutes of real time
	ratesSpan = 10  // samples that the status's rates are of
)

// between are the rates from one instant to another.
func between(a, b flow) Rates {
	r := Rates{At: b.real}
	if span := b.at.Sub(a.at).Seconds(); span > 0 {
		r.Requested = float64(b.requested-a.requested) / span
		r.Sent = float64(b.sent-a.sent) / span
		r.Acknowledged = float64(b.acknowledged-a.acknowledged) / span
		r.Answered = float64(b.answered-a.answered) / span
	}
	return r
}

// publishFlow shows what passes, and keeps a sample of it each second.
func (s *Sweep) publishFlow(st *Status) {
	now := s.flow
	now.real, now.at = time.Now(), s.now()
	s.status.Lock()
	defer s.status.Unlock()
	flows := s.status.flows
	if len(flows) == 0 || now.real.Sub(flows[len(flows)-1].real) >= time.Second {
		flows = append(flows, now)
		if len(flows) > mostFlows {
			flows = slices.Delete(flows, 0, len(flows)-mostFlows)
		}
		s.status.flows = flows
	}
	st.Rates = between(flows[max(0, len(flows)-ratesSpan)], now)
}

// Course is the rates of the last ten minutes of real time, each second's.
func (s *Sweep) Course() []Rates {
	s.status.Lock()
	defer s.status.Unlock()
	var course []Rates
	for i := 1; i < len(s.status.flows); i++ {
		course = append(course, between(s.status.flows[i-1], s.status.flows[i]))
	}
	return course
}
