package plan_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/plan"
	"safemode/engine/portfolio"
	"safemode/servicerequests"
)

// A plan in the order of the portfolio has the same targets, each home where its
// first meter stands, and the same waves; the plan it was made of stays as it was.
func TestInOrderOf(t *testing.T) {
	var list []portfolio.Row
	var devices []servicerequests.EUI
	for home := range 60 {
		list = append(list, meter(home, 'e', servicerequests.Regions[home%3], 9-home%10))
	}
	for home := range 20 {
		list = append(list, meter(3*home, 'g', servicerequests.Regions[0], 5))
	}
	for _, r := range list {
		devices = append(devices, r.Device)
	}
	o := options()
	o.Waves = plan.WaveOptions{Canary: 11, Growth: 2}
	p := build(t, o, list...)
	before := encode(t, p)
	q, err := p.InOrderOf(append([]servicerequests.EUI{stranger}, devices...))
	if err != nil {
		t.Fatal(err)
	}
	var want, got []servicerequests.EUI
	for home := range 60 {
		want = append(want, meter(home, 'e', 0, 0).Device)
		if home%3 == 0 {
			want = append(want, meter(home, 'g', 0, 0).Device)
		}
	}
	for i, target := range q.Targets {
		got = append(got, target.Device)
		if target.Order != i+1 {
			t.Errorf("target %d has order %d", i, target.Order)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if len(q.Waves) != len(p.Waves) {
		t.Errorf("waves %+v, want as many as %+v", q.Waves, p.Waves)
	}
	for i, w := range q.Waves {
		last := q.Targets[w.First+w.Count-2]
		if next := w.First + w.Count - 1; next < len(q.Targets) && q.Targets[next].Hub == last.Hub {
			t.Errorf("wave %d ends inside a home", i+1)
		}
		if d := w.Count - p.Waves[i].Count; d < -2 || d > 2 {
			t.Errorf("wave %d has %d meters, want about %d", i+1, w.Count, p.Waves[i].Count)
		}
	}
	if string(encode(t, p)) != string(before) {
		t.Error("the plan itself has changed")
	}
	if _, err := p.InOrderOf(devices[1:]); err == nil || !strings.Contains(err.Error(), devices[0].String()+" is not in the portfolio") {
		t.Errorf("a target that no row names: %v", err)
	}
}

// A target that is no row of the portfolio, or another one there, refuses the plan.
func TestWithin(t *testing.T) {
	list := []portfolio.Row{
		meter(1, 'e', servicerequests.North, 0), meter(1, 'g', servicerequests.North, 0), meter(2, 'e', servicerequests.South, 3),
	}
	p := build(t, options(), list...)
	if err := p.Within(rows(append(list, meter(3, 'e', servicerequests.North, 0))...)); err != nil {
		t.Errorf("a portfolio with more: %v", err)
	}
	if err := p.Within(rows(list[:2]...)); !errors.Is(err, plan.ErrNotInPortfolio) || !strings.Contains(err.Error(), list[2].Device.String()+" is not in the portfolio, one of 1 such of 3") {
		t.Errorf("a row that is missing: %v", err)
	}
	for name, change := range map[string]func(*portfolio.Row){
		"hub":        func(r *portfolio.Row) { r.Hub++ },
		"MPxN":       func(r *portfolio.Row) { r.MPxN = "1200000000018" },
		"region":     func(r *portfolio.Row) { r.Region = servicerequests.North },
		"originator": func(r *portfolio.Row) { r.Originator = other },
	} {
		altered := append([]portfolio.Row(nil), list...)
		change(&altered[2])
		if err := p.Within(rows(altered...)); !errors.Is(err, plan.ErrNotInPortfolio) || !strings.Contains(err.Error(), "stands otherwise in line 4") {
			t.Errorf("another %s: %v", name, err)
		}
	}
	// The same is true of a plan with its targets still in the file.
	folder := t.TempDir()
	if err := p.Save(folder); err != nil {
		t.Fatal(err)
	}
	opened, err := plan.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.Within(rows(list...)); err != nil {
		t.Errorf("opened: %v", err)
	}
	if err := opened.Within(rows(list[:2]...)); !errors.Is(err, plan.ErrNotInPortfolio) {
		t.Errorf("opened, and a row is missing: %v", err)
	}
	if err := p.Within(func(yield func(portfolio.Row, error) bool) { yield(portfolio.Row{}, errors.New("torn")) }); err == nil || err.Error() != "torn" {
		t.Errorf("half a portfolio: %v", err)
	}
}
