package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"safemode/engine/exchange"
	"safemode/engine/ledger"
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
// What is under way is open to whoever walks: legs that a worker has (jobs), results that
// the machine has not heard of (results), reservations (reserves); flights and deliveries
// are the world's.
type driver struct {
	*sweeptest.World
	m     *Machine
	alter func(*Options)
	now   time.Time
	gate  error // of the direction, at the socket

	jobs     []Send
	results  []Done
	reserves []servicerequests.EUI
	back     func(Send) bool   // legs that [driver.next] leaves with their workers; nil: none
	slow     bool              // reservations wait in reserves until [driver.reserve]
	handed   uint64            // counters that one reservation gives; 0: 512
	orders   uint64            // tickets given out
	answers  map[uint64]error  // to orders, by ticket
	since    map[uint64]uint64 // the last record that was queued when a leg was given out, by ticket
	limits   exchange.Limits   // at the socket; nil: none
	cut      bool              // POSTs are ended
	moved    error             // what was said of the market participant IDs
	halted   bool              // a halt was written
	steps    int
	fatal    error                   // the process cannot go on: a start failed
	watch    func([]Event, []Action) // sees each step; may be nil
	check    bool                    // hold the machine against its rules after each step
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

// start begins a process: the first one or the next. Legs that workers had are gone.
func (d *driver) start() {
	d.jobs, d.results, d.reserves, d.answers, d.since = nil, nil, nil, map[uint64]error{}, map[uint64]uint64{}
	d.cut, d.halted, d.moved = false, false, nil
	if d.fatal = tellAlike(d.World, d.alter); d.fatal != nil {
		d.Fault("%v", d.fatal)
		return
	}
	d.Begin()
	var unjudged []uint64
	d.m, unjudged, d.fatal = foldOf(d.World, d.Disk.Rows(), d.alter)
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
		d.hold()
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
				d.Fault("a leg is given to a worker after a halt: %v", a.Expected)
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

// work lets a worker do a leg by the real door; its result is heard of later. By the
// exchange's clock no time passes meanwhile.
func (d *driver) work(i int) {
	job := d.jobs[i]
	d.jobs = slices.Delete(d.jobs, i, i+1)
	posts, cut := context.WithCancel(context.Background())
	defer cut()
	if d.cut {
		cut()
	}
	d.results = append(d.results, Done{job.Ticket, d.door().Do(context.Background(), posts, job.Leg)})
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

// hold holds the machine's state against its rules: no count, queue or index disagrees
// with the phases of the requests.
func (d *driver) hold() {
	s := d.m
	hubs := map[hubKey]int{}
	var regions [len(s.queues.lanes)][2]int
	working, done, afters := 0, 0, 0
	for number, m := range s.roll.awake {
		commands, attended := 0, !m.due.IsZero()
		for _, open := range m.Open {
			r := of(open)
			if r.Service.Critical() {
				commands++
			}
			if r.heard {
				regions[m.Plan.Region][m.fuel()]++
			}
			if r.heard != (r.Phase.Counted() && m.wait == ledger.NotWaiting) {
				d.Fault("%v: %v %v is counted %t", m.Device, r.Service, r.Phase, r.heard)
			}
			if r.inHub != (r.Phase != ledger.Behind) {
				d.Fault("%v: %v %v in its hub %t", m.Device, r.Service, r.Phase, r.inHub)
			}
			if r.inHub {
				hubs[hubKey{m.Plan.Hub, m.Gas()}]++
			}
			if r.Phase.Waits() != (r.place != nowhere) {
				d.Fault("%v: %v %v at %d of a queue", m.Device, r.Service, r.Phase, r.place)
			}
			if r.Phase.Working() {
				working++
				if r.permit == nil {
					d.Fault("%v: %v %v without a permit", m.Device, r.Service, r.Phase)
				}
			}
			if (r.ID.Counter != 0) != (r.Phase.Counted() && r.Phase != ledger.Signing) && r.Phase != ledger.Signing {
				d.Fault("%v: %v %v with counter %d", m.Device, r.Service, r.Phase, r.ID.Counter)
			}
			if (r.Phase == ledger.Ready || r.Phase == ledger.Resting || r.Phase == ledger.Posting) && r.Body == nil {
				d.Fault("%v: %v %v without bytes", m.Device, r.Service, r.Phase)
			}
			if r.Phase == ledger.Prepared && r.token == nil {
				d.Fault("%v: %v prepared without a token", m.Device, r.Service)
			}
			if (r.Phase == ledger.Held) != (s.quarantine.held[r.Event] == r) {
				d.Fault("%v: %v %v, held %t", m.Device, r.Service, r.Phase, r.Phase == ledger.Held)
			}
			if r.After {
				afters++
			}
			// While it waits or rests, or a worker or the DCC has it, somebody looks again.
			attended = attended || r.Phase.Waits() || r.Phase.Working() || r.Phase == ledger.Behind || r.Phase == ledger.Held
			if s.run.halt == nil && (r.Phase == ledger.Sent && r.Deadline.IsZero() || r.Phase == ledger.Resting && r.RetryAt.IsZero()) {
				d.Fault("%v: open %v %v has no end", m.Device, r.Service, r.Phase)
			}
		}
		if commands > 1 {
			d.Fault("%v: %d commands open", m.Device, commands)
		}
		if m.Done && slices.ContainsFunc(m.Open, func(r *ledger.Request) bool { return !r.After }) {
			d.Fault("%v: a verdict with %d requests open", m.Device, len(m.Open))
		}
		if !m.Done && !m.Started.IsZero() && len(m.Open) > 0 && !attended && s.open() {
			d.Fault("%v: nobody looks again", m.Device)
		}
		if len(m.Open) == 0 && !m.stirred {
			d.Fault("meter %d is awake for nothing", number)
		}
	}
	sum := 0
	for number := range int32(s.roll.size()) {
		h := s.roll.head(number)
		if h.done {
			done++
		} else if !h.begun && !h.waits && h.awaits == ledger.Seeing && s.roll.awake[number] == nil {
			d.Fault("%v: it has not begun, and is in no intake", h.device)
		} else if h.begun && s.roll.awake[number] == nil && h.nap == 0 && h.awaits == ledger.Seeing && s.open() && len(s.holds.all) == 0 {
			d.Fault("%v: it sleeps for good without a verdict", h.device)
		}
	}
	for _, n := range s.counts.verdicts {
		sum += n
	}
	if done != s.counts.done || sum != done {
		d.Fault("%d meters are done, counted %d, by verdict %d", done, s.counts.done, sum)
	}
	if afters != s.counts.afters {
		d.Fault("%d requests after verdicts, counted %d", afters, s.counts.afters)
	}
	for key, h := range s.queues.hubs {
		if h.open != hubs[key] {
			d.Fault("hub counts %d open, has %d", h.open, hubs[key])
		}
	}
	for _, l := range s.queues.lanes {
		if l.inFlight != regions[l.region] {
			d.Fault("%v counts %d in flight, has %d", l.region, l.inFlight, regions[l.region])
		}
	}
	if busy := len(d.jobs) + len(d.results); working != busy && s.run.halt == nil {
		d.Fault("%d legs are with workers, %d requests say so", busy, working)
	}
	if d.Leaves != 0 { // a leg is reported before its worker comes back
		d.Fault("%d leaves of the breaker are not reported", d.Leaves)
	}
}

// judge holds the end of a run against the truth: claims, verdicts, the journal.
func (d *driver) judge() {
	s := d.m
	ends, verdicts := map[servicerequests.RequestID]bool{}, map[servicerequests.EUI]record.VerdictBody{}
	for _, r := range d.Disk.All() {
		switch r.Kind {
		case record.Verdict:
			verdicts[r.Device], _ = record.Decode[record.VerdictBody](r)
		case record.Request:
			if _, ok := ends[r.ID]; ok {
				d.Fault("counter %d is used twice", r.ID.Counter)
			}
			ends[r.ID] = false
		case record.Outcome:
			if class, err := record.ParseClass(r.Code); err != nil || class == record.ClassOpen {
				d.Fault("outcome of class %q", r.Code)
			}
			ends[r.ID] = true
		}
	}
	for id, ended := range ends {
		if !ended {
			d.Fault("%v has no outcome", id)
		}
	}
	for i, m := range s.ledgers() {
		x := d.Devices[i]
		v := verdicts[m.Device]
		if v.ModeCounter != 0 {
			if got := x.Answered[v.ModeCounter].Mode; got != v.End.Mode || got != x.Mode {
				d.Fault("%v: claimed %v, read %v, is %v", x.EUI, v.End.Mode, got, x.Mode)
			}
			if got := x.Answered[v.SupplyCounter].Supply; got != v.End.Supply || got != x.Supply && !x.Pressed {
				d.Fault("%v: claimed %v, read %v, is %v", x.EUI, v.End.Supply, got, x.Supply)
			}
		}
		is := x.Supply
		if x.Pressed && v.SupplyCounter != 0 { // nobody may have heard of it
			is = x.Answered[v.SupplyCounter].Supply
		}
		var want string
		switch {
		case m.Bars.Excluded != "":
			want = v.Verdict // it stays as history
		case v.ModeCounter == 0:
			want = record.VerdictUnknown
		case x.Mode != credit || is == servicerequests.Disabled:
			want = record.VerdictNotSafe
		case is == servicerequests.Armed:
			want = record.VerdictArmed
		default:
			want = record.VerdictOnSupply
		}
		if v.Verdict != want {
			d.Fault("%v: verdict %s, want %s", x.EUI, v.Verdict, want)
		}
		if v.Verdict != m.Verdict.Verdict {
			d.Fault("%v: the journal says %q, the machine %q", x.EUI, v.Verdict, m.Verdict.Verdict)
		}
	}
	s.settle()
	swept, err := tell(s, d.blank())
	if err != nil {
		d.Fault("%v", err)
		return
	}
	for _, wrong := range d.CheckMarks() {
		d.Fault("%s", wrong)
	}
	d.Disk.Close()
	again, _, err := foldOf(d.World, nil, d.alter)
	if err != nil {
		d.Fault("%v", err)
		return
	}
	folded, err := tell(again, nil)
	if err != nil {
		d.Fault("%v", err)
		return
	}
	sweeptest.Level(folded, swept)
	for name := range folded.Meters {
		if a, b := fmt.Sprintf("%+v", folded.Meters[name]), fmt.Sprintf("%+v", swept.Meters[name]); a != b {
			d.Fault("%s: the journal tells another story:\nfolded %s\nswept  %s", name, a, b)
		}
	}
}

// blank are rows to put changed ones over: all of the machine's, as they stand.
func (d *driver) blank() []record.StateRow {
	for number := range int32(len(d.m.roll.blocks)) {
		d.m.roll.changed[number] = struct{}{}
	}
	return nil
}

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
			l := a.Leg
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

// wantNoFaults reports what the world has collected.
func wantNoFaults(t testing.TB, d *driver) {
	t.Helper()
	for i, fault := range d.Faults() {
		if i == 10 {
			t.Fatal("and more")
		}
		t.Error(fault)
	}
}

// wantGood ends a run and holds it against the truth.
func wantGood(t testing.TB, d *driver) {
	t.Helper()
	d.judge()
	wantNoFaults(t, d)
}
