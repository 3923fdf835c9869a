package sweep

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/panjf2000/ants/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/gateway"
	"safemode/engine/proof"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
)

// Counters hands out the originator counters of one originator. A counter is
// durably reserved before Next returns it, and never returned again. Only the
// dispatcher calls it. An error is final.
type Counters interface {
	Next() (uint64, error)
}

// Pacer decides whether a POST may go now, by all limits together or not at
// all; wait says how long to hold on, and limit names the one in the way. Spent
// tells it of POSTs before this run, in their order. Only the dispatcher calls it.
type Pacer interface {
	Take(now time.Time, l Leave) (ok bool, wait time.Duration, limit string)
	Spent(at time.Time, l Leave)
}

// LimitAnomaly is what [Pacer] calls a limit of one SRV: others may go meanwhile.
const LimitAnomaly = "anomaly_threshold"

// Leave is what the pacer is asked for: one POST.
type Leave struct {
	Originator servicerequests.EUI
	Region     servicerequests.Region
	Endpoint   gateway.Service
	Service    servicerequests.Service
	Signed     bool // a Signed Pre-Command
}

// Breakers guards the synchronous calls, a circuit per service and region. It
// may be used from many goroutines. Report must be called once for each leave.
type Breakers interface {
	Allow(service gateway.Service, region servicerequests.Region) (report func(error), err error)
}

