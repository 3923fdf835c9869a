// Package runner drives the sweep's machine in real time. It carries out the machine's
// actions: records go to the journal, halves of requests to pools of workers and from there
// to the DCC. It gives the results back to the machine as events.
//
// One goroutine, that of [Runner.Run], owns the machine. It waits neither for the network nor
// for the disk: workers sign, commit and POST, and other goroutines reserve counters and make
// orders durable. It checks the gate several times a second. Package exchange checks it again
// before bytes leave.
package runner

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/ants/v2"
	"go.uber.org/zap"

	"safemode/engine/exchange"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
)

// Journal is the durable record. It may be used from many goroutines. The records given to
// Commit are durable when it returns without an error, and all given to Append before it,
// too. Any failure is final.
type Journal interface {
	exchange.Journal
	Failed() <-chan struct{} // closed when a write has failed
	Err() error              // then says why
}

// Counters hands out the originator counters of one originator. A counter is durably
// reserved before Next returns it, and never returned again. An error is final.
type Counters interface {
	Next() (uint64, error)
}

// Keeper keeps in the journal the state that follows from its records, so that a start need
// not read them all again. Last is the number of the last record that was queued.
type Keeper interface {
	Last() uint64
	Keep(at time.Time, rows []record.StateRow)
}

// Messages are the stored messages on their way to the machine.
type Messages interface {
	// Unjudged are the numbers of those that no record marks as judged; from is the number
	// of the last record before which none is being stored.
	Unjudged() (numbers []uint64, from uint64)
	// Settled says that a record marks one as judged.
	Settled(number uint64)
}

// Options is what a runner is made of. All fields are required unless they say otherwise.
type Options struct {
	Sweep    sweep.Options
	Exchange exchange.Options
	Journal  Journal
	Counters map[servicerequests.EUI]Counters // by originator
	Messages Messages
	Clock    clock.Clock

	// Gate says whether anything may be signed and sent now. An error closes the gate: nothing
	// is sent any more, and Run ends with a [*sweep.HaltError], when open requests are answered
	// or the time to drain has passed.
	Gate func(now time.Time) error
	// Moved is called when a run of E4 says that the supplier's market participant IDs have
	// moved. May be nil.
	Moved func(reason error)

	// Steady says whether something waits for real time, so that a jumping clock must not
	// jump. May be nil.
	Steady func() bool

	// State keeps the state, every StateEvery of real time and at the end of a run. Nil: it is
	// not kept.
	State      Keeper
	StateEvery time.Duration

	Log *zap.Logger
}

// errEnded says that the sweep has ended and takes no more orders.
var errEnded = errors.New("the sweep has ended")

// Runner carries out one plan. Make it with [New], give it the journal's records with
// [Runner.Replay], then call [Runner.Run] once.
type Runner struct {
	o       Options
	machine *sweep.Machine
	x       *exchange.Exchange

	events chan sweep.Event // closed by nobody
	orders chan order       // closed by nobody
	ended  chan struct{}    // closed by Run

	// Owned by Run.
	pools     map[record.Endpoint]*ants.PoolWithFuncGeneric[sweep.Send]
	waiting   map[uint64]chan<- error // the callers of Order, by ticket
	ticket    uint64
	halves    map[uint64]uint64 // the last record that was queued when each half was given to a worker
	kept      time.Time
	keptUpTo  uint64
	published time.Time
	beside    sync.WaitGroup // goroutines that wait for the disk
	cut       context.CancelFunc

	turned atomic.Int64 // when the loop last turned, in nanoseconds since 1970; 0: it has not begun
	status atomic.Pointer[record.Status]
	course atomic.Pointer[[]record.Moment]
}

type order struct {
	body record.OrderBody
	done chan<- error
}

