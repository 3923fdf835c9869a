package sweep

import (
	"slices"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// A retry that was held back before it was signed is counted when it goes, once: by the
// process, by a state that was kept meanwhile, and by the records.
func TestARetryIsCountedOnce(t *testing.T) {
	for _, die := range []bool{false, true} {
		d := newDriver(healthy())
		d.strikeFlight(supply, undeliv)
		d.back = func(s Send) bool { return d.m.ledger(0).Tally(supply).Failures > 0 && s.Expected.Service == supply }
		if !d.until(func() bool { return len(d.jobs) == 1 && d.back(d.jobs[0]) }) {
			t.Fatal("7.4 was not tried again")
		}
		for range 3 { // it is recalled each time
			if err := d.order(record.OrderBody{Action: record.OrderPause}); err != nil {
				t.Fatal(err)
			}
			d.work(0)
			d.finish(0)
			if n := d.m.counts.retries; n != 0 {
				t.Errorf("%d retries, and none has gone", n)
			}
			if err := d.order(record.OrderBody{Action: record.OrderResume}); err != nil {
				t.Fatal(err)
			}
			if n := d.m.counts.retries; len(d.jobs) != 1 || n != 0 {
				t.Fatalf("%d legs, %d retries", len(d.jobs), n)
			}
		}
		d.keep() // while a worker has it
		if die {
			d.work(0) // it is signed, and nobody hears of it
			d.restart()
			if n := d.m.counts.retries; n != 1 {
				t.Errorf("after a restart: %d retries", n)
			}
		}
		d.back = nil
		d.finishAll()
		if n := d.m.counts.retries; n != 1 {
			t.Errorf("in the end: %d retries", n)
		}
		wantGood(t, d)
	}
}

// Where a region is paused, the wave's other meters go on, and the next wave opens when they
// and those of the region have their verdicts.
func TestAPausedRegionHoldsUpTheNextWave(t *testing.T) {
	d := newDrive()
	for i := range servicerequests.EUI(6) {
		x := healthy()
		x.EUI, x.Home = x.EUI+i*16, x.EUI+i*16+8
		d.Add(x, ourEUI, servicerequests.Regions[i%3])
	}
	d.alter = func(o *Options) {
		o.Waves = []Wave{{Name: "first", Meters: 3, Soak: time.Minute}, {Name: "second", Meters: 3}}
	}
	d.start()
	if err := d.order(record.OrderBody{Action: record.OrderPause, Region: servicerequests.Regions[1]}); err != nil {
		t.Fatal(err)
	}
	d.until(func() bool { return d.m.counts.done == 2 })
	d.pass(time.Hour)
	d.drain()
	if d.m.waves.opened != 1 || d.m.counts.done != 2 {
		t.Errorf("wave %d, %d done", d.m.waves.opened, d.m.counts.done)
	}
	if err := d.order(record.OrderBody{Action: record.OrderResume, Region: servicerequests.Regions[1]}); err != nil {
		t.Fatal(err)
	}
	d.finishAll()
	var states []string
	for _, r := range d.SentIn(record.Wave) {
		states = append(states, r.Code)
	}
	if want := []string{record.WaveOpened, record.WaveSoaking, record.WavePassed, record.WaveOpened}; !slices.Equal(states, want) {
		t.Errorf("waves %v, want %v", states, want)
	}
	wantGood(t, d)
}
