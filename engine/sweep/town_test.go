package sweep

import (
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/engine/ledger"
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
	for _, l := range d.m.queues.regions {
		if l.inFlight != [2]int{} || l.len() != 0 {
			t.Errorf("%v: %d in flight, %d queued", l.region, l.inFlight, l.len())
		}
	}
	if len(d.m.queues.parked) != 0 || d.m.workers.any() {
		t.Errorf("%d parked, workers have %d", len(d.m.queues.parked), len(d.m.workers.halves))
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

var towns = flag.Int("towns", 40, "towns that are taken through deaths, orders, alerts and quarantines by chance")

// Towns in which everything goes wrong by chance: what is sent and what is answered, deaths
// of the process with some of its records lost, kept states, pauses, exclusions, alerts,
// quarantines, a journal that fails. In the end every meter has its verdict, and it is true.
func TestTownsInTrouble(t *testing.T) {
	for seed := range uint64(*towns) {
		d := trouble(seed)
		if wantNoFaults(t, d); t.Failed() {
			t.Fatalf("town %d", seed)
		}
	}
}

func trouble(seed uint64) *driver {
	d := town(4, seed, 0.25)
	r := d.Random
	d.PerHub = 1 + r.IntN(4)
	d.Policy.BalanceAfter = r.IntN(2) == 0
	if r.IntN(2) == 0 {
		d.Policy.Patience, d.Policy.StepDeadline = time.Hour, ledger.PerFuel[time.Duration]{Electricity: 4 * time.Hour, Gas: 26 * time.Hour}
	}
	waves := r.IntN(2) == 0
	d.alter = func(o *Options) {
		o.InFlight = 3
		if waves {
			o.Waves = []Wave{{Name: "first", Meters: 3, Soak: time.Minute}, {Name: "second", Meters: 5}}
		}
	}
	any := func() *device { return d.Devices[r.IntN(len(d.Devices))] }
	d.start()
	for range 400 {
		if d.fatal != nil {
			return d
		}
		if err := d.Disk.Err(); err != nil && d.m.run.halt == nil {
			d.step(JournalFailed{err})
		}
		switch n := r.IntN(60); {
		case n == 0 || d.m.run.halt != nil:
			d.die(r.IntN(3) * r.IntN(30))
		case n == 1:
			d.keep()
		case n == 2:
			d.order(record.OrderBody{Action: []string{record.OrderPause, record.OrderResume}[r.IntN(2)]})
		case n == 3:
			o := record.OrderBody{Action: []string{record.OrderPause, record.OrderStop}[r.IntN(2)], Now: true}
			if r.IntN(2) == 0 {
				o.SRV = []servicerequests.Service{supply, to, arm, balance}[r.IntN(4)].SRV()
			} else {
				o.Region = servicerequests.Regions[r.IntN(len(servicerequests.Regions))]
			}
			d.order(o)
		case n == 4:
			d.resumeAll()
		case n == 5 && r.IntN(4) == 0:
			d.order(record.OrderBody{Action: record.OrderExclude, Devices: []servicerequests.EUI{any().EUI}})
		case n == 6:
			x := any()
			d.Deliver(x.Alert(d.now, []uint16{ledger.AlertBelow, ledger.AlertSuspended, ledger.AlertFlowB4, 0x8F32}[r.IntN(4)], uint64(1+r.IntN(9))))
		case n == 7 && len(d.Flights) > 0: // the DCC holds back what it has taken
			i := r.IntN(len(d.Flights))
			f := d.Flights[i]
			d.Flights = append(d.Flights[:i:i], d.Flights[i+1:]...)
			d.Deliver(sweeptest.HeldBack(f.ID, f.ID.String()))
		case n == 8 && r.IntN(4) == 0:
			d.Disk.Fail(1+r.IntN(5), r.IntN(2) == 0)
		case n == 9:
			// Not while a worker has a first half of it: whether its record stands before the
			// order's only the journal knows, and so how often it was asked for since.
			if m := d.m.find(any().EUI); !slices.ContainsFunc(m.Open, func(r *ledger.Request) bool { return r.Phase == ledger.Signing && !r.Command() }) {
				d.order(record.OrderBody{Action: record.OrderRerun, Reason: "why not", Devices: []servicerequests.EUI{m.Device}})
			}
		case n == 10 && len(d.Inbox) > 0: // it is stored, and the machine does not hear of it
			if d.Disk.Err() == nil {
				x, _ := d.Next()
				if _, _, err := d.Store(x); err != nil {
					d.Deliver(x)
				}
			}
		case n < 20 && d.wait():
		case n < 30 && len(d.jobs) > 0:
			d.work(r.IntN(len(d.jobs)))
		case n < 40 && len(d.results) > 0:
			d.finish(r.IntN(len(d.results)))
		case n < 45 && len(d.Inbox) > 0:
			d.take(r.IntN(len(d.Inbox)))
		default:
			if !d.next() {
				d.wait()
			}
		}
	}
	// Calm: all that is held is let go, and all goes to its end.
	d.OnPost, d.OnDial, d.OnFlight = nil, nil, nil
	d.restart()
	if d.m.run.halt != nil || d.fatal != nil {
		return d
	}
	for range 5 {
		d.resumeAll()
		d.finishAll()
	}
	if !d.m.finished() {
		d.Fault("%d of %d are done, halt %v, holds %+v, next %v", d.m.counts.done, d.m.store.size(), d.m.run.halt, d.m.pauses.all, d.m.Next())
		return d
	}
	d.drain()
	d.judge()
	return d
}

// resumeAll says that all that is quarantined was deleted, and takes every hold back.
func (d *driver) resumeAll() {
	for _, ref := range append(d.m.toDelete(), d.m.Status(d.now).Quarantine...) {
		d.order(record.OrderBody{Action: record.OrderDeleted, Reference: ref})
	}
	for range 10 {
		if len(d.m.pauses.all) == 0 {
			return
		}
		at := scopeOf(d.m.pauses.all[0].order)
		o := record.OrderBody{Action: record.OrderResume, Region: at.region, Wave: at.wave}
		if at.service != 0 {
			o.SRV = at.service.SRV()
		}
		d.order(o)
	}
}