// New makes a runner. It starts nothing.
func New(o Options) *Runner {
	o.Exchange.Journal, o.Exchange.Gate, o.Exchange.Clock = o.Journal, o.Gate, o.Clock
	r := &Runner{
		o: o, machine: sweep.New(o.Sweep), x: exchange.New(o.Exchange),
		// There is room for every worker's result, so that no worker waits.
		events: make(chan sweep.Event, len(record.Endpoints)*o.Sweep.Workers+1024),
		orders: make(chan order), ended: make(chan struct{}),
		waiting: map[uint64]chan<- error{}, halves: map[uint64]uint64{},
	}
	r.status.Store(&record.Status{State: "starting"})
	r.course.Store(new([]record.Moment))
	return r
}

// Restore is [sweep.Machine.Restore].
func (r *Runner) Restore(rows []record.StateRow) (from uint64, err error) {
	return r.machine.Restore(rows)
}

// Replay is [sweep.Machine.Replay].
func (r *Runner) Replay(records iter.Seq2[record.Record, error], read func(raw []byte) (proof.Delivery, error)) (unjudged []uint64, err error) {
	return r.machine.Replay(records, read)
}

// Deliver hands a stored message that is proven to the machine. It may be called from many
// goroutines and waits while the machine is behind. After the end it does nothing: the
// next start judges the message again.
func (r *Runner) Deliver(number uint64, at time.Time, d proof.Delivery) {
	r.happened(sweep.Heard{Seq: number, At: at, Delivery: d})
}

// Transfers gives the machine another list of homes that leave, of planned meters.
func (r *Runner) Transfers(homes []record.Transfer) { r.happened(sweep.Transfers{Homes: homes}) }

// Disbelieve tells the machine of a stored message that is not proven, or not yet.
func (r *Runner) Disbelieve(d sweep.Disbelieved) { r.happened(d) }

func (r *Runner) happened(e sweep.Event) {
	r.o.Clock.Begin() // until the machine has taken the step
	select {
	case r.events <- e:
	case <-r.ended:
		r.o.Clock.End()
	}
}

