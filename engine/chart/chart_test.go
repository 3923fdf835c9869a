package chart

import (
	"bytes"
	"encoding/xml"
	"html/template"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDraw(t *testing.T) {
	unknown := math.NaN()
	c := Draw(Options{Title: "of something", X: Axis{To: 10}, Y: Axis{Label: "ms"}, Marks: []float64{5}},
		Series{Name: "whole", Class: "a", Value: "4", X: []float64{0, 5, 10}, Y: []float64{0, 4, 8}},
		Series{Name: "broken", X: []float64{0, 1, 2, 3, 4}, Y: []float64{8, 8, unknown, 8, unknown}},
		Series{Name: "nothing", X: []float64{0}, Y: []float64{unknown}})
	paths := map[string]string{}
	for _, l := range c.Lines {
		paths[l.Name] = l.Path
	}
	want := map[string]string{"whole": "M0.0 1000.0L500.0 500.0L1000.0 0.0", "broken": "M0.0 0.0L100.0 0.0M300.0 0.0h0", "nothing": ""}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Tick{{0, "0"}, {25, "2"}, {50, "4"}, {75, "6"}, {100, "8"}}, c.YTicks); diff != "" {
		t.Error(diff)
	}
	if len(c.Marks) != 1 || c.Marks[0] != 500 || c.Says() != "of something: whole 4" {
		t.Errorf("%+v: %s", c.Marks, c.Says())
	}
}

func TestLogarithmic(t *testing.T) {
	c := Draw(Options{X: Axis{Log: true, To: 100}, Y: Axis{Log: true}}, Series{X: []float64{1, 10, 100, 100}, Y: []float64{20, 200, 0, -1}})
	if c.Lines[0].Path != "M0.0 849.5L500.0 349.5" { // from 10 to 1000; 0 has no logarithm
		t.Error(c.Lines[0].Path)
	}
	if diff := cmp.Diff([]Tick{{0, "10"}, {50, "100"}, {100, "1000"}}, c.YTicks); diff != "" {
		t.Error(diff)
	}
	if one := Draw(Options{Y: Axis{Log: true}}, Series{X: []float64{1}, Y: []float64{10}}); len(one.YTicks) != 2 {
		t.Errorf("an axis of one value: %+v", one.YTicks)
	}
}

func TestStep(t *testing.T) {
	for high, want := range map[float64]float64{0: 1, -1: 1, 1: 0.2, 5: 1, 7: 2, 42: 10, 120: 20, 0.03: 0.005, 99: 20} {
		if got := Step(high); math.Abs(got-want) > 1e-12 {
			t.Errorf("%g: %g, want %g", high, got, want)
		}
	}
}

// A time axis has at least two labels and at most seven, at round times.
func TestTimes(t *testing.T) {
	for seconds := 1.0; seconds < 1e8; seconds *= 1.07 {
		if all := Times(seconds); len(all) < 2 || len(all) > 7 {
			t.Errorf("%g s: %v", seconds, all)
		}
	}
	for seconds, want := range map[float64]string{599: "0 min 2 min 4 min 6 min 8 min", 16: "0 s 5 s 10 s 15 s", 11000: "0 h 1 h 2 h 3 h", 400000: "0 d 1 d 2 d 3 d 4 d"} {
		var labels []string
		for _, tick := range Times(seconds) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != want {
			t.Errorf("%g s: %s", seconds, got)
		}
	}
}

// The markup is well formed, holds nothing that a number or a name has broken, and says to
// who does not see it what the lines show.
func TestTemplates(t *testing.T) {
	page := template.Must(template.New("page").Parse(`<figure>{{template "chart" .}}</figure>` + Templates))
	for name, c := range map[string]Chart{
		"nothing": Draw(Options{Title: "of nothing"}),
		"lines": Draw(Options{Title: `of "this" & <that>`, Marks: []float64{1}, X: Axis{Label: "since"}},
			Series{Name: "<one>", Class: "a", Value: "1", X: []float64{0, 1, 2}, Y: []float64{0, 1e9, math.NaN()}}),
	} {
		var b bytes.Buffer
		if err := page.Execute(&b, c); err != nil {
			t.Fatal(err)
		}
		if err := xml.Unmarshal(b.Bytes(), new(struct{})); err != nil {
			t.Errorf("%s: %v\n%s", name, err, &b)
		}
		for _, bad := range []string{"NaN", "Inf", "ZgotmplZ", "<one>"} {
			if strings.Contains(b.String(), bad) {
				t.Errorf("%s holds %s:\n%s", name, bad, &b)
			}
		}
		if !strings.Contains(b.String(), `role="img" aria-label="of `) {
			t.Errorf("%s has no name:\n%s", name, &b)
		}
	}
}
