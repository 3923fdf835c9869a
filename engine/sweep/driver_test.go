package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"safemode/engine/exchange"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
)

// driver drives a machine in one goroutine, one step at a time, by a time of its own: all
// that can come between two steps does. It performs the machine's actions as package runner
// does, on the world of package sweeptest. Faults are collected by the world.
//
// A test chooses from what is under way: halves that a worker has (jobs), results that the
// machine has not heard of (results), reservations (reserves). Flights and deliveries are
// the world's.
type driver struct {
	*sweeptest.World
	m     *Machine
	alter func(*Options)
	now   time.Time
	gate  error // of the direction, at the socket

	jobs     []Send
	results  []Done
	reserves []servicerequests.EUI
	back     func(Send) bool   // halves that [driver.next] leaves with their workers; nil: none
	slow     bool              // reservations wait in reserves until [driver.reserve]
	handed   uint64            // counters that one reservation gives; 0: 512
	orders   uint64            // tickets given out
	answers  map[uint64]error  // to orders, by ticket
	since    map[uint64]uint64 // the last record that was queued when a half was given out, by ticket
	limits   exchange.Limits   // at the socket; nil: none
	cut      bool              // POSTs are ended
	moved    error             // what was said of the market participant IDs
	halted   bool              // a halt was written
	steps    int
	fatal    error                   // the process cannot go on: a start failed
	watch    func([]Event, []Action) // sees each step; may be nil
	check    bool                    // that the machine keeps its rules, after each step
}

// newDriver makes a driver of some meters in one home, and starts it.
func newDriver(devices ...*device) *driver {
	d := newDrive(devices...)
	d.start()
	return d
}

// newDrive makes one that is not started.
func newDrive(devices ...*device) *driver {
	d := &driver{now: epoch, check: true}
	d.World = sweeptest.New(func() time.Time { return d.now }, devices...)
	return d
}

// start begins a process: the first one or the next. Halves that workers had are gone.
func (d *driver) start() {
	d.jobs, d.results, d.reserves, d.answers, d.since = nil, nil, nil, map[uint64]error{}, map[uint64]uint64{}
	d.cut, d.halted, d.moved = false, false, nil
	if d.fatal = tellAlike(d.World, d.alter); d.fatal != nil {
		d.Fault("%v", d.fatal)
		return
	}
	d.Begin()
	var unjudged []uint64
	d.m, unjudged, d.fatal = replayOf(d.World, d.Disk.Rows(), d.alter)
	if d.fatal != nil {
		d.Fault("replay: %v", d.fatal)
		return
	}
	d.Reopen(unjudged)
	d.perform(d.m.Begin(d.now, d.now))
	for _, seq := range unjudged {
		at, delivery, err := d.Stored(seq)
		if err != nil {
			d.Fault("message %d: %v", seq, err)
			continue
		}
		d.step(Heard{Seq: seq, At: at, Delivery: delivery})
	}
	d.step(Tick{d.now})
}

// die ends the process without a word: of what was appended the first kept records are
// durable all the same. The next begins.
func (d *driver) die(kept int) {
	d.Disk.Crash(kept)
	d.start()
}

// restart ends the process with all that was appended durable, and begins the next.
func (d *driver) restart() { d.die(1 << 30) }

// step gives the machine events, and performs what it answers.
func (d *driver) step(events ...Event) []Action {
	d.steps++
	actions := d.m.Step(d.now, events...)
	if d.watch != nil {
		d.watch(events, actions)
	}
	d.perform(actions)
	if d.check {
		d.checkState()
	}
	for len(d.reserves) > 0 && !d.slow {
		d.reserve()
	}
	return actions
}

// perform does what the machine asks for, in its order.
func (d *driver) perform(actions []Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case Append:
			for _, r := range a.Records {
				d.halted = d.halted || r.Kind == record.Halted
			}
			d.Disk.Append(a.Records...)
		case Send:
			if d.halted {
				d.Fault("a half is given to a worker after a halt: %v", a.Expected)
			}
			d.since[a.Ticket] = d.Disk.Last()
			d.jobs = append(d.jobs, a)
		case Recall:
			a.Permit.Recall()
		case Settled:
			sweeptest.Messages{World: d.World}.Settled(a.Seq)
		case Answer:
			err := a.Err
			if err == nil {
				err = d.Disk.Commit(context.Background())
			}
			d.answers[a.Ticket] = err
		case Reserve:
			d.reserves = append(d.reserves, a.Originator)
		case Cut:
			d.cut = true
		case Moved:
			d.moved = a.Reason
		}
	}
}

// reserve lets the first reservation come back.
func (d *driver) reserve() {
	originator := d.reserves[0]
	d.reserves = d.reserves[1:]
	n := d.handed
	if n == 0 {
		n = 512
	}
	first, last, err := d.Reserve(originator, n)
	e := Reserved{Originator: originator, First: first, Last: last, Err: err}
	d.step(e)
}

// work lets a worker do a half by the real door; its result is heard of later. By the
// exchange's clock no time passes meanwhile.
func (d *driver) work(i int) {
	job := d.jobs[i]
	d.jobs = slices.Delete(d.jobs, i, i+1)
	posts, cut := context.WithCancel(context.Background())
	defer cut()
	if d.cut {
		cut()
	}
	d.results = append(d.results, Done{job.Ticket, d.door().Do(context.Background(), posts, job.Half)})
}

