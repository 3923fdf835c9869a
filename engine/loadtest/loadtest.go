package loadtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"go.uber.org/zap"

	"safemode/engine/exchange"
	"safemode/engine/proof"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/gbcs"
)

// Counters hands out originator counters, each durably reserved before. It is used
// by many goroutines.
type Counters interface {
	Next() (uint64, error)
}

// Target is a meter to ask.
type Target struct {
	Device servicerequests.EUI
	Type   servicerequests.DeviceType
}

// Stage is a span of constant arrival rate.
type Stage struct {
	Rate float64 // requests a second
	For  time.Duration
}

// arrivals is how many requests a stage has.
func (s Stage) arrivals() int { return int(math.Ceil(s.Rate*s.For.Seconds() - 1e-9)) }

// Options is what a test is made of. Fields are required unless they say otherwise.
type Options struct {
	Services   []servicerequests.Service // asked for in turn
	Targets    []Target                  // asked in turn
	Originator servicerequests.EUI

	Wait      time.Duration // for answers after a stage's end; 0: 30 s
	Workers   int           // requests being sent at once; 0: 256
	LateAfter time.Duration // 0: 10 ms

	Counters Counters
	Signer   exchange.Signer
	Gateway  exchange.Gateway
	Verifier exchange.Verifier
	Log      *zap.Logger

	// Progress is called once a second with the state of the test. Optional.
	Progress func(Progress)
}

// mostArrivals bounds one stage: each takes some 50 bytes.
const mostArrivals = 20_000_000

// Validate joins all faults.
func (o Options) Validate() error {
	var errs []error
	if o.Counters == nil || o.Signer == nil || o.Gateway == nil || o.Verifier == nil || o.Log == nil || o.Originator == 0 {
		errs = append(errs, errors.New("counters, signer, gateway, verifier, log and originator are required"))
	}
	if len(o.Targets) == 0 {
		errs = append(errs, errors.New("targets: there is no meter to ask"))
	}
	if len(o.Services) == 0 {
		errs = append(errs, errors.New("services: there is none to ask for"))
	}
	for _, s := range o.Services {
		switch s {
		case servicerequests.ArmSupply:
			errs = append(errs, errors.New("services: 7.3 rests on proof of cause, which a load test does not have"))
		case servicerequests.ReadInventory:
			errs = append(errs, errors.New("services: 8.2 is answered by the DCC itself; a load test asks devices"))
		}
	}
	if o.Wait < 0 || o.Workers < 0 || o.LateAfter < 0 {
		errs = append(errs, errors.New("wait, workers and late_after must not be negative"))
	}
	return errors.Join(errs...)
}

// Progress is how a stage stands.
type Progress struct {
	Rate                                         float64
	Elapsed, For                                 time.Duration
	Requested, Sent, Dropped, Accepted, Answered int
}

// Tester carries stages out, one after another. Make it with [New].
type Tester struct {
	o     Options
	turn  int          // of services and targets
	began sync.Once    // sets start
	start time.Time    // of the first stage
	mu    sync.Mutex   // guards what follows
	open  map[id]*open // requests that may still be answered
	busy  map[servicerequests.EUI]bool
	door  *exchange.Exchange
}

type id = servicerequests.RequestID

// open is a request whose answer may still come.
type open struct {
	stage    *stage
	record   int
	expected gbcs.Expected
}

// New makes a tester. It sends nothing.
func New(o Options) (*Tester, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("load test: %w", err)
	}
	o.Wait = cmp.Or(o.Wait, 30*time.Second)
	o.Workers = cmp.Or(o.Workers, 256)
	o.LateAfter = cmp.Or(o.LateAfter, 10*time.Millisecond)
	door := exchange.New(exchange.Options{Journal: nowhere{}, Signer: o.Signer, Gateway: o.Gateway, Verifier: o.Verifier, Clock: clock.Clock{}, Log: o.Log})
	return &Tester{o: o, open: map[id]*open{}, busy: map[servicerequests.EUI]bool{}, door: door}, nil
}

// stage is a stage under way. Records are guarded by the tester's mutex.
type stage struct {
	Stage
	start   time.Time
	records []entry
	settled chan struct{} // one slot: something has ended
}

func (s *stage) since() time.Duration { return max(1, time.Since(s.start)) }

// job is a request on its way to a worker.
type job struct {
	stage   *stage
	record  int
	service servicerequests.Service
	target  Target
}

// Run carries one stage out, waits for its answers, and returns what became of
// each request. When ctx ends it sends no more and returns what there is, with
// ctx's error. Stages are run one after another.
func (t *Tester) Run(ctx context.Context, plan Stage) (Step, error) {
	if n := plan.Rate * plan.For.Seconds(); !(plan.Rate > 0) || plan.For <= 0 || n > mostArrivals {
		return Step{}, fmt.Errorf("load test: %g a second for %v: want a rate and a span over 0, and at most %d requests", plan.Rate, plan.For, mostArrivals)
	}
	s := &stage{Stage: plan, start: time.Now(), records: make([]entry, plan.arrivals()), settled: make(chan struct{}, 1)}
	t.began.Do(func() { t.start = s.start })
	jobs := make(chan job, t.o.Workers) // closed below, when all have arrived
	var workers sync.WaitGroup
	for range t.o.Workers {
		workers.Go(func() {
			for j := range jobs {
				t.send(ctx, j)
			}
		})
	}
	told, stopTelling := context.WithCancel(ctx)
	var teller sync.WaitGroup
	teller.Go(func() { t.tell(told, s) })
	t.arrive(ctx, s, jobs)
	close(jobs)
	workers.Wait()
	t.await(ctx, s)
	stopTelling()
	teller.Wait()

	t.mu.Lock()
	defer t.mu.Unlock()
	for key, o := range t.open { // an answer from now on comes too late
		if o.stage == s {
			delete(t.open, key)
			t.release(o)
		}
	}
	step := makeStep(s.records, plan, t.o.LateAfter)
	step.From = s.start.Sub(t.start).Seconds()
	return step, ctx.Err()
}

