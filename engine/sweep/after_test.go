package sweep

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
)

const day = 24 * time.Hour

func TestWhenAMeterIsReadAgain(t *testing.T) {
	read := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(*Policy, *meter)
		want   time.Duration // after the older of the two reads; 0: never
	}{
		"armed":                    {func(*Policy, *meter) {}, day},
		"on supply, in the sample": {func(p *Policy, m *meter) { p.RereadShare, m.supply.value = 1, on }, day},
		"on supply, not in it":     {func(_ *Policy, m *meter) { m.supply.value = on }, 0},
		"off":                      {func(p *Policy, m *meter) { p.RereadShare, m.supply.value = 1, off }, 0},
		"in prepayment":            {func(_ *Policy, m *meter) { m.mode.value = prepay }, 0},
		"not read since a command": {func(_ *Policy, m *meter) { m.staleSupply = m.supply.counter }, 0},
		"another supplier's":       {func(_ *Policy, m *meter) { m.excluded = record.ReasonTransferred }, 0},
		"turned off by the policy": {func(p *Policy, _ *meter) { p.RereadAfter = 0 }, 0},
		"a read that is barred":    {func(_ *Policy, m *meter) { m.tally(mode).barred = true }, 0},
		"a read that is not permitted": {func(p *Policy, _ *meter) {
			p.Permits = func(s servicerequests.Service, _ servicerequests.DeviceType) bool { return s != supply }
		}, 0},
		"asked again an hour ago, in vain":   {func(_ *Policy, m *meter) { m.reread = read.Add(day) }, 2 * day},
		"asked again in vain, then answered": {func(_ *Policy, m *meter) { m.reread = read.Add(-day) }, day},
	} {
		t.Run(name, func(t *testing.T) {
			p, m := testPolicy(), newMeter(0x00DB123456780001, record.TargetBody{Type: servicerequests.ESME})
			p.RereadAfter = day
			m.mode = reading[servicerequests.PaymentMode]{credit, 12, read.Add(time.Minute)}
			m.supply = reading[servicerequests.SupplyState]{armed, 11, read}
			c.change(&p, m)
			at := p.rereadAt(m)
			if c.want == 0 {
				if !at.IsZero() || p.rereads(m, read.Add(100*day)) != nil {
					t.Fatalf("due at %v", at)
				}
				return
			}
			if !at.Equal(read.Add(c.want)) {
				t.Fatalf("due at %v", at)
			}
			if got := p.rereads(m, at.Add(-1)); got != nil {
				t.Errorf("asks for %v before it is due", got)
			}
			if got := p.rereads(m, at); !slices.Equal(got, []servicerequests.Service{supply, mode}) {
				t.Errorf("asks for %v", got)
			}
		})
	}
	t.Run("one of the two was answered", func(t *testing.T) {
		p, m := testPolicy(), newMeter(0x00DB123456780001, record.TargetBody{Type: servicerequests.ESME})
		p.RereadAfter = day
		m.mode = reading[servicerequests.PaymentMode]{credit, 12, read}
		m.supply = reading[servicerequests.SupplyState]{armed, 21, read.Add(day)}
		m.reread = read.Add(day)
		if got := p.rereads(m, read.Add(2*day)); !slices.Equal(got, []servicerequests.Service{supply, mode}) {
			t.Errorf("asks for %v a day after both", got)
		}
		m.supply.at = read.Add(2*day - time.Hour)
		if got := p.rereads(m, read.Add(2*day)); !slices.Equal(got, []servicerequests.Service{mode}) {
			t.Errorf("asks for %v an hour after the supply was read", got)
		}
	})
}

// The sample is a share of the meters, and another one under another seed.
func TestSample(t *testing.T) {
	p, other := testPolicy(), testPolicy()
	p.RereadShare, other.RereadShare, other.RereadSeed = 0.1, 0.1, 1
	drawn, both := 0, 0
	for i := range servicerequests.EUI(10_000) {
		if p.inSample(0x00DB123456780000 + i) {
			drawn++
			if other.inSample(0x00DB123456780000 + i) {
				both++
			}
		}
	}
	if drawn < 900 || drawn > 1100 || both < 50 || both > 150 {
		t.Errorf("%d of 10,000 meters, %d under both seeds; want about 1,000 and 100", drawn, both)
	}
}

