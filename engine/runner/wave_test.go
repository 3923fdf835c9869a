package runner

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/servicerequests"
)

// inWaves cuts the street into a canary of ten, and two more waves.
func inWaves(rules ...record.AbortRule) func(*Options) {
	return func(o *Options) {
		o.Sweep.Waves = []sweep.Wave{
			{Name: "canary", Meters: 10, Soak: 20 * time.Minute, Abort: rules},
			{Name: "wave 2", Meters: 20, Soak: time.Minute, Abort: rules},
			{Name: "wave 3", Meters: 10, Abort: rules},
		}
	}
}

// firstAndLast is when the first and the last command was signed for meters from..to.
func (w *world) firstAndLast(from, to int) (first, last time.Time) {
	of := map[servicerequests.EUI]bool{}
	for _, d := range w.Devices[from:to] {
		of[d.EUI] = true
	}
	for _, r := range w.SentIn(record.SignedCommand) {
		if of[r.Device] {
			if first.IsZero() {
				first = r.At
			}
			last = r.At
		}
	}
	return first, last
}

// A wave opens when the one before has its verdicts, has soaked and keeps its rules. All
// are read before that.
func TestWavesOpenOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 40, nil)
		w.options = inWaves(record.AbortRule{Class: record.ClassNoResponse.String(), Ratio: 0.3, MinSample: 10})
		s := w.open()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		for _, edge := range []struct {
			at   int
			soak time.Duration
		}{{10, 20 * time.Minute}, {30, time.Minute}} {
			_, before := w.firstAndLast(0, edge.at)
			after, _ := w.firstAndLast(edge.at, 40)
			if gap := after.Sub(before); gap < edge.soak {
				t.Errorf("meter %d is commanded %v after the last command of the wave before, which soaks for %v", edge.at+1, gap, edge.soak)
			}
		}
		first, last := w.SentIn(record.Wave)[0].At, time.Time{}
		for _, r := range w.SentIn(record.Request, servicerequests.ReadMeterBalance) {
			last = r.At
			if len(slices.DeleteFunc(w.SentIn(record.SignedCommand), func(c record.Record) bool { return c.Device != r.Device || c.Seq > r.Seq })) > 0 {
				break // it is read again after the switch
			}
		}
		if gap := last.Sub(first); gap > 5*time.Minute {
			t.Errorf("the last balance is read %v after the start", gap)
		}
		var states []string
		for _, r := range w.SentIn(record.Wave) {
			body, err := record.Decode[record.WaveBody](r)
			if err != nil {
				t.Fatal(err)
			}
			states = append(states, body.Name+" "+r.Code)
		}
		if got, want := strings.Join(states, ", "), "canary opened, canary soaking, canary passed, wave 2 opened, wave 2 soaking, wave 2 passed, wave 3 opened"; got != want {
			t.Errorf("got %s", got)
		}
	})
}

// The time to go is not reckoned from a canary's pace, nor while a wave soaks; then it
// has the soaks to come.
func TestTimeToGoInWaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 40, nil)
		w.options = func(o *Options) {
			inWaves()(o)
			o.Sweep.InFlight = 2 // so that the meters of a wave end one after the other
		}
		s := w.open()
		seen := map[int]bool{} // waves in which it was known
		if err := w.steer(t, s, func(func(record.OrderBody) error) {
			for s.Status().Done < 40 {
				time.Sleep(200 * time.Millisecond)
				st := s.Status()
				if len(st.Waves) == 0 {
					continue // nothing is published yet
				}
				at := 0
				for at < len(st.Waves)-1 && st.Waves[at+1].State != "waiting" {
					at++
				}
				present := st.Waves[at]
				if soaks := present.State == record.WaveSoaking; soaks != present.Until.After(present.Since) {
					t.Fatalf("%+v", present)
				}
				if st.ETA == nil {
					continue
				}
				if at == 0 || present.State != record.WaveOpened || at == 1 && *st.ETA < 60 {
					t.Fatalf("%v seconds to go: %+v", *st.ETA, present)
				}
				seen[at] = true
			}
		}); err != nil {
			t.Fatal(err)
		}
		if !seen[1] || !seen[2] {
			t.Errorf("it was known in %v", seen)
		}
	})
}

// A rule that does not hold pauses the sweep, in every life of the process, until an
// operator goes on; no meter of the next wave is given a command.
func TestAnAbortRulePauses(t *testing.T) {
	for name, test := range map[string]struct {
		rule   record.AbortRule
		reason string
	}{
		"share":     {record.AbortRule{Class: record.ClassNoResponse.String(), Ratio: 0.3, MinSample: 5}, "ended no_response, more than 30 %"},
		"no sample": {record.AbortRule{Class: record.ClassRejected.String(), Ratio: 0.3, MinSample: 1000}, "too few to tell: want 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := street(t, 40, nil)
				w.Policy.Patience = time.Hour
				w.options = inWaves(test.rule)
				dead := true
				w.OnFlight = func(f *flight) fate {
					if dead && f.Device.EUI>>4&1 == 1 && name == "share" {
						return undeliv
					}
					return answered
				}
				s := w.open()
				stop := func(give func(record.OrderBody) error) {
					time.Sleep(3 * time.Hour)
					if st := s.Status(); st.State != "paused" || !strings.Contains(st.Reason, test.reason) || st.Waves[1].State != "waiting" {
						t.Errorf("status %+v", st)
					}
					if first, _ := w.firstAndLast(10, 40); !first.IsZero() {
						t.Error("a meter of the next wave was given a command")
					}
				}
				if err := w.steer(t, s, func(give func(record.OrderBody) error) {
					stop(give)
					if err := give(record.OrderBody{Action: record.OrderStop}); err != nil {
						t.Error(err)
					}
				}); err == nil {
					t.Fatal("it went on")
				}
				w.Disk.Close()
				s = w.open()
				err := w.steer(t, s, func(give func(record.OrderBody) error) {
					stop(give)
					w.Mu.Lock()
					dead = false
					w.Mu.Unlock()
					for range 3 { // each wave has too small a sample
						if err := give(record.OrderBody{Action: record.OrderResume}); err != nil && s.Status().State == "paused" {
							t.Error(err)
						}
						time.Sleep(3 * time.Hour)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				if st := s.Status(); st.Done != 40 || st.Verdicts[record.VerdictOnSupply] != 40 {
					t.Errorf("status %+v", st)
				}
			})
		})
	}
}

