package sweep

import (
	"flag"
	"slices"
	"testing"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
)

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
			// Not while a worker has a first leg of it: whether its record stands before the
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
		d.Fault("%d of %d are done, halt %v, holds %+v, next %v", d.m.counts.done, d.m.roll.size(), d.m.run.halt, d.m.holds.all, d.m.Next())
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
		if len(d.m.holds.all) == 0 {
			return
		}
		at := scopeOf(d.m.holds.all[0].order)
		o := record.OrderBody{Action: record.OrderResume, Region: at.region, Wave: at.wave}
		if at.service != 0 {
			o.SRV = at.service.SRV()
		}
		d.order(o)
	}
}