// dayAfter is a world with one meter that a first run has left armed.
func dayAfter(t *testing.T, d *device) *world {
	w := newWorld(t, d)
	w.policy.RereadAfter = day
	w.command()
	if v := w.disk.verdict(t, d.eui); v.Verdict != record.VerdictArmed {
		t.Fatalf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	return w
}

// command gives the same command until it ends.
func (w *world) command() *Sweep {
	w.t.Helper()
	s := w.open()
	began := time.Now()
	if err := w.run(w.t.Context(), s); err != nil {
		w.t.Fatal(err)
	}
	if took := time.Since(began); took > time.Hour {
		w.t.Errorf("a run took %v", took)
	}
	wantEmpty(w.t, s)
	w.disk.crash(len(w.disk.queued))
	return s
}

// requests counts those of the journal.
func (w *world) requests() (n int) {
	for _, r := range w.disk.all() {
		if r.Kind == record.Request {
			n++
		}
	}
	return n
}

func (w *world) verdicts() (all []string) {
	for _, r := range w.disk.all() {
		if r.Kind == record.Verdict {
			all = append(all, r.Code)
		}
	}
	return all
}

// A run ends with the last verdict. The same command a day later reads again, and the
// button that was pressed meanwhile shows.
func TestPressedTheDayAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := cutOff()
		w := dayAfter(t, d)
		before, asked := w.disk.verdict(t, d.eui), w.requests()
		d.supply = servicerequests.Enabled
		time.Sleep(day / 2)
		w.command()
		if n := w.requests(); n != asked {
			t.Fatalf("%d requests before anything is due", n-asked)
		}
		time.Sleep(day / 2)
		s := w.command()
		after := w.disk.verdict(t, d.eui)
		if after.Verdict != record.VerdictOnSupply || after.AsOf.Sub(before.AsOf) < day || w.requests() != asked+2 {
			t.Errorf("%s as of %v later, %d requests", after.Verdict, after.AsOf.Sub(before.AsOf), w.requests()-asked)
		}
		if st := s.Status(); st.Done != 1 || st.Verdicts[record.VerdictOnSupply] != 1 || st.Verdicts[record.VerdictArmed] != 0 || st.State != "finished" {
			t.Errorf("status %+v", st)
		}
		time.Sleep(2 * day) // on supply, and not in the sample
		if w.command(); w.requests() != asked+2 {
			t.Error("read again once more")
		}
	})
}

// Without an answer the verdict stands, as of when it was proven, and no run waits for
// another try.
func TestUnansweredTheDayAfter(t *testing.T) {
	for _, how := range []fate{undeliv, noAnswer, lost, refused, garbled, noValue} {
		t.Run(string(how), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := cutOff()
				w := dayAfter(t, d)
				before, asked := w.disk.verdict(t, d.eui), w.requests()
				w.flight = func(*flight) fate { return how }
				for i := range 10 { // longer than any ladder
					time.Sleep(day + time.Hour)
					w.command()
					w.command()
					after := w.disk.verdict(t, d.eui)
					if after.Verdict != before.Verdict || !after.AsOf.Equal(before.AsOf) || after.SupplyCounter != before.SupplyCounter {
						t.Fatalf("day %d: %s (%s) as of %v", i, after.Verdict, after.Reason, after.AsOf)
					}
					if n := w.requests() - asked; n != 2*(i+1) {
						t.Fatalf("day %d: %d requests", i, n)
					}
				}
				w.flight = func(*flight) fate { return answered }
				d.supply = servicerequests.Enabled
				time.Sleep(day + time.Hour)
				w.command()
				if after := w.disk.verdict(t, d.eui); after.Verdict != record.VerdictOnSupply {
					t.Errorf("answered at last: %s", after.Verdict)
				}
			})
		})
	}
}

