package runner

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/exchange"
	"safemode/engine/ledger"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

// Where the limits bind, the homes that are dark are served first: the first tenth of
// the switches holds them all. The rest go by their credit, and no region waits for
// another.
func TestTheDarkGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const meters = 300
		w := street(t, meters, func(i int, d *device) {
			switch i % 11 {
			case 5: // 27 of 300
				d.Supply, d.Balance = servicerequests.Disabled, -servicerequests.Pound
			case 7:
				d.Balance = servicerequests.Pound / 2 // gone within a day
			}
		})
		w.OnTake = rated(200 * time.Millisecond)
		s := w.open()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		switches := w.SentIn(record.SignedCommand, servicerequests.SwitchToCredit)
		if len(switches) != meters {
			t.Fatalf("%d switches for %d meters", len(switches), meters)
		}
		for i, r := range switches[:meters/10] {
			if d := w.Targets[r.Device]; i < 27 && d.Found.Supply != servicerequests.Disabled {
				t.Errorf("switch %d goes to %v, found %v", i, d.EUI, d.Found)
			}
		}
		for i, r := range switches[27 : 27+27] {
			if d := w.Targets[r.Device]; d.Balance >= servicerequests.Pound {
				t.Errorf("switch %d goes to %v with %v left", 27+i, d.EUI, d.Balance)
			}
		}
		posts, regions := map[servicerequests.Region]int{}, w.Regions
		reads := w.SentIn(record.Request)
		for i, r := range reads {
			posts[regions[r.Device]]++
			for region, n := range posts {
				if i == len(reads)/2 && (n < i/4 || n > i/2) {
					t.Errorf("half way, %v had %d of %d requests", region, n, i)
				}
			}
		}
	})
}

// An alert moves a home up at once, a meter of it that has begun and one that has not.
func TestAnAlertMovesAHomeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 60, nil)
		w.OnTake = rated(time.Second)
		s := w.open()
		last := w.Devices[59]
		go func() {
			time.Sleep(10 * time.Second)
			w.deliver(s, last.Alert(time.Now(), ledger.AlertBelow, 1))
		}()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		var order []servicerequests.EUI
		for _, r := range w.SentIn(record.Request, servicerequests.ReadSupplyStatus) {
			if !slices.Contains(order, r.Device) {
				order = append(order, r.Device)
			}
		}
		if at := slices.Index(order, last.EUI); at > 12 {
			t.Errorf("the last home of the plan, with an alert after 10 s, was the %d. to be read", at+1)
		}
	})
}

// Requests of a scope that an order pauses or stops are not sent, by the same process
// or by the next, until the order is taken back. Everything else goes on.
func TestHoldsOfAScope(t *testing.T) {
	for name, test := range map[string]struct {
		order record.OrderBody
		of    func(d *device, region servicerequests.Region, r record.Record) bool
	}{
		"region": {record.OrderBody{Action: record.OrderPause, Region: servicerequests.Central}, func(_ *device, region servicerequests.Region, _ record.Record) bool {
			return region == servicerequests.Central
		}},
		"srv": {record.OrderBody{Action: record.OrderPause, SRV: "1.6"}, func(_ *device, _ servicerequests.Region, r record.Record) bool {
			return r.Service == servicerequests.SwitchToCredit
		}},
		"stop of a region, now": {record.OrderBody{Action: record.OrderStop, Now: true, Region: servicerequests.South}, func(_ *device, region servicerequests.Region, _ record.Record) bool {
			return region == servicerequests.South
		}},
		"stop of a service": {record.OrderBody{Action: record.OrderStop, SRV: "6.2.9"}, func(_ *device, _ servicerequests.Region, r record.Record) bool {
			return r.Service == servicerequests.ReadPaymentMode
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := street(t, 30, nil)
				w.OnTake = rated(100 * time.Millisecond)
				s := w.open()
				regions := w.Regions
				held := func() (n int) {
					for _, kind := range []record.Kind{record.Request, record.SignedCommand} {
						for _, r := range w.SentIn(kind) {
							if test.of(w.Targets[r.Device], regions[r.Device], r) {
								n++
							}
						}
					}
					return n
				}
				err := w.steer(t, s, func(give func(record.OrderBody) error) {
					time.Sleep(2 * time.Second)
					if err := give(test.order); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Second) // what workers have in hand
					before := held()
					time.Sleep(time.Hour)
					if now := held(); now != before {
						t.Errorf("%d more were sent while held", now-before)
					}
					if st := s.Status(); st.Done == st.Meters || len(st.Holds) != 1 || st.State != "running" {
						t.Errorf("status %+v", st)
					}
					if err := give(record.OrderBody{Action: record.OrderResume}); !errors.Is(err, sweep.ErrOrder) {
						t.Errorf("a resume of the sweep: %v", err)
					}
					if err := give(record.OrderBody{Action: record.OrderStop}); err != nil {
						t.Error(err)
					}
				})
				if !errors.Is(err, sweep.ErrStopped) {
					t.Fatalf("ended with %v", err)
				}
				before := held()
				w.Disk.Close()
				s = w.open()
				err = w.steer(t, s, func(give func(record.OrderBody) error) {
					time.Sleep(time.Hour)
					if now := held(); now != before {
						t.Errorf("%d more were sent by the next process", now-before)
					}
					resume := test.order
					resume.Action, resume.Now = record.OrderResume, false
					if err := give(resume); err != nil {
						t.Error(err)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				wantEmpty(t, s)
				if st := s.Status(); st.Verdicts[record.VerdictOnSupply] != 30 {
					t.Errorf("verdicts %v", st.Verdicts)
				}
			})
		})
	}
}

