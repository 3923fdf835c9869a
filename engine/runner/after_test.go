package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/exchange"
	"safemode/engine/record"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
)

const day = 24 * time.Hour

// dayAfter is a world with one meter that a first run has left armed.
func dayAfter(t *testing.T, d *device) *world {
	w := newWorld(t, d)
	w.Policy.RereadArmedAfter = day
	w.command()
	if v := w.Disk.Verdict(d.EUI); v.Verdict != record.VerdictArmed {
		t.Fatalf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	return w
}

// A run ends with the last verdict. The same command a day later reads again, and the
// button that was pressed meanwhile shows.
func TestPressedTheDayAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := cutOff()
		w := dayAfter(t, d)
		before, asked := w.Disk.Verdict(d.EUI), w.requests()
		d.Supply = servicerequests.Enabled
		time.Sleep(day / 2)
		w.command()
		if n := w.requests(); n != asked {
			t.Fatalf("%d requests before anything is due", n-asked)
		}
		time.Sleep(day / 2)
		s := w.command()
		after := w.Disk.Verdict(d.EUI)
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
				before, asked := w.Disk.Verdict(d.EUI), w.requests()
				w.OnFlight = func(*flight) fate { return how }
				for i := range 10 { // longer than any ladder
					time.Sleep(day + time.Hour)
					w.command()
					w.command()
					after := w.Disk.Verdict(d.EUI)
					if after.Verdict != before.Verdict || !after.AsOf.Equal(before.AsOf) || after.SupplyCounter != before.SupplyCounter {
						t.Fatalf("day %d: %s (%s) as of %v", i, after.Verdict, after.Reason, after.AsOf)
					}
					if n := w.requests() - asked; n != 2*(i+1) {
						t.Fatalf("day %d: %d requests", i, n)
					}
				}
				w.OnFlight = func(*flight) fate { return answered }
				d.Supply = servicerequests.Enabled
				time.Sleep(day + time.Hour)
				w.command()
				if after := w.Disk.Verdict(d.EUI); after.Verdict != record.VerdictOnSupply {
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
		now    sweeptest.State
		worse  string // told at once: how it begins
		end    string
		reason string
	}{
		"in prepayment again":         {sweeptest.State{Mode: prepay, Supply: on}, "read again and found ", record.VerdictOnSupply, ""},
		"off":                         {sweeptest.State{Mode: credit, Supply: off}, "", record.VerdictNotSafe, "turned off after it was read as armed"},
		"off and in prepayment again": {sweeptest.State{Mode: prepay, Supply: off}, "read again and found ", record.VerdictNotSafe, "turned off after it was read as armed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := cutOff()
				w := dayAfter(t, d)
				d.State, d.Found, d.Person = c.now, sweeptest.State{Mode: prepay, Supply: off}, true
				time.Sleep(day)
				w.command()
				v := w.Disk.Verdict(d.EUI)
				if v.Verdict != c.end || v.Reason != c.reason || d.Mode != credit {
					t.Errorf("%s (%s), %v", v.Verdict, v.Reason, d.State)
				}
				told := slices.ContainsFunc(w.Disk.All(), func(r record.Record) bool {
					body, err := record.Decode[record.VerdictBody](r)
					return r.Kind == record.Verdict && err == nil && body.Verdict == record.VerdictNotSafe && strings.HasPrefix(body.Reason, c.worse)
				})
				if c.worse != "" && !told {
					t.Errorf("nothing says that it was found so: %v", w.told())
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
		w.OnPost = func(piece) fate { return "E4" }
		time.Sleep(day)
		w.command()
		if v := w.Disk.Verdict(d.EUI); v.Verdict != record.VerdictExcluded {
			t.Errorf("%s (%s)", v.Verdict, v.Reason)
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
			d.EUI += i * 16
			w.Add(d, ourEUI, servicerequests.Regions[int(i)%3])
		}
		w.Policy.RereadArmedAfter = time.Minute // as if a day had passed
		w.PerHub = 1000
		var next time.Time // two POSTs a second: the sweep lasts longer than that
		w.OnTake = func(now time.Time, _ exchange.Place) (bool, time.Duration, string) {
			if now.Before(next) {
				return false, next.Sub(now), "user"
			}
			next = now.Add(500 * time.Millisecond)
			return true, 0, ""
		}
		last, tries := w.Devices[meters-1].EUI, 0
		w.OnFlight = func(f *flight) fate { // one home is not reached for some minutes: the others grow old
			if f.Device.EUI == last && tries < 2 {
				tries++
				return undeliv
			}
			return answered
		}
		begun, verdicts := map[servicerequests.EUI]bool{}, map[servicerequests.EUI]bool{}
		early, again := 0, 0
		w.OnPost = func(p piece) fate {
			for _, r := range w.Disk.All() {
				if r.Kind == record.Verdict {
					verdicts[r.Device] = true
				}
			}
			begun[p.ID.Target] = true
			if verdicts[p.ID.Target] && !p.Service.Critical() {
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

// balancesAfter are the classes in which reads of a balance ended that were asked for
// after the last 1.6 of their meter had been answered.
func (w *world) balancesAfter() map[servicerequests.EUI][]string {
	switched, after := map[servicerequests.EUI]uint64{}, map[servicerequests.EUI][]string{}
	for _, r := range w.Disk.All() {
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
		{"answered", answered, record.ClassSuccess.String()},
		{"refused", refused, record.ClassNegative.String()},
		{"unreachable", undeliv, record.ClassNoResponse.String()},
		{"lost", lost, record.ClassNoResponse.String()},
		{"not permitted", answered, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				verdicts := map[bool]map[string]int{}
				for _, with := range []bool{false, true} {
					w := town(t, 20, 0)
					w.Policy.BalanceAfter = with
					if c.want == "" {
						w.Policy.Permits = func(s servicerequests.Service, _ servicerequests.DeviceType) bool {
							return s != balance && s != servicerequests.ReadPrepaymentConfiguration
						}
					}
					found := map[servicerequests.EUI]bool{}
					proxied := 0
					w.OnFlight = func(f *flight) fate {
						if f.Service != balance || !found[f.Device.EUI] {
							found[f.Device.EUI] = found[f.Device.EUI] || f.Service == balance
							return answered
						}
						if f.Device.Mode != credit {
							t.Errorf("%v: a second balance in %v", f.Device.EUI, f.Device.Mode)
						}
						if f.ID.Target == f.Device.Proxy {
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
