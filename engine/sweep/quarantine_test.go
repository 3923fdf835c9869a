package sweep

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
)

// inDoubt drives a meter to where a POST of a service is in doubt, and its request rests
// or waits in its queue to be POSTed again.
func inDoubt(t *testing.T, command bool, service servicerequests.Service, queued bool) (*driver, *request) {
	t.Helper()
	d := newDriver(healthy())
	d.strike(command, service, lostBefore)
	if !d.until(func() bool {
		r := d.m.ledger(0).openOf(service)
		return r != nil && r.Command() == command && r.Phase == ledger.Resting
	}) {
		t.Fatal("not in doubt")
	}
	r := d.m.ledger(0).openOf(service)
	if queued {
		d.OnTake = never // a limit, a breaker, a Retry-After
		d.pass(2 * time.Second)
		if r.Phase != ledger.Ready {
			t.Fatalf("it is %v", r.Phase)
		}
	}
	return d, r
}

// A request whose first POST is in doubt waits to be POSTed again; the DCC says that it has
// it in quarantine; the service is resumed. It is not signed again, nor sent again, and the
// journal can be gone on with.
func TestQuarantineOfARequestThatWaits(t *testing.T) {
	for _, at := range []place{{false, supply}, {true, to}} {
		for _, queued := range []bool{false, true} {
			for _, kept := range []bool{false, true} {
				d, r := inDoubt(t, at.command, at.service, queued)
				d.Deliver(sweeptest.HeldBack(r.ID, "77"))
				d.take(0)
				if r.Phase != ledger.Quarantined || d.m.quarantine.requests["77"] != r {
					t.Fatalf("%v queued %t: it is %v", at, queued, r.Phase)
				}
				posts := 0
				d.OnPost = func(p piece) fate {
					if p.ID == r.ID {
						posts++
					}
					return taken
				}
				d.OnTake = nil
				d.drain()
				if err := d.order(record.OrderBody{Action: record.OrderResume, SRV: at.service.SRV()}); err != nil {
					t.Fatal(err)
				}
				d.drain()
				d.pass(time.Hour)
				d.drain()
				if kept {
					d.keep()
				}
				d.restart()
				d.drain()
				signed := 0
				for _, rec := range d.Disk.All() {
					if rec.ID == r.ID && (rec.Kind == record.SignedCommand || rec.Kind == record.Request && !at.command) {
						signed++
					}
				}
				if signed != 1 || posts != 0 || d.m.run.halt != nil {
					t.Errorf("%v queued %t: signed %d times, %d POSTs after it was held, halt %v", at, queued, signed, posts, d.m.run.halt)
				}
				if open := d.m.ledger(0).PendingWith(r.ID); open == nil || open.Phase != ledger.Quarantined {
					t.Errorf("%v queued %t: the next process has it as %+v", at, queued, open)
				}
				// It is released, and the device's answer ends it.
				d.Flights = append(d.Flights, &flight{Device: d.Devices[0], Service: at.service, ID: r.ID, Fate: answered})
				d.finishAll()
				if got := d.Outcomes(at.service); !slices.Equal(got, []string{record.ClassSuccess.String()}) {
					t.Errorf("%v: ended as %v", at, got)
				}
				wantGood(t, d)
			}
		}
	}
}

// The DCC tells of a quarantine while a worker has the half: that is kept until the worker
// comes back, whatever it says. Where the POST is not over, it is recalled.
func TestQuarantineWhileAWorkerHasTheHalf(t *testing.T) {
	for _, f := range []fate{taken, throttled, lostBefore, lostAfter, badReply, notWritten} {
		for _, again := range []bool{false, true} { // the bytes are with the DCC, and about to go again
			d := newDriver(healthy())
			d.OnFlight = func(x *flight) fate {
				if x.Service == to {
					return lost
				}
				return answered
			}
			if again {
				d.strike(true, to, lostAfter)
			} else {
				d.strike(true, to, f)
			}
			if !d.until(func() bool {
				return len(d.jobs) == 1 && d.jobs[0].Expected.Service == to && d.jobs[0].Command && (d.jobs[0].Body != nil) == again
			}) {
				t.Fatal("no 1.6")
			}
			r := d.m.ledger(0).openOf(to)
			if !again {
				d.work(0)
			}
			posts := d.Posts
			d.Deliver(sweeptest.HeldBack(r.ID, "77"))
			d.take(0)
			if !r.Phase.Working() || r.quarantined == nil {
				t.Fatalf("%s: it is %v", f, r.Phase)
			}
			if n := len(d.SentIn(record.Operator)); n != 1 {
				t.Errorf("%s: the service is paused %d times", f, n)
			}
			d.drain()
			if r.Phase != ledger.Quarantined || d.m.run.halt != nil || d.Posts != posts {
				t.Errorf("%s, again %t: it is %v, halt %v, %d POSTs", f, again, r.Phase, d.m.run.halt, d.Posts-posts)
			}
			wantNoFaults(t, d)
		}
	}
}

