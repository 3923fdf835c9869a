package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"safemode/config"
	"safemode/engine/portfolio"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/table"
)

func newPortfolio(io stdio) *cobra.Command {
	return group("portfolio", "The failed supplier's meters, as they are claimed to be", newPortfolioCheck(io))
}

func newPortfolioCheck(io stdio) *cobra.Command {
	var rejects string
	var asJSON bool
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Validate a portfolio, row by row",
		Long: `Counts the good rows and writes every bad one to a reject file with its line, device,
column and reason. Nothing is ever sent for a rejected row, nor to a SMETS1 meter, which
is counted by itself and written there as well. Rows of empty fields claim no meter.
Exit 0 if the file could be read to its end and a row of it is good; the reject file is
then written again, with a header alone if no row is bad. Exit 2 if no row is good, and if
the file could not be read; then there is no reject file.`,
		Example: `  safemode portfolio check portfolio.csv
  safemode portfolio check portfolio.csv --rejects bad.csv --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if rejects == "" {
				rejects = args[0] + ".rejects.csv"
			}
			checked, err := checkPortfolio(c.Context(), args[0], rejects)
			if err != nil {
				return err
			}
			if len(checked.Dropped) > 0 {
				fmt.Fprintf(io.err, "safemode: columns that are not kept: %s\n", table.Names(checked.Dropped))
			}
			if asJSON {
				checked.Dropped = table.Showable(checked.Dropped)
				err = printJSON(io.out, checked)
			} else {
				checked.print(io.out)
			}
			if err == nil && checked.Good == 0 {
				err = failWith(exitUsage, fmt.Errorf("%s: no good row: %s", checked.File, cmp.Or(checked.why(), "there is none at all")))
			}
			if err != nil {
				return err
			}
			w := wayHere(io, config.Night{Portfolio: args[0]})
			w.say(io, w.plan())
			return nil
		},
	}
	c.Flags().StringVar(&rejects, "rejects", "", "reject file to write (default FILE.rejects.csv)")
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON")
	return c
}

// checkedPortfolio is what portfolio check prints.
type checkedPortfolio struct {
	File     string   `json:"file"`
	Good     int      `json:"good"`
	Rejected int      `json:"rejected"`
	SMETS1   int      `json:"smets1"`
	Blank    int      `json:"blank_rows"`
	Rejects  string   `json:"rejects"`
	Dropped  []string `json:"dropped_columns"` // those that look like a column's name

	Reasons []rejection `json:"reasons"` // the most frequent first
}

// rejection is why rows are rejected: the same column is wrong.
type rejection struct {
	Column string `json:"column"` // empty: the row as a whole
	Rows   int    `json:"rows"`
	Line   int    `json:"line"`   // of the first such row
	Reason string `json:"reason"` // of that one
}

func (c *checkedPortfolio) reject(bad *portfolio.RowError) {
	for i := range c.Reasons {
		if r := &c.Reasons[i]; r.Column == bad.Column {
			r.Rows++
			return
		}
	}
	c.Reasons = append(c.Reasons, rejection{bad.Column, 1, bad.Line, bad.Reason})
}

// why says why rows are rejected, with an example of each.
func (c *checkedPortfolio) why() string {
	var said []string
	for _, r := range c.Reasons {
		said = append(said, fmt.Sprintf("%d for %s (line %d: %s)", r.Rows, cmp.Or(r.Column, "the row as a whole"), r.Line, table.Shown(r.Reason)))
	}
	return strings.Join(said, ", ")
}

func (c *checkedPortfolio) print(w io.Writer) {
	fmt.Fprintf(w, "%d good rows, %d rejected; the rejected are in %s\n", c.Good, c.Rejected, c.Rejects)
	if why := c.why(); why != "" {
		fmt.Fprintf(w, "  rejected: %s\n", why)
	}
	if c.SMETS1 > 0 {
		fmt.Fprintf(w, "  %d SMETS1 meters: counted and handed over, never sent anything\n", c.SMETS1)
	}
	if c.Blank > 0 {
		fmt.Fprintf(w, "  %d rows of empty fields claim no meter\n", c.Blank)
	}
}

// checkPortfolio reads a portfolio to its end and writes the reject file.
func checkPortfolio(ctx context.Context, file, rejects string) (checkedPortfolio, error) {
	checked := checkedPortfolio{File: file, Rejects: rejects, Dropped: []string{}, Reasons: []rejection{}}
	f, err := safefile.Open(file, safefile.Mass, safefile.Checked)
	if err != nil {
		return checked, failWith(exitUsage, err)
	}
	defer f.Close()
	if sameFile(file, rejects) {
		return checked, failWith(exitUsage, fmt.Errorf("--rejects names the portfolio itself: %s", rejects))
	}
	var broken error // of the portfolio, not of the reject file
	err = writeFile(rejects, 0o600, func(w io.Writer) error {
		out := table.NewWriter(w)
		out.Write("line", "device_id", "column", "reason")
		options := portfolio.Options{
			Dropped: func(columns []string) { checked.Dropped = columns },
			Blank:   func(rows int) { checked.Blank = rows },
		}
		for _, err := range portfolio.Read(f, options) {
			var bad *portfolio.RowError
			switch {
			case ctx.Err() != nil:
				broken = failWith(exitInterrupted, errors.New("interrupted"))
				return broken
			case err == nil:
				checked.Good++
			case errors.As(err, &bad):
				if bad.SMETS1 != nil {
					checked.SMETS1++
				} else {
					checked.Rejected++
					checked.reject(bad)
				}
				out.Write(strconv.Itoa(bad.Line), bad.Device, bad.Column, bad.Reason)
			default:
				broken = failWith(exitUsage, fmt.Errorf("%s: %w", file, err))
				return broken
			}
		}
		slices.SortStableFunc(checked.Reasons, func(a, b rejection) int { return b.Rows - a.Rows })
		return out.End()
	})
	if broken != nil {
		return checked, broken
	}
	return checked, err
}