// Order carries out a person's order. When it returns without an error the order is in force,
// and journalled with the person's name. An order that makes no sense wraps
// [sweep.ErrOrder]; after the end it is [errEnded].
func (r *Runner) Order(ctx context.Context, o record.OrderBody) error {
	done := make(chan error, 1)
	select {
	case r.orders <- order{o, done}:
	case <-r.ended:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-done
}

// Status returns the sweep's status. It is at most a fifth of a second old, or a second if
// nothing happens.
func (r *Runner) Status() record.Status { return *r.status.Load() }

// Turned is when the machine last took a step, in real time; zero before the first. It
// takes several in a second, whatever happens.
func (r *Runner) Turned() time.Time {
	if at := r.turned.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// Course is the rates of the last ten minutes of real time, each second's.
func (r *Runner) Course() []record.Moment { return *r.course.Load() }

// Run carries out the plan. It returns when every meter has a verdict, and the rereads that were
// due as it began are done. When ctx ends it begins nothing new, waits for the POSTs under
// way, and returns [sweep.ErrStopped]. It returns a [*sweep.HaltError] if the
// sweep stopped itself.
func (r *Runner) Run(ctx context.Context) error {
	defer r.beside.Wait()
	defer close(r.ended)
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	posts, cut := context.WithCancel(work)
	defer cut()
	r.cut = cut
	r.pools = map[record.Endpoint]*ants.PoolWithFuncGeneric[sweep.Send]{}
	for _, e := range record.Endpoints {
		// Only this goroutine submits, and only while the machine counts a free worker. So
		// a submit waits no longer than that worker takes to return to the pool.
		pool, err := ants.NewPoolWithFuncGeneric(r.o.Sweep.Workers, func(s sweep.Send) {
			r.events <- sweep.Done{Ticket: s.Ticket, Result: r.x.Do(work, posts, s.Half)} // there is room
		})
		if err != nil {
			return fmt.Errorf("worker pool: %w", err)
		}
		defer pool.Release()
		r.pools[e] = pool
	}
	r.perform(work, r.machine.Begin(r.o.Clock.Now(), time.Now()))
	r.publish()
	err := r.loop(ctx, work)
	r.perform(work, r.machine.Close(r.o.Clock.Now()))
	for _, done := range r.waiting {
		done <- errEnded
	}
	r.publish()
	r.keepState(true)
	return err
}

// loop is the one goroutine that owns the machine.
func (r *Runner) loop(ctx, work context.Context) error {
	defer crash()
	r.o.Clock.Begin() // until the timer is set: otherwise the clock jumps past the machine's first step
	begun := sync.OnceFunc(r.o.Clock.End)
	defer begun()
	defer r.o.Clock.Drive()()
	timer := r.o.Clock.NewTimer()
	defer timer.Stop()
	var steady func() // set while the sweep waits for a person
	defer func() {
		if steady != nil {
			steady()
		}
	}()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	interrupt, failed := ctx.Done(), r.o.Journal.Failed()
	happened := []sweep.Event{sweep.Tick{Real: time.Now()}}
	if ctx.Err() != nil { // before its first step: it begins nothing at all
		interrupt, happened = nil, append(happened, sweep.Stop{})
	}
	for {
		r.turned.Store(time.Now().UnixNano())
		if err := r.o.Gate(r.o.Clock.Now()); err != nil {
			happened = append(happened, sweep.GateClosed{Reason: err})
		}
		r.perform(work, r.machine.Step(r.o.Clock.Now(), happened...))
		for _, e := range happened {
			switch e := e.(type) {
			case sweep.Done:
				delete(r.halves, e.Ticket)
				r.o.Clock.End()
			case sweep.Heard, sweep.Transfers, sweep.Disbelieved, sweep.Reserved:
				r.o.Clock.End()
			}
		}
		if yes, err := r.machine.Ended(); yes {
			return err
		}
		happened = happened[:0]
		switch waits := r.steady(); {
		case waits && steady == nil:
			steady = r.o.Clock.Steady()
		case !waits && steady != nil:
			steady()
			steady = nil
		}
		timer.Reset(r.next())
		begun()
		select {
		case e := <-r.events:
			happened = r.more(append(happened, e))
		case o := <-r.orders:
			r.ticket++
			r.waiting[r.ticket] = o.done
			happened = append(happened, sweep.Order{Ticket: r.ticket, Body: o.body})
		case <-timer.C:
		case now := <-ticker.C:
			happened = append(happened, sweep.Tick{Real: now})
			if r.machine.News() || now.Sub(r.published) >= time.Second {
				r.publish()
			}
			r.keepState(false)
		case <-interrupt:
			interrupt = nil
			happened = append(happened, sweep.Stop{})
		case <-failed:
			failed = nil
			happened = append(happened, sweep.JournalFailed{Err: r.o.Journal.Err()})
		}
	}
}

// crash ends the program when the machine panics. Otherwise the callers that wait for this
// goroutine would wait for ever. Durable records stay, and a program that ended is started
// again.
func crash() {
	v := recover()
	if v == nil {
		return
	}
	stack := debug.Stack()
	go panic(fmt.Sprintf("%v\n\n%s", v, stack))
	select {}
}

// more takes in the events that have come meanwhile, so that a burst costs one step.
func (r *Runner) more(happened []sweep.Event) []sweep.Event {
	for len(happened) < cap(r.events) {
		select {
		case e := <-r.events:
			happened = append(happened, e)
		default:
			return happened
		}
	}
	return happened
}

// next is when the machine must be stepped without an event, within a second of real time.
// The limits count in fine steps; a pause shorter than a millisecond would only burn a core.
func (r *Runner) next() time.Time {
	now, next := r.o.Clock.Now(), r.machine.Next()
	if longest := now.Add(r.o.Clock.Span(time.Second)); next.IsZero() || next.After(longest) {
		return longest
	}
	if least := now.Add(r.o.Clock.Span(time.Millisecond)); next.Before(least) {
		return least
	}
	return next
}

// steady says whether a jumping clock must not jump: the sweep waits for a person, or for real
// time.
func (r *Runner) steady() bool {
	return r.o.Clock.Jumps() && (r.machine.WaitsForAPerson() || r.o.Steady != nil && r.o.Steady())
}

// perform carries out the machine's actions: first those that hold something back, because a
// record may wait for a disk or a database; then all others in their order.
func (r *Runner) perform(work context.Context, actions []sweep.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case sweep.Recall:
			a.Permit.Recall()
		case sweep.Cut:
			r.cut()
		}
	}
	for _, a := range actions {
		switch a := a.(type) {
		case sweep.Append:
			r.o.Journal.Append(a.Records...)
		case sweep.Send:
			r.send(a)
		case sweep.Settled:
			r.o.Messages.Settled(a.Seq)
		case sweep.Answer:
			r.answer(work, a)
		case sweep.Reserve:
			r.reserve(a.Originator)
		case sweep.Moved:
			if r.o.Moved != nil {
				r.o.Moved(a.Reason)
			}
		}
	}
}