// The process dies between the DCC's word that it holds a request back and the worker's
// result, with a state that was kept in between: the next one does not send it again.
func TestQuarantineWhileAWorkerHasTheHalfOutlivesTheProcess(t *testing.T) {
	for _, again := range []bool{false, true} {
		d := newDriver(healthy())
		d.strike(false, supply, lostAfter)
		d.OnFlight = func(*flight) fate { return lost }
		if !d.until(func() bool { return len(d.jobs) == 1 && (d.jobs[0].Body != nil) == again }) {
			t.Fatal("no 7.4")
		}
		r := d.m.ledger(0).openOf(supply)
		d.work(0)
		d.Deliver(sweeptest.HeldBack(r.ID, "77"))
		d.take(0)
		d.keep()
		posts := 0
		d.OnPost = func(p piece) fate {
			if p.ID == r.ID {
				posts++
			}
			return taken
		}
		d.restart()
		if err := d.order(record.OrderBody{Action: record.OrderResume, SRV: "7.4"}); err != nil {
			t.Fatal(err)
		}
		d.pass(time.Hour)
		d.drain()
		if open := d.m.ledger(0).PendingWith(r.ID); open == nil || open.Phase != ledger.Quarantined || posts != 0 {
			t.Errorf("again %t: the next process has it as %+v, %d POSTs", again, open, posts)
		}
		wantNoFaults(t, d)
	}
}

// Of a request that is quarantined and deleted the outcome is in doubt, and what became of
// it is read back. The DCC's own words about it may come any number of times.
func TestQuarantineIsToldAgain(t *testing.T) {
	d, r := inDoubt(t, true, to, true)
	d.OnTake = nil
	for _, ref := range []string{"77", "77", "78"} {
		d.Deliver(sweeptest.HeldBack(r.ID, ref))
		d.take(0)
	}
	if _, old := d.m.quarantine.requests["77"]; old || d.m.quarantine.requests["78"] != r || len(d.m.pauses.all) != 1 {
		t.Errorf("held %v, %d holds", d.m.quarantine.requests, len(d.m.pauses.all))
	}
	if err := d.order(record.OrderBody{Action: record.OrderDeleted, Reference: "77"}); !errors.Is(err, ErrOrder) {
		t.Errorf("deleted by an old reference: %v", err)
	}
	for _, o := range []record.OrderBody{{Action: record.OrderDeleted, Reference: "78"}, {Action: record.OrderResume, SRV: "1.6"}} {
		if err := d.order(o); err != nil {
			t.Error(err)
		}
	}
	d.finishAll()
	if got := d.Outcomes(to); !slices.Equal(got, []string{record.ClassInDoubt.String()}) {
		t.Errorf("ended as %v", got)
	}
	if v := d.verdict(); v.Verdict != record.VerdictOnSupply {
		t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	wantGood(t, d)
}

// A quarantine of a request that nobody knows is other traffic; of one that was answered it
// changes nothing. Both are marked.
func TestQuarantineOfWhatIsNotOpen(t *testing.T) {
	d := newDriver(healthy())
	d.finishAll()
	answered := d.SentIn(record.Outcome)[0].ID
	strange := answered
	strange.Target = 0x77
	never := answered
	never.Counter = 5
	for _, id := range []servicerequests.RequestID{answered, strange, never} {
		d.Deliver(sweeptest.HeldBack(id, "77"))
		d.take(0)
	}
	// The counters of the others are another system's.
	if len(d.m.pauses.all) != 1 || d.m.pauses.all[0].order.Cause != record.CauseStranger || len(d.m.toDelete()) != 0 || len(d.m.quarantine.requests) != 0 {
		t.Errorf("%d holds, to delete %v", len(d.m.pauses.all), d.m.toDelete())
	}
	if n := len(d.SentIn(record.Unmatched)); n != 1 {
		t.Errorf("%d unmatched", n)
	}
	d.finishAll()
	wantGood(t, d)
}

// A home that is excluded while a request of it is held back must have it deleted.
func TestQuarantineOfAnExcludedHomeIsToBeDeleted(t *testing.T) {
	d, r := inDoubt(t, true, to, true)
	d.OnTake = nil
	d.Deliver(sweeptest.HeldBack(r.ID, "77"))
	d.take(0)
	if err := d.order(record.OrderBody{Action: record.OrderExclude, Devices: []servicerequests.EUI{d.Devices[0].EUI}}); err != nil {
		t.Fatal(err)
	}
	if got := d.m.toDelete(); !slices.Equal(got, []string{"77"}) {
		t.Errorf("to be deleted: %v", got)
	}
	if err := d.order(record.OrderBody{Action: record.OrderDeleted, Reference: "77"}); err != nil {
		t.Fatal(err)
	}
	d.finishAll()
	if v := d.verdict(); v.Verdict != record.VerdictExcluded || !strings.HasPrefix(v.Reason, record.ReasonTransferred) {
		t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	wantGood(t, d)
}
