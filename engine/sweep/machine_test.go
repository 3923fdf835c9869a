package sweep

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/engine/exchange"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
)

// town makes a driver of homes with an electricity and a gas meter each, that goes wrong by
// chance, by a seed.
func town(homes int, seed uint64, faults float64) *driver {
	d := newDrive()
	r := rand.New(rand.NewPCG(seed, 7))
	d.Random = r
	for i := range servicerequests.EUI(homes) {
		e, g := healthy(), healthy()
		e.Supply = []servicerequests.SupplyState{servicerequests.Enabled, servicerequests.Disabled}[r.IntN(2)]
		e.EUI, e.Balance = 0x00DB123400000000+i*16, []servicerequests.Millipence{0, 10 * servicerequests.Pound}[r.IntN(2)]
		g.EUI, g.Proxy, g.Kind = e.EUI+1, e.EUI+2, servicerequests.GSME
		e.Home, g.Home = e.EUI+8, e.EUI+8
		region := servicerequests.Regions[r.IntN(len(servicerequests.Regions))]
		d.Add(e, []servicerequests.EUI{ourEUI, otherEUI}[r.IntN(2)], region)
		d.Add(g, ourEUI, region)
	}
	pick := func(from ...fate) fate {
		if r.Float64() >= faults {
			return from[0]
		}
		return from[1+r.IntN(len(from)-1)]
	}
	d.OnDial = func(piece) fate { return pick(taken, notWritten) }
	d.OnPost = func(piece) fate { return pick(taken, throttled, lostBefore, lostAfter, badReply) }
	d.OnFlight = func(*flight) fate { return pick(answered, twice, undeliv, noAnswer, doneSilent, doneE21, doneLate) }
	return d
}

// The same events give the same actions, byte for byte.
func TestTheSameEventsGiveTheSameActions(t *testing.T) {
	for seed := range uint64(8) {
		run := func() (string, *driver) {
			var said strings.Builder
			d := town(6, seed, 0.2)
			d.watch = func(_ []Event, actions []Action) { said.WriteString(stream(actions)) }
			d.start()
			random := rand.New(rand.NewPCG(seed, 9))
			for i := range 600 { // in any order that a seed gives
				switch {
				case i%97 == 50:
					d.order(record.OrderBody{Action: record.OrderPause, Region: servicerequests.Regions[0]})
				case i%97 == 60:
					d.order(record.OrderBody{Action: record.OrderResume, Region: servicerequests.Regions[0]})
				case i%97 == 70:
					d.keep()
				case i%97 == 80:
					d.die(random.IntN(20))
				case len(d.jobs) > 0 && random.IntN(3) > 0:
					d.work(random.IntN(len(d.jobs)))
				case len(d.results) > 0 && random.IntN(3) > 0:
					d.finish(random.IntN(len(d.results)))
				case !d.next() && !d.wait():
				}
			}
			return said.String(), d
		}
		first, d := run()
		second, _ := run()
		if first != second {
			a, b := strings.Split(first, "\n"), strings.Split(second, "\n")
			for i := range a {
				if i >= len(b) || a[i] != b[i] {
					t.Fatalf("seed %d: action %d:\n%s\n%s", seed, i, a[i], b[min(i, len(b)-1)])
				}
			}
		}
		if len(first) < 10_000 {
			t.Errorf("seed %d: only %d bytes of actions", seed, len(first))
		}
		wantNoFaults(t, d)
	}
}

// Towns end well, whatever goes wrong, and calmly where nothing does.
func TestTowns(t *testing.T) {
	for _, faults := range []float64{0, 0.3} {
		for seed := range uint64(5) {
			d := town(10, seed, faults)
			d.start()
			d.finishAll()
			if n := d.m.counts.done; n != 20 {
				t.Errorf("seed %d: %d of 20 are done", seed, n)
			}
			wantEmpty(t, d)
			wantFlow(t, d, faults == 0)
			wantGood(t, d)
		}
	}
}

// wantEmpty checks that nothing is left open.
func wantEmpty(t testing.TB, d *driver) {
	t.Helper()
	d.drain()
	for _, h := range d.m.queues.hubs {
		t.Errorf("hub: %d open, %d waiting", h.open, len(h.waiting))
	}
	for _, l := range d.m.queues.lanes {
		if l.inFlight != [2]int{} || l.len() != 0 {
			t.Errorf("%v: %d in flight, %d queued", l.region, l.inFlight, l.len())
		}
	}
	if len(d.m.queues.parked) != 0 || d.m.workers.any() {
		t.Errorf("%d parked, workers have %d", len(d.m.queues.parked), len(d.m.workers.legs))
	}
}

