package plan_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/plan"
	"safemode/engine/portfolio"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Each meter claimed as prepayment takes 7 POSTs, of which one is to Transform.
func TestEstimate(t *testing.T) {
	list := []portfolio.Row{
		meter(1, 'e', servicerequests.North, 0), meter(2, 'e', servicerequests.North4G, 0), meter(3, 'e', servicerequests.Central, 0),
		meter(4, 'e', servicerequests.South, 0), meter(5, 'e', servicerequests.South4G, 0),
	}
	requests := map[string]int{"7.4": 10, "6.2.9": 10, "4.18": 5, "1.6": 5}
	over := func(after float64) []plan.Forecast {
		return []plan.Forecast{{SRV: "1.6", Peak: 5, PeakAfter: after, Count: 3, Budget: 3, PerSeconds: 3600, Exceeded: true}}
	}
	for _, c := range []struct {
		name   string
		change func(*plan.Limits)
		want   plan.Estimate
	}{
		{
			"4G shares its plain region", func(*plan.Limits) {}, // North: 14 POSTs at 2 a second
			plan.Estimate{Seconds: 7, Bottleneck: "region North", Forecasts: over(3.5)},
		},
		{
			"4G by itself", func(l *plan.Limits) { l.Regions[servicerequests.North4G], l.User, l.Services = 1, 1e9, nil },
			plan.Estimate{Seconds: 7, Bottleneck: "region 4G North", Forecasts: over(1.4)},
		},
		{
			"the user", func(l *plan.Limits) { l.User = 1 },
			plan.Estimate{Seconds: 35, Bottleneck: "user 90-B3-D5-1F-30-01-00-00", Forecasts: over(28)},
		},
		{
			"a service", func(l *plan.Limits) { l.Services["transform"] = 0.5 },
			plan.Estimate{Seconds: 10, Bottleneck: "service transform", Forecasts: over(8)},
		},
		{
			"a closed region", func(l *plan.Limits) { l.Regions[servicerequests.South] = 0 },
			plan.Estimate{Seconds: 7, Bottleneck: "region North", Closed: []string{"region South"}, Forecasts: []plan.Forecast{
				{SRV: "1.6", Peak: 3, PeakAfter: 3.5, Count: 3, Budget: 3, PerSeconds: 3600},
			}},
		},
		{
			"the pace is cut to fit", func(l *plan.Limits) { // 3, and an hour later the other 2
				l.OverThreshold = plan.Pace
			},
			plan.Estimate{Seconds: 3603.5, Bottleneck: "region North", Forecasts: []plan.Forecast{
				{SRV: "1.6", Peak: 3, PeakAfter: 1.4, Count: 3, Budget: 3, PerSeconds: 3600},
			}},
		},
		{
			"a threshold that nothing fits under", func(l *plan.Limits) {
				l.OverThreshold, l.Thresholds = plan.Pace, map[string]plan.Threshold{"7.4": {Count: 1, PerSeconds: 60}}
			},
			plan.Estimate{Closed: []string{"anomaly threshold of 7.4"}, Forecasts: []plan.Forecast{{SRV: "7.4", Count: 1, Budget: 1, PerSeconds: 60}}},
		},
	} {
		o := options()
		c.change(&o.Limits)
		c.want.Requests, c.want.Posts = requests, 35
		got := build(t, o, list...).Estimate
		got.Seconds = math.Round(got.Seconds*1000) / 1000
		for i := range got.Forecasts {
			got.Forecasts[i].PeakAfter = math.Round(got.Forecasts[i].PeakAfter*1000) / 1000
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	if d := (plan.Estimate{Seconds: 90.4}).Duration(); d != 90*time.Second {
		t.Errorf("Duration %v", d)
	}
}

// A schedule over a threshold is refused with the numbers, unless the pace may be
// cut or the threshold crossed.
func TestOverThreshold(t *testing.T) {
	o := options()
	o.Limits.OverThreshold = ""
	var list []portfolio.Row
	for home := range 5 {
		list = append(list, meter(home, 'e', servicerequests.North, 0))
	}
	_, err := plan.Build(rows(list...), o)
	want := "plan: the schedule crosses an anomaly detection threshold: SRV 1.6: 5 in 1h0m0s, of a threshold of 3 (3 less the margin)"
	if !errors.Is(err, plan.ErrOverThreshold) || err.Error() != want {
		t.Errorf("%v; want %q", err, want)
	}
	build(t, o, list[:3]...)
}

// The curve counts what lies in the trailing period, and its peak never exceeds
// what the schedule's peak says.
func TestCurve(t *testing.T) {
	o := options()
	o.Limits.Thresholds = map[string]plan.Threshold{"1.6": {Count: 10, PerSeconds: 60}}
	for _, mode := range []plan.OverThreshold{plan.Pace, plan.Exceed} {
		o.Limits.OverThreshold = mode
		var list []portfolio.Row
		for home := range 100 {
			list = append(list, meter(home, 'e', servicerequests.Regions[home%6], home%3))
		}
		s := build(t, o, list...).Schedule()
		peak, _ := s.Peak("1.6", 60)
		curve := s.Curve("1.6", 60, 500)
		if most := slices.Max(curve); most > peak || most < peak-1 {
			t.Errorf("%s: curve up to %d, peak %d", mode, most, peak)
		}
		if over := peak > 10; over != (mode == plan.Exceed) {
			t.Errorf("%s: peak %d of 10", mode, peak)
		}
		if all := s.Curve("1.6", 1e9, 1); all[0] != 100 {
			t.Errorf("%s: %d requests of 100 in the whole", mode, all[0])
		}
	}
}

// The canary holds both fuels, every region and every kind of claim; it and the
// waves after it end where homes end.
func TestWaves(t *testing.T) {
	var list []portfolio.Row
	r := rand.New(rand.NewPCG(3, 4))
	for home := range 400 {
		region := servicerequests.Regions[r.IntN(6)]
		fuels := []string{"e", "g", "eg"}[r.IntN(3)]
		for _, fuel := range []byte(fuels) {
			m := meter(home, fuel, region, r.IntN(10))
			m.Claimed = []servicerequests.PaymentMode{servicerequests.Prepayment, servicerequests.Credit, servicerequests.UnknownMode}[r.IntN(3)]
			m.Source = []string{"cscp", "inventory", "request history"}[r.IntN(3)]
			m.Carried = map[string]string{plan.ColumnModel: fmt.Sprint("model ", r.IntN(5))}
			list = append(list, m)
		}
	}
	o := options()
	rule := record.AbortRule{Class: "no_response", Ratio: 0.5, MinSample: 20, Action: record.AbortPause}
	o.Waves = plan.WaveOptions{Canary: 30, Growth: 4, Soak: 20 * time.Minute, Settle: time.Minute, Abort: []record.AbortRule{rule}}
	p := build(t, o, list...)
	var sizes []int
	for i, w := range p.Waves {
		sizes = append(sizes, w.Count)
		wantSoak := []time.Duration{20 * time.Minute, time.Minute}[min(i, 1)]
		if i == len(p.Waves)-1 {
			wantSoak = 0
		}
		if w.Soak() != wantSoak || !cmp.Equal(w.Abort, []record.AbortRule{rule}) {
			t.Errorf("%s: soak %v, %v", w.Name, w.Soak(), w.Abort)
		}
		if last := w.First + w.Count - 1; last < len(p.Targets) && p.Targets[last-1].Hub == p.Targets[last].Hub {
			t.Errorf("%s ends within a home", w.Name)
		}
	}
	if len(sizes) != 3 || sizes[0] < 30 || sizes[0] > 31 || sizes[1] < 120 || sizes[1] > 121 || p.Waves[0].Name != "canary" {
		t.Errorf("waves %v", sizes)
	}
	seen := map[string]bool{}
	for _, target := range p.Targets[:p.Waves[0].Count] {
		for _, trait := range []string{target.Region.String(), target.Type.String(), target.Claimed.String(), target.Source, target.Carried[plan.ColumnModel]} {
			seen[trait] = true
		}
	}
	if len(seen) != 6+2+3+3+5 {
		t.Errorf("the canary shows %d traits: %v", len(seen), seen)
	}
	starts := p.Schedule().Starts
	if len(starts) != 3 || starts[0] != 0 || starts[1] < 20*60 {
		t.Errorf("waves start at %v", starts)
	}
	// Few meters go in one wave: half of them are no sample of the rest.
	if waves := build(t, o, list[:60]...).Waves; len(waves) != 1 || waves[0].Name != "all" || waves[0].Soak() != 0 {
		t.Errorf("60 meters: %+v", waves)
	}
}

// All are read before waves are given commands, so the reads of a large fleet fall together,
// and the waves follow on each other as their shares are settled at the latest by patience.
func TestStagedSchedule(t *testing.T) {
	var list []portfolio.Row
	for home := range 400 {
		list = append(list, meter(home, 'e', servicerequests.North, 5))
	}
	o := options()
	o.Waves = plan.WaveOptions{Canary: 20, Growth: 4, Soak: 20 * time.Minute, Settle: time.Minute}
	o.Bounds.Settings = map[string]float64{"policy.patience": 3600}
	before := build(t, o, list...).Schedule()
	o.Waves.Settled = 0.95
	p := build(t, o, list...)
	staged := p.Schedule()
	if !maps.Equal(before.Estimate.Requests, staged.Estimate.Requests) || before.Estimate.Posts != staged.Estimate.Posts {
		t.Errorf("asked for %v, before %v", staged.Estimate.Requests, before.Estimate.Requests)
	}
	reads := 400 / min(o.Limits.User, o.Limits.Regions[servicerequests.North]) // of the supply states alone
	if peak, _ := staged.Peak("7.4", reads+60); peak < 390 {
		t.Errorf("%d of 400 meters are seen in %v s", peak, reads+60)
	}
	if len(staged.Starts) != len(p.Waves) || staged.Starts[1] < 20*60 {
		t.Fatalf("waves start at %v", staged.Starts)
	}
	for i := range staged.Starts[1:] {
		if low, high := staged.Starts[i+1]-staged.Starts[i], staged.Latest[i+1]-staged.Latest[i]; low < 0 || high < low+3600-1 {
			t.Errorf("wave %d follows after %v to %v s", i+2, low, high)
		}
	}
	e := staged.Estimate
	if want := e.Seconds + 3600*float64(len(p.Waves)-1); e.LatestSeconds < want-1 {
		t.Errorf("ends after %v to %v s, want at the latest %v", e.Seconds, e.LatestSeconds, want)
	}
}

// No region waits until another is done: of homes of one rank each region has its
// share in every stretch of the order.
func TestRegionsShare(t *testing.T) {
	var list []portfolio.Row
	for home := range 300 {
		region := servicerequests.North
		if home%3 == 0 {
			region = servicerequests.South
		}
		list = append(list, meter(home, 'e', region, 5))
	}
	p := build(t, options(), list...)
	for first := 0; first < 200; first += 10 {
		south := 0
		for _, target := range p.Targets[first : first+10] {
			if target.Region == servicerequests.South {
				south++
			}
		}
		if south != 5 {
			t.Errorf("%d of South in targets %d to %d", south, first+1, first+10)
		}
	}
}