func (r *Runner) send(s sweep.Send) {
	if r.o.State != nil {
		r.halves[s.Ticket] = r.o.State.Last()
	}
	r.o.Clock.Begin() // until the machine has heard of the result
	if err := r.pools[s.Place.Endpoint].Invoke(s); err != nil {
		// A pool that is closed: a defect. Nothing was sent.
		done := sweep.Done{Ticket: s.Ticket, Result: exchange.Result{Err: fmt.Errorf("%w: %w", exchange.ErrKey, err)}}
		r.beside.Go(func() {
			r.happened(done)
			r.o.Clock.End()
		})
	}
}

// answer answers an order once it is durable.
func (r *Runner) answer(work context.Context, a sweep.Answer) {
	done := r.waiting[a.Ticket]
	delete(r.waiting, a.Ticket)
	if a.Err != nil {
		done <- a.Err
		return
	}
	// The person who ordered looks at the status next.
	r.publish()
	r.beside.Go(func() { done <- r.o.Journal.Commit(context.WithoutCancel(work)) }) // then everything queued before is durable
}

// reserveAtOnce is how many counters are asked for together.
const reserveAtOnce = 512

// reserve takes counters in another goroutine, because the disk may be slow.
func (r *Runner) reserve(originator servicerequests.EUI) {
	counters := r.o.Counters[originator]
	r.o.Clock.Begin()
	r.beside.Go(func() {
		defer r.o.Clock.End()
		e := sweep.Reserved{Originator: originator}
		for range reserveAtOnce {
			counter, err := counters.Next()
			if err != nil && e.First == 0 {
				e.Err = err
			}
			if err != nil {
				break
			}
			if e.First == 0 || counter != e.Last+1 { // counters between are not ours
				e.First = counter
			}
			e.Last = counter
		}
		r.happened(e)
	})
}

// publish makes the machine's state visible.
func (r *Runner) publish() {
	r.published = time.Now()
	st := r.machine.Status(r.o.Clock.Now())
	r.status.Store(&st)
	course := r.machine.Course()
	r.course.Store(&course)
}

// keepState keeps the state now and then, and at the end of a run. A halted sweep keeps none:
// so to know whether a run has halted, one need not look before the last state.
func (r *Runner) keepState(last bool) {
	if r.o.State == nil || r.machine.Halted() || r.o.Journal.Err() != nil || !last && time.Since(r.kept) < r.o.StateEvery {
		return
	}
	unjudged, from := r.o.Messages.Unjudged()
	through := r.o.State.Last()
	if through == r.keptUpTo {
		return
	}
	for _, before := range r.halves {
		from = min(from, before)
	}
	rows, err := r.machine.Keep(through, from, unjudged)
	if err != nil { // no value of it is one that JSON cannot hold
		r.o.Log.Error("the state cannot be kept: the next start reads all records", zap.Error(err))
		return
	}
	r.o.State.Keep(r.o.Clock.Now(), rows)
	r.kept, r.keptUpTo = time.Now(), r.o.State.Last()
}
