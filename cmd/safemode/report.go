package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"safemode/engine/journal"
	"safemode/engine/report"
)

func newReport(io stdio) *cobra.Command {
	var journalPath, out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "report --journal FILE --out DIR",
		Short: "Reports from the journal alone",
		Long: `Writes summary.json, summary.txt, meters.csv and not_covered.csv, from the journal
and nothing else. It may be run while a sweep writes the journal.`,
		Example: `  safemode report --journal journal.db --out report`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := foldJournal(c.Context(), journalPath)
			if err != nil {
				return err
			}
			if err := r.Write(out); err != nil {
				return failWith(exitFailed, err)
			}
			return printReport(io, r, out, asJSON)
		},
	}
	c.Flags().StringVar(&journalPath, "journal", "", "the sweep's journal")
	c.Flags().StringVar(&out, "out", "", "folder for the reports")
	c.Flags().BoolVar(&asJSON, "json", false, "print the summary as one line of JSON")
	_ = c.MarkFlagRequired("journal")
	_ = c.MarkFlagRequired("out")
	return c
}

// foldJournal reads a journal into a report.
func foldJournal(ctx context.Context, path string) (*report.Report, error) {
	j, err := journal.OpenReadOnly(path)
	if err != nil {
		return nil, failWith(journalCode(err), err)
	}
	defer j.Close()
	r, err := report.Fold(j.Records(ctx, 1))
	if err != nil {
		return nil, failWith(journalCode(err), fmt.Errorf("%s: %w", path, err))
	}
	return r, nil
}

// printReport shows a report: the summary as JSON, or for people.
func printReport(io stdio, r *report.Report, out string, asJSON bool) error {
	if asJSON {
		return failWith(exitFailed, r.Summary.WriteJSON(io.out))
	}
	if err := r.WriteText(io.out); err != nil {
		return failWith(exitFailed, err)
	}
	absolute, err := filepath.Abs(out)
	if err != nil {
		absolute = out
	}
	fmt.Fprintf(io.err, "reports in %s\n", absolute)
	return nil
}
