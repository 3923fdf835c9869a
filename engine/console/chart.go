package console

import (
	"fmt"
	"math"

	"safemode/engine/chart"
	"safemode/engine/record"
)

// mostPoints is how many a line has: each is the mean of as many moments as it takes.
const (
	mostPoints  = 120
	smallPoints = 60
)

// lately is how many moments the numbers beside the lines cover: seconds of real time.
const lately = 10

// pace draws what passes the sweep against its limit; nil where nothing has passed yet.
func pace(course []record.Moment, limit *float64) *chart.Chart {
	kinds := []kind{
		{"requested", func(m record.Moment) float64 { return m.Requested }},
		{"sent", func(m record.Moment) float64 { return m.Sent }},
		{"acknowledged", func(m record.Moment) float64 { return m.Acknowledged }},
		{"answered", func(m record.Moment) float64 { return m.Answered }},
	}
	o, all, highest := over(course, kinds, mostPoints)
	if highest == 0 {
		return nil
	}
	if limit != nil {
		all = append(all, chart.Series{Name: "limit", Class: "limit", Value: rate(*limit), X: []float64{0, o.X.To}, Y: []float64{*limit, *limit}})
	}
	o.Title, o.Y.Label = "POSTs and proven answers a second", "a second, by the sweep's clock"
	c := chart.Draw(o, all...)
	return &c
}

// regions draws how requests end in each region, all to one scale, in the order of
// [record.Status.Heard]; nil where none has ended yet.
func regions(course []record.Moment, heard []record.RegionHeard) (charts []chart.Chart) {
	if len(course) == 0 || len(course[0].Regions) != len(heard) {
		return nil
	}
	var options []chart.Options
	var series [][]chart.Series
	highest := 0.0
	for i := range heard {
		o, all, most := over(course, []kind{
			{"answered", func(m record.Moment) float64 { return m.Regions[i].Answered }},
			{"failed", func(m record.Moment) float64 { return m.Regions[i].Failed }},
		}, smallPoints)
		o.Title = heard[i].Region + ", requests a second by how they ended"
		o.Small = true
		options, series, highest = append(options, o), append(series, all), max(highest, most)
	}
	if highest == 0 {
		return nil
	}
	top := chart.Step(highest)
	top *= math.Ceil(highest/top - 1e-9)
	for i, o := range options {
		o.Y.To, o.Y.Ticks = top, []chart.Tick{{At: 0, Label: "0"}, {At: top, Label: chart.Number(top)}}
		charts = append(charts, chart.Draw(o, series[i]...))
	}
	return charts
}

// kind is one rate of a moment.
type kind struct {
	name string
	of   func(record.Moment) float64
}

// over makes a line of each kind over the time of the course. highest is 0 where there is
// nothing to draw a line of.
func over(course []record.Moment, kinds []kind, points int) (o chart.Options, all []chart.Series, highest float64) {
	if len(course) < 2 {
		return o, nil, 0
	}
	first := course[0].At
	span := math.Max(course[len(course)-1].At.Sub(first).Seconds(), 1)
	o.X.To = span
	for _, t := range chart.Times(span) { // counted from now
		at := chart.Tick{At: span - t.At, Label: t.Label + " ago"}
		if t.At == 0 {
			at.Label = "now"
		}
		o.X.Ticks = append(o.X.Ticks, at)
	}
	each := (len(course) + points - 1) / points
	for _, k := range kinds {
		mean := func(some []record.Moment) (sum float64) {
			for _, m := range some {
				sum += k.of(m) / float64(len(some))
			}
			return sum
		}
		one := chart.Series{Name: k.name, Class: k.name, Value: rate(mean(course[max(0, len(course)-lately):]))}
		for end := (len(course)-1)%each + 1; end <= len(course); end += each { // so that the last is whole
			some := course[max(0, end-each):end]
			y := mean(some)
			one.X, one.Y = append(one.X, some[len(some)-1].At.Sub(first).Seconds()), append(one.Y, y)
			highest = max(highest, y)
		}
		all = append(all, one)
	}
	return o, all, highest
}

// rate is a number a second, for people.
func rate(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 0.01:
		return "under 0.01"
	case v < 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.1f", v)
}