// Options is what a sweep is made of. All fields are required unless they say
// otherwise.
type Options struct {
	Policy   Policy
	Clock    clock.Clock
	Journal  Journal
	Signer   Signer
	Gateway  Gateway
	Verifier Verifier
	Counters map[servicerequests.EUI]Counters // by originator
	Pacer    Pacer
	Breakers Breakers

	// Thresholds are the DCC's anomaly detection thresholds, to be shown as
	// safemode_anomaly_headroom_ratio; it is the Pacer that holds them. May be nil.
	Thresholds map[servicerequests.Service]Threshold

	// Suppressed are planned meters that must not be touched. May be nil.
	Suppressed map[servicerequests.EUI]struct{}

	// State keeps what follows from the records, every StateEvery of real time and at the
	// end of a run. Nil: nobody does.
	State      Keeper
	StateEvery time.Duration

	// Waves are the plan's, in its order; none: one of all meters.
	Waves []Wave
	// StandIn resumes at once what pauses by itself, under this name: for rehearsals,
	// where nobody is there to do it. Empty: a person resumes.
	StandIn string

	Tripwires   Tripwires
	RetryBudget int           // retries of the whole sweep, 0: no end
	DeadMan     time.Duration // real time without a renewal until the sweep pauses; 0: none is needed

	// Gate says whether anything may be signed and sent now. An error closes the
	// gate: intake stops everywhere and Run ends with a [*HaltError], once what has been
	// sent is answered or Drain, in real time, has passed. It is asked in every turn of
	// the dispatcher and before every signature, from many goroutines.
	Gate  func(now time.Time) error
	Drain time.Duration
	// Moved is told when a run of E4 says that the supplier's market participant IDs
	// have moved: their gate is closed then, whatever its evidence says. May be nil.
	Moved func(reason error)

	DCC      servicerequests.EUI // target of requests that no device answers (8.2)
	Workers  int                 // legs under way at once, for each of the DCC's services
	InFlight int                 // open requests in one region
	PerHub   int                 // open requests behind one hub, for each fuel

	// Resend is how long the same bytes wait to be POSTed again after a reply was
	// lost; it doubles up to Resends times, and then the answer is waited for.
	Resend  time.Duration
	Resends int

	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// HaltError says that the sweep stopped itself: a gate closed, the journal or a
// key failed, or the DCC refused the User. Nothing was signed afterwards.
type HaltError struct {
	Reason string // what to say and do
	Err    error  // the cause, nil if there is none
}

func (e *HaltError) Error() string {
	if e.Err == nil {
		return "halted: " + e.Reason
	}
	return "halted: " + e.Reason + ": " + e.Err.Error()
}

func (e *HaltError) Unwrap() error { return e.Err }

// ErrEnded says that the sweep has ended and takes no more orders.
var ErrEnded = errors.New("the sweep has ended")

// ErrStopped says that the sweep was told to stop and has drained. The same
// plan and journal go on with it.
var ErrStopped = errors.New("stopped before the end")

// Sweep carries out one plan. Make it with [New], give it the journal's records
// with [Sweep.Replay], then call [Sweep.Run] once.
type Sweep struct {
	o        Options
	exchange *exchange
	metrics  *metrics
	log      *zap.Logger

	// Owned by the dispatcher, once Run has begun.
	roll       roll                                     // whole once Replay has returned
	intake     [len(servicerequests.Regions) + 1]intake // not started yet, by region
	notBegun   int
	waves      []*wave // fixed once Replay has returned
	wave       int     // number of the one that opened last
	begun      bool
	lanes      [len(servicerequests.Regions) + 1]*lane
	turn       int // the lane that is served first next time
	hubs       map[hubKey]*hub
	agenda     agenda
	naps       naps
	balances   afterwards              // meters whose balance is to be read after their verdict
	old        afterwards              // and those whose verdict has grown old
	afters     int                     // open requests of meters that had their verdict
	busy       map[gateway.Service]int // workers under way
	hold       map[gateway.Service]time.Time
	wake       time.Time // when a limit or a breaker lets go; zero if none is in the way
	done       int
	rejected   int // POSTs in a row that the DCC refused by HTTP status
	verdicts   map[string]int
	throttled  int
	headroom   headroom
	spent      map[budget]*window // what thresholds count
	classes    [Withdrawn + 1]int // requests that have ended
	services   map[servicerequests.Service]*[Withdrawn + 1]int
	areas      map[area]*areaCount
	paces      []pace // of the last minute
	from       pace   // the beginning of this run, or of the present wave
	flow       flow   // of this run
	refusals   []Refusal
	retries    int
	plights    [plightCount]int
	halt       *HaltError
	gateClosed time.Time // when a gate halted the sweep; real time
	drainLook  time.Time // when to look again for answers that are waited for
	stopping   bool
	news       bool      // something has happened since the last publication
	published  time.Time // real time
	paused     bool      // a hold is of the whole sweep
	holds      []hold
	parked     []*request // held, or over a threshold; in no lane
	dry        map[budget]time.Time
	renewed    time.Time // real time
	ceased     string    // reference of the cease notice

	quarantined  map[string]*request                  // by event reference
	overdue      map[string]servicerequests.RequestID // likewise, what had ended before that was known
	unregistered wire
	unverified   wire
	tripwire     string // that has tripped

	started     time.Time // this run
	arrivals    arrivals
	through     uint64    // records up to this one were in the state that was restored
	kept        time.Time // real time
	keptThrough uint64

	backlog []proof.Delivery // journalled answers that were not acted on before the last stop

	submit     map[gateway.Service]func(job) error // gives a leg to a worker
	cut        func()                              // ends the POSTs under way
	results    chan result
	deliveries chan arrival  // closed by nobody; [Sweep.Receive] sends
	control    chan func()   // closed by nobody; run in the dispatcher
	ended      chan struct{} // closed by Run

	status struct { // shared
		sync.Mutex
		Status
		flows []flow // one a second, of the last while
	}
}

// New makes a sweep. It starts nothing.
func New(o Options) *Sweep {
	s := &Sweep{
		o:        o,
		metrics:  newMetrics(o.Registerer),
		log:      o.Log,
		roll:     newRoll(),
		hubs:     map[hubKey]*hub{},
		verdicts: map[string]int{},
		services: map[servicerequests.Service]*[Withdrawn + 1]int{},
		areas:    map[area]*areaCount{},
		headroom: newHeadroom(o.Thresholds),
		busy:     map[gateway.Service]int{},
		dry:      map[budget]time.Time{},
		spent:    map[budget]*window{},
		arrivals: arrivals{from: map[uint64]uint64{}},
		renewed:  time.Now(),

		quarantined:  map[string]*request{},
		overdue:      map[string]servicerequests.RequestID{},
		unregistered: wire{Tripwire: o.Tripwires.Unregistered},
		unverified:   wire{Tripwire: o.Tripwires.Unverified},

		hold:       map[gateway.Service]time.Time{},
		submit:     map[gateway.Service]func(job) error{},
		results:    make(chan result, len(gateway.Services)*o.Workers),
		deliveries: make(chan arrival, 1024),
		control:    make(chan func()),
		ended:      make(chan struct{}),
	}
	s.exchange = &exchange{o.Journal, o.Signer, o.Gateway, o.Verifier, o.Clock, o.Log, context.Background(), o.Gate}
	s.cut = func() {}
	for i := range s.lanes {
		s.lanes[i] = &lane{region: servicerequests.Region(i)}
	}
	s.status.State = "starting"
	return s
}

// Run carries the plan out and returns when every meter has a verdict, and what was due
// again as it began has been read. When ctx
// ends it takes nothing new in, waits for the POSTs under way, and returns
// [ErrStopped]. It returns a [*HaltError] if the sweep stopped itself.
func (s *Sweep) Run(ctx context.Context) error {
	defer close(s.ended)
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.exchange.posts, s.cut = context.WithCancel(work)
	defer s.cut()
	for _, e := range gateway.Services {
		// Only the dispatcher submits, and only while busy counts show a worker that
		// has handed its result in: so a submit waits for no more than that worker's
		// way back to the pool.
		pool, err := ants.NewPoolWithFuncGeneric(s.o.Workers, func(j job) {
			s.results <- s.exchange.run(work, j) // never blocks: there is room for every worker
		})
		if err != nil {
			return fmt.Errorf("worker pool: %w", err)
		}
		defer pool.Release()
		s.submit[e] = pool.Invoke
	}
	s.started = s.now()
	s.countAreas()
	s.begin()
	s.from = pace{at: s.started, done: s.done}
	s.loop(ctx)
	if s.ceased != "" && s.halt == nil {
		s.ceaseNow()
	}
	s.publish()
	s.keepState(true)
	switch {
	case s.halt != nil:
		return s.halt
	case s.ceased != "":
		return fmt.Errorf("%w: %s", ErrCeased, s.ceased)
	case s.done < s.roll.size:
		return ErrStopped
	}
	return nil
}

// loop is the dispatcher. It ends when every meter has its verdict, or when a
// stop or a halt has drained.
func (s *Sweep) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	intake, failed := ctx.Done(), s.o.Journal.Failed()
	for {
		s.pump()
		if s.drained() {
			return
		}
		timer.Reset(s.pause())
		select {
		case r := <-s.results:
			s.finishLeg(r)
		case a := <-s.deliveries:
			s.deliver(a.Delivery)
			a.done()
		case act := <-s.control:
			act()
		case <-timer.C:
		case <-ticker.C:
			s.watchOperator()
			if s.news || time.Since(s.published) >= time.Second {
				s.publish()
			}
			s.keepState(false)
		case <-intake:
			intake = nil
			s.stopping = true
		case <-failed:
			failed = nil
			s.stop(journalFailed, s.o.Journal.Err())
		}
		s.takeReady()
		s.settle()
	}
}

