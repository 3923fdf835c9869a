package sweep

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/exchange"
	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Pacer plans when POSTs go. Take takes a place in all limits or in none; then wait says how
// long to wait, and limit names the one in the way. The binding limits are those at the socket
// (package exchange); the Pacer keeps work from being signed long before it may leave. Spent
// tells it of POSTs before this run, in their order. Only the machine calls it.
type Pacer interface {
	Take(now time.Time, p exchange.Place) (ok bool, wait time.Duration, limit string)
	Hold(p exchange.Place, limit string, until time.Time)
	Spent(at time.Time, p exchange.Place)
}

// LimitAnomaly is the name that [Pacer] gives to a limit of one SRV: others may go meanwhile.
const LimitAnomaly = "anomaly_threshold"

// LimitService is the name that [Pacer] gives to the limit of one of the DCC's endpoints.
const LimitService = "service"

// Options is what a machine is made of. All fields are required unless they say
// otherwise. Durations run on the sweep's clock unless they say otherwise.
type Options struct {
	Policy      ledger.Policy
	Pacer       Pacer
	Originators []servicerequests.EUI // for which there are keys and counters
	DCC         servicerequests.EUI   // target of requests that no device answers (8.2)

	// Thresholds are the DCC's anomaly detection thresholds, to be shown as
	// safemode_anomaly_headroom_ratio; the Pacer applies them. May be nil.
	Thresholds map[servicerequests.Service]Threshold
	// Suppressed are planned meters that must not be touched. May be nil.
	Suppressed map[servicerequests.EUI]struct{}
	// Transfers is the list of homes that leave as the run begins; [Transfers] replaces it.
	Transfers []record.Transfer
	// Waves are the plan's, in its order; none: one of all meters.
	Waves []Wave
	// Fits says whether the meters of a kept state, in its order, are the plan's. Nil: not asked.
	Fits func(iter.Seq[record.PlannedMeter]) error
	// StandIn resumes at once what pauses by itself, under this name: for rehearsals,
	// where nobody is there to do it. Empty: a person resumes.
	StandIn string

	Tripwires   Tripwires
	RetryBudget int           // retries of the whole sweep, 0: no end
	DeadMan     time.Duration // real time without a renewal until the sweep pauses; 0: none is needed
	Drain       time.Duration // real time in which answers are awaited after a gate has closed

	Workers  int // halves under way at once, for each of the DCC's endpoints
	InFlight int // requests of one fuel in one region that may be open at meters that answer
	PerHub   int // open requests behind one hub, for each fuel

	// Resend is how long the same bytes wait to be POSTed again after a reply was lost; it
	// doubles up to Resends times, and then the sweep waits for the answer.
	Resend  time.Duration
	Resends int

	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// HaltError says that the sweep stopped itself: a gate closed, the journal or a key
// failed, or the DCC refused the User. Nothing was sent afterwards.
type HaltError struct {
	Cause  string // what kind of fault it is: one of record's Halt constants
	Reason string
	Err    error // behind it; nil if there is none
}

func (e *HaltError) Error() string { return "halted: " + e.Why() }

// Why is the reason with the error behind it.
func (e *HaltError) Why() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

func (e *HaltError) Unwrap() error { return e.Err }

// ErrStopped says that the sweep was told to stop and has drained. The same plan and
// journal go on with it.
var ErrStopped = errors.New("stopped before the end")

// ErrHandedOver says that it has stopped so that another engine goes on with it.
var ErrHandedOver = fmt.Errorf("handed over: %w", ErrStopped)

// ErrCeased says that a cease notice has ended the sweep for good.
var ErrCeased = errors.New("the sweep has ceased")

// Machine carries out one plan. Make it with [New], give it the journal's records with
// [Machine.Replay], then [Machine.Begin] and [Machine.Step]. One goroutine owns it.
type Machine struct {
	o       Options
	log     *zap.Logger
	metrics *metrics
	now     time.Time // of the present step, by the sweep's clock
	real    time.Time // of the latest [Tick]
	out     []Action  // of the present step

	store      store
	queues     queues
	diary      diary
	waves      waves
	pauses     pauses
	counts     counts
	workers    workers
	counters   map[servicerequests.EUI]*block
	given      map[servicerequests.EUI]*given
	transfers  transfers
	quarantine quarantine
	tripwires  tripwires
	budgets    budgets
	pace       paces
	run        run
	replay     replay
}

// run is the state of the present run.
type run struct {
	begun     bool
	started   time.Time
	halt      *HaltError
	drains    time.Time // real time until which answers are awaited after a gate has closed; zero: none has closed
	looked    time.Time // real time: when it was last asked whether any are awaited
	stopping  bool
	handsOver bool   // stopping, for another engine
	lost      bool   // the journal is an older copy of one that is lost
	letGo     bool   // the rereads that the run need not wait for were given up when the last verdict came
	ceased    string // reference of the cease notice
	renewed   time.Time
	parts     []Order             // orders with devices that are not given yet
	backlog   map[uint64]struct{} // messages of earlier runs that this one has not judged yet
}

// New makes a machine. It does nothing yet.
func New(o Options) *Machine {
	s := &Machine{
		o: o, log: o.Log, metrics: newMetrics(o.Registerer),
		store: newStore(), queues: newQueues(), counts: newCounts(), budgets: newBudgets(o.Thresholds),
		workers: workers{halves: map[uint64]*request{}}, counters: map[servicerequests.EUI]*block{}, given: map[servicerequests.EUI]*given{},
		transfers:  transfers{listed: map[servicerequests.EUI]record.Transfer{}, told: map[servicerequests.EUI]struct{}{}},
		quarantine: quarantine{requests: map[string]*request{}, overdue: map[string]servicerequests.RequestID{}},
		replay:     replay{unjudged: map[uint64]message{}},
	}
	s.tripwires.unregistered.Tripwire, s.tripwires.unverified.Tripwire = o.Tripwires.Unregistered, o.Tripwires.Unverified
	for _, eui := range o.Originators {
		s.counters[eui], s.given[eui] = &block{}, &given{}
	}
	return s
}

// Step takes in events and returns the actions to carry out, in order. now is the
// sweep's clock. The same steps give the same actions.
func (s *Machine) Step(now time.Time, happened ...Event) []Action {
	s.advance(now)
	for _, e := range happened {
		s.take(e)
	}
	s.givePart()
	s.leaveDue()
	s.sleepIdle()
	s.pump()
	if s.letGo() {
		s.pump()
	}
	s.sleepIdle()
	return s.emitted()
}

// advance moves the machine's time, which never goes back.
func (s *Machine) advance(now time.Time) {
	if now.After(s.now) {
		s.now = now
	}
}

func (s *Machine) emitted() []Action {
	out := s.out
	s.out = nil
	return out
}

func (s *Machine) emit(a Action) { s.out = append(s.out, a) }

// write appends records.
func (s *Machine) write(records ...record.Record) { s.emit(Append{records}) }

func (s *Machine) take(e Event) {
	switch e := e.(type) {
	case Tick:
		s.tick(e.Real)
	case Done:
		s.halfDone(e)
	case Heard:
		delete(s.run.backlog, e.Seq)
		s.heard(e)
	case Disbelieved:
		delete(s.run.backlog, e.Seq)
		s.disbelieved(e)
	case Order:
		s.order(e)
	case Transfers:
		s.takeTransfers(e.Homes)
	case Reserved:
		s.reserved(e)
	case GateClosed:
		s.closeGate(e.Reason)
	case JournalFailed:
		s.stop(journalHalt(e.Err), journalFault(e.Err), e.Err)
	case Stop:
		s.run.stopping = true
	}
}

// journalFault describes why a journal cannot be written.
func journalFault(err error) string {
	if errors.Is(err, record.ErrHeld) {
		return "another program holds the journal's file, a viewer or a backup tool"
	}
	if errors.Is(err, record.ErrLacking) {
		return "the database has lost records"
	}
	if record.Fenced(err) {
		return "this engine has lost the sweep, and signs and sends nothing more"
	}
	return "the journal cannot be written"
}

// journalHalt is the cause of a halt for a journal that cannot be written.
func journalHalt(err error) string {
	if record.Fenced(err) {
		return record.HaltFenced
	}
	return record.HaltJournal
}

func (s *Machine) tick(real time.Time) {
	s.real = real
	if s.run.renewed.IsZero() {
		s.run.renewed = real
	}
	s.watchOperator()
}

// Ended says whether there is nothing left to wait for, and how the run has ended:
// nil, [ErrStopped], [ErrHandedOver], [ErrCeased] or a [*HaltError].
func (s *Machine) Ended() (yes bool, err error) {
	if s.workers.any() {
		return false, nil
	}
	switch {
	case s.run.halt != nil:
		if s.draining() {
			return false, nil
		}
		return true, s.run.halt
	case len(s.run.parts) > 0:
		return false, nil
	case s.run.ceased != "":
		return true, fmt.Errorf("%w: %s", ErrCeased, s.run.ceased)
	case s.finished():
		return true, nil
	case s.run.handsOver:
		return true, ErrHandedOver
	case s.run.stopping:
		return true, ErrStopped
	}
	return false, nil
}

// draining says whether a sweep that a gate has halted still waits for answers to what it
// has sent. It looks at every meter, so it looks rarely.
func (s *Machine) draining() bool {
	const between = 200 * time.Millisecond
	switch {
	case s.run.drains.IsZero() || !s.real.Before(s.run.drains):
		return false
	case !s.run.looked.IsZero() && s.real.Sub(s.run.looked) < between:
		return true
	}
	s.run.looked = s.real
	for _, m := range s.store.awake {
		for _, r := range m.Open {
			if r.Phase == ledger.Sent || r.Reached {
				return true
			}
		}
	}
	s.run.drains = time.Time{}
	return false
}

// Close gives a verdict to every meter of a ceased sweep that has none, by what is known of
// it. It is called once [Machine.Ended] says so.
func (s *Machine) Close(now time.Time) []Action {
	s.advance(now)
	if s.run.ceased != "" && s.run.halt == nil {
		s.ceaseNow()
	}
	s.sleepIdle()
	return s.emitted()
}

// Halted says whether the sweep has stopped itself.
func (s *Machine) Halted() bool { return s.run.halt != nil }

// finished says whether every meter has its verdict, no later request is open, and the
// messages that an earlier run left unjudged are judged.
func (s *Machine) finished() bool {
	return s.counts.done == s.store.size() && s.counts.afters == 0 && len(s.run.backlog) == 0
}

// closeGate halts the sweep because a gate is closed. Answers still come in.
func (s *Machine) closeGate(err error) {
	if record.Fenced(err) { // no answer can be taken in any more
		s.stop(journalHalt(err), journalFault(err), err)
		return
	}
	if s.run.halt == nil {
		s.run.drains = s.real.Add(s.o.Drain)
	}
	s.stop(record.HaltGate, "gate closed", err)
}

// stop halts the sweep. It writes the halt at once, and nothing that is under way may leave
// any more.
func (s *Machine) stop(cause, reason string, err error) {
	if s.run.halt != nil {
		return
	}
	s.run.halt = &HaltError{Cause: cause, Reason: reason, Err: err}
	s.log.Error("halted", zap.String("cause", cause), zap.String("reason", reason), zap.Error(err))
	body := record.HaltedBody{Reason: s.run.halt.Why(), Cause: cause}
	s.write(record.Record{At: s.now, Kind: record.Halted, Body: record.Encode(body)})
	s.recall(func(*request) bool { return true })
}

// defect halts the sweep on a fault of its own.
func (s *Machine) defect(err error) { s.stop(record.HaltDefect, "a defect of this program", err) }

// open says whether anything new may be sent.
func (s *Machine) open() bool {
	return s.run.halt == nil && !s.run.stopping && !s.pauses.whole() && s.run.ceased == ""
}
