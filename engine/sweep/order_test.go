package sweep

import (
	"errors"
	"slices"
	"testing"
	"time"

	"safemode/engine/exchange"
	"safemode/engine/gateway"
	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
)

func TestRetriesGoAfterFirstTries(t *testing.T) {
	first := rank{risk: ledger.Risk{Need: ledger.Lasting}, turn: 9}
	again := rank{retry: true, risk: ledger.Risk{Need: ledger.Dark}, turn: 1}
	if !first.before(again) || again.before(first) {
		t.Error("a retry goes before a first try")
	}
}

// recalled says whether actions recall a half.
func recalled(actions []Action, half Send) bool {
	return slices.ContainsFunc(actions, func(a Action) bool {
		r, ok := a.(Recall)
		return ok && r.Permit == half.Permit
	})
}

// An excluded meter gets nothing more in whatever phase its requests are (decision 48):
// with a worker, signed and waiting, resting, behind its hub, or acknowledged.
func TestExclusionBindsInEveryPhase(t *testing.T) {
	for name, c := range map[string]struct {
		fates []fate // of the POST of the command
		when  func(d *driver, r *request) bool
		class record.Class // of 1.6
	}{
		"with a worker, not signed": {nil, func(d *driver, r *request) bool { return r.Phase == ledger.Signing && len(d.jobs) == 1 }, record.ClassWithdrawn},
		"with a worker, again":      {[]fate{lostBefore}, func(d *driver, r *request) bool { return r.Phase == ledger.Posting && len(d.jobs) == 1 }, record.ClassInDoubt},
		"signed and put off":        {[]fate{throttled}, func(_ *driver, r *request) bool { return r.Phase == ledger.Ready }, record.ClassWithdrawn},
		"resting":                   {[]fate{lostAfter}, func(_ *driver, r *request) bool { return r.Phase == ledger.Resting }, record.ClassInDoubt},
		"the worker is back":        {nil, func(d *driver, r *request) bool { return r.Phase == ledger.Signing && len(d.results) == 1 }, record.ClassSuccess},
		"acknowledged":              {nil, func(_ *driver, r *request) bool { return r.Phase == ledger.Sent }, record.ClassSuccess},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDriver(healthy())
			d.strike(true, to, c.fates...)
			if !d.until(func() bool {
				r := d.m.ledger(0).openOf(to)
				return r != nil && r.Command() && c.when(d, r)
			}) {
				t.Fatal("never in this phase")
			}
			at := d.Posts
			halves := slices.Clone(d.jobs)
			d.orders++
			actions := d.step(Order{d.orders, record.OrderBody{Action: record.OrderExclude, By: "Ada", Devices: []servicerequests.EUI{d.Devices[0].EUI}}})
			for _, half := range halves {
				if !recalled(actions, half) {
					t.Error("the half that a worker has is not recalled")
				}
			}
			d.finishAll()
			if d.Posts != at {
				t.Errorf("%d POSTs after the exclusion", d.Posts-at)
			}
			if v := d.verdict(); v.Verdict != record.VerdictExcluded {
				t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
			}
			if got := d.Outcomes(to); !slices.Equal(got, []string{c.class.String()}) {
				t.Errorf("1.6 ended as %v", got)
			}
			wantGood(t, d)
		})
	}
}