func TestOrdersThatMakeNoSense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 3, nil)
		s := w.open()
		err := w.steer(t, s, func(give func(record.OrderBody) error) {
			for _, o := range []record.OrderBody{
				{Action: "enable"},
				{Action: record.OrderPause, SRV: "7.1"},
				{Action: record.OrderPause, SRV: "7.3", Region: servicerequests.North},
				{Action: record.OrderPause, Wave: 2},
				{Action: record.OrderResume, Region: servicerequests.North},
				{Action: record.OrderRerun, Devices: []servicerequests.EUI{w.Devices[0].EUI}},
				{Action: record.OrderRerun, Reason: "why not", Devices: []servicerequests.EUI{1}},
				{Action: record.OrderRerun, Reason: "why not", Verdict: record.VerdictNotSafe},
				{Action: record.OrderExclude},
				{Action: record.OrderDeleted, Reference: "77"},
				{Action: record.OrderCease},
			} {
				if err := give(o); !errors.Is(err, sweep.ErrOrder) {
					t.Errorf("%+v: %v", o, err)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(w.SentIn(record.Operator)); n != 0 {
			t.Errorf("%d orders are journalled that were refused", n)
		}
	})
}

// A list that is fed while the sweep runs keeps meters from being touched, and what is
// done for others stays done.
func TestExcludeWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 30, nil)
		w.OnTake = rated(100 * time.Millisecond)
		s := w.open()
		gone := w.Devices[25].EUI
		err := w.steer(t, s, func(give func(record.OrderBody) error) {
			time.Sleep(500 * time.Millisecond)
			if err := give(record.OrderBody{Action: record.OrderExclude, Devices: []servicerequests.EUI{gone, 0x77}}); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range w.SentIn(record.Request) {
			if r.Device == gone {
				t.Errorf("%v was sent to it", r.Service)
			}
		}
		if v := w.Disk.Verdict(gone); v.Verdict != record.VerdictExcluded || !strings.HasPrefix(v.Reason, record.ReasonTransferred) {
			t.Errorf("verdict %+v", v)
		}
	})
}