const journalFailed = "the journal cannot be written: free the disk or mend it, then run the same command again"

// takeReady takes in what has come meanwhile, so that a burst costs one pump.
func (s *Sweep) takeReady() {
	for range cap(s.results) {
		select {
		case r := <-s.results:
			s.finishLeg(r)
		case a := <-s.deliveries:
			s.deliver(a.Delivery)
			a.done()
		default:
			return
		}
	}
}

// drained says whether there is nothing left to wait for.
func (s *Sweep) drained() bool {
	for _, n := range s.busy {
		if n > 0 {
			return false
		}
	}
	return s.stopping || s.halt != nil && !s.draining() || s.ceased != "" || s.finished()
}

// draining says whether a sweep that a gate has halted still waits for answers to
// what it has sent. It looks at every meter, so it looks rarely.
func (s *Sweep) draining() bool {
	const between = 200 * time.Millisecond
	now := time.Now()
	switch {
	case s.gateClosed.IsZero() || now.Sub(s.gateClosed) >= s.o.Drain:
		return false
	case now.Before(s.drainLook):
		return true
	}
	s.drainLook = now.Add(between)
	for _, m := range s.roll.awake {
		for _, r := range m.open {
			if r.acknowledged || r.reached {
				return true
			}
		}
	}
	return false
}

