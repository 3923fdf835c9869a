package plan

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"time"

	"safemode/engine/portfolio"
	"safemode/servicerequests"
	"safemode/servicerequests/ring"
)

// ErrOverThreshold refuses a schedule that would cross an anomaly detection
// threshold: the DCC would quarantine what is over it.
var ErrOverThreshold = errors.New("the schedule crosses an anomaly detection threshold")

// Schedule is an estimate of when each target's requests are sent. It takes every limit as
// an even rate without bursts, has no retries, and sends a target's requests together.
type Schedule struct {
	Estimate Estimate
	Starts   []float64 // of each wave's commands, in seconds from the plan's start, at the soonest
	Latest   []float64 // the same at the latest: as many meters of each wave before are silent as may be
	Sent     []float64 // of each target: when its last request has been sent; infinite if a limit is closed

	passes []pass // in the order of the estimate
	plan   *Plan
}

// pass is what is asked of targets at one of their stages.
type pass struct {
	first int       // the index of the first of them
	asked []float64 // of each: when its requests begin
	loads []*load   // of each
}

// charge is how many POSTs a target counts against one limit.
type charge struct {
	limit string
	posts int
	rate  float64
}

// Schedule estimates when each target's requests are sent.
func (p *Plan) Schedule() *Schedule {
	s := &Schedule{
		Estimate: Estimate{Requests: map[string]int{}},
		Sent:     make([]float64, len(p.Targets)), plan: p,
	}
	c := estimator{
		s: s, free: map[string]float64{}, busy: map[string]float64{}, closed: map[string]bool{},
		budgets: map[string]*budget{}, loads: map[kind]*load{},
	}
	if p.Limits.OverThreshold == Pace {
		for srv, t := range p.Limits.Thresholds {
			c.budgets[srv] = &budget{t, ring.Ring[float64]{Most: t.Budget}}
		}
	}
	c.waves()
	e := &s.Estimate
	e.Closed = slices.Sorted(maps.Keys(c.closed))
	most := 0.0
	for _, limit := range slices.Sorted(maps.Keys(c.busy)) {
		if c.busy[limit] > most {
			e.Bottleneck, most = limit, c.busy[limit]
		}
	}
	for _, sent := range s.Sent {
		if !math.IsInf(sent, 1) {
			e.Seconds = max(e.Seconds, sent)
		}
	}
	if n := len(s.Latest); n > 0 && p.staged() {
		e.LatestSeconds = e.Seconds + s.Latest[n-1] - s.Starts[n-1]
		if p.Counts.Gas > 0 {
			e.LatestSeconds += gasWakes * wakeSeconds
		}
	}
	for _, srv := range slices.Sorted(maps.Keys(p.Limits.Thresholds)) {
		t := p.Limits.Thresholds[srv]
		peak, after := s.Peak(srv, t.PerSeconds)
		e.Forecasts = append(e.Forecasts, Forecast{srv, peak, after, t.Count, t.PerSeconds, t.Budget, peak > t.Budget})
	}
	for _, end := range p.WindowEnds {
		late, homes := s.LateAt(end)
		e.Deadlines = append(e.Deadlines, Deadline{At: end, Homes: homes, Late: len(late)})
	}
	return s
}

// estimator computes a schedule. Times are seconds from the plan's start.
type estimator struct {
	s       *Schedule
	barrier float64            // when the wave begins
	free    map[string]float64 // by limit: when it admits the next POST
	busy    map[string]float64 // by limit: the seconds it was in use
	closed  map[string]bool
	budgets map[string]*budget // by SRV, where the pace is cut to fit
	loads   map[kind]*load
}

// Gas adds this to the end of a sweep at the latest: so many wakes of a meter, so many
// seconds apart, from its last acknowledgement to its verdict. ASSUMPTION
const gasWakes, wakeSeconds = 5, 30 * 60

// waves estimates the whole plan: the canary, then the reads of all other meters, then the
// commands wave after wave.
func (c *estimator) waves() {
	s, p := c.s, c.s.plan
	all := len(p.Targets)
	read := func(first, count int) {
		if p.staged() {
			c.pass(first, count, supplyStage)
			c.pass(first, count, balanceStage)
		}
	}
	latest, patience := 0.0, p.Bounds.Settings["policy.patience"]
	for i, w := range p.Waves {
		if i == 1 {
			c.barrier = 0
			read(w.First-1, all-(w.First-1))
			c.barrier, latest = s.ends(p.Waves[0]), s.Latest[0]+s.ends(p.Waves[0])+patience
		}
		s.Starts, s.Latest = append(s.Starts, c.barrier), append(s.Latest, max(c.barrier, latest))
		if i == 0 {
			read(w.First-1, w.Count)
		}
		c.pass(w.First-1, w.Count, commandStage)
		took := s.ends(w) - c.barrier
		c.barrier, latest = s.ends(w), max(c.barrier, latest)+took+patience
	}
}

