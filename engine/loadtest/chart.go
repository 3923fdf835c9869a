package loadtest

import (
	"fmt"
	"math"

	"safemode/engine/chart"
)

// drawn is a chart of the page, with what to know of it.
type drawn struct {
	Title, Note string
	Chart       chart.Chart
}

// value is what a chart has for a figure that may not be known.
func value(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

// charts are those of a result.
func (r *Result) charts() []drawn {
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
	over := func(title, note, unit string, log bool, all ...chart.Series) drawn {
		return drawn{title, note, chart.Draw(chart.Options{
			Title: title, Marks: marks,
			X: chart.Axis{Label: "since the beginning", To: end, Ticks: chart.Times(end)}, Y: chart.Axis{Label: unit, Log: log},
		}, all...)}
	}
	line := func(name, class string, y []float64) chart.Series {
		return chart.Series{Name: name, Class: class, X: at, Y: y}
	}
	all := []drawn{
		over("Requests a second", "What was to be sent, and what was.", "a second", false,
			line("requested", "a", requested), line("sent", "b", sent), line("accepted", "c", accepted), line("answered", "d", answered)),
		over("Latency to the acknowledgement", "Of the requests that were to be sent in each second. A gap: too many have no end.", "ms", true,
			line("median", "c", ackP50), line("99 in 100", "e", ackP99)),
		over("Latency to the device's answer", "Likewise.", "ms", true,
			line("median", "d", answerP50), line("99 in 100", "e", answerP99)),
	}
	return append(all, r.curves())
}

// curves draws the percentiles of the first step's latencies and, dashed, of the
// last one's. The table has all.
func (r *Result) curves() drawn {
	// The axis is the share of requests that are slower, falling: 1, 0.1, 0.01 ...
	slower := func(percentile float64) float64 { return 1 / (1 - percentile/100) }
	var all []chart.Series
	for i, s := range r.Steps {
		if i != 0 && i != len(r.Steps)-1 {
			continue
		}
		for _, part := range [...]struct {
			name, class string
			curve       []Point
		}{{"acknowledgement", "c", s.Ack.Curve}, {"answer", "d", s.Answer.Curve}} {
			one := chart.Series{Name: fmt.Sprintf("%s at %s a second", part.name, chart.Number(s.Rate)), Class: part.class}
			if i > 0 {
				one.Class += " last"
			}
			for _, p := range part.curve {
				one.X, one.Y = append(one.X, slower(p.Percentile)), append(one.Y, p.MS)
			}
			all = append(all, one)
		}
	}
	o := chart.Options{
		Title: "Latency by percentile",
		X:     chart.Axis{Label: "percentile", Log: true, To: slower(99.999)}, Y: chart.Axis{Label: "ms", Log: true},
	}
	for _, p := range [...]float64{0, 50, 90, 99, 99.9, 99.99} {
		o.X.Ticks = append(o.X.Ticks, chart.Tick{At: slower(p), Label: chart.Number(p)})
	}
	return drawn{o.Title, "A line ends where the next percentile is not known.", chart.Draw(o, all...)}
}
