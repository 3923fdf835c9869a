package sweep

import (
	"slices"
	"testing"
	"time"

	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
)

const day = 24 * time.Hour

// aDayLater is a driver whose meter was left armed a day ago, and whose next process begins.
func aDayLater(t *testing.T) *driver {
	t.Helper()
	d := newDrive(cutOff())
	d.Policy.RereadArmedAfter = day
	d.start()
	d.finishAll()
	if v := d.verdict(); v.Verdict != record.VerdictArmed {
		t.Fatalf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	d.Devices[0].Supply, d.Devices[0].Pressed = servicerequests.Enabled, true
	d.now = d.now.Add(day)
	d.restart()
	return d
}

// The process dies at every step of the second day. No counter is used twice, nothing is
// signed twice, and the verdict is the new one in the end.
func TestGoingOnTheDayAfter(t *testing.T) {
	for _, kept := range []int{0, 2, 1 << 30} {
		for at := 1; ; at++ {
			d := aDayLater(t)
			d.steps = 0
			dead := false
			for range 1000 {
				if d.steps >= at && !dead {
					dead = true
					d.die(kept)
				}
				if !d.next() {
					break
				}
			}
			if v := d.verdict(); v.Verdict != record.VerdictOnSupply {
				t.Fatalf("death %d: %s (%s)", at, v.Verdict, v.Reason)
			}
			d.judge()
			if wantNoFaults(t, d); t.Failed() {
				t.Fatalf("death %d, %d kept", at, kept)
			}
			if !dead {
				if at < 5 {
					t.Errorf("the second day has %d steps", at-1)
				}
				break
			}
		}
	}
}

// An answer that comes after its request was given up counts, as any late answer does.
func TestLateTheDayAfter(t *testing.T) {
	d := newDrive(cutOff())
	d.Policy.RereadArmedAfter = day
	d.start()
	d.finishAll()
	d.Devices[0].Supply = servicerequests.Enabled
	d.now = d.now.Add(day)
	d.OnFlight = func(*flight) fate { return doneLate }
	d.restart()
	var late []proof.Delivery
	for range 100 {
		for {
			x, ok := d.Pull(func(x proof.Delivery) bool { return x.Result != nil })
			if !ok {
				break
			}
			late = append(late, x)
		}
		if !d.next() && (len(late) == 2 && d.m.finished() || !d.wait()) {
			break
		}
	}
	if v := d.verdict(); v.Verdict != record.VerdictArmed || len(late) != 2 {
		t.Fatalf("unanswered: %s, %d late", v.Verdict, len(late))
	}
	d.Deliver(late...)
	d.drain()
	if v := d.verdict(); v.Verdict != record.VerdictOnSupply {
		t.Errorf("answered late: %s (%s)", v.Verdict, v.Reason)
	}
	wantGood(t, d)
}

// A late answer comes while the balance after the verdict is being read: the verdict says it
// as soon as that has ended.
func TestALateAnswerWhileABalanceIsRead(t *testing.T) {
	x := cutOff()
	d := newDrive(x)
	d.Policy.BalanceAfter = true
	d.back = func(s Send) bool { return s.Expected.Service == balance && d.verdict().Verdict != "" }
	d.start()
	if !d.until(func() bool { return len(d.jobs) == 1 && d.back(d.jobs[0]) }) {
		t.Fatalf("no balance after the verdict: %+v", d.verdict())
	}
	// A read under the newest counter was given up, and the button was pressed before it.
	m := d.m.ledger(0)
	id := m.Open[0].ID
	id.Target, id.Counter = x.EUI, id.Counter-1
	m.PastWith(id).Class = record.ClassNoResponse
	m.PastWith(id).Service = supply
	m.Now.Supply.Counter = id.Counter - 1
	x.Supply, x.Pressed = servicerequests.Enabled, true
	d.Deliver(x.Respond(d.now, supply, id, true))
	d.take(0)
	if v := d.verdict(); v.Verdict != record.VerdictArmed {
		t.Errorf("verdict %s while more is open", v.Verdict)
	}
	d.back = nil
	d.drain()
	if v := d.verdict(); v.Verdict != record.VerdictOnSupply || v.SupplyCounter != id.Counter {
		t.Errorf("verdict %s (%s) by %d, want by %d", v.Verdict, v.Reason, v.SupplyCounter, id.Counter)
	}
	wantNoFaults(t, d)
}

// A sweep that lasts for days, because of a meter that cannot be reached, reads the others
// again on their day, and ends with that meter's verdict all the same.
func TestReadAgainWhileTheSweepLasts(t *testing.T) {
	x, silent := cutOff(), healthy()
	silent.EUI = 0x00DB123456780009
	d := newDrive(x, silent)
	d.Policy.RereadArmedAfter = day
	d.Policy.Retry.Electricity = []time.Duration{day, day, 6 * time.Hour}
	d.OnFlight = func(f *flight) fate {
		if f.Device == silent {
			return undeliv
		}
		return answered
	}
	d.start()
	d.finishAll()
	var again []time.Duration
	for _, r := range d.SentIn(record.Verdict) {
		if r.Device == x.EUI {
			again = append(again, r.At.Sub(epoch).Round(time.Hour))
		}
	}
	if took := d.now.Sub(epoch); !slices.Equal(again, []time.Duration{0, day, 2 * day}) || took < 2*day || took > 3*day {
		t.Errorf("verdicts after %v, the run took %v", again, took)
	}
	wantGood(t, d)
}

// A sweep that lasts reads an armed meter again each hour. What it has asked again when the
// last home gets its verdict it does not wait for: a gas meter may owe it for a day. What was
// due as a run began that run waits for.
func TestTheEndWaitsForNoReread(t *testing.T) {
	run := func(every time.Duration) (d *driver, armed *device) {
		armed, silent := cutOff(), healthy()
		silent.EUI = 0x00DB123456780009
		d = newDrive(armed, silent)
		d.Policy.RereadArmedAfter = every
		d.Policy.ResponseWait.Electricity = 3 * day
		d.Policy.Retry.Electricity = []time.Duration{day, day}
		d.OnFlight = func(f *flight) fate {
			switch {
			case f.Device == silent:
				return undeliv
			case d.now.Sub(epoch) > day+90*time.Minute:
				return lost
			}
			return answered
		}
		d.start()
		d.finishAll()
		return d, armed
	}
	without, _ := run(0)
	d, armed := run(time.Hour)
	if took, want := d.now.Sub(epoch), without.now.Sub(epoch); took != want || took < 2*day {
		t.Errorf("the run took %v, without rereads %v", took, want)
	}
	v := d.Disk.Verdict(armed.EUI)
	if at := v.AsOf.Sub(epoch); v.Verdict != record.VerdictArmed || at < day || at > day+90*time.Minute {
		t.Errorf("%s as of %v, want that of its last answer", v.Verdict, at)
	}
	wantGood(t, d)

	d.OnFlight = func(*flight) fate { return answered }
	armed.Supply, armed.Pressed = servicerequests.Enabled, true
	d.now = d.now.Add(2 * time.Hour)
	d.restart()
	d.finishAll()
	if v := d.Disk.Verdict(armed.EUI); v.Verdict != record.VerdictOnSupply {
		t.Errorf("the next run: %s (%s)", v.Verdict, v.Reason)
	}
	wantGood(t, d)
}