// A home that is found worse is told before anything is done about it: one in Prepayment
// is switched again, one that is off is a person's.
func TestWorseTheDayAfter(t *testing.T) {
	for name, c := range map[string]struct {
		now    state
		worse  string // told at once: how it begins
		end    string
		reason string
	}{
		"in prepayment again":         {state{prepay, on}, "read again and found ", record.VerdictOnSupply, ""},
		"off":                         {state{credit, off}, "", record.VerdictNotSafe, "turned off after it was read as armed"},
		"off and in prepayment again": {state{prepay, off}, "read again and found ", record.VerdictNotSafe, "turned off after it was read as armed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := cutOff()
				w := dayAfter(t, d)
				d.state, d.found, d.person = c.now, state{prepay, off}, true
				time.Sleep(day)
				w.command()
				v := w.disk.verdict(t, d.eui)
				if v.Verdict != c.end || v.Reason != c.reason || d.mode != credit {
					t.Errorf("%s (%s), %v", v.Verdict, v.Reason, d.state)
				}
				told := slices.ContainsFunc(w.disk.all(), func(r record.Record) bool {
					body, err := record.Decode[record.VerdictBody](r)
					return r.Kind == record.Verdict && err == nil && body.Verdict == record.VerdictNotSafe && strings.HasPrefix(body.Reason, c.worse)
				})
				if c.worse != "" && !told {
					t.Errorf("nothing says that it was found so: %v", w.verdicts())
				}
			})
		})
	}
}

// The word of the DCC that a meter is another supplier's by now excludes it.
func TestTransferredTheDayAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := cutOff()
		w := dayAfter(t, d)
		w.post = func(piece) fate { return "E4" }
		time.Sleep(day)
		w.command()
		if v := w.disk.verdict(t, d.eui); v.Verdict != record.VerdictExcluded {
			t.Errorf("%s (%s)", v.Verdict, v.Reason)
		}
	})
}

// The process dies at every step of the second day. No counter is used twice, nothing is
// signed twice, and the verdict is the new one in the end.
func TestGoingOnTheDayAfter(t *testing.T) {
	for at := 1; ; at++ {
		reached := false
		synctest.Test(t, func(t *testing.T) {
			d := cutOff()
			w := &walker{world: newWorld(t, d)}
			w.policy.RereadAfter = day
			w.start()
			w.finishAll()
			d.supply, d.pressed = servicerequests.Enabled, true
			time.Sleep(day)
			w.die()
			w.steps, w.crashAt, w.lives = 0, at, 0
			w.run()
			if v := w.disk.verdict(t, d.eui); v.Verdict != record.VerdictOnSupply {
				t.Fatalf("death %d: %s (%s)", at, v.Verdict, v.Reason)
			}
			w.conclude()
			reached = w.steps >= at
		})
		if !reached {
			if at < 8 {
				t.Errorf("the second day has %d steps", at-1)
			}
			return
		}
	}
}

// A sweep that lasts for days, because of a meter that cannot be reached, reads the
// others again on their day, and ends with that meter's verdict all the same.
func TestReadAgainWhileTheSweepLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, silent := cutOff(), healthy()
		silent.eui = 0x00DB123456780009
		w := newWorld(t, d, silent)
		w.policy.RereadAfter = day
		w.policy.Retry.Electricity = []time.Duration{day, day, 6 * time.Hour}
		w.flight = func(f *flight) fate {
			if f.device == silent {
				return undeliv
			}
			return answered
		}
		s, began := w.open(), time.Now()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		var again []time.Duration
		for _, r := range w.disk.all() {
			if r.Kind == record.Verdict && r.Device == d.eui {
				again = append(again, r.At.Sub(began).Round(time.Hour))
			}
		}
		if !slices.Equal(again, []time.Duration{0, day, 2 * day}) || time.Since(began) < 2*day || time.Since(began) > 3*day {
			t.Errorf("verdicts after %v, the run took %v", again, time.Since(began))
		}
	})
}

// No home that has no verdict waits for a meter that is read again.
func TestHomesGoBeforeWhatIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const meters = 40
		for i := range servicerequests.EUI(meters) {
			d := cutOff()
			d.eui += i * 16
			w.add(d, ourEUI, servicerequests.Regions[int(i)%3])
		}
		w.policy.RereadAfter = time.Minute // as if a day had passed
		w.perHub = 1000
		var next time.Time // two POSTs a second: the sweep lasts longer than that
		w.pace = func(now time.Time, _ Leave) (bool, time.Duration, string) {
			if now.Before(next) {
				return false, next.Sub(now), "user"
			}
			next = now.Add(500 * time.Millisecond)
			return true, 0, ""
		}
		begun, verdicts := map[servicerequests.EUI]bool{}, map[servicerequests.EUI]bool{}
		early, again := 0, 0
		w.post = func(p piece) fate {
			for _, r := range w.disk.all() {
				if r.Kind == record.Verdict {
					verdicts[r.Device] = true
				}
			}
			begun[p.id.Target] = true
			if verdicts[p.id.Target] && !p.service.Critical() {
				if again++; len(begun) < meters {
					early++
				}
			}
			return taken
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		s := w.open()
		if err := w.run(ctx, s); err != nil {
			t.Fatal(err)
		}
		if early > 0 || again == 0 {
			t.Errorf("%d meters were read again, %d of them before others had begun", again, early)
		}
	})
}

