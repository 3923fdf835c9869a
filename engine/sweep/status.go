package sweep

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// News says whether anything has happened since the last status.
func (s *Machine) News() bool { return s.pace.news }

// Status returns the sweep's status. Only the machine's owner may call it.
func (s *Machine) Status(now time.Time) record.Status {
	s.advance(now)
	s.pace.news = false
	st := record.Status{
		State: s.state(), Meters: s.store.size(), Done: s.counts.done, Throttled: s.counts.throttled,
		Started: s.store.size() - s.counts.notBegun, Queued: s.queues.halves(),
		Verdicts: maps.Clone(s.counts.verdicts), InFlight: map[string]int{},
		Elapsed: s.now.Sub(s.run.started).Seconds(),
	}
	st.Time = s.now
	switch {
	case s.run.halt != nil:
		st.Reason, st.Cause = s.run.halt.Why(), s.run.halt.Cause
	case s.run.ceased != "":
		st.Reason = s.run.ceased
	case s.pauses.whole():
		st.Reason = s.pauses.all[len(s.pauses.all)-1].Order.Reason
	}
	s.metrics.is(st.State)
	s.metrics.planned.Set(float64(st.Meters))
	for _, l := range s.queues.regions[1:] {
		n := l.inFlight[0] + l.inFlight[1]
		st.InFlight[l.region.String()] = n
		s.metrics.inFlight.WithLabelValues(l.region.String()).Set(float64(n))
	}
	if t := s.transfers.TransferCounts; t != (record.TransferCounts{}) {
		st.Transfers = &t
	}
	s.showCounts(&st)
	s.showControl(&st)
	s.showPace(&st)
	for service, w := range s.budgets.headroom {
		if st.Headroom == nil {
			st.Headroom = map[string]float64{}
		}
		st.Headroom[service.SRV()] = w.free(s.now)
		s.metrics.headroom.WithLabelValues(service.SRV()).Set(w.free(s.now))
	}
	return st
}

// WaitsForAPerson says whether something is paused until a person resumes it.
func (s *Machine) WaitsForAPerson() bool { return len(s.pauses.all) > 0 }

// state is the word for what the sweep does.
func (s *Machine) state() string {
	switch {
	case !s.run.begun:
		return "starting"
	case s.run.halt != nil:
		return "halted"
	case s.run.ceased != "":
		return "ceased"
	case s.finished():
		return "finished"
	case s.run.stopping:
		return "stopping"
	case s.pauses.whole():
		return "paused"
	}
	return "running"
}

func (s *Machine) showCounts(st *record.Status) {
	st.Classes = classMap(&s.counts.classes)
	st.Regions, st.Services = s.counts.regions(), map[string]map[string]int{}
	for service, classes := range s.counts.services {
		st.Services[service.SRV()] = classMap(classes)
	}
	st.FirstContact, st.BlastRadius = s.counts.contacts(), s.counts.radius.Most
	st.Reasons = s.counts.reasons.list()
	st.Heard = s.showHeard()
	st.Refusals = slices.Clone(s.counts.refusals)
	st.Retries, st.RetryBudget = s.counts.retries, s.o.RetryBudget
	st.Waiting = map[string]int{}
	for w := ledger.NotWaiting + 1; w < ledger.WaitReasons; w++ {
		st.Waiting[w.String()] = s.counts.waiting[w]
		s.metrics.waiting.WithLabelValues(w.String()).Set(float64(s.counts.waiting[w]))
	}
}

// showControl sets waves, pauses, and what waits for a person.
func (s *Machine) showControl(st *record.Status) {
	for _, w := range s.waves.all {
		wave := record.WaveStatus{
			Number: w.number, Name: w.Name, State: cmp.Or(w.State, "waiting"), Since: w.Since,
			Meters: w.size(), Unsettled: w.left(), Early: w.early, Sample: classMap(&w.Sample), WaitsFor: s.waitsBefore(w),
		}
		switch {
		case w.State == record.WaveSoaking:
			wave.Until = w.Since.Add(w.Soak)
		case w.State == record.WaveOpened && s.run.begun && s.finished(): // the last: no other waits for it
			wave.State = record.WavePassed
		}
		st.Waves = append(st.Waves, wave)
	}
	for _, h := range s.pauses.all {
		o := h.Order
		st.Holds = append(st.Holds, record.HoldStatus{Scope: scopeOf(o).String(), Action: o.Action, By: o.By, Cause: o.Cause, Reason: o.Reason, Since: h.At})
	}
	if st.Quarantine = slices.Sorted(maps.Keys(s.quarantine.requests)); len(st.Quarantine) > mostShown {
		st.Quarantine = st.Quarantine[:mostShown]
	}
	st.Delete = s.toDelete()
	st.Delete = st.Delete[:min(len(st.Delete), mostShown)]
	if s.o.DeadMan > 0 {
		left := (s.o.DeadMan - s.real.Sub(s.run.renewed)).Seconds()
		st.Renewal = &left
	}
}

// mostShown bounds the list of event references; the journal has all.
const mostShown = 1000

