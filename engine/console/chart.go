package console

import (
	"fmt"
	"strings"
	"time"
)

// Rates are what passes the sweep in a second, by its clock.
type Rates struct {
	At           time.Time // real time
	Requested    float64   // POSTs that meters' next steps asked for
	Sent         float64   // POSTs that the limits let go
	Acknowledged float64   // POSTs that the DCC took
	Answered     float64   // proven answers
}

// chart is the rates against the limit, 1000 wide and 200 high.
type chart struct {
	Lines   []line
	Limit   float64 // 0: none
	LimitY  float64
	Highest float64 // what the upper edge stands for
	Seconds int     // of real time, from the left to the right
}

// line is one rate.
type line struct {
	Name   string
	Points string
	Now    float64 // its mean over the last ten seconds
}

const chartWidth, chartHeight = 1000, 200

// draw makes the chart; nil where there is nothing to draw a line of.
func draw(course []Rates, limit *float64) *chart {
	if len(course) < 2 {
		return nil
	}
	c := &chart{}
	if limit != nil {
		c.Limit, c.Highest = *limit, *limit
	}
	kinds := [...]struct {
		name string
		of   func(Rates) float64
	}{
		{"requested", func(r Rates) float64 { return r.Requested }},
		{"sent", func(r Rates) float64 { return r.Sent }},
		{"acknowledged", func(r Rates) float64 { return r.Acknowledged }},
		{"answered", func(r Rates) float64 { return r.Answered }},
	}
	for _, r := range course {
		for _, kind := range kinds {
			c.Highest = max(c.Highest, kind.of(r))
		}
	}
	if c.Highest == 0 {
		return nil
	}
	c.Highest *= 1.05
	y := func(rate float64) float64 { return chartHeight * (1 - rate/c.Highest) }
	c.LimitY = y(c.Limit)
	first, last := course[0].At, course[len(course)-1].At
	c.Seconds = int(last.Sub(first).Seconds())
	span := max(last.Sub(first).Seconds(), 1)
	for _, kind := range kinds {
		var b strings.Builder
		l := line{Name: kind.name}
		recent := course[max(0, len(course)-10):]
		for _, r := range recent {
			l.Now += kind.of(r) / float64(len(recent))
		}
		for _, r := range course {
			fmt.Fprintf(&b, "%.1f,%.1f ", chartWidth*r.At.Sub(first).Seconds()/span, y(kind.of(r)))
		}
		l.Points = strings.TrimSpace(b.String())
		c.Lines = append(c.Lines, l)
	}
	return c
}
