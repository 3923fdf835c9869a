package sweep

import (
	"errors"
	"iter"
	"runtime"
	"slices"
	"testing"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// A meter that sleeps is found by its own identifier and its proxy's, tells from its head
// what its ledger says, and wakes as it fell asleep.
func TestTheStoreWakesWhatItPutToSleep(t *testing.T) {
	d := town(40, 3, 0.2)
	d.start()
	for steps := 0; ; steps++ {
		if steps%50 == 0 {
			for number := range int32(d.m.store.size()) {
				h := *d.m.store.head(number)
				asleep := d.m.store.awake[number] == nil
				m := d.m.meter(number)
				if got := *d.m.store.note(m); got != h {
					t.Fatalf("meter %d, asleep %t: its head says %+v, its ledger %+v", number, asleep, h, got)
				}
				if d.m.find(m.Device) != m || m.Proxy != 0 && d.m.find(m.Proxy) != m {
					t.Fatalf("meter %d is not found", number)
				}
			}
			d.m.sleepIdle()
		}
		if !d.next() && (d.m.finished() || !d.wait()) {
			break
		}
	}
	if len(d.m.store.awake) != 0 {
		t.Errorf("%d are awake in the end", len(d.m.store.awake))
	}
	wantGood(t, d)
}

func TestRestoreRefuses(t *testing.T) {
	d := town(10, 3, 0)
	d.start()
	d.finishAll()
	d.keep()
	d.Disk.Close()
	rows := d.Disk.Rows()
	alter := func(change func([]record.StateRow) []record.StateRow) []record.StateRow {
		var copied []record.StateRow
		for _, row := range rows {
			copied = append(copied, record.StateRow{Row: row.Row, Value: append([]byte{}, row.Value...)})
		}
		return change(copied)
	}
	for name, bad := range map[string][]record.StateRow{
		"empty":           {},
		"no JSON":         alter(func(r []record.StateRow) []record.StateRow { r[0].Value = []byte("{"); return r }),
		"another version": alter(func(r []record.StateRow) []record.StateRow { r[0].Value = []byte(`{"version":1}`); return r }),
		"a block less":    alter(func(r []record.StateRow) []record.StateRow { return r[:len(r)-1] }),
		"a block cut":     alter(func(r []record.StateRow) []record.StateRow { r[1].Value = r[1].Value[:len(r[1].Value)-3]; return r }),
		"a block longer":  alter(func(r []record.StateRow) []record.StateRow { r[1].Value = append(r[1].Value, 0); return r }),
		"a block twice":   alter(func(r []record.StateRow) []record.StateRow { r[2].Value = r[1].Value; return r }),
	} {
		m := machineOf(d.World, nil)
		if _, err := m.Restore(bad); err == nil {
			t.Errorf("%s: taken", name)
		}
		// It is as if it had not been called.
		if _, err := m.Replay(d.Disk.Records(1), d.Read); err != nil {
			t.Errorf("%s: then %v", name, err)
		}
	}
	// A state of meters that the plan does not have is not taken, and its meters are told
	// in the order of the plan.
	var told []record.PlannedMeter
	stranger := func(o *Options) {
		o.Fits = func(kept iter.Seq[record.PlannedMeter]) error {
			told = slices.Collect(kept)
			return errors.New("strangers")
		}
	}
	m := machineOf(d.World, stranger)
	if _, err := m.Restore(rows); !errors.Is(err, ErrState) || m.store.size() != 0 {
		t.Errorf("meters of another plan: %v, %d meters", err, m.store.size())
	}
	at := 0
	for r, err := range d.Disk.Records(1) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind != record.Target {
			continue
		}
		body, err := record.Decode[record.TargetBody](r)
		if want := (record.PlannedMeter{Device: r.Device, Hub: body.Hub, Originator: body.Originator, Type: body.Type, Region: body.Region}); err != nil || at >= len(told) || told[at] != want {
			t.Fatalf("meter %d: %v, %+v", at+1, err, want)
		}
		at++
	}
	if at == 0 || at != len(told) {
		t.Errorf("%d meters are planned, %d told", at, len(told))
	}
	other := func(o *Options) { o.Policy.ArmTries++ }
	if _, err := machineOf(d.World, other).Restore(rows); err == nil {
		t.Error("of other settings: taken")
	}
	if from, err := machineOf(d.World, nil).Restore(rows); err != nil || from < 2 {
		t.Errorf("from %d, %v", from, err)
	}
}

