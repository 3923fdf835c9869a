package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"safemode/engine/journal"
	"safemode/engine/journal/store"
	"safemode/engine/plan"
	"safemode/engine/record"
)

// sweepLine is what is said of one sweep of a database.
type sweepLine struct {
	Name    string     `json:"sweep"`
	State   string     `json:"state"` // running, cut_off, not_begun, or how it was closed
	Holder  string     `json:"holder,omitempty"`
	Since   *time.Time `json:"since,omitempty"`   // it holds it, or held it last
	Standby []string   `json:"standby,omitempty"` // the machines that stand by for it
	Meters  int        `json:"meters"`            // of the plan
	Records uint64     `json:"records"`
	Last    *time.Time `json:"last,omitempty"` // time of the last record, by the sweep's clock
	Journal string     `json:"journal_id,omitempty"`
}

func newSweeps(io stdio) *cobra.Command {
	var database string
	var asJSON bool
	c := &cobra.Command{
		Use:   "sweeps --database ADDRESS",
		Short: "List the sweeps whose journals are in a database",
		Long: `Says of each sweep whether it is running, who holds it and who stands by, or how it was
closed; how many meters its plan has, how many records its journal, and when the last was
written.
cut_off: it was opened, nobody closed it, and nobody holds it now.`,
		Example: `  safemode sweeps --database postgres://srp@db.example/sweeps`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			found, err := store.Sweeps(c.Context(), database)
			if err != nil {
				return failWith(journalCode(err), err)
			}
			lines := []sweepLine{}
			for _, s := range found {
				line, err := describe(c.Context(), s)
				if err != nil {
					return failWith(journalCode(err), err)
				}
				lines = append(lines, line)
			}
			if asJSON {
				return printJSON(io.out, lines)
			}
			w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "SWEEP\tSTATE\tMETERS\tRECORDS\tLAST RECORD\tHOLDER\tSTANDS BY")
			for _, l := range lines {
				last, holder := "", l.Holder
				if l.Last != nil {
					last = l.Last.Format(time.RFC3339)
				}
				if l.Since != nil {
					holder += ", since " + l.Since.Format(time.RFC3339)
				}
				fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%s\n", l.Name, l.State, l.Meters, l.Records, last, holder, strings.Join(l.Standby, ", "))
			}
			return w.Flush()
		},
	}
	c.Flags().StringVar(&database, "database", "", "postgres://USER@HOST/DATABASE")
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON")
	required(c, "database")
	return c
}

// describe reads of one sweep what its journal says at its beginning and at its end.
func describe(ctx context.Context, s store.Sweep) (l sweepLine, err error) {
	l = sweepLine{Name: s.Name, State: "not_begun", Holder: s.Holder, Standby: s.Standby, Records: s.Records}
	if !s.Since.IsZero() {
		l.Since = &s.Since
	}
	if s.Records == 0 {
		return l, nil
	}
	j, err := journal.OpenReadOnly(s.Address)
	if err != nil {
		return l, err
	}
	defer j.Close()
	l.Journal = j.ID()
	planned, err := j.At(ctx, 1)
	if err != nil {
		return l, err
	}
	var header plan.Header
	if planned.Kind == record.Planned {
		if err := json.Unmarshal(planned.Body, &header); err != nil {
			return l, fmt.Errorf("%s: the plan's header: %w", s.Name, err)
		}
		l.Meters = header.Counts.Targets
	}
	last, err := j.At(ctx, j.Tip().Seq)
	if err != nil {
		return l, err
	}
	l.Last = &last.At
	opened, err := j.Latest(ctx, record.Opened)
	if err != nil {
		return l, err
	}
	closed, err := j.LatestAfter(ctx, opened.Seq, record.Closed)
	switch {
	case err != nil:
		return l, err
	case s.Held:
		l.State = "running"
	case closed.Seq > 0:
		l.State = closed.Code
	case opened.Seq > 0:
		l.State = "cut_off"
	}
	return l, nil
}
