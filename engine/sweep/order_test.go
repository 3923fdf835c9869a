package sweep

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// street plans electricity meters, each in a home of its own, that take turns
// between the regions; change may alter the one at i before it is planned.
func street(t testing.TB, meters int, change func(i int, d *device)) *world {
	w := newWorld(t)
	w.perHub = 1000
	for i := range meters {
		d := healthy()
		d.eui, d.balance = 0x00DB123400000000+servicerequests.EUI(i)*16, 20*servicerequests.Pound
		d.home = d.eui + 8
		if change != nil {
			change(i, d)
		}
		w.add(d, ourEUI, servicerequests.Regions[i%3])
	}
	w.policy.DailySpend = servicerequests.Pound
	w.policy.AtRiskWithin = 24 * time.Hour
	w.policy.WindowEnds, w.policy.WindowBegins = 9*time.Hour, 16*time.Hour
	return w
}

// rated lets one POST go in each interval: the User's limit is what binds.
func rated(interval time.Duration) func(time.Time, Leave) (bool, time.Duration, string) {
	var next time.Time
	return func(now time.Time, _ Leave) (bool, time.Duration, string) {
		if now.Before(next) {
			return false, next.Sub(now), "user"
		}
		next = now.Add(interval)
		return true, 0, ""
	}
}

// sentIn lists what the journal shows to have been sent of a kind and a service, in
// order.
func (w *world) sentIn(kind record.Kind, services ...servicerequests.Service) (list []record.Record) {
	for _, r := range w.disk.all() {
		if r.Kind == kind && (len(services) == 0 || slices.Contains(services, r.Service)) {
			list = append(list, r)
		}
	}
	return list
}

// Where the limits bind, the homes that are dark are served first: the first tenth of
// the switches holds them all. The rest go by their credit, and no region waits for
// another.
func TestTheDarkGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const meters = 300
		w := street(t, meters, func(i int, d *device) {
			switch i % 11 {
			case 5: // 27 of 300
				d.supply, d.balance = servicerequests.Disabled, -servicerequests.Pound
			case 7:
				d.balance = servicerequests.Pound / 2 // gone within a day
			}
		})
		w.pace = rated(200 * time.Millisecond)
		s := w.open()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		switches := w.sentIn(record.SignedCommand, servicerequests.SwitchToCredit)
		if len(switches) != meters {
			t.Fatalf("%d switches for %d meters", len(switches), meters)
		}
		for i, r := range switches[:meters/10] {
			if d := w.targets[r.Device]; i < 27 && d.found.supply != servicerequests.Disabled {
				t.Errorf("switch %d goes to %v, found %v", i, d.eui, d.found)
			}
		}
		for i, r := range switches[27 : 27+27] {
			if d := w.targets[r.Device]; d.balance >= servicerequests.Pound {
				t.Errorf("switch %d goes to %v with %v left", 27+i, d.eui, d.balance)
			}
		}
		posts, regions := map[servicerequests.Region]int{}, regionsOf(s)
		reads := w.sentIn(record.Request)
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
		w.pace = rated(time.Second)
		s := w.open()
		last := w.devices[59]
		go func() {
			time.Sleep(10 * time.Second)
			w.deliver(proof.Delivery{Device: last.eui, Signed: true, Alert: &gbcs.Alert{Code: alertBelow}}, s.Receive)
		}()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		var order []servicerequests.EUI
		for _, r := range w.sentIn(record.Request, servicerequests.ReadSupplyStatus) {
			if !slices.Contains(order, r.Device) {
				order = append(order, r.Device)
			}
		}
		if at := slices.Index(order, last.eui); at > 12 {
			t.Errorf("the last home of the plan, with an alert after 10 s, was the %d. to be read", at+1)
		}
	})
}

func TestRetriesGoAfterFirstTries(t *testing.T) {
	first := rank{risk: risk{need: holding}, turn: 9}
	again := rank{retry: true, risk: risk{need: dark}, turn: 1}
	if !first.before(again) || again.before(first) {
		t.Error("a retry goes before a first try")
	}
}

func TestDisablementAt(t *testing.T) {
	p := &Policy{WindowEnds: 9 * time.Hour, WindowBegins: 16 * time.Hour}
	at := func(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 0, 0, 0, time.UTC) } // the 23rd is a Monday
	for _, test := range []struct{ from, want time.Time }{
		{at(23, 3), at(23, 9)},
		{at(23, 12), at(23, 12)},
		{at(23, 17), at(24, 9)},
		{at(27, 16), at(30, 9)},
		{at(28, 12), at(30, 9)},
		{at(29, 23), at(30, 9)},
		{time.Date(2026, 7, 13, 7, 0, 0, 0, time.UTC), time.Date(2026, 7, 13, 8, 0, 0, 0, time.UTC)}, // summer time
	} {
		if got := p.disablementAt(test.from); !got.Equal(test.want) {
			t.Errorf("from %v: got %v, want %v", test.from, got, test.want)
		}
	}
	if got := (&Policy{}).disablementAt(at(28, 12)); !got.Equal(at(28, 12)) {
		t.Errorf("without a period: got %v", got)
	}
}

