package sweep

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"safemode/engine/record"
)

// shownETA is what the metric safemode_eta_seconds shows; nil: it is absent.
func (d *driver) shownETA(t *testing.T) (shown *float64) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(d.m.metrics.eta)
	families, err := registry.Gather()
	if err != nil || len(families) > 1 {
		t.Fatalf("%d metrics, %v", len(families), err)
	}
	for _, family := range families {
		shown = new(family.GetMetric()[0].GetGauge().GetValue())
	}
	return shown
}

// TestTimeToGoIsAbsentWhileUnknown: neither status nor metric says 0 where the time to go is
// not known: before the first verdict, in the first of several waves, while a wave soaks, and
// at the end. Where it is known, both say the same.
func TestTimeToGoIsAbsentWhileUnknown(t *testing.T) {
	for _, waves := range []bool{false, true} {
		d := townOf(6, nil)
		if waves {
			d.alter = func(o *Options) {
				o.Waves = []Wave{{Name: "first", Meters: 2, Soak: time.Minute}, {Name: "second", Meters: 4}}
			}
		}
		d.start()
		look := func(when string, known bool) {
			t.Helper()
			d.now = d.now.Add(time.Second)
			st, shown := d.m.Status(d.now), d.shownETA(t)
			if (st.ETA != nil) != known || (shown != nil) != known {
				t.Errorf("waves %v, %s: status %v, metric %v, want known %v", waves, when, st.ETA, shown, known)
			}
			if known && st.ETA != nil && shown != nil && (*st.ETA != *shown || *shown <= 0) {
				t.Errorf("waves %v, %s: status %v, metric %v", waves, when, *st.ETA, *shown)
			}
		}
		look("at the beginning", false)
		d.until(func() bool { return d.m.counts.done == 1 })
		look("after the first verdict", !waves)
		if waves {
			d.until(func() bool { return d.m.waves.current().State == record.WaveSoaking })
			look("while the first wave soaks", false)
			d.until(func() bool { return d.m.counts.done == 3 })
			look("in the last wave", true)
		}
		d.until(func() bool { return d.m.counts.done == 5 })
		look("before the last verdict", true)
		d.finishAll()
		look("at the end", false)
		wantGood(t, d)
	}
}