// A rerun asks again, and what it finds counts.
func TestRerun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 6, nil)
		w.Policy.Retry = ledger.PerFuel[[]time.Duration]{}
		dead := true
		w.OnFlight = func(f *flight) fate {
			if dead && f.Device == w.Devices[0] {
				return noAnswer
			}
			return answered
		}
		s := w.open()
		err := w.steer(t, s, func(give func(record.OrderBody) error) {
			if err := give(record.OrderBody{Action: record.OrderPause, Region: servicerequests.South}); err != nil {
				t.Error(err) // so that the sweep does not end
			}
			time.Sleep(2 * time.Hour)
			if st := s.Status(); st.Verdicts[record.VerdictUnknown] != 1 || st.Done != 4 {
				t.Errorf("status %+v", st)
			}
			w.Mu.Lock()
			dead = false
			w.Mu.Unlock()
			if err := give(record.OrderBody{Action: record.OrderRerun, Verdict: record.VerdictUnknown, Reason: "the outage is over"}); err != nil {
				t.Error(err)
			}
			time.Sleep(2 * time.Hour)
			if st := s.Status(); st.Verdicts[record.VerdictUnknown] != 0 || st.Verdicts[record.VerdictOnSupply] != 4 {
				t.Errorf("status %+v", st)
			}
			if err := give(record.OrderBody{Action: record.OrderResume, Region: servicerequests.South}); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		w.Disk.Close()
		w.wantAlike()
	})
}

// A cease notice ends the sweep for good, with what is known of every meter.
func TestCease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 30, nil)
		w.OnTake = rated(100 * time.Millisecond)
		s := w.open()
		err := w.steer(t, s, func(give func(record.OrderBody) error) {
			time.Sleep(6 * time.Second)
			if err := give(record.OrderBody{Action: record.OrderCease, Reference: "SoLR 12"}); err != nil {
				t.Error(err)
			}
		})
		if !errors.Is(err, sweep.ErrCeased) || !strings.Contains(err.Error(), "SoLR 12") {
			t.Fatalf("ended with %v", err)
		}
		wantEmpty(t, s)
		if st := s.Status(); st.State != "ceased" || st.Done != 30 {
			t.Errorf("status %+v", st)
		}
		w.Disk.Close()
		sent := len(w.SentIn(record.Request))
		again := w.open()
		if err := w.run(t.Context(), again); !errors.Is(err, sweep.ErrCeased) {
			t.Fatalf("the next run ended with %v", err)
		}
		if now := len(w.SentIn(record.Request)); now != sent {
			t.Errorf("%d requests after the notice", now-sent)
		}
	})
}