// An answer that comes after its request was given up counts, as any late answer does.
func TestLateTheDayAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := cutOff()
		w := newScript(t, d)
		w.policy.RereadAfter = day
		w.die()
		w.finishAll()
		d.supply = servicerequests.Enabled
		time.Sleep(day)
		w.die()
		w.world.flight = func(f *flight) fate { return doneLate }
		var late []proof.Delivery
		w.until(func() bool {
			w.world.inbox = slices.DeleteFunc(w.world.inbox, func(d proof.Delivery) bool {
				if d.Result != nil {
					late = append(late, d)
				}
				return d.Result != nil
			})
			return len(late) == 2 && w.s.finished()
		})
		if v := w.s.ledger(0).verdict; v.Verdict != record.VerdictArmed {
			t.Fatalf("unanswered: %s", v.Verdict)
		}
		w.world.inbox = late
		w.drain()
		if v := w.disk.verdict(t, d.eui); v.Verdict != record.VerdictOnSupply {
			t.Errorf("answered late: %s (%s), %s", v.Verdict, v.Reason, fmt.Sprint(w.verdicts()))
		}
	})
}

// balancesAfter are the classes in which reads of a balance ended that were asked for
// after the last 1.6 of their meter had been answered.
func (w *world) balancesAfter() map[servicerequests.EUI][]string {
	switched, after := map[servicerequests.EUI]uint64{}, map[servicerequests.EUI][]string{}
	for _, r := range w.disk.all() {
		switch {
		case r.Kind == record.Outcome && r.Service == to:
			switched[r.Device] = max(switched[r.Device], r.ID.Counter)
		case r.Kind == record.Outcome && r.Service == balance && switched[r.Device] != 0 && r.ID.Counter > switched[r.Device]:
			after[r.Device] = append(after[r.Device], r.Code)
		}
	}
	return after
}

// Every meter that was switched tells its balance once more, gas meters by their proxy;
// the verdicts are what they are without.
func TestBalanceAfter(t *testing.T) {
	for _, c := range []struct {
		name string
		how  fate
		want string
	}{
		{"answered", answered, record.ClassSuccess},
		{"refused", refused, record.ClassNegative},
		{"unreachable", undeliv, record.ClassNoResponse},
		{"lost", lost, record.ClassNoResponse},
		{"not permitted", answered, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				verdicts := map[bool]map[string]int{}
				for _, with := range []bool{false, true} {
					w := town(t, 20, 0)
					w.policy.BalanceAfter = with
					if c.want == "" {
						w.policy.Permits = func(s servicerequests.Service, _ servicerequests.DeviceType) bool {
							return s != balance && s != servicerequests.ReadPrepaymentConfiguration
						}
					}
					found := map[servicerequests.EUI]bool{}
					proxied := 0
					w.flight = func(f *flight) fate {
						if f.service != balance || !found[f.device.eui] {
							found[f.device.eui] = found[f.device.eui] || f.service == balance
							return answered
						}
						if f.device.mode != credit {
							t.Errorf("%v: a second balance in %v", f.device.eui, f.device.mode)
						}
						if f.id.Target == f.device.gpf {
							proxied++
						}
						return c.how
					}
					s := w.command()
					st := s.Status()
					verdicts[with] = st.Verdicts
					after := w.balancesAfter()
					want := 0
					if with && c.want != "" {
						want = st.Meters
					}
					if len(after) != want || want > 0 && proxied != want/2 {
						t.Errorf("%d balances after the switch, %d by proxies, want %d and half of them", len(after), proxied, want)
					}
					for eui, classes := range after {
						if !slices.Equal(classes, []string{c.want}) {
							t.Errorf("%v: %v", eui, classes)
						}
					}
					asked := w.requests()
					if w.command(); w.requests() != asked {
						t.Error("the next run asks once more")
					}
				}
				if fmt.Sprint(verdicts[true]) != fmt.Sprint(verdicts[false]) {
					t.Errorf("verdicts %v, without balances %v", verdicts[true], verdicts[false])
				}
			})
		})
	}
}