// arrive gives each request to a worker at its instant.
func (t *Tester) arrive(ctx context.Context, s *stage, jobs chan<- job) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range s.records {
		due := time.Duration(float64(i) / s.Rate * float64(time.Second))
		s.records[i].due = due // nobody else knows the record yet
		if ahead := due - time.Since(s.start); ahead > 0 {
			timer.Reset(ahead)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil { // it was not to be sent any more
			t.mu.Lock()
			s.records = s.records[:i]
			t.mu.Unlock()
			return
		}
		j := job{stage: s, record: i, service: t.o.Services[t.turn%len(t.o.Services)]}
		var ok bool
		if j.target, ok = t.choose(j.service); !ok {
			t.note(s, i, func(r *entry) { r.fate = dropped })
			continue
		}
		select {
		case jobs <- j:
		default:
			t.free(j)
			t.note(s, i, func(r *entry) { r.fate = dropped })
		}
	}
}

// choose is the next meter in turn; of a critical command, the next that has none
// open: those of one meter go one at a time.
func (t *Tester) choose(service servicerequests.Service) (Target, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range t.o.Targets {
		target := t.o.Targets[t.turn/len(t.o.Services)%len(t.o.Targets)]
		t.turn++
		if !service.Critical() {
			return target, true
		}
		if !t.busy[target.Device] {
			t.busy[target.Device] = true
			return target, true
		}
	}
	return Target{}, false
}

// free lets a meter have its next critical command.
func (t *Tester) free(j job) {
	if j.service.Critical() {
		t.mu.Lock()
		delete(t.busy, j.target.Device)
		t.mu.Unlock()
	}
}

// note changes a record.
func (t *Tester) note(s *stage, i int, change func(*entry)) {
	t.mu.Lock()
	change(&s.records[i])
	t.mu.Unlock()
	select {
	case s.settled <- struct{}{}:
	default:
	}
}

// await waits until every accepted request is answered, or long enough.
func (t *Tester) await(ctx context.Context, s *stage) {
	longest := time.NewTimer(t.o.Wait)
	defer longest.Stop()
	for t.unanswered(s) {
		select {
		case <-s.settled:
		case <-longest.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// unanswered says whether a request of the stage may still be answered.
func (t *Tester) unanswered(s *stage) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.open {
		if o.stage == s {
			return true
		}
	}
	return false
}

// tell reports progress once a second.
func (t *Tester) tell(ctx context.Context, s *stage) {
	if t.o.Progress == nil {
		return
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		p := Progress{Rate: s.Rate, Elapsed: s.since(), For: s.For}
		t.mu.Lock()
		for _, r := range s.records {
			switch {
			case r.fate == dropped:
				p.Dropped++
			case r.sent > 0:
				p.Sent++
			}
			if r.fate == refused {
				continue
			}
			if r.acked > 0 {
				p.Accepted++
			}
			if r.answered > 0 {
				p.Answered++
			}
		}
		t.mu.Unlock()
		p.Requested = min(len(s.records), int(p.Elapsed.Seconds()*s.Rate)+1)
		t.o.Progress(p)
	}
}

// Deliver takes a proven asynchronous message in. It may be called by many
// goroutines at any time.
func (t *Tester) Deliver(d proof.Delivery) {
	t.mu.Lock()
	o := t.open[d.ID]
	t.mu.Unlock()
	if o == nil {
		return // an alert, a repetition, or too late
	}
	fate := noResponse
	if d.Result != nil {
		if err := o.expected.MatchResponse(d.Message); err != nil {
			t.o.Log.Warn("response does not correlate", zap.Stringer("request_id", d.ID), zap.Error(err))
			return
		}
		fate = answered
		if !d.Result.Success {
			fate = negative
		}
	}
	t.close(o, func(r *entry) {
		r.fate = fate
		if fate != noResponse {
			r.answered = o.stage.since()
		}
	})
}

// close ends the waiting for an answer, once.
func (t *Tester) close(o *open, change func(*entry)) {
	t.mu.Lock()
	there := t.open[o.expected.ID] == o
	delete(t.open, o.expected.ID)
	t.release(o)
	t.mu.Unlock()
	if there {
		t.note(o.stage, o.record, change)
	}
}

// release lets the meter of a request that has ended have its next critical
// command. The caller holds the mutex.
func (t *Tester) release(o *open) {
	if o.expected.Service.Critical() {
		delete(t.busy, o.expected.ID.Target)
	}
}