// paces have samples of how fast the sweep goes.
type paces struct {
	news  bool   // something has happened since the last status
	all   []pace // of the last minute
	from  pace   // the beginning of this run, or of the present wave
	flow  flow   // of this run
	flows []flow // the last ratesSpan samples, one a second

	course []record.Moment // from each sample to the next; elements are never changed
}

// pace is how far the sweep had come at an instant.
type pace struct {
	real        time.Time
	at          time.Time // by the sweep's clock
	done, ended int
}

// showPace estimates by the pace of this wave, and of the last minute of real time.
func (s *Machine) showPace(st *record.Status) {
	now := pace{real: s.real, at: s.now, done: s.counts.done}
	for class, n := range s.counts.classes {
		if record.Class(class) != record.ClassWithdrawn {
			now.ended += n
		}
	}
	p := &s.pace
	p.all = append(p.all, now)
	for s.real.Sub(p.all[0].real) > time.Minute {
		p.all = p.all[1:]
	}
	since := p.all[0]
	if lasted := now.at.Sub(since.at).Seconds(); lasted > 0 {
		st.Rate = float64(now.ended-since.ended) / lasted
	}
	s.showFlow(st)
	eta, known := s.toGo(p.from, now)
	if s.metrics.eta.Reset(); known {
		s.metrics.eta.WithLabelValues().Set(eta)
	}
	if !known || st.State == "halted" || st.State == "ceased" {
		return
	}
	st.ETA = &eta
	if other, known := s.toGo(since, now); known {
		st.ETARange = &[2]float64{min(eta, other), max(eta, other)}
	}
}

// toGo is the time to go, in seconds, at the pace between two instants.
func (s *Machine) toGo(since, now pace) (eta float64, known bool) {
	w, done := s.waves.current(), now.done-since.done
	if w == nil || done <= 0 || s.counts.done == s.store.size() || w.State == record.WaveSoaking || w.number == 1 && len(s.waves.all) > 1 {
		return 0, false
	}
	eta = now.at.Sub(since.at).Seconds() / float64(done) * float64(s.store.size()-s.counts.done)
	for _, w := range s.waves.all[w.number-1 : len(s.waves.all)-1] {
		eta += w.Soak.Seconds()
	}
	return eta, true
}

// flow counts what had been sent and answered at an instant.
type flow struct {
	real, at                                time.Time // real time, the sweep's clock
	requested, sent, acknowledged, answered int

	regions [len(servicerequests.Regions) + 1]struct{ answered, failed int } // requests that have ended
}

// ended notes how a request to a region's meter has ended.
func (f *flow) ended(region servicerequests.Region, class record.Class) {
	switch class {
	case record.ClassSuccess, record.ClassNegative: // the device answered
		f.regions[region].answered++
	case record.ClassNoResponse, record.ClassRejected, record.ClassInDoubt, record.ClassUnverified:
		f.regions[region].failed++
	}
}

const (
	mostFlows = 600 // samples that the course is of, one a second: ten minutes of real time
	ratesSpan = 10  // samples that the status's rates are of
)

// between are the rates from one instant to another.
func between(a, b flow) record.Rates {
	r := record.Rates{At: b.real}
	if span := b.at.Sub(a.at).Seconds(); span > 0 {
		r.Requested = float64(b.requested-a.requested) / span
		r.Sent = float64(b.sent-a.sent) / span
		r.Acknowledged = float64(b.acknowledged-a.acknowledged) / span
		r.Answered = float64(b.answered-a.answered) / span
	}
	return r
}

// byRegion are the rates of each region with meters.
func (s *Machine) byRegion(a, b flow) (all []record.RegionRates) {
	span := b.at.Sub(a.at).Seconds()
	for _, region := range servicerequests.Regions {
		if !s.counts.planned(region) {
			continue
		}
		var r record.RegionRates
		if was, is := a.regions[region], b.regions[region]; span > 0 {
			r = record.RegionRates{Answered: float64(is.answered-was.answered) / span, Failed: float64(is.failed-was.failed) / span}
		}
		all = append(all, r)
	}
	return all
}

// showFlow sets the rates, and keeps a sample each second.
func (s *Machine) showFlow(st *record.Status) {
	p := &s.pace
	now := p.flow
	now.real, now.at = s.real, s.now
	if n := len(p.flows); n == 0 || now.real.Sub(p.flows[n-1].real) >= time.Second {
		if n > 0 {
			p.course = append(p.course, record.Moment{Rates: between(p.flows[n-1], now), Regions: s.byRegion(p.flows[n-1], now)})
			p.course = p.course[max(0, len(p.course)-(mostFlows-1)):]
		}
		p.flows = append(p.flows, now)
		p.flows = p.flows[max(0, len(p.flows)-ratesSpan):]
	}
	st.Rates = between(p.flows[0], now)
}

// Course is the last ten minutes of real time, second by second. The caller must not change
// it; later samples are appended behind it or to another slice.
func (s *Machine) Course() []record.Moment { return s.pace.course }
