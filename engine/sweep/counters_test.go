package sweep

import (
	"errors"
	"slices"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
)

// While no counter is reserved nothing is signed, and orders, answers and ticks are taken
// in all the same. Counters are asked for once, in good time, and are given out in order.
func TestASlowReservation(t *testing.T) {
	d := newDrive(healthy())
	d.slow = true
	d.start()
	if len(d.jobs) != 0 || !slices.Equal(d.reserves, []servicerequests.EUI{ourEUI}) {
		t.Fatalf("%d halves, asked for %v", len(d.jobs), d.reserves)
	}
	d.pass(time.Minute)
	if len(d.jobs) != 0 || len(d.reserves) != 1 {
		t.Errorf("%d halves, asked %d times", len(d.jobs), len(d.reserves))
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
