package record

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0 s": 100 * time.Millisecond, "14 s": 14*time.Second + 1, "119 s": 119 * time.Second, "2 min": 2 * time.Minute,
		"15 min": 15*time.Minute + 20*time.Second, "119 min": 119 * time.Minute, "2 h": 2*time.Hour - time.Second, "5 h 1 min": 5*time.Hour + 50*time.Second,
		"47 h 59 min": 48*time.Hour - 31*time.Second, "2 days": 48*time.Hour - time.Second, "2 days 3 h": 51 * time.Hour, "30 days 23 h": 743 * time.Hour,
	} {
		if got := Span(d.Seconds()); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestEnding(t *testing.T) {
	hour, at := 3600.0, time.Date(2026, 12, 1, 23, 30, 0, 0, time.UTC)
	for want, st := range map[string]Status{
		"every meter has a verdict":                                     {State: "finished", Meters: 2, Done: 2},
		"the sweep has ended for good":                                  {State: "ceased", Meters: 2},
		"nothing moves until it goes on":                                {State: "paused", Meters: 2, ETA: &hour},
		"not known yet":                                                 {State: "running", Meters: 2},
		"about 60 min":                                                  {State: "running", Meters: 2, ETA: &hour},
		"about 60 min, at 2 Dec 00:30 UTC by the sweep's clock":         {State: "running", Meters: 2, ETA: &hour, Identity: Identity{Time: at, ClockSpeed: 300}},
		"60 min to 2 h, at 2 Dec 01:30 UTC at the latest":               {State: "running", Meters: 2, ETA: &hour, ETARange: &[2]float64{hour, 2 * hour}, Identity: Identity{Time: at, ClockSpeed: 1}},
		"60 min, at 2 Dec 00:30 UTC at the latest by the sweep's clock": {State: "running", Meters: 2, ETA: &hour, ETARange: &[2]float64{hour, hour}, Identity: Identity{Time: at, ClockSpeed: 2}},
	} {
		if got := st.Ending(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWhy(t *testing.T) {
	for reason, want := range map[string]string{
		"gate closed: gate mpids is closed: TEST has moved":                                      "gate mpids is closed: TEST has moved",
		"gateway: refused at the socket: a gate is closed: gate mpids is closed: TEST has moved": "gate mpids is closed: TEST has moved",
		"halted: gate closed: the record is damaged":                                             "gate closed: the record is damaged",
	} {
		st := Status{State: "halted", Cause: HaltGate, Reason: reason}
		if got := st.Why(); got != want || st.Unsaid() != want {
			t.Errorf("%q, %q, want %q", got, st.Unsaid(), want)
		}
		if st.Health.Says = "it has halted: " + want; st.Unsaid() != "" {
			t.Errorf("%q is said twice", st.Unsaid())
		}
	}
	if st := (Status{State: "paused", Reason: "gate mpids is closed: is what Ada wrote"}); st.Why() != st.Reason {
		t.Errorf("a reason of somebody's own: %q", st.Why())
	}
}

func TestConditions(t *testing.T) {
	for want, w := range map[string]WaveStatus{
		"passed":                        {State: WavePassed},
		"waiting for the sweep is held": {State: "waiting", WaitsFor: "the sweep is held"},
		"soaking until 1 Dec 03:00:00 by the sweep's clock": {State: WaveSoaking, Until: time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)},
	} {
		if got := w.Condition(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	ago := 900.0
	for want, r := range map[string]RegionHeard{"no answer yet": {}, "last answer 15 min ago": {Seconds: &ago}, "SILENT, last answer 15 min ago": {Seconds: &ago, Silent: true}} {
		if got := r.Says(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
