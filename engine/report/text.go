package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// WriteText writes the summary for people: every number with what it is a
// number of.
func (r *Report) WriteText(w io.Writer) error {
	s := r.Summary
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, record.Identity{Environment: s.Environment}.Banner())
	fmt.Fprintf(out, "Sweep %s, plan %.12s: %s.\n", cmp.Or(s.SweepID, "without identity"), s.PlanSHA256, cmp.Or(r.Ended, "not ended"))
	duration := time.Duration(s.DurationSeconds * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(out, "%v by the sweep's clock, %.1f Service Requests a second.\n\n", duration, s.RequestRate)

	fmt.Fprintf(out, "Meters, of %d planned\n", s.Meters)
	for i, n := range s.Verdicts.list() {
		fmt.Fprintf(out, "%s\t%d of %d\t%s\t  %s\n", verdictWords[i][0], n, s.Meters, percent(n, s.Meters), verdictWords[i][1])
	}
	rows := s.Meters + s.NotCovered
	fmt.Fprintf(out, "not covered\t%d of %d\t%s\t  rows of the portfolio that were rejected; nothing of them is sent\n\n",
		s.NotCovered, rows, percent(s.NotCovered, rows))
	if s.SMETS1 != nil {
		fmt.Fprintf(out, "%s\n\n", s.SMETS1.text(rows))
	}

	homes := s.Homes.all()
	type row struct {
		word    string
		n       int
		meaning string
	}
	for _, part := range [...]struct {
		heading string
		rows    []row
	}{
		{"Homes (both fuels together), of %d with a planned meter", []row{
			{"all on supply", s.Homes.AllOnSupply, "all their meters"},
			{"armed", s.Homes.Armed, "a meter is armed, the others are on supply"},
			{"other", s.Homes.Other, "a meter is not safe, unknown or excluded"},
		}},
		{"Homes that need a person (calls.csv), of %d", []row{
			{"armed", s.Calls.Armed, "a supply is armed, none is dark: the consumer must press the button"},
			{"dark", s.Calls.Dark, "a supply is off and not armed: somebody must act otherwise"},
		}},
	} {
		fmt.Fprintf(out, part.heading+"\n", homes)
		for _, row := range part.rows {
			fmt.Fprintf(out, "%s\t%d of %d\t%s\t  %s\n", row.word, row.n, homes, percent(row.n, homes), row.meaning)
		}
		fmt.Fprintln(out)
	}

	sent := 0
	fmt.Fprint(out, "Service Requests\n")
	fmt.Fprint(out, "SRV\tsent\tsuccess\tnegative\tno response\trejected\tin doubt\tunverified\t\n")
	for _, service := range servicerequests.Services {
		if c, used := s.Requests[service.SRV()]; used {
			sent += c.Sent
			fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", service.SRV(),
				c.Sent, c.Success, c.Negative, c.NoResponse, c.Rejected, c.InDoubt, c.Unverified)
		}
	}
	fmt.Fprintf(out, "\nRefused: %d not permitted, %d not correlated, %d not verified. Forbidden commands sent: %d.\n",
		s.Refused.Unpermitted, s.Refused.Uncorrelated, s.Refused.Unverified, s.ForbiddenCommands)
	fmt.Fprintf(out, "Originator counters: %d used, %d to %d; %d used twice.\n",
		s.Counters.Used, s.Counters.First, s.Counters.Last, s.Counters.Reused)
	for _, line := range s.homesFirst() {
		fmt.Fprintln(out, line)
	}
	fmt.Fprintf(out, "Put off by the DCC: %d times. Quarantined by the DCC: %d of %d requests.\n", s.Throttled, s.Quarantined, sent)
	if text := s.otherText(); text != "" {
		fmt.Fprintln(out, text)
	}
	if s.Transfers != nil {
		s.Transfers.writeText(out, s.Meters)
	}
	if len(s.Departures) > 0 {
		fmt.Fprintln(out, s.departures())
	}
	if s.Truth != nil {
		s.Truth.writeText(out, s.Meters)
	}
	if s.DarkHours != nil {
		s.DarkHours.writeText(out)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	r.writeEvents(w)
	return nil
}

// writeText writes what the comparison gave for people.
func (t *Truth) writeText(out io.Writer, meters int) {
	fmt.Fprintf(out, "Truth: %d of %d meters compared with the simulator, %d mismatches.\n", t.Checked, meters, t.Mismatches)
	for _, kind := range slices.Sorted(maps.Keys(t.ByKind)) {
		fmt.Fprintf(out, "  %s: %d\n", kind, t.ByKind[kind])
	}
	fmt.Fprintf(out, "Safe: %.1f %% of the %d meters that could answer. Homes left off for what was lost, refused or bent on the way: %d.\n",
		100*t.ShareSafe, t.CouldAnswer, t.MissedWithExcuse)
	if o := t.OtherTraffic; o != nil {
		fmt.Fprintf(out, "Other traffic: %d messages sent, %d counted, %d not judged yet as the sweep ended, %d lost, %d taken for something else.\n",
			o.Sent, o.Counted, o.Unjudged, o.Lost, o.Mistaken)
	}
}

func percent(n, of int) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
}
