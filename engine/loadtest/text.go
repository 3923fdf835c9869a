package loadtest

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"safemode/engine/chart"
)

// WriteText writes the result for a terminal.
func (r *Result) WriteText(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...any) {
		for _, c := range cells {
			fmt.Fprintf(w, "%v\t", c)
		}
		fmt.Fprintln(w)
	}
	row("a second", "requested", "sent", "late", "dropped", "accepted", "answered", "refused", "throttled", "rejected", "in doubt", "sent/s", "accepted/s", "answered/s")
	for _, s := range r.Steps {
		row(chart.Number(s.Rate), s.Requested, s.Sent, s.Late, s.Dropped, s.Accepted, s.Answered, s.Refused, s.Throttled, s.Rejected, s.InDoubt,
			chart.Number(s.SentRate), chart.Number(s.AcceptedRate), chart.Number(s.AnsweredRate))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	row("a second", "latency to", "median", "90 %", "99 %", "99.9 %", "maximum", "without end")
	for _, s := range r.Steps {
		for _, part := range [...]struct {
			name string
			l    Latency
		}{{"acknowledgement", s.Ack}, {"answer", s.Answer}} {
			row(chart.Number(s.Rate), part.name, msText(part.l.P50), msText(part.l.P90), msText(part.l.P99), msText(part.l.P999), msText(part.l.Max),
				fmt.Sprintf("%d of %d", part.l.Censored, part.l.Samples))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(r.Checks) > 0 {
		fmt.Fprintln(out)
	}
	for _, c := range r.Checks {
		word := "does not hold"
		if c.Pass {
			word = "holds"
		}
		fmt.Fprintf(w, "%s\tat %s a second\t%s\t%s\n", c.Threshold, chart.Number(c.Rate), c.Value, word)
	}
	if len(r.Compared) > 0 {
		fmt.Fprintln(w, "\nbeside the earlier test\tbefore\tnow\tnow / before")
	}
	for _, c := range r.Compared {
		fmt.Fprintf(w, "%s at %s a second\t%s\t%s\t%s\n", c.Metric, chart.Number(c.Rate), figure(c.Before), figure(c.After), figure(c.Ratio))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	word := "passed"
	if !r.Pass {
		word = "did not pass"
	}
	if r.Doubt != "" {
		fmt.Fprintf(out, "\n%s\n", r.Doubt)
	}
	_, err := fmt.Fprintf(out, "\n%s: %s\n", word, r.Why)
	return err
}

func msText(v *float64) string {
	if v == nil {
		return "not known"
	}
	return milliseconds(*v)
}

func figure(v *float64) string {
	if v == nil {
		return "not known"
	}
	return strconv.FormatFloat(*v, 'g', 4, 64)
}