// wantFlow holds what passed a finished sweep against what it knows of its requests.
func wantFlow(t *testing.T, d *driver, calm bool) {
	t.Helper()
	f, posts, answers := d.m.pace.flow, 0, 0
	for service, classes := range d.m.counts.services {
		for class, n := range classes {
			if record.Class(class) == record.ClassWithdrawn {
				continue
			}
			posts += n
			if service.Critical() {
				posts += n
			}
			if service != servicerequests.ReadInventory { // answered in the reply itself
				answers += n
			}
		}
	}
	if f.requested < f.sent || f.sent < f.acknowledged || calm && (f.requested != f.sent || f.sent != f.acknowledged || f.sent != posts || f.answered != answers) {
		t.Errorf("%+v of %d POSTs and %d answers", f, posts, answers)
	}
}

// The machine's time never goes back: an earlier reading changes nothing, no record is
// older than one before it by the machine's clock, and what is due stays due.
func TestTimeDoesNotGoBack(t *testing.T) {
	d := newDriver(healthy())
	d.OnFlight = func(*flight) fate { return lost }
	d.until(func() bool { return len(d.m.ledger(0).Open) == 3 })
	d.drain()
	at, next := d.m.now, d.m.Next()
	if next.IsZero() {
		t.Fatal("nothing is due")
	}
	for _, back := range []time.Duration{time.Nanosecond, time.Hour, 24 * time.Hour} {
		d.m.Step(at.Add(-back), Tick{at.Add(-back)})
		d.m.Status(at.Add(-back))
		if !d.m.now.Equal(at) || !d.m.Next().Equal(next) {
			t.Errorf("%v back: it is %v, next %v", back, d.m.now, d.m.Next())
		}
	}
	// Events that come with an earlier reading are taken in at the machine's time.
	d.now = at.Add(-time.Hour)
	if err := d.order(record.OrderBody{Action: record.OrderPause}); err != nil {
		t.Fatal(err)
	}
	if r := d.SentIn(record.Operator)[0]; !r.At.Equal(at) {
		t.Errorf("an order is recorded at %v, it was %v", r.At, at)
	}
	d.order(record.OrderBody{Action: record.OrderResume})
	// A step ahead makes what is due overdue, once.
	d.now = at.Add(24 * time.Hour)
	d.OnFlight = nil
	d.step(Tick{d.now})
	d.finishAll()
	if v := d.verdict(); v.Verdict != record.VerdictOnSupply {
		t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	last := time.Time{}
	for _, r := range d.Disk.All() {
		if r.Kind == record.Outcome || r.Kind == record.Verdict || r.Kind == record.Operator {
			if r.At.Before(last) {
				t.Errorf("%v at %v, after %v", r.Kind, r.At, last)
			}
			last = r.At
		}
	}
	wantNoFaults(t, d)
}

// While no counter is reserved nothing is signed, and orders, answers and ticks are taken
// in all the same. Counters are asked for once, in good time, and are given out in order.
func TestASlowReservation(t *testing.T) {
	d := newDrive(healthy())
	d.slow = true
	d.start()
	if len(d.jobs) != 0 || !slices.Equal(d.reserves, []servicerequests.EUI{ourEUI}) {
		t.Fatalf("%d legs, asked for %v", len(d.jobs), d.reserves)
	}
	d.pass(time.Minute)
	if len(d.jobs) != 0 || len(d.reserves) != 1 {
		t.Errorf("%d legs, asked %d times", len(d.jobs), len(d.reserves))
	}
	for _, action := range []string{record.OrderPause, record.OrderRenew, record.OrderResume} {
		if err := d.order(record.OrderBody{Action: action}); err != nil {
			t.Error(err)
		}
	}
	if st := d.m.Status(d.now); st.State != "running" {
		t.Errorf("status %s", st.State)
	}
	if len(d.SentIn(record.Request)) != 0 || len(d.jobs) != 0 {
		t.Error("signed without a counter")
	}
	d.handed = 300
	d.reserve()
	d.slow = false
	d.finishAll()
	last := uint64(0)
	for _, r := range d.SentIn(record.Request) {
		if r.ID.Counter <= last {
			t.Errorf("counter %d after %d", r.ID.Counter, last)
		}
		last = r.ID.Counter
	}
	wantGood(t, d)
}

// More counters are asked for when 256 are left, once until they come; a gap between two
// blocks is skipped, not given out.
func TestCountersAreAskedForInGoodTime(t *testing.T) {
	m := machineOf(newDrive().World, nil)
	asked := func() (n int) {
		for _, a := range m.emitted() {
			if _, ok := a.(Reserve); ok {
				n++
			}
		}
		return n
	}
	if m.counterReady(ourEUI) || asked() != 1 || m.counterReady(ourEUI) || asked() != 0 {
		t.Error("it is asked for more or less than once")
	}
	m.reserved(Reserved{Originator: ourEUI, First: 11, Last: 310})
	for want := uint64(11); want <= 310; want++ {
		ready := m.counterReady(ourEUI)
		if n := asked(); !ready || n != 0 && want != 56 || n != 1 && want == 56 {
			t.Fatalf("counter %d: ready %t, asked %d times", want, ready, n)
		}
		if got := m.nextCounter(ourEUI); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
	if m.counterReady(ourEUI) {
		t.Error("there is one beyond the last")
	}
	m.reserved(Reserved{Originator: ourEUI, First: 311, Last: 400})
	m.counterReady(ourEUI)
	m.reserved(Reserved{Originator: ourEUI, First: 1000, Last: 1001})
	for _, want := range []uint64{1000, 1001} {
		if !m.counterReady(ourEUI) || m.nextCounter(ourEUI) != want {
			t.Errorf("want %d after a gap", want)
		}
	}
}

// Counters that cannot be had halt the sweep; what was given out before is not lost.
func TestCountersThatFailHalt(t *testing.T) {
	d := newDrive(healthy())
	d.handed, d.Last = 2, 1002 // two, and no more
	d.start()
	d.finishAll()
	if halt := d.m.run.halt; halt == nil || !errors.Is(halt, sweeptest.ErrDisk) {
		t.Fatalf("halt %v", halt)
	}
	if n := len(d.SentIn(record.Halted)); n != 1 {
		t.Errorf("%d halts are written", n)
	}
	d.drain()
	d.Last = 0
	d.restart()
	d.finishAll()
	if v := d.verdict(); v.Verdict != record.VerdictOnSupply {
		t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	wantGood(t, d)
}

// Whatever halts a sweep, the first thing that follows is that it is written; then every leg
// that a worker has is recalled; nothing is given to a worker any more.
func TestAHaltIsWrittenBeforeAnythingElse(t *testing.T) {
	broken := errors.New("broken")
	for name, cause := range map[string]Event{
		"gate":     GateClosed{broken},
		"journal":  JournalFailed{broken},
		"counters": Reserved{Originator: otherEUI, Err: broken},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrive(healthy())
			other := healthy()
			other.EUI += 16
			d.Add(other, ourEUI, servicerequests.South)
			d.alter = func(o *Options) { o.Drain = time.Minute }
			d.start()
			if len(d.jobs) != 2 {
				t.Fatalf("%d legs", len(d.jobs))
			}
			d.work(0) // one is on its way back, one still with its worker
			legs := slices.Clone(d.jobs)
			actions := d.step(cause)
			write, ok := actions[0].(Append)
			if !ok || len(write.Records) != 1 || write.Records[0].Kind != record.Halted {
				t.Fatalf("the first action is %T %+v", actions[0], actions[0])
			}
			body, err := record.Decode[record.HaltedBody](write.Records[0])
			if err != nil || !strings.Contains(body.Reason, "broken") {
				t.Errorf("it says %q, %v", body.Reason, err)
			}
			if !recalled(actions, legs[0]) {
				t.Error("the leg that a worker has is not recalled")
			}
			if yes, _ := d.m.Ended(); yes {
				t.Error("it has ended with a leg with a worker")
			}
			posts := d.Posts
			d.step(cause) // again: once is enough
			d.drain()
			d.pass(time.Minute)
			d.drain()
			if d.Posts != posts {
				t.Errorf("%d POSTs after it", d.Posts-posts)
			}
			yes, err := d.m.Ended()
			var halt *HaltError
			if !yes || !errors.As(err, &halt) || !errors.Is(err, broken) {
				t.Errorf("ended %t with %v", yes, err)
			}
			if n := len(d.SentIn(record.Halted)); n != 1 {
				t.Errorf("%d halts are written", n)
			}
			if err := d.order(record.OrderBody{Action: record.OrderResume}); !errors.Is(err, ErrOrder) {
				t.Errorf("a halt is resumed: %v", err)
			}
			d.restart()
			d.finishAll()
			wantGood(t, d)
		})
	}
}

// A gate that closes is noticed by the door or by the driver, whichever asks first. Answers
// to what was sent still come in, for as long as the drain lasts and no longer than there
// are any; then it ends.
func TestAClosedGateDrains(t *testing.T) {
	for _, silent := range []bool{false, true} {
		for _, byTheDoor := range []bool{false, true} {
			d := newDrive(healthy())
			d.alter = func(o *Options) { o.Drain = 10 * time.Minute }
			d.Policy.ResponseWait.Electricity = time.Hour
			if silent {
				d.OnFlight = func(*flight) fate { return lost }
			}
			d.start()
			if !d.until(func() bool { return len(d.m.ledger(0).Open) == 3 && len(d.jobs) == 2 }) {
				t.Fatal("no reads")
			}
			d.work(0)
			d.finish(0)
			d.gate = &HaltError{Reason: "moved"}
			if byTheDoor {
				d.work(0)
				d.finish(0)
			} else {
				d.step(GateClosed{d.gate})
				d.work(0)
				d.finish(0)
			}
			if d.m.run.halt == nil || !errors.Is(d.m.run.halt, d.gate) {
				t.Fatalf("halt %v", d.m.run.halt)
			}
			began := d.now
			for yes := false; !yes; yes, _ = d.m.Ended() {
				d.drain()
				d.pass(time.Second)
				if d.now.Sub(began) > time.Hour {
					t.Fatal("no end")
				}
			}
			lasted := d.now.Sub(began)
			if silent && lasted != 10*time.Minute || !silent && lasted > 2*time.Second {
				t.Errorf("silent %t, by the door %t: it drained for %v", silent, byTheDoor, lasted)
			}
			if answers := len(d.SentIn(record.Outcome)); silent == (answers > 0) {
				t.Errorf("silent %t: %d outcomes", silent, answers)
			}
			d.gate, d.OnFlight = nil, nil
			d.restart()
			d.finishAll()
			wantGood(t, d)
		}
	}
}

// A journal that fails at any commit, and has or has not what it was given, halts the sweep;
// the next process ends well.
func TestAJournalThatFails(t *testing.T) {
	for _, applied := range []bool{false, true} {
		for at := 1; ; at++ {
			d := newDrive(cutOff())
			d.start()
			d.Disk.Fail(at, applied)
			failed := false
			d.until(func() bool {
				if err := d.Disk.Err(); err != nil && !failed {
					failed = true
					d.step(JournalFailed{err})
				}
				return false
			})
			if !failed {
				if at < 10 {
					t.Errorf("only %d commits", at)
				}
				break
			}
			if d.m.run.halt == nil {
				t.Fatalf("commit %d: not halted", at)
			}
			d.die(0)
			d.finishAll()
			if v := d.verdict(); v.Verdict != record.VerdictArmed {
				t.Errorf("commit %d, applied %t: verdict %s (%s)", at, applied, v.Verdict, v.Reason)
			}
			d.judge()
			if wantNoFaults(t, d); t.Failed() {
				t.Fatalf("commit %d, applied %t", at, applied)
			}
		}
	}
}

// What the limits at the socket do not let go waits again where it waited, with the bytes
// that it has, and the pacer is told what was in the way.
func TestALimitAtTheSocket(t *testing.T) {
	for _, limit := range []string{"user", LimitService, LimitAnomaly} {
		d := newDriver(healthy())
		d.limits = sweeptest.Limits{World: d.World}
		denied := 0
		d.OnGrant = func(_ time.Time, p exchange.Place) (bool, time.Duration, string) {
			if p.Service == to && denied < 2 {
				denied++
				return false, time.Minute, limit
			}
			return true, 0, ""
		}
		d.finishAll()
		if got := d.Outcomes(to); !slices.Equal(got, []string{record.ClassSuccess.String()}) || denied != 2 {
			t.Errorf("%s: 1.6 ended as %v, denied %d times", limit, got, denied)
		}
		if n := len(d.SentIn(record.Request, to)); n != 1 {
			t.Errorf("%s: signed %d times", limit, n)
		}
		if took := d.now.Sub(epoch); took < 2*time.Minute || took > 4*time.Minute {
			t.Errorf("%s: it took %v", limit, took)
		}
		wantGood(t, d)
	}
}

// A circuit that is open has the leg wait, and holds up no other endpoint.
func TestAnOpenCircuit(t *testing.T) {
	d := newDriver(healthy())
	open := 3
	d.OnAllow = func(e record.Endpoint, _ servicerequests.Region) error {
		if e == record.Transform && open > 0 {
			open--
			return errors.New("open")
		}
		return nil
	}
	d.finishAll()
	if got := d.Outcomes(to); !slices.Equal(got, []string{record.ClassSuccess.String()}) || open != 0 {
		t.Errorf("1.6 ended as %v", got)
	}
	wantGood(t, d)
}

// A worker that panics ends its request, not the sweep. Where it had made bytes durable they
// go again, the same ones.
func TestAWorkerThatPanics(t *testing.T) {
	for _, command := range []bool{false, true} {
		for _, at := range []string{"sign", "post"} {
			d := newDriver(healthy())
			n := 0
			panics := func(p piece) {
				if (place{p.Command, p.Service}) == (place{command, to}) {
					if n++; n == 1 {
						panic("defect")
					}
				}
			}
			if at == "sign" {
				d.OnSign = func(p piece) error { panics(p); return nil }
			} else {
				d.OnPost = func(p piece) fate { panics(p); return taken }
			}
			d.finishAll()
			want := record.ClassSuccess
			if at == "sign" {
				want = record.ClassWithdrawn
			}
			if got := d.Outcomes(to); !slices.Equal(got, []string{want.String()}) || d.m.run.halt != nil {
				t.Errorf("%s, command %t: 1.6 ended as %v, halt %v", at, command, got, d.m.run.halt)
			}
			wantGood(t, d)
		}
	}
}

// A cease gives every meter the verdict that what is known supports, once what workers have
// is back, and recalls it.
func TestACeaseRecalls(t *testing.T) {
	d := newDriver(healthy())
	leg := d.jobs[0]
	d.orders++
	actions := d.step(Order{d.orders, record.OrderBody{Action: record.OrderCease, By: "Ada", Reference: "SoLR 12"}})
	if !recalled(actions, leg) {
		t.Error("the leg that a worker has is not recalled")
	}
	if yes, _ := d.m.Ended(); yes {
		t.Error("it has ended with a leg with a worker")
	}
	d.drain()
	if yes, err := d.m.Ended(); !yes || !errors.Is(err, ErrCeased) || d.Posts != 0 {
		t.Errorf("ended %t with %v, %d POSTs", yes, err, d.Posts)
	}
	d.perform(d.m.Close(d.now))
	if v := d.verdict(); v.Verdict != record.VerdictUnknown {
		t.Errorf("verdict %s", v.Verdict)
	}
	d.restart()
	d.pass(time.Hour)
	if yes, err := d.m.Ended(); !yes || !errors.Is(err, ErrCeased) || len(d.jobs) != 0 {
		t.Errorf("the next run ended %t with %v, %d legs", yes, err, len(d.jobs))
	}
	wantNoFaults(t, d)
}

// A meter whose first request the journal does not have when the state is kept, and whose
// next process begins paused, is not lost: it begins when the pause is taken back.
func TestAMeterThatWasOnlyQueuedIsNotLost(t *testing.T) {
	for _, worked := range []bool{false, true} { // a worker signs it, and nobody hears of it
		d := newDrive(healthy())
		d.slow = !worked
		d.start()
		if r := d.m.ledger(0).openOf(supply); r == nil {
			t.Fatal("7.4 is not asked for")
		}
		d.keep()
		if err := d.order(record.OrderBody{Action: record.OrderPause}); err != nil {
			t.Fatal(err)
		}
		d.keep()
		if worked {
			d.jobs[0].Permit = nil // it was signed just before
			d.work(0)
		}
		d.slow = false
		d.restart()
		d.drain()
		if err := d.order(record.OrderBody{Action: record.OrderResume}); err != nil {
			t.Fatal(err)
		}
		d.finishAll()
		if v := d.verdict(); v.Verdict != record.VerdictOnSupply {
			t.Errorf("worked %t: verdict %q (%s)", worked, v.Verdict, v.Reason)
		}
		wantGood(t, d)
	}
}

// A result of a leg that the machine does not know changes nothing.
func TestAResultOfNoLeg(t *testing.T) {
	d := newDriver(healthy())
	d.step(Done{Ticket: 99, Result: exchange.Result{Err: context.Canceled}})
	d.step(Heard{Delivery: proof.Delivery{Device: 0x77}}) // of before store-first: it has no number
	d.finishAll()
	if v := d.verdict(); v.Verdict != record.VerdictOnSupply {
		t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	wantGood(t, d)
}
