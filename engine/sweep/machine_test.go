package sweep

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"safemode/engine/exchange"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
)

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

// A half that a limit at the socket refuses waits as long as the limit says, and then goes
// with the bytes that it has: its request is signed once.
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

// A circuit that is open has the half wait, and holds up no other endpoint.
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
	half := d.jobs[0]
	d.orders++
	actions := d.step(Order{d.orders, record.OrderBody{Action: record.OrderCease, By: "Ada", Reference: "SoLR 12"}})
	if !recalled(actions, half) {
		t.Error("the half that a worker has is not recalled")
	}
	if yes, _ := d.m.Ended(); yes {
		t.Error("it has ended with a half with a worker")
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
		t.Errorf("the next run ended %t with %v, %d halves", yes, err, len(d.jobs))
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

// A result of a half that the machine does not know changes nothing.
func TestAResultOfNoHalf(t *testing.T) {
	d := newDriver(healthy())
	d.step(Done{Ticket: 99, Result: exchange.Result{Err: context.Canceled}})
	d.step(Heard{Delivery: proof.Delivery{Device: 0x77}}) // of before store-first: it has no number
	d.finishAll()
	if v := d.verdict(); v.Verdict != record.VerdictOnSupply {
		t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	wantGood(t, d)
}