// After a night's pause a million timers may have run out: a turn wakes some of them, and the
// next one is wanted at once.
func TestATurnWakesSome(t *testing.T) {
	const meters = manyDirty + 10
	d := town(meters, 3, 0)
	d.start()
	d.m.sleepIdle()
	awake := len(d.m.store.awake)
	for number := range int32(meters) {
		d.m.diary.timers.Add(timer{d.now.Add(-time.Hour), number})
	}
	d.m.advance(d.now)
	d.m.wakeUp()
	if got := len(d.m.store.awake); got > awake+manyDirty || got == awake {
		t.Errorf("%d were awake, %d are", awake, got)
	}
	if next := d.m.Next(); next.After(d.now) {
		t.Errorf("the next turn is %v from now", next.Sub(d.now))
	}
	if d.m.wakeUp(); len(d.m.store.awake) != meters {
		t.Errorf("%d of %d are awake after two turns", len(d.m.store.awake), meters)
	}
}

// BenchmarkStore is what a million meters that are done take in memory.
func BenchmarkStore(b *testing.B) {
	for b.Loop() {
		r := newStore()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		const meters = 1_000_000
		at := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
		for i := range servicerequests.EUI(meters) {
			if err := r.add(doneMeter(i, at)); err != nil {
				b.Fatal(err)
			}
		}
		if err := r.seal(); err != nil {
			b.Fatal(err)
		}
		clear(r.changed)
		runtime.GC()
		runtime.ReadMemStats(&after)
		blocks := 0
		for _, block := range r.blocks {
			blocks += len(block)
		}
		b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/1e6, "MB")
		b.ReportMetric(float64(blocks)/meters, "bytes/ledger")
		runtime.KeepAlive(&r)
	}
}

// doneMeter is a meter that was switched and read back.
func doneMeter(i servicerequests.EUI, at time.Time) *ledger.Meter {
	m := ledger.New(0x00DB120000000000+i*16, record.TargetBody{
		Type: servicerequests.ESME + servicerequests.DeviceType(i%2), Hub: 0x00DB130000000000 + i/2*16, Region: servicerequests.North,
		Claimed: servicerequests.Prepayment, Originator: ourEUI,
	})
	if i%2 == 1 {
		m.Proxy = m.Device + 1
	}
	c := &m.Counters
	issued := 1_800_000_000_000 + uint64(i)*7
	m.Started, m.Heard = at, at.Add(90*time.Second+time.Duration(i))
	for n := range uint64(7) {
		service := servicerequests.Services[n%6]
		m.Past = append(m.Past, ledger.Past{Counter: issued - n*40_000, Service: service, Class: record.ClassSuccess, Sampled: n == 0})
		m.Tallies[service] = ledger.Tally{Tries: 1, Answers: 1, Last: record.ClassSuccess}
	}
	m.Now.Mode = ledger.Reading[servicerequests.PaymentMode]{Value: credit, Counter: issued, At: m.Heard}
	m.Found.Mode = ledger.Reading[servicerequests.PaymentMode]{Value: prepay, Counter: issued - 200_000, At: m.Started}
	m.Now.Supply = ledger.Reading[servicerequests.SupplyState]{Value: servicerequests.Enabled, Counter: issued - 40_000, At: m.Heard}
	m.Found.Supply = ledger.Reading[servicerequests.SupplyState]{Value: servicerequests.Enabled, Counter: issued - 280_000, At: m.Started}
	m.Now.Balance = ledger.Reading[servicerequests.Millipence]{Value: 1_234_567, Counter: issued - 240_000, At: m.Started}
	m.Found.Balance = m.Now.Balance
	c.FirstSwitch, c.FirstCommand, c.LastCommand, c.StaleMode, c.StaleSupply = issued-80_000, issued-80_000, issued-80_000, issued-80_000, issued-80_000
	m.Done, m.CreditAccepted = true, true
	m.Verdict.Verdict = record.VerdictOnSupply
	return m
}
