package loadtest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The charts of the page are lines in SVG, in units of its view box.
const (
	chartWidth, chartHeight = 720.0, 260.0
	left, right             = 64.0, 12.0
	top, bottom             = 12.0, 34.0
)

// Chart is what the page's template draws.
type Chart struct {
	Title, Note    string
	Width, Height  float64
	Left, Right    float64 // of the plot, in the view box
	Top, Bottom    float64
	XLabel, YLabel string
	XTicks, YTicks []Tick
	Lines          []Line
	Marks          []float64 // x of vertical lines: where a step begins
}

// Tick is a mark on an axis.
type Tick struct {
	At    float64
	Label string
}

// Line is one series. It is broken where a value is not known.
type Line struct {
	Name, Class string
	Dashed      bool
	Paths       []string
	Dots        []Dot // of points without a neighbour, which a path would not show
}

// Dot is a point by itself.
type Dot struct{ X, Y float64 }

// series is a line before it is drawn; NaN is not known.
type series struct {
	name, class string
	x, y        []float64
	dashed      bool
}

// scale maps values to the view box.
type scale struct {
	from, to float64 // values
	at, end  float64 // view box
	log      bool
}

func (s scale) of(v float64) float64 {
	from, to := s.from, s.to
	if s.log {
		v, from, to = math.Log10(v), math.Log10(from), math.Log10(to)
	}
	if to == from {
		return s.at
	}
	return s.at + (v-from)/(to-from)*(s.end-s.at)
}

// draw makes a chart of series over a common x axis.
func draw(c Chart, x scale, all []series, logY bool) Chart {
	low, high := math.Inf(1), 0.0
	for _, one := range all {
		for _, v := range one.y {
			if !math.IsNaN(v) && (!logY || v > 0) {
				low, high = math.Min(low, v), math.Max(high, v)
			}
		}
	}
	c.Width, c.Height = chartWidth, chartHeight
	c.Left, c.Right, c.Top, c.Bottom = left, chartWidth-right, top, chartHeight-bottom
	x.at, x.end = c.Left, c.Right
	y := scale{at: c.Bottom, end: c.Top, log: logY}
	switch {
	case math.IsInf(low, 1): // nothing is known
		y.from, y.to, y.log = 0, 1, false
	case logY:
		y.from, y.to = math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high)))
		if y.from == y.to {
			y.to *= 10
		}
		for v := y.from; v <= y.to*1.001; v *= 10 {
			c.YTicks = append(c.YTicks, Tick{y.of(v), number(v)})
		}
	default:
		step := niceStep(high)
		y.to = math.Max(step, math.Ceil(high/step)*step)
		for v := 0.0; v <= y.to+step/2; v += step {
			c.YTicks = append(c.YTicks, Tick{y.of(v), number(v)})
		}
	}
	for i := range c.XTicks {
		c.XTicks[i].At = x.of(c.XTicks[i].At)
	}
	for i := range c.Marks {
		c.Marks[i] = x.of(c.Marks[i])
	}
	for _, one := range all {
		c.Lines = append(c.Lines, line(one, x, y))
	}
	return c
}

func line(one series, x, y scale) Line {
	l := Line{Name: one.name, Class: one.class, Dashed: one.dashed}
	var run []Dot
	flush := func() {
		switch len(run) {
		case 0:
		case 1:
			l.Dots = append(l.Dots, run[0])
		default:
			var b strings.Builder
			for i, p := range run {
				fmt.Fprintf(&b, "%c%.1f %.1f", "ML"[min(i, 1)], p.X, p.Y)
			}
			l.Paths = append(l.Paths, b.String())
		}
		run = nil
	}
	for i, v := range one.y {
		if math.IsNaN(v) || y.log && v <= 0 {
			flush()
			continue
		}
		run = append(run, Dot{x.of(one.x[i]), y.of(v)})
	}
	flush()
	return l
}

// niceStep divides 0 to high into 4 to 10 parts of a round number.
func niceStep(high float64) float64 {
	if !(high > 0) {
		return 1
	}
	step := math.Pow(10, math.Floor(math.Log10(high)))
	for _, part := range [...]float64{0.1, 0.2, 0.5, 1} {
		if high/(step*part) <= 6 {
			return step * part
		}
	}
	return step
}