// ends is when a wave has been sent and has soaked.
func (s *Schedule) ends(w Wave) (end float64) {
	for _, sent := range s.Sent[w.First-1 : w.First-1+w.Count] {
		if !math.IsInf(sent, 1) {
			end = max(end, sent)
		}
	}
	return end + w.SoakSeconds
}

// pass estimates one stage of some targets. Regions go side by side, each in its order.
func (c *estimator) pass(first, count int, at stage) {
	p := c.s.plan
	one := pass{first, make([]float64, count), make([]*load, count)}
	queues := map[servicerequests.Region][]int{}
	for i := first; i < first+count; i++ {
		one.loads[i-first] = c.load(&p.Targets[i], at)
		if one.loads[i-first].posts == 0 {
			one.asked[i-first] = math.Inf(1)
			continue
		}
		share := p.Limits.share(p.Targets[i].Region)
		queues[share] = append(queues[share], i)
	}
	c.s.passes = append(c.s.passes, one)
	regions := slices.Sorted(maps.Keys(queues))
	for {
		var next servicerequests.Region
		soonest := math.Inf(1)
		for _, region := range regions {
			if len(queues[region]) == 0 {
				continue
			}
			if at := c.earliest(one.loads[queues[region][0]-first]); at < soonest || next == servicerequests.UnknownRegion {
				next, soonest = region, at
			}
		}
		if next == servicerequests.UnknownRegion {
			break
		}
		i := queues[next][0]
		one.asked[i-first] = soonest
		c.send(i, one.loads[i-first], soonest)
		queues[next] = queues[next][1:]
	}
}

// load is what one target counts against the limits. Targets that are alike share one.
type load struct {
	charges  []charge
	asks     map[string]int // requests by SRV
	posts    int
	switches bool // it has a critical step
}

// kind is what a target's load follows from.
type kind struct {
	device     servicerequests.DeviceType
	claimed    servicerequests.PaymentMode
	pending    bool
	originator servicerequests.EUI
	share      servicerequests.Region
	at         stage
}

// load finds or makes the load of a target.
func (c *estimator) load(t *Target, at stage) *load {
	p := c.s.plan
	k := kind{t.Type, t.Claimed, slices.Contains(t.History, portfolio.PendingFutureDatedMode), t.Originator, p.Limits.share(t.Region), at}
	if l := c.loads[k]; l != nil {
		return l
	}
	l := &load{asks: map[string]int{}}
	byService := map[string]int{}
	for _, step := range p.stepsAt(t, at) {
		l.asks[step.SRV()]++
		l.switches = l.switches || step.Critical()
		for _, service := range services(step) {
			l.posts++
			byService[service]++
		}
	}
	l.charges = append(l.charges, charge{"user " + t.Originator.String(), l.posts, p.Limits.User})
	if rate, limited := p.Limits.Regions[k.share]; limited {
		l.charges = append(l.charges, charge{"region " + k.share.String(), l.posts, rate})
	}
	for _, service := range slices.Sorted(maps.Keys(p.Limits.Services)) {
		if n := byService[service]; n > 0 {
			l.charges = append(l.charges, charge{"service " + service, n, p.Limits.Services[service]})
		}
	}
	c.loads[k] = l
	return l
}

// earliest is when a target's requests can begin; infinite if a limit is closed.
func (c *estimator) earliest(l *load) float64 {
	at := c.barrier
	for _, charge := range l.charges {
		if charge.rate == 0 {
			return math.Inf(1)
		}
		at = max(at, c.free[charge.limit])
	}
	for srv, n := range l.asks {
		if b := c.budgets[srv]; b != nil {
			at = max(at, b.earliest(n))
		}
	}
	return at
}

// send counts a target's requests against the limits.
func (c *estimator) send(i int, l *load, at float64) {
	s := c.s
	for srv, n := range l.asks {
		s.Estimate.Requests[srv] += n
	}
	s.Estimate.Posts += l.posts
	s.Sent[i] = max(s.Sent[i], at)
	if math.IsInf(at, 1) {
		c.noteClosed(l)
		return
	}
	for _, charge := range l.charges {
		took := float64(charge.posts) / charge.rate
		c.free[charge.limit] = max(c.free[charge.limit], at) + took
		c.busy[charge.limit] += took
		s.Sent[i] = max(s.Sent[i], c.free[charge.limit])
	}
	for srv, n := range l.asks {
		if b := c.budgets[srv]; b != nil {
			for range n {
				b.last.Add(at)
			}
		}
	}
}