// Without an operator's renewal nothing more is sent.
func TestDeadMan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 120, nil)
		w.OnTake = rated(time.Second)
		w.options = func(o *Options) { o.Sweep.DeadMan = time.Minute }
		s := w.open()
		err := w.steer(t, s, func(give func(record.OrderBody) error) {
			time.Sleep(50 * time.Second)
			if err := give(record.OrderBody{Action: record.OrderRenew}); err != nil {
				t.Error(err)
			}
			time.Sleep(50 * time.Second)
			if st := s.Status(); st.State != "running" {
				t.Errorf("renewed, and %s", st.State)
			}
			time.Sleep(time.Minute)
			before := len(w.SentIn(record.Request))
			time.Sleep(time.Hour)
			if st := s.Status(); st.State != "paused" || !strings.Contains(st.Reason, "renew") || len(w.SentIn(record.Request)) != before {
				t.Errorf("not renewed, and %+v", st)
			}
			for range 40 {
				if err := give(record.OrderBody{Action: record.OrderRenew}); err != nil && !errors.Is(err, errEnded) {
					t.Error(err)
				}
				time.Sleep(30 * time.Second)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Requests that the DCC quarantines wait, are not sent again, and end by the device's
// answer when they are released; those it deletes are read back.
func TestQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 30, nil)
		w.Policy.ReadWait = time.Second
		var caught []*flight
		w.OnFlight = func(f *flight) fate {
			if f.Service == servicerequests.SwitchToCredit && len(caught) < 6 {
				caught = append(caught, f)
				w.Inbox = append(w.Inbox, proof.Delivery{Signed: true, DCCAlert: &duis.DCCAlert{
					Code: "AD1", Event: duis.QuarantinedRequest{Breach: duis.UserThreshold, Request: f.ID, EventRef: string(rune('0' + len(caught)))},
				}})
				return lost
			}
			return answered
		}
		s := w.open()
		if err := w.steer(t, s, func(give func(record.OrderBody) error) {
			time.Sleep(5 * time.Hour)
			if err := give(record.OrderBody{Action: record.OrderStop}); err != nil {
				t.Error(err)
			}
		}); !errors.Is(err, sweep.ErrStopped) {
			t.Fatalf("ended with %v", err)
		}
		w.Disk.Close()
		s = w.open()
		err := w.steer(t, s, func(give func(record.OrderBody) error) {
			time.Sleep(5 * time.Hour)
			st := s.Status()
			if len(st.Quarantine) != len(caught) || st.Waiting["quarantined"] != len(caught) || len(st.Holds) != 1 || st.Holds[0].Scope != "SRV 1.6" {
				t.Errorf("%d caught, status %+v", len(caught), st)
			}
			w.Mu.Lock()
			for _, f := range caught[1:] { // released
				w.Flights = append(w.Flights, &flight{Device: f.Device, Service: f.Service, ID: f.ID, Fate: answered})
			}
			w.Mu.Unlock()
			if err := give(record.OrderBody{Action: record.OrderDeleted, Reference: "1"}); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
			if err := give(record.OrderBody{Action: record.OrderResume, SRV: "1.6"}); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		wantEmpty(t, s)
		times := map[servicerequests.EUI]int{}
		for _, r := range w.SentIn(record.SignedCommand, servicerequests.SwitchToCredit) {
			times[r.Device]++
		}
		for _, d := range w.Devices {
			want := 1
			if d == caught[0].Device {
				want = 2 // the one that was deleted, once it was read back
			}
			if times[d.EUI] != want || d.Mode != servicerequests.Credit {
				t.Errorf("%v: switched %d times, is in %v", d.EUI, times[d.EUI], d.Mode)
			}
		}
	})
}

// An SRV whose threshold is used up waits, and does not hold up the others.
func TestAThresholdHoldsUpNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 20, nil)
		begun := time.Now()
		w.OnTake = func(now time.Time, p exchange.Place) (bool, time.Duration, string) {
			if opens := begun.Add(time.Hour); p.Service == servicerequests.SwitchToCredit && now.Before(opens) {
				return false, opens.Sub(now), sweep.LimitAnomaly
			}
			return true, 0, ""
		}
		s := w.open()
		err := w.steer(t, s, func(func(record.OrderBody) error) {
			time.Sleep(30 * time.Minute)
			if n := len(w.SentIn(record.Request, servicerequests.ReadPaymentMode)); n != 20 {
				t.Errorf("%d of 20 were read while 1.6 waits", n)
			}
			if n := len(w.SentIn(record.Request, servicerequests.SwitchToCredit)); n != 0 {
				t.Errorf("%d switches over the threshold", n)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(w.SentIn(record.SignedCommand, servicerequests.SwitchToCredit)); n != 20 {
			t.Errorf("%d switches", n)
		}
	})
}

// In a rehearsal in the plan's order nothing that is known of a home moves it: neither
// that it is off nor its alert.
func TestPlanOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const meters = 90
		w := street(t, meters, func(i int, d *device) {
			if i%11 == 5 {
				d.Supply, d.Balance = servicerequests.Disabled, -servicerequests.Pound
			}
		})
		w.Policy.PlanOrder = true
		w.OnTake = rated(time.Second)
		s := w.open()
		go func() {
			time.Sleep(10 * time.Second)
			w.deliver(s, w.Devices[meters-1].Alert(time.Now(), ledger.AlertBelow, 1))
		}()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		place := map[servicerequests.EUI]int{}
		for i, d := range w.Devices {
			place[d.EUI] = i
		}
		switches := w.SentIn(record.SignedCommand, servicerequests.SwitchToCredit)
		for i, r := range switches {
			// Regions take turns, and a home's reads may be in a little later than its
			// neighbour's.
			if off := place[r.Device] - i; off < -12 || off > 12 {
				t.Errorf("switch %d goes to meter %d of the plan", i, place[r.Device])
			}
		}
		if len(switches) != meters {
			t.Errorf("%d switches for %d meters", len(switches), meters)
		}
	})
}
