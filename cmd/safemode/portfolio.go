package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"safemode/engine/portfolio"

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
column and reason. Nothing is ever sent for a rejected row. Exit 0 if the file could
be read to its end, whatever it holds; the reject file is then written anew, with a
header alone if no row is bad. Exit 2 if it could not; then there is no reject file.`,
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
				fmt.Fprintf(io.err, "safemode: columns that are not kept: %s\n", strings.Join(checked.Dropped, ", "))
			}
			if asJSON {
				return printJSON(io.out, checked)
			}
			fmt.Fprintf(io.out, "%d good rows, %d rejected; the rejected are in %s\n", checked.Good, checked.Rejected, checked.Rejects)
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
	Rejects  string   `json:"rejects"`
	Dropped  []string `json:"dropped_columns"`
}

// checkPortfolio reads a portfolio to its end and writes the reject file.
func checkPortfolio(ctx context.Context, file, rejects string) (checkedPortfolio, error) {
	checked := checkedPortfolio{File: file, Rejects: rejects, Dropped: []string{}}
	f, err := os.Open(file)
	if err != nil {
		return checked, failWith(exitUsage, err)
	}
	defer f.Close()
	if in, err := f.Stat(); err != nil {
		return checked, failWith(exitUsage, err)
	} else if out, err := os.Stat(rejects); err == nil && os.SameFile(in, out) {
		return checked, failWith(exitUsage, fmt.Errorf("--rejects names the portfolio itself: %s", rejects))
	}
	var broken error // of the portfolio, not of the reject file
	err = writeFile(rejects, 0o600, func(w io.Writer) error {
		out := table.NewWriter(w)
		_ = out.Write([]string{"line", "device_id", "column", "reason"}) // Flush tells
		options := portfolio.Options{Dropped: func(columns []string) { checked.Dropped = columns }}
		for _, err := range portfolio.Read(f, options) {
			var bad *portfolio.RowError
			switch {
			case ctx.Err() != nil:
				broken = failWith(exitInterrupted, errors.New("interrupted"))
				return broken
			case err == nil:
				checked.Good++
			case errors.As(err, &bad):
				checked.Rejected++
				_ = out.Write([]string{strconv.Itoa(bad.Line), bad.Device, bad.Column, bad.Reason})
			default:
				broken = failWith(exitUsage, fmt.Errorf("%s: %w", file, err))
				return broken
			}
		}
		out.Flush()
		return out.Error()
	})
	if broken != nil {
		return checked, broken
	}
	return checked, err
}