// number is a figure of four digits or a whole one.
func number(v float64) string {
	if v >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// value is what a chart has for a figure that may not be known.
func value(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

// charts are those of a result.
func (r *Result) charts() []Chart {
	var at, requested, sent, accepted, answered, ackP50, ackP99, answerP50, answerP99, marks []float64
	var end float64
	for i, s := range r.Steps {
		if i > 0 {
			marks = append(marks, s.From)
			for _, broken := range []*[]float64{&requested, &sent, &accepted, &answered, &ackP50, &ackP99, &answerP50, &answerP99} {
				*broken = append(*broken, math.NaN()) // nothing was sent between two steps
			}
			at = append(at, s.From)
		}
		end = s.From + s.Seconds
		for k, in := range s.SecondBySecond {
			width := math.Min(1, s.Seconds-float64(k)) // the last may be a part
			at = append(at, s.From+in.At+width/2)
			requested = append(requested, float64(in.Requested)/width)
			sent = append(sent, float64(in.Sent)/width)
			accepted = append(accepted, float64(in.Accepted)/width)
			answered = append(answered, float64(in.Answered)/width)
			ackP50, ackP99 = append(ackP50, value(in.AckP50)), append(ackP99, value(in.AckP99))
			answerP50, answerP99 = append(answerP50, value(in.AnswerP50)), append(answerP99, value(in.AnswerP99))
		}
	}
	if len(at) == 0 {
		return nil
	}
	timeAxis := scale{from: 0, to: end}
	step := niceStep(end)
	var ticks []Tick
	for v := 0.0; v <= end+1e-9; v += step {
		ticks = append(ticks, Tick{v, number(v)})
	}
	over := func(title, note, unit string, logY bool, all ...series) Chart {
		return draw(Chart{
			Title: title, Note: note, XLabel: "seconds since the beginning", YLabel: unit,
			XTicks: append([]Tick(nil), ticks...), Marks: append([]float64(nil), marks...),
		}, timeAxis, all, logY)
	}
	all := []Chart{
		over("Requests a second", "What was to be sent, and what was.", "a second", false,
			series{name: "requested", class: "a", x: at, y: requested}, series{name: "sent", class: "b", x: at, y: sent},
			series{name: "accepted", class: "c", x: at, y: accepted}, series{name: "answered", class: "d", x: at, y: answered}),
		over("Latency to the acknowledgement", "Of the requests that were to be sent in each second. A gap: too many have no end.", "ms", true,
			series{name: "median", class: "c", x: at, y: ackP50}, series{name: "99 in 100", class: "e", x: at, y: ackP99}),
		over("Latency to the device's answer", "Likewise.", "ms", true,
			series{name: "median", class: "d", x: at, y: answerP50}, series{name: "99 in 100", class: "e", x: at, y: answerP99}),
	}
	return append(all, r.curves())
}

// curves draws the percentiles of the first step's latencies and, dashed, of the
// last one's. The table has all.
func (r *Result) curves() Chart {
	// The axis is the share of requests that are slower, falling: 1, 0.1, 0.01 ...
	slower := func(percentile float64) float64 { return 1 / (1 - percentile/100) }
	var all []series
	for i, s := range r.Steps {
		if i != 0 && i != len(r.Steps)-1 {
			continue
		}
		for _, part := range [...]struct {
			name, class string
			curve       []Point
		}{{"acknowledgement", "c", s.Ack.Curve}, {"answer", "d", s.Answer.Curve}} {
			one := series{name: fmt.Sprintf("%s at %s a second", part.name, number(s.Rate)), class: part.class, dashed: i > 0}
			for _, p := range part.curve {
				one.x, one.y = append(one.x, slower(p.Percentile)), append(one.y, p.MS)
			}
			all = append(all, one)
		}
	}
	c := Chart{
		Title: "Latency by percentile", Note: "A line ends where the next percentile is not known.",
		XLabel: "percentile", YLabel: "ms",
	}
	for _, p := range [...]float64{0, 50, 90, 99, 99.9, 99.99} {
		c.XTicks = append(c.XTicks, Tick{slower(p), number(p)})
	}
	return draw(c, scale{from: 1, to: slower(99.999), log: true}, all, true)
}
