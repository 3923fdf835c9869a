package chart

import (
	_ "embed"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Templates are the templates "chart", which takes a [Chart], and "chart style", which goes
// into the page's style sheet. They need no functions.
//
//go:embed chart.html
var Templates string

// Options says what a chart shows. Title is required.
type Options struct {
	Title string // what the lines show, for readers who do not see them
	X, Y  Axis
	Marks []float64 // of the x axis: where a vertical line stands
	Small bool      // it is one of several that are compared, and low
}

// Axis is one axis.
type Axis struct {
	Label string
	Log   bool

	// To is the value at the end; the beginning is 0, or 1 where the axis is logarithmic.
	// 0: the x axis ends with the last point; the y axis at a round number over the highest,
	// and a logarithmic one begins at the power of ten below the lowest.
	To    float64
	Ticks []Tick // nil: round numbers
}

// Tick is a label at a value of an axis. Once drawn At is percent of the axis's length.
type Tick struct {
	At    float64
	Label string
}

// FromTop is a tick's place in the plot of 1000 by 1000 that lines are drawn in.
func (t Tick) FromTop() float64 { return 1000 - 10*t.At }

// Series is one line. It is broken where Y is NaN: not known. On a logarithmic axis nothing
// up to 0 is known.
type Series struct {
	Name  string
	Class string // of the page's style sheet; several, with spaces between, where they are one look
	Value string // beside the name: what a reader wants to know without looking; may be empty
	X, Y  []float64
}

// Chart is what the template draws.
type Chart struct {
	Title          string
	XLabel, YLabel string
	XTicks, YTicks []Tick
	Lines          []Line
	Marks          []float64 // of 1000, from the left
	Small          bool
}

// Line is one series, as the data of an SVG path in a plot of 1000 by 1000. A point without
// neighbours is a line of no length, which has round ends.
type Line struct{ Name, Class, Value, Path string }

// Says tells what a chart shows, in words.
func (c Chart) Says() string {
	var b strings.Builder
	b.WriteString(c.Title)
	for i, l := range c.Lines {
		if l.Value != "" {
			fmt.Fprintf(&b, "%s %s %s", [...]string{":", ";"}[min(i, 1)], l.Name, l.Value)
		}
	}
	return b.String()
}

// scale maps values to percent.
type scale struct {
	from, to float64
	log      bool
}

func (s scale) of(v float64) float64 {
	from, to := s.from, s.to
	if s.log {
		v, from, to = math.Log10(v), math.Log10(from), math.Log10(to)
	}
	if to == from {
		return 0
	}
	return 100 * (v - from) / (to - from)
}

// Draw makes a chart of series.
func Draw(o Options, all ...Series) Chart {
	c := Chart{Title: o.Title, XLabel: o.X.Label, YLabel: o.Y.Label, Small: o.Small}
	x, y := o.across(all), o.up(all)
	ticks := func(a Axis, s scale) (drawn []Tick) {
		for _, t := range a.ticks(s) {
			drawn = append(drawn, Tick{s.of(t.At), t.Label})
		}
		return drawn
	}
	c.XTicks, c.YTicks = ticks(o.X, x), ticks(o.Y, y)
	for _, at := range o.Marks {
		c.Marks = append(c.Marks, 10*x.of(at))
	}
	for _, one := range all {
		c.Lines = append(c.Lines, Line{one.Name, one.Class, one.Value, path(one, x, y)})
	}
	return c
}

func (o Options) across(all []Series) scale {
	s := scale{to: o.X.To, log: o.X.Log}
	if s.log {
		s.from = 1
	}
	for _, one := range all {
		for _, v := range one.X {
			if o.X.To == 0 {
				s.to = math.Max(s.to, v)
			}
		}
	}
	return s
}

func (o Options) up(all []Series) scale {
	low, high := math.Inf(1), 0.0
	for _, one := range all {
		for _, v := range one.Y {
			if !math.IsNaN(v) && (!o.Y.Log || v > 0) {
				low, high = math.Min(low, v), math.Max(high, v)
			}
		}
	}
	switch {
	case o.Y.To > 0:
		return scale{to: o.Y.To}
	case math.IsInf(low, 1): // nothing is known
		return scale{to: 1}
	case o.Y.Log:
		s := scale{math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high))), true}
		if s.from == s.to {
			s.to *= 10
		}
		return s
	}
	step := Step(high)
	return scale{to: math.Max(step, math.Ceil(high/step-1e-9)*step)}
}

func (a Axis) ticks(s scale) []Tick {
	if a.Ticks != nil {
		return a.Ticks
	}
	var all []Tick
	if s.log {
		for v := s.from; v <= s.to*1.001; v *= 10 {
			all = append(all, Tick{v, Number(v)})
		}
		return all
	}
	step := Step(s.to)
	for i := 0; float64(i)*step <= s.to*1.001; i++ {
		all = append(all, Tick{float64(i) * step, Number(float64(i) * step)})
	}
	return all
}

func path(one Series, x, y scale) string {
	var b strings.Builder
	var first string // of the run, while it has no second
	flush := func() {
		if first != "" {
			b.WriteString(first + "h0")
		}
		first = ""
	}
	open := false
	for i, v := range one.Y {
		if math.IsNaN(v) || y.log && v <= 0 {
			flush()
			open = false
			continue
		}
		point := fmt.Sprintf("%.1f %.1f", 10*x.of(one.X[i]), 1000-10*y.of(v))
		switch {
		case !open:
			first, open = "M"+point, true
		case first != "":
			b.WriteString(first + "L" + point)
			first = ""
		default:
			b.WriteString("L" + point)
		}
	}
	flush()
	return b.String()
}

// Step divides 0 to high into 3 to 6 parts of a round number.
func Step(high float64) float64 {
	if !(high > 0) {
		return 1
	}
	step := math.Pow(10, math.Floor(math.Log10(high)))
	for _, part := range [...]float64{0.1, 0.2, 0.5, 1, 2} {
		if high/(step*part) <= 6 {
			return step * part
		}
	}
	return step
}

// Number is a figure of four digits or a whole one.
func Number(v float64) string {
	if v >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// Times are labels for an axis of seconds, at round times: three to seven of them.
func Times(seconds float64) []Tick {
	step := steps[len(steps)-1]
	for _, s := range steps {
		if seconds <= 6*s.Seconds() {
			step = s
			break
		}
	}
	for seconds > 6*step.Seconds() {
		step *= 2
	}
	var all []Tick
	for at := time.Duration(0); at.Seconds() <= seconds; at += step {
		all = append(all, Tick{at.Seconds(), since(at, step)})
	}
	return all
}

var steps = [...]time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// since is a time in the unit of its axis.
func since(at, step time.Duration) string {
	for _, unit := range [...]struct {
		is   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}} {
		if step >= unit.is {
			return fmt.Sprintf("%d %s", at/unit.is, unit.name)
		}
	}
	return fmt.Sprintf("%d s", at/time.Second)
}