// regionsOf lists where the meters are. Nobody else may use the sweep meanwhile.
func regionsOf(s *Sweep) map[servicerequests.EUI]servicerequests.Region {
	regions := map[servicerequests.EUI]servicerequests.Region{}
	for seat := range int32(s.roll.size) {
		h := s.roll.head(seat)
		regions[h.device] = h.region
	}
	return regions
}

// steer runs a sweep and gives orders to it meanwhile.
func (w *world) steer(t *testing.T, s *Sweep, orders func(give func(record.OrderBody) error)) error {
	t.Helper()
	var wait sync.WaitGroup
	wait.Go(func() {
		orders(func(o record.OrderBody) error {
			o.By = "Ada"
			return s.Order(context.Background(), o)
		})
	})
	err := w.run(t.Context(), s)
	wait.Wait()
	return err
}

// What an order holds is not sent until it is taken back, in the same process or in
// the next; everything else goes on.
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
				w.pace = rated(100 * time.Millisecond)
				s := w.open()
				regions := regionsOf(s)
				held := func() (n int) {
					for _, kind := range []record.Kind{record.Request, record.SignedCommand} {
						for _, r := range w.sentIn(kind) {
							if test.of(w.targets[r.Device], regions[r.Device], r) {
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
					if err := give(record.OrderBody{Action: record.OrderResume}); !errors.Is(err, ErrOrder) {
						t.Errorf("a resume of the sweep: %v", err)
					}
					if err := give(record.OrderBody{Action: record.OrderStop}); err != nil {
						t.Error(err)
					}
				})
				if !errors.Is(err, ErrStopped) {
					t.Fatalf("ended with %v", err)
				}
				before := held()
				w.disk.crash(len(w.disk.queued))
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
				{Action: record.OrderRerun, Devices: []servicerequests.EUI{w.devices[0].eui}},
				{Action: record.OrderRerun, Reason: "why not", Devices: []servicerequests.EUI{1}},
				{Action: record.OrderRerun, Reason: "why not", Verdict: record.VerdictNotSafe},
				{Action: record.OrderExclude},
				{Action: record.OrderDeleted, Reference: "77"},
				{Action: record.OrderCease},
			} {
				if err := give(o); !errors.Is(err, ErrOrder) {
					t.Errorf("%+v: %v", o, err)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(w.sentIn(record.Operator)); n != 0 {
			t.Errorf("%d orders are journalled that were refused", n)
		}
	})
}

// A list that is fed while the sweep runs keeps meters from being touched, and what is
// done for others stays done.
func TestExcludeWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 30, nil)
		w.pace = rated(100 * time.Millisecond)
		s := w.open()
		gone := w.devices[25].eui
		err := w.steer(t, s, func(give func(record.OrderBody) error) {
			time.Sleep(500 * time.Millisecond)
			if err := give(record.OrderBody{Action: record.OrderExclude, Devices: []servicerequests.EUI{gone, 0x77}}); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range w.sentIn(record.Request) {
			if r.Device == gone {
				t.Errorf("%v was sent to it", r.Service)
			}
		}
		if v := s.find(gone).verdict; v.Verdict != record.VerdictExcluded || !strings.HasPrefix(v.Reason, record.ReasonTransferred) {
			t.Errorf("verdict %+v", v)
		}
	})
}

// A rerun asks again, and what it finds counts.
func TestRerun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 6, nil)
		w.policy.Retry = PerFuel[[]time.Duration]{}
		dead := true
		w.flight = func(f *flight) fate {
			if dead && f.device == w.devices[0] {
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
			w.mu.Lock()
			dead = false
			w.mu.Unlock()
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
		w.disk.crash(len(w.disk.queued))
		if diff := cmp.Diff(ledgers(s), ledgers(w.open())); diff != "" {
			t.Errorf("the journal tells another story (-swept +folded):\n%s", diff)
		}
	})
}