func TestAnAbortRuleHalts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 40, nil)
		w.options = inWaves(record.AbortRule{Class: record.ClassNoResponse.String(), Ratio: 0.3, MinSample: 5, Action: record.AbortHalt})
		w.OnFlight = func(*flight) fate { return undeliv }
		if err := w.run(t.Context(), w.open()); !halted(err) {
			t.Fatalf("ended with %v", err)
		}
	})
}

// A meter that never answers does not hold up the next wave for as long as its retries
// take, and is seen to be in retries, then stuck.
func TestLongRetriesDoNotHoldUpAWave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 40, nil)
		w.options = inWaves()
		w.Policy.Patience, w.Policy.StepDeadline = time.Hour, ledger.PerFuel[time.Duration]{Electricity: 4 * time.Hour, Gas: 26 * time.Hour}
		w.Policy.Retry = ledger.PerFuel[[]time.Duration]{Electricity: []time.Duration{time.Minute, time.Hour, 6 * time.Hour}}
		silent := w.Devices[3]
		w.OnFlight = func(f *flight) fate {
			if f.Device == silent {
				return undeliv
			}
			return answered
		}
		s := w.open()
		begun := time.Now()
		err := w.steer(t, s, func(func(record.OrderBody) error) {
			time.Sleep(90 * time.Minute)
			if st := s.Status(); st.Waiting["retrying"] != 1 || st.Waves[1].State == "waiting" {
				t.Errorf("after 90 minutes: %+v", st)
			}
			time.Sleep(4 * time.Hour)
			if st := s.Status(); st.Waiting["stuck"] != 1 || st.Done != 39 {
				t.Errorf("after five hours: %+v", st)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if first, _ := w.firstAndLast(10, 40); first.Sub(begun) > 2*time.Hour {
			t.Errorf("the next wave began after %v", first.Sub(begun))
		}
		said := false
		for _, r := range w.SentIn(record.Verdict) {
			body, err := record.Decode[record.VerdictBody](r)
			said = said || err == nil && r.Device == silent.EUI && strings.HasPrefix(body.Reason, "stuck: ")
		}
		if !said {
			t.Error("the journal does not say that it is stuck")
		}
		if st := s.Status(); st.Waiting["stuck"] != 0 || st.Verdicts[record.VerdictUnknown] != 1 {
			t.Errorf("at the end: %+v", st)
		}
	})
}

// When the budget is used up no more is retried, in the next process neither.
func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 30, nil)
		w.Policy.Retry = ledger.PerFuel[[]time.Duration]{Electricity: []time.Duration{time.Minute, time.Minute, time.Minute, time.Minute}}
		w.OnFlight = func(*flight) fate { return undeliv }
		w.options = func(o *Options) { o.Sweep.RetryBudget = 25 }
		s := w.open()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		st := s.Status()
		if first := 30 * 3; len(w.SentIn(record.Request, servicerequests.ReadSupplyStatus, servicerequests.ReadPaymentMode, servicerequests.ReadMeterBalance)) > first+30*2+25 || st.Retries < 25 {
			t.Errorf("%d requests, %d retries", len(w.SentIn(record.Request)), st.Retries)
		}
		if st.Verdicts[record.VerdictUnknown] != 30 || !strings.Contains(w.Disk.Verdict(w.Devices[29].EUI).Reason, "retries are used up") {
			t.Errorf("verdicts %v, %q", st.Verdicts, w.Disk.Verdict(w.Devices[29].EUI).Reason)
		}
		w.Disk.Close()
		sent := len(w.SentIn(record.Request))
		if err := w.run(t.Context(), w.open()); err != nil {
			t.Fatal(err)
		}
		if now := len(w.SentIn(record.Request)); now != sent {
			t.Errorf("%d more after the end", now-sent)
		}
	})
}

// A code that is not known is not retried: a person must look at it.
func TestHeldForAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 5, nil)
		w.OnPost = func(p piece) fate {
			if p.ID.Target == w.Devices[1].EUI {
				return "E66"
			}
			return taken
		}
		s := w.open()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if v := w.Disk.Verdict(w.Devices[1].EUI); v.Verdict != record.VerdictUnknown || !strings.HasPrefix(v.Reason, "held for a person: SRV ") || !strings.Contains(v.Reason, "E66") {
			t.Errorf("verdict %+v", v)
		}
		if st := s.Status(); st.Waiting["held"] != 1 {
			t.Errorf("status %+v", st)
		}
		for _, r := range w.SentIn(record.Request) {
			n := 0
			for _, other := range w.SentIn(record.Request, r.Service) {
				if other.Device == w.Devices[1].EUI && r.Device == other.Device {
					n++
				}
			}
			if n > 1 {
				t.Fatalf("%v asked %d times", r.Service, n)
			}
		}
	})
}