// door is the exchange, with a clock that stands still.
func (d *driver) door() *exchange.Exchange {
	w := d.World
	return exchange.New(exchange.Options{
		Journal: d.Disk, Signer: sweeptest.Signer{World: w}, Gateway: sweeptest.Gateway{World: w}, Verifier: sweeptest.Verifier{World: w},
		Clock: clock.Clock{Speed: 1e-15}.Start(d.now), Log: zap.NewNop(), Gate: func(time.Time) error { return d.gate },
		Limits: d.limits, Breakers: sweeptest.Breakers{World: w}, Patience: 1,
	})
}

// finish lets the machine hear of a result.
func (d *driver) finish(i int) {
	done := d.results[i]
	d.results = slices.Delete(d.results, i, i+1)
	d.step(done)
	delete(d.since, done.Ticket)
}

// take lets the inbox take a delivery in, and the machine hear of it.
func (d *driver) take(i int) {
	delivery := d.Inbox[i]
	d.Inbox = slices.Delete(d.Inbox, i, i+1)
	seq, at, err := d.Store(delivery)
	if err != nil { // the DCC sends it again
		d.Inbox = append(d.Inbox, delivery)
		return
	}
	d.step(Heard{Seq: seq, At: at, Delivery: delivery})
}

// storeOnly lets the inbox take a delivery in, of which the machine does not hear.
func (d *driver) storeOnly(delivery proof.Delivery) (seq uint64) {
	seq, _, err := d.Store(delivery)
	if err != nil {
		d.Fault("store: %v", err)
	}
	return seq
}

// wait lets time pass until the machine has something to do by itself, and says whether
// there is such a time.
func (d *driver) wait() bool {
	next := d.m.Next()
	if next.IsZero() {
		return false
	}
	if least := d.now.Add(time.Millisecond); next.Before(least) {
		next = least
	}
	d.pass(next.Sub(d.now))
	return true
}

// pass lets time pass.
func (d *driver) pass(span time.Duration) {
	d.now = d.now.Add(span)
	d.step(Tick{d.now})
}

// order has a person order something, and returns what it is answered.
func (d *driver) order(o record.OrderBody) error {
	if o.By == "" {
		o.By = "Ada"
	}
	d.orders++
	d.step(Order{d.orders, o})
	err, ok := d.answers[d.orders]
	if !ok {
		return errors.New("the order is not answered")
	}
	return err
}

// keep keeps the state.
func (d *driver) keep() {
	unjudged, from := sweeptest.Messages{World: d.World}.Unjudged()
	for _, before := range d.since {
		from = min(from, before)
	}
	rows, err := d.m.Keep(d.Disk.Last(), from, unjudged)
	if err != nil {
		d.Fault("keep: %v", err)
		return
	}
	d.Disk.Keep(d.now, rows)
}

// next does one thing of those that can be done without time passing, the oldest first,
// and says whether there was one.
func (d *driver) next() bool {
	job := slices.IndexFunc(d.jobs, func(s Send) bool { return d.back == nil || !d.back(s) })
	switch {
	case job >= 0:
		d.work(job)
	case len(d.results) > 0:
		d.finish(0)
	case len(d.Flights) > 0:
		d.Arrive(0)
	case len(d.Inbox) > 0:
		d.take(0)
	default:
		return false
	}
	return true
}

// drain does all that can be done without time passing.
func (d *driver) drain() {
	for d.next() {
	}
}

// until drains and lets time pass until something holds, and says whether it came to that
// before the end.
func (d *driver) until(holds func() bool) bool {
	for range 20_000 + 400*len(d.Devices) {
		switch {
		case d.fatal != nil:
			return false
		case holds():
			return true
		case d.m.run.halt != nil || d.m.finished():
			return false
		case d.next() || d.wait():
		default:
			return false
		}
	}
	d.Fault("no end")
	return false
}

// finishAll goes on to the end of the run.
func (d *driver) finishAll() { d.until(func() bool { return false }) }

// strike scripts the fates of the first POSTs of a kind.
func (d *driver) strike(command bool, service servicerequests.Service, fates ...fate) {
	at := func(p piece) bool { return p.Command == command && p.Service == service && len(fates) > 0 }
	d.OnDial = func(p piece) fate {
		if at(p) && fates[0] == notWritten {
			fates = fates[1:]
			return notWritten
		}
		return taken
	}
	d.OnPost = func(p piece) fate {
		if !at(p) {
			return taken
		}
		f := fates[0]
		fates = fates[1:]
		return f
	}
}

// strikeFlight scripts what becomes of the first request of a service.
func (d *driver) strikeFlight(service servicerequests.Service, f fate) {
	d.OnFlight = func(x *flight) fate {
		if x.Service != service {
			return answered
		}
		struck := f
		f = answered
		return struck
	}
}

// verdict is the last one of the first meter.
func (d *driver) verdict() record.VerdictBody { return d.Disk.Verdict(d.Devices[0].EUI) }

// stream writes actions in words, but for addresses: what must not differ between two runs
// of the same events.
func stream(actions []Action) string {
	var b strings.Builder
	for _, a := range actions {
		switch a := a.(type) {
		case Append:
			for _, r := range a.Records {
				fmt.Fprintf(&b, "append %v %v %v %v %v %s %s\n", r.At.UnixNano(), r.Kind, r.Device, r.Service, r.ID, r.Code, r.Body)
			}
		case Send:
			l := a.Half
			fmt.Fprintf(&b, "send %d %v %+v %+v %t %t %s %t %v\n", a.Ticket, l.Device, l.Place, l.Expected, l.Command, l.Token != nil, l.Body, l.Again, l.NotAfter)
		case Recall:
			b.WriteString("recall\n")
		case Answer:
			fmt.Fprintf(&b, "answer %d %v\n", a.Ticket, a.Err)
		default:
			fmt.Fprintf(&b, "%T %+v\n", a, a)
		}
	}
	return b.String()
}