// closeGate halts the sweep because a gate is closed. Answers still come in.
func (s *Sweep) closeGate(err error) {
	if s.halt == nil {
		s.gateClosed = time.Now()
	}
	s.stop("gate closed", err)
}

// pause is the real time until the dispatcher has something to do by itself.
func (s *Sweep) pause() time.Duration {
	const longest = time.Second
	now, next := s.now(), s.next()
	if next.IsZero() {
		return longest
	}
	// The pacer counts in fine steps; a pause shorter than a millisecond would
	// only burn a core.
	return min(longest, max(time.Millisecond, s.o.Clock.Real(next.Sub(now))))
}

// next is when the dispatcher has something to do by itself; zero if it has nothing.
func (s *Sweep) next() (next time.Time) {
	times := [...]time.Time{s.wake, never, never}
	if len(s.agenda) > 0 {
		times[1] = s.agenda[0].due
	}
	if len(s.naps) > 0 {
		times[2] = s.naps[0].due
	}
	for _, t := range times {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

func (s *Sweep) now() time.Time { return s.o.Clock.Now() }

// stop closes the intake for good.
func (s *Sweep) stop(reason string, err error) {
	if s.halt == nil {
		s.halt = &HaltError{Reason: reason, Err: err}
		s.log.Error("halted", zap.String("reason", reason), zap.Error(err))
	}
}

// open says whether anything new may be sent.
func (s *Sweep) open() bool { return s.halt == nil && !s.stopping && !s.paused && s.ceased == "" }

// schedule puts a meter on the agenda, or moves it.
func (s *Sweep) schedule(m *meter, due time.Time) {
	s.roll.stir(m)
	m.due = due
	switch {
	case due.IsZero() && m.position >= 0:
		s.agenda.remove(m)
	case due.IsZero():
	case m.position >= 0:
		heap.Fix(&s.agenda, m.position)
	default:
		heap.Push(&s.agenda, m)
	}
}

// unproven notes that an answer to a request is not believed.
func (s *Sweep) unproven(id servicerequests.RequestID, at time.Time) {
	if s.begun {
		s.watchProof(false)
	}
	if m := s.find(id.Target); m != nil {
		if r := m.openAs(id); r != nil {
			s.doubt(r, at)
		}
	}
}

// doubt notes that an answer to a request is not believed. The device's turn has
// passed: a better answer is not waited for as long as a sleeping meter would be.
func (s *Sweep) doubt(r *request, at time.Time) {
	r.unproven = true
	soon := at.Add(s.o.Policy.ResponseWait.Electricity)
	if !soon.Before(r.deadline) {
		return
	}
	r.deadline = soon
	if m := r.meter; m.due.IsZero() || soon.Before(m.due) {
		s.schedule(m, soon)
	}
}

// Awaits says whether this sweep could have sent a request. It may be called from
// many goroutines, once Replay has returned.
func (s *Sweep) Awaits(id servicerequests.RequestID) bool {
	return s.roll.knows(id.Target)
}
