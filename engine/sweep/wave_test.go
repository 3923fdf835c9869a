package sweep

import (
	"slices"
	"testing"
	"time"

	"safemode/engine/ledger"
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
				t.Fatalf("%d halves, %d retries", len(d.jobs), n)
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
	if d.m.waves.begun != 1 || d.m.counts.done != 2 {
		t.Errorf("wave %d, %d done", d.m.waves.begun, d.m.counts.done)
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

// townOf is so many homes with one meter each; change has them as they are found.
func townOf(n int, change func(i int, x *device)) *driver {
	d := newDrive()
	for i := range n {
		x := healthy()
		if change != nil {
			change(i, x)
		}
		x.EUI += servicerequests.EUI(i * 16)
		x.Home = x.EUI + 8
		d.Add(x, ourEUI, servicerequests.North)
	}
	return d
}

// commanded are the places in the plan of the homes that a command was signed for.
func (d *driver) commanded() map[int]bool {
	at := map[int]bool{}
	for _, r := range d.SentIn(record.SignedCommand) {
		for i, x := range d.Devices {
			if x.EUI == r.Device {
				at[i] = true
			}
		}
	}
	return at
}

// When more homes come to the end of their credit than may go before their wave, the others
// wait, and the machine's step ends: they are looked at when there is room again.
func TestHomesOverTheCapWait(t *testing.T) {
	d := townOf(30, func(i int, x *device) {
		if i >= 15 && i < 25 { // ten in the third wave, whose credit ends two hours from now
			x.Balance = 2 * servicerequests.Pound
		}
	})
	d.Policy.DailySpend, d.Policy.AtRiskWithin, d.Policy.ActWithin = 24*servicerequests.Pound, 24*time.Hour, time.Hour
	d.alter = func(o *Options) {
		o.Waves = []Wave{{Name: "canary", Meters: 3, Soak: 12 * time.Hour}, {Name: "second", Meters: 6, Soak: time.Hour}, {Name: "third"}}
	}
	d.start()
	began := d.now
	d.until(func() bool { return d.now.Sub(began) > time.Hour && len(d.jobs) == 0 && !d.InFlight() })
	if early := d.m.waves.early(); early != 6 || d.m.waves.all[0].state != record.WaveSoaking {
		t.Errorf("%d homes went before their wave, want 6; the canary is %s", early, d.m.waves.all[0].state)
	}
	d.finishAll()
	if d.m.counts.verdicts["on_supply"] != 30 {
		t.Errorf("verdicts %v", d.m.counts.verdicts)
	}
}

// Homes that are dark are armed before their wave, but no more of them than the wave that
// opens next has. All others wait for theirs, though they are read.
func TestDarkHomesGoBeforeTheirWave(t *testing.T) {
	d := townOf(30, func(i int, x *device) {
		if i >= 15 && i < 25 { // ten in the third wave
			*x = *cutOff()
		}
	})
	d.alter = func(o *Options) {
		o.Waves = []Wave{{Name: "canary", Meters: 3, Soak: time.Hour}, {Name: "second", Meters: 6, Soak: time.Hour}, {Name: "third"}}
	}
	d.start()
	d.until(func() bool { return d.m.waves.all[0].state == record.WaveSoaking && len(d.jobs) == 0 && !d.InFlight() })
	early := 0
	for i := range d.commanded() {
		switch {
		case i >= 15 && i < 25:
			early++
		case i >= 3:
			t.Errorf("home %d of a closed wave was given a command", i+1)
		}
	}
	if early != 6 || d.m.waves.early() != 6 {
		t.Errorf("%d dark homes went before their wave, counted %d, want 6", early, d.m.waves.early())
	}
	if n := len(d.SentIn(record.Request, supply)); n < 30 {
		t.Errorf("%d of 30 were seen", n)
	}
	st := d.m.Status(d.now)
	if b := st.BlastRadius; b.Homes != b.Meters || b.Homes < 3 || b.Homes > 9 || b.Cap != 3 && b.Cap != 9 || b.At.IsZero() {
		t.Errorf("blast radius %+v, want at most the canary's 3 homes and 6 early ones", b)
	}
	if c := st.FirstContact["electricity"]; c.Meters != 30 || c.Contacted != 30 || c.LastAt.Before(epoch) {
		t.Errorf("first contact %+v", c)
	}
	if n := d.m.waves.all[1].left(); n != 6 {
		t.Errorf("the second wave has %d left", n)
	}
	d.until(func() bool { return d.m.waves.begun == 2 })
	d.until(func() bool { return d.m.waves.all[1].state == record.WaveSoaking && len(d.jobs) == 0 && !d.InFlight() })
	dark := 0
	for i := range d.commanded() {
		if i >= 15 && i < 25 {
			dark++
		}
	}
	if dark != 10 {
		t.Errorf("%d of 10 dark homes were helped while the second wave was open", dark)
	}
	d.finishAll()
	wantGood(t, d)
}

// Credit that runs out somewhere, hour after hour, holds no wave up.
func TestNoWaveWaitsForAlertedHomes(t *testing.T) {
	d := townOf(60, nil)
	d.alter = func(o *Options) {
		o.Waves = []Wave{{Name: "canary", Meters: 4, Soak: 20 * time.Minute}, {Name: "second", Meters: 8, Soak: time.Minute}, {Name: "third"}}
	}
	d.start()
	d.pass(time.Minute) // an alert counts if it is later than what was read
	began, counter := d.now, uint64(1)
	next := 12
	for d.m.waves.begun < 3 && next < 60 {
		x := d.Devices[next]
		next++
		if d.pass(time.Second); x.Mode == prepay { // it is not switched yet
			x.Supply, x.Balance = servicerequests.Disabled, -servicerequests.Pound
			d.Deliver(x.Alert(d.now, ledger.AlertBelow, counter))
			counter++
		}
		d.pass(time.Minute)
		d.drain()
	}
	if d.m.waves.begun != 3 || d.now.Sub(began) > time.Hour {
		t.Errorf("wave %d after %v", d.m.waves.begun, d.now.Sub(began))
	}
	d.finishAll()
	if d.m.counts.done != 60 || d.m.counts.verdicts[record.VerdictNotSafe] > 0 {
		t.Errorf("%d of 60 done, %v", d.m.counts.done, d.m.counts.verdicts)
	}
}

// Electricity does not wait for gas, nor for the few that are silent.
func TestAWavePassesOnAShare(t *testing.T) {
	d := townOf(44, func(i int, x *device) {
		if i < 20 && i%4 == 3 {
			x.Kind = servicerequests.GSME
		}
	})
	d.alter = func(o *Options) {
		o.Waves = []Wave{{Name: "first", Meters: 20, Settled: 0.9, Soak: time.Minute}, {Name: "second"}}
	}
	silent := d.Devices[0].EUI
	d.OnFlight = func(f *flight) fate {
		if f.Device.EUI == silent || f.Device.Kind == servicerequests.GSME {
			return lost
		}
		return answered
	}
	d.start()
	began := d.now
	d.until(func() bool { return d.m.waves.begun == 2 })
	if took := d.now.Sub(began); took > 30*time.Minute {
		t.Errorf("the second wave opened after %v", took)
	}
}