// noteClosed notes the limits because of which a target is never sent.
func (c *estimator) noteClosed(l *load) {
	for _, charge := range l.charges {
		if charge.rate == 0 {
			c.closed[charge.limit] = true
		}
	}
	for srv, n := range l.asks {
		if b := c.budgets[srv]; b != nil && n > b.Budget {
			c.closed["anomaly threshold of "+srv] = true
		}
	}
}

// budget admits at most Budget requests in any period.
type budget struct {
	Threshold
	last ring.Ring[float64] // when the newest Budget requests are sent
}

// earliest is when n more requests may be sent.
func (b *budget) earliest(n int) float64 {
	switch free := b.Budget - b.last.Len(); {
	case n > b.Budget:
		return math.Inf(1)
	case n <= free:
		return 0
	default:
		const apart = 1e-6 // or rounding could put both into one period
		return b.last.Oldest(n-1) + b.PerSeconds + apart
	}
}

// times lists when the requests of an SRV are sent, in order.
func (s *Schedule) times(srv string) (times []float64) {
	for _, one := range s.passes {
		for i, at := range one.asked {
			if math.IsInf(at, 1) {
				continue
			}
			for range one.loads[i].asks[srv] {
				times = append(times, at)
			}
		}
	}
	slices.Sort(times)
	return times
}

// Peak is the most requests of an SRV in any trailing period, and the seconds from
// the start after which there are as many for the first time.
func (s *Schedule) Peak(srv string, period float64) (peak int, after float64) {
	times, oldest := s.times(srv), 0
	for i, at := range times {
		for times[oldest] <= at-period {
			oldest++
		}
		if n := i + 1 - oldest; n > peak {
			peak, after = n, at
		}
	}
	return peak, after
}

// Curve is how many requests of an SRV lie in the trailing period, at instants that are
// spread evenly over the whole plan.
func (s *Schedule) Curve(srv string, period float64, instants int) []int {
	times, curve := s.times(srv), make([]int, instants)
	for i := range curve {
		at := s.Estimate.Seconds * float64(i+1) / float64(instants)
		upTo := func(t float64) int { return sort.Search(len(times), func(k int) bool { return times[k] > t }) }
		curve[i] = upTo(at) - upTo(at-period)
	}
	return curve
}

// Late is a home whose switch is not sent by a deadline.
type Late struct {
	Hub      servicerequests.EUI
	MPxN     string    // of its first late meter
	Priority int       // of that meter
	Sent     time.Time // when its last switch is sent; zero: never, a limit is closed
}

// LateAt lists the homes with a switch that is not sent by an instant, in the plan's order,
// and counts all homes that are to be switched.
func (s *Schedule) LateAt(end time.Time) (late []Late, atRisk int) {
	within := end.Sub(s.plan.StartsAt).Seconds()
	known, is := map[servicerequests.EUI]bool{}, map[servicerequests.EUI]int{}
	switches := make([]bool, len(s.plan.Targets))
	for _, one := range s.passes {
		for i, l := range one.loads {
			switches[one.first+i] = switches[one.first+i] || l.switches
		}
	}
	for i := range s.plan.Targets {
		t := &s.plan.Targets[i]
		if !switches[i] {
			continue
		}
		if !known[t.Hub] {
			known[t.Hub] = true
			atRisk++
		}
		if s.Sent[i] <= within {
			continue
		}
		at, ok := is[t.Hub]
		if !ok {
			at = len(late)
			is[t.Hub] = at
			late = append(late, Late{Hub: t.Hub, MPxN: t.MPxN, Priority: t.Priority})
		}
		if !math.IsInf(s.Sent[i], 1) {
			late[at].Sent = s.plan.StartsAt.Add(time.Duration(s.Sent[i] * float64(time.Second))).Round(time.Second)
		}
	}
	return late, atRisk
}

// overThreshold refuses a schedule that crosses a threshold, with the numbers, unless the
// plan may.
func (p *Plan) overThreshold() error {
	if p.Limits.OverThreshold == Exceed {
		return nil
	}
	var faults []error
	for _, f := range p.Estimate.Forecasts {
		if f.Exceeded {
			faults = append(faults, fmt.Errorf("SRV %s: %d in %v, of a threshold of %d (%d less the margin)", f.SRV, f.Peak, time.Duration(f.PerSeconds*float64(time.Second)), f.Count, f.Budget))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrOverThreshold, errors.Join(faults...))
}