// A meter that is excluded when it has its verdict is left alone for good; the verdict stays
// as history, in this process and in the next.
func TestExclusionAfterTheVerdict(t *testing.T) {
	for _, action := range []string{record.OrderExclude, record.OrderSuppress} {
		for _, restart := range []bool{false, true} {
			x, silent := cutOff(), healthy()
			silent.EUI = 0x00DB123456780009
			d := newDrive(x, silent)
			d.Policy.RereadArmedAfter = day
			d.Policy.BalanceAfter = true
			d.Policy.Retry.Electricity = []time.Duration{day, day, 6 * time.Hour}
			d.OnFlight = func(f *flight) fate {
				if f.Device == silent {
					return undeliv
				}
				return answered
			}
			d.start()
			if !d.until(func() bool { return d.now.Sub(epoch) > time.Hour && d.Disk.Verdict(x.EUI).Verdict != "" }) {
				t.Fatal("no verdict")
			}
			before := d.Disk.Verdict(x.EUI)
			if err := d.order(record.OrderBody{Action: action, Devices: []servicerequests.EUI{x.EUI}}); err != nil {
				t.Fatal(err)
			}
			at := len(d.Disk.All())
			// The new supplier sets prepayment up again.
			x.State = state{Mode: prepay, Supply: servicerequests.Enabled}
			x.Found = x.State
			d.Deliver(x.Alert(d.now, ledger.AlertLocked, 3))
			if restart {
				d.restart()
			}
			d.finishAll()
			for _, r := range d.Disk.All()[at:] {
				if r.Device == x.EUI && (r.Kind == record.Request || r.Kind == record.SignedCommand || r.Kind == record.Verdict) {
					t.Errorf("%s, restart %t: %v %v after the order", action, restart, r.Kind, r.Service)
				}
			}
			if v := d.Disk.Verdict(x.EUI); v.Verdict != before.Verdict || d.m.counts.verdicts[before.Verdict] != 1 {
				t.Errorf("verdict %s, was %s; counted %v", v.Verdict, before.Verdict, d.m.counts.verdicts)
			}
			wantNoFaults(t, d)
		}
	}
}

// An answer to a meter that was excluded when it had its verdict comes late: the verdict
// stays as history, and in the next process, too.
func TestALateAnswerAfterAnExclusion(t *testing.T) {
	for _, restart := range []bool{false, true} {
		x := healthy()
		d := newDriver(x)
		d.OnFlight = func(f *flight) fate {
			if f.Service == balance {
				return lost
			}
			return answered
		}
		d.finishAll()
		before := d.verdict()
		if err := d.order(record.OrderBody{Action: record.OrderExclude, Devices: []servicerequests.EUI{x.EUI}}); err != nil {
			t.Fatal(err)
		}
		d.Deliver(x.Respond(d.now, balance, d.SentIn(record.Request, balance)[0].ID, true))
		d.take(0)
		if restart {
			d.restart()
		}
		d.finishAll()
		if v := d.verdict(); before.Verdict != record.VerdictOnSupply || v.Verdict != before.Verdict || len(d.SentIn(record.Verdict)) != 1 {
			t.Errorf("restart %t: verdict %s, was %s", restart, v.Verdict, before.Verdict)
		}
		wantGood(t, d)
	}
}

// A pause recalls what workers have of its scope, and nothing else. It waits, is not signed
// again, and goes when the pause is taken back.
func TestAPauseRecallsHalves(t *testing.T) {
	for name, c := range map[string]struct {
		order record.OrderBody
		of    func(region servicerequests.Region, service servicerequests.Service) bool
	}{
		"the sweep": {record.OrderBody{}, func(servicerequests.Region, servicerequests.Service) bool { return true }},
		"a region":  {record.OrderBody{Region: servicerequests.South}, func(r servicerequests.Region, _ servicerequests.Service) bool { return r == servicerequests.South }},
		"a service": {record.OrderBody{SRV: "1.6"}, func(_ servicerequests.Region, s servicerequests.Service) bool { return s == to }},
		"a wave":    {record.OrderBody{Wave: 1}, func(servicerequests.Region, servicerequests.Service) bool { return true }},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrive()
			for i, region := range servicerequests.Regions[:] {
				x := healthy()
				x.EUI += servicerequests.EUI(i) * 16
				x.Home = x.EUI + 8
				d.Add(x, ourEUI, region)
			}
			d.alter = func(o *Options) { o.Workers = 10 }
			d.start()
			n := len(servicerequests.Regions)
			d.back = func(s Send) bool { return s.Expected.Service == to }
			if !d.until(func() bool {
				return len(d.jobs) == n && !slices.ContainsFunc(d.jobs, func(s Send) bool { return s.Expected.Service != to })
			}) {
				t.Fatal("no 1.6 of every home with the workers")
			}
			d.back = nil
			halves := slices.Clone(d.jobs)
			c.order.Action, c.order.By = record.OrderPause, "Ada"
			actions := d.step(Order{1, c.order})
			for _, half := range halves {
				if got, want := recalled(actions, half), c.of(half.Place.Region, to); got != want {
					t.Errorf("%v in %v is recalled %t, want %t", half.Expected.Service, half.Place.Region, got, want)
				}
			}
			posts := 0
			d.OnPost = func(p piece) fate {
				if c.of(d.Regions[p.ID.Target], p.Service) {
					posts++
				}
				return taken
			}
			d.drain()
			d.pass(time.Hour)
			d.drain()
			if posts != 0 {
				t.Errorf("%d POSTs of the scope while paused", posts)
			}
			c.order.Action = record.OrderResume
			d.orders = 1
			if err := d.order(c.order); err != nil {
				t.Fatal(err)
			}
			d.finishAll()
			if got := d.m.counts.verdicts[record.VerdictOnSupply]; got != n {
				t.Errorf("%d on supply", got)
			}
			wantGood(t, d)
		})
	}
}