// A cease notice ends the sweep for good, with what is known of every meter.
func TestCease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 30, nil)
		w.pace = rated(100 * time.Millisecond)
		s := w.open()
		err := w.steer(t, s, func(give func(record.OrderBody) error) {
			time.Sleep(6 * time.Second)
			if err := give(record.OrderBody{Action: record.OrderCease, Reference: "SoLR 12"}); err != nil {
				t.Error(err)
			}
		})
		if !errors.Is(err, ErrCeased) || !strings.Contains(err.Error(), "SoLR 12") {
			t.Fatalf("ended with %v", err)
		}
		wantEmpty(t, s)
		if st := s.Status(); st.State != "ceased" || st.Done != 30 {
			t.Errorf("status %+v", st)
		}
		w.disk.crash(len(w.disk.queued))
		sent := len(w.sentIn(record.Request))
		again := w.open()
		if err := w.run(t.Context(), again); !errors.Is(err, ErrCeased) {
			t.Fatalf("the next run ended with %v", err)
		}
		if now := len(w.sentIn(record.Request)); now != sent {
			t.Errorf("%d requests after the notice", now-sent)
		}
	})
}

// Without an operator's renewal nothing more is sent.
func TestDeadMan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 120, nil)
		w.pace = rated(time.Second)
		w.options = func(o *Options) { o.DeadMan = time.Minute }
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
			before := len(w.sentIn(record.Request))
			time.Sleep(time.Hour)
			if st := s.Status(); st.State != "paused" || !strings.Contains(st.Reason, "renew") || len(w.sentIn(record.Request)) != before {
				t.Errorf("not renewed, and %+v", st)
			}
			for range 40 {
				if err := give(record.OrderBody{Action: record.OrderRenew}); err != nil && !errors.Is(err, ErrEnded) {
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
		w.policy.ReadWait = time.Second
		var caught []*flight
		w.flight = func(f *flight) fate {
			if f.service == servicerequests.SwitchToCredit && len(caught) < 6 {
				caught = append(caught, f)
				w.inbox = append(w.inbox, proof.Delivery{Signed: true, DCCAlert: &duis.DCCAlert{
					Code: alertQuarantine, Event: duis.QuarantinedRequest{Breach: duis.UserThreshold, Request: f.id, EventRef: string(rune('0' + len(caught)))},
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
		}); !errors.Is(err, ErrStopped) {
			t.Fatalf("ended with %v", err)
		}
		w.disk.crash(len(w.disk.queued))
		s = w.open()
		err := w.steer(t, s, func(give func(record.OrderBody) error) {
			time.Sleep(5 * time.Hour)
			st := s.Status()
			if len(st.Quarantine) != len(caught) || st.Waiting["quarantined"] != len(caught) || len(st.Holds) != 1 || st.Holds[0].Scope != "SRV 1.6" {
				t.Errorf("%d caught, status %+v", len(caught), st)
			}
			w.mu.Lock()
			for _, f := range caught[1:] { // released
				w.flights = append(w.flights, &flight{device: f.device, service: f.service, id: f.id, fate: answered})
			}
			w.mu.Unlock()
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
		for _, r := range w.sentIn(record.SignedCommand, servicerequests.SwitchToCredit) {
			times[r.Device]++
		}
		for _, d := range w.devices {
			want := 1
			if d == caught[0].device {
				want = 2 // the one that was deleted, once it was read back
			}
			if times[d.eui] != want || d.mode != servicerequests.Credit {
				t.Errorf("%v: switched %d times, is in %v", d.eui, times[d.eui], d.mode)
			}
		}
	})
}

// An SRV whose threshold is used up waits, and does not hold up the others.
func TestAThresholdHoldsUpNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 20, nil)
		begun := time.Now()
		w.pace = func(now time.Time, l Leave) (bool, time.Duration, string) {
			if opens := begun.Add(time.Hour); l.Service == servicerequests.SwitchToCredit && now.Before(opens) {
				return false, opens.Sub(now), LimitAnomaly
			}
			return true, 0, ""
		}
		s := w.open()
		err := w.steer(t, s, func(func(record.OrderBody) error) {
			time.Sleep(30 * time.Minute)
			if n := len(w.sentIn(record.Request, servicerequests.ReadPaymentMode)); n != 20 {
				t.Errorf("%d of 20 were read while 1.6 waits", n)
			}
			if n := len(w.sentIn(record.Request, servicerequests.SwitchToCredit)); n != 0 {
				t.Errorf("%d switches over the threshold", n)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(w.sentIn(record.SignedCommand, servicerequests.SwitchToCredit)); n != 20 {
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
				d.supply, d.balance = servicerequests.Disabled, -servicerequests.Pound
			}
		})
		w.policy.PlanOrder = true
		w.pace = rated(time.Second)
		s := w.open()
		go func() {
			time.Sleep(10 * time.Second)
			w.deliver(proof.Delivery{Device: w.devices[meters-1].eui, Signed: true, Alert: &gbcs.Alert{Code: alertBelow}}, s.Receive)
		}()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		place := map[servicerequests.EUI]int{}
		for i, d := range w.devices {
			place[d.eui] = i
		}
		switches := w.sentIn(record.SignedCommand, servicerequests.SwitchToCredit)
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