// The next kept state has the withdrawals of a stop: no start has a request open whose outcome
// is in the journal.
func TestWhatAStopWithdrawsIsKept(t *testing.T) {
	d := newDriver(healthy())
	d.strike(false, to, throttled)
	d.until(func() bool {
		r := d.m.ledger(0).openOf(to)
		return r != nil && r.Phase == ledger.Ready
	})
	d.m.ledger(0).openOf(to).Reached = false
	d.step()
	d.keep()
	if err := d.order(record.OrderBody{Action: record.OrderStop, SRV: "1.6", Now: true}); err != nil {
		t.Fatal(err)
	}
	if got := d.Outcomes(to); !slices.Equal(got, []string{record.ClassWithdrawn.String()}) {
		t.Fatalf("1.6 ended as %v", got)
	}
	d.keep()
	d.restart()
	if err := d.order(record.OrderBody{Action: record.OrderResume, SRV: "1.6"}); err != nil {
		t.Fatal(err)
	}
	d.finishAll()
	if v := d.verdict(); v.Verdict != record.VerdictOnSupply {
		t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	wantGood(t, d)
}

// A stop that does not wait ends the POSTs under way, and what is with workers is recalled.
func TestAStopNowCuts(t *testing.T) {
	d := newDriver(healthy())
	if len(d.jobs) == 0 {
		t.Fatal("nothing with a worker")
	}
	half := d.jobs[0]
	d.orders++
	actions := d.step(Order{d.orders, record.OrderBody{Action: record.OrderStop, Now: true, By: "Ada"}})
	if !recalled(actions, half) || !d.cut {
		t.Errorf("recalled %t, cut %t", recalled(actions, half), d.cut)
	}
	if yes, _ := d.m.Ended(); yes {
		t.Error("it has ended with a half with a worker")
	}
	d.drain()
	if yes, err := d.m.Ended(); !yes || !errors.Is(err, ErrStopped) || d.Posts != 0 {
		t.Errorf("ended %t with %v, %d POSTs", yes, err, d.Posts)
	}
	d.restart()
	d.finishAll()
	wantGood(t, d)
}

// Two workers are put off at the same time, by an hour and by nothing: the longest hold
// stands at the pacer, which is told of both, and nothing leaves within the hour.
func TestARetryAfterIsNotShortened(t *testing.T) {
	for _, first := range []time.Duration{time.Hour, 0} {
		d := newDrive()
		for i := range servicerequests.EUI(2) {
			x := healthy()
			x.EUI, x.Home = x.EUI+i*16, x.EUI+i*16+8
			d.Add(x, ourEUI, servicerequests.North)
		}
		d.start()
		if len(d.jobs) != 2 {
			t.Fatalf("%d halves", len(d.jobs))
		}
		jobs := slices.Clone(d.jobs)
		d.jobs = nil
		for i, after := range []time.Duration{first, time.Hour - first} {
			body := []byte("signed")
			d.step(Done{jobs[i].Ticket, exchange.Result{
				Signed: &record.Record{At: d.now, Kind: record.Request, Device: jobs[i].Device, Service: supply, ID: jobs[i].Expected.ID, Body: body},
				Until:  d.now.Add(after), Took: 1, Err: &gateway.ThrottledError{Status: 429, RetryAfter: after},
			}})
			d.check = i == 0
		}
		d.drain()
		d.pass(59 * time.Minute)
		if len(d.jobs) != 0 {
			t.Errorf("first %v: a half goes %v after a Retry-After of an hour", first, d.now.Sub(epoch))
		}
		d.pass(2 * time.Minute)
		if len(d.jobs) != 2 {
			t.Errorf("first %v: %d halves go after it", first, len(d.jobs))
		}
	}
}

// Requests that wait in hubs for sleeping gas meters take no place from a dark electric home.
func TestSilentGasDoesNotStarveElectricity(t *testing.T) {
	d := newDrive()
	d.PerHub = 8
	d.Policy.ResponseWait = ledger.PerFuel[time.Duration]{Electricity: 15 * time.Minute, Gas: 25 * time.Hour}
	d.Policy.Patience, d.Policy.StepDeadline = time.Hour, ledger.PerFuel[time.Duration]{Electricity: 4 * time.Hour, Gas: 26 * time.Hour}
	for i := range servicerequests.EUI(30) {
		g := healthy()
		g.EUI, g.Proxy, g.Kind, g.Home = 0x00DB123400000000+i*16, 0x00DB123400000002+i*16, servicerequests.GSME, 0x00DB123400000008+i*16
		d.Add(g, ourEUI, servicerequests.North)
	}
	e := cutOff()
	e.EUI, e.Home = 0x00DB12340000F000, 0x00DB12340000F008
	d.Add(e, ourEUI, servicerequests.North)
	d.OnFlight = func(f *flight) fate {
		if f.Device.Kind == servicerequests.GSME {
			return lost
		}
		return answered
	}
	d.alter = func(o *Options) { o.InFlight = 10 }
	d.start()
	d.until(func() bool { return d.Disk.Verdict(e.EUI).Verdict != "" })
	first := slices.IndexFunc(d.Disk.All(), func(r record.Record) bool { return r.Kind == record.Request && r.Device == e.EUI })
	if first < 0 || d.Disk.All()[first].At.Sub(epoch) > time.Hour || d.now.Sub(epoch) > 2*time.Hour {
		t.Errorf("the dark home has its verdict after %v", d.now.Sub(epoch))
	}
	if v := d.Disk.Verdict(e.EUI); v.Verdict != record.VerdictArmed {
		t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	// Nor do silent gas meters hold up the gas meters behind them for good.
	if !d.until(func() bool {
		asked := map[servicerequests.EUI]bool{}
		for _, r := range d.SentIn(record.Request, supply) {
			asked[r.Device] = true
		}
		return len(asked) == 31
	}) || d.now.Sub(epoch) > 10*time.Hour { // ten requests of three of each meter an hour, by Patience
		t.Errorf("the last gas meter is asked after %v", d.now.Sub(epoch))
	}
	wantNoFaults(t, d)
}

// The next supplier's wish to go on is journalled with its reason, and changes nothing.
func TestTheWishToGoOnChangesNothing(t *testing.T) {
	d := newDrive(cutOff())
	d.start()
	for _, o := range []record.OrderBody{
		{Action: record.OrderGoOn, Reference: "SoLR 11"},
		{Action: record.OrderGoOn, Reason: "homes are not transferred"},
		{Action: record.OrderGoOn, Reference: "SoLR 11", Reason: "homes are not transferred", Wave: 1},
	} {
		if err := d.order(o); !errors.Is(err, ErrOrder) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if err := d.order(record.OrderBody{Action: record.OrderPause}); err != nil {
		t.Fatal(err)
	}
	before := d.Posts
	if err := d.order(record.OrderBody{Action: record.OrderGoOn, Reference: "SoLR 11", Reason: "homes are not transferred"}); err != nil {
		t.Fatal(err)
	}
	for d.next() {
	}
	if st := d.m.Status(d.now); d.Posts != before || st.State != "paused" || len(st.Holds) != 1 {
		t.Errorf("%d POSTs after it, %s", d.Posts-before, st.State)
	}
	orders := d.SentIn(record.Operator)
	if last, err := record.Decode[record.OrderBody](orders[len(orders)-1]); err != nil || last.Action != record.OrderGoOn || last.Reason == "" {
		t.Errorf("%+v, %v", last, err)
	}
	d.restart()
	if st := d.m.Status(d.now); st.State != "paused" {
		t.Errorf("after a restart: %s", st.State)
	}
	if err := d.order(record.OrderBody{Action: record.OrderResume}); err != nil {
		t.Fatal(err)
	}
	d.finishAll()
	wantGood(t, d)
}
