package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"safemode/engine/advice"
	"safemode/engine/callbook"
	"safemode/engine/portfolio"
	"safemode/engine/report"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/table"
)

func newCalls(std stdio) *cobra.Command {
	return group("calls", "Whom the call centre calls, and what came of it", newCallsList(std), newCallsImport(std))
}

// callFlags name a journal, and the call centre's record.
type callFlags struct {
	journal, record string
	asJSON          bool
}

func (f *callFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.journal, "journal", "", "the sweep's journal")
	c.Flags().StringVar(&f.record, "calls", "", "the record of calls (default beside the journal, with "+callbook.Suffix+" added to its name)")
	c.Flags().BoolVar(&f.asJSON, "json", false, "one line of JSON")
	required(c, "journal")
}

// read reads the journal and the record.
func (f *callFlags) read(ctx context.Context) (*report.Report, []callbook.Call, error) {
	if f.record == "" {
		f.record = callbook.Beside(f.journal)
	}
	if f.record == "" {
		return nil, nil, failWith(exitUsage, errors.New("--calls is needed: this journal is no file that the record could be beside"))
	}
	r, err := readReport(ctx, f.journal)
	if err != nil {
		return nil, nil, err
	}
	all, err := callbook.Read(f.record, r.Summary.SweepID)
	return r, all, failWith(exitFailed, err)
}

// calledBy is a record as a report takes it; until is zero for all of it.
func calledBy(all []callbook.Call, until time.Time) map[string]report.Called {
	called := map[string]report.Called{}
	for mpxn, h := range callbook.ByHome(all, until) {
		called[mpxn] = report.Called{Attempts: h.Attempts, Outcome: h.Last.Outcome, Person: h.Last.Person, At: h.Last.At, Done: h.Done}
	}
	return called
}

func newCallsList(std stdio) *cobra.Command {
	var f callFlags
	var out string
	c := &cobra.Command{
		Use:   "list --journal FILE --out FILE.csv|FILE.xlsx",
		Short: "Write the list of homes to call",
		Long: `Writes a line for each meter that is armed or not safe, or known to be off: longest without
supply first, with what to say (which button, by the model), and what was done so far. The
columns outcome, person, at and note are blank: they are filled in, and the list comes back by
calls import. It may be made while a sweep writes the journal.

The format follows the name: .xlsx is a workbook, in which every cell is text. go doc
./engine/report explains the columns, go doc ./engine/callbook the outcomes.`,
		Example: `  safemode calls list --journal journal.db --out calls.xlsx
  safemode calls list --journal journal.db --out calls.csv`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ext := filepath.Ext(out)
			if ext != ".csv" && ext != ".xlsx" {
				return failWith(exitUsage, fmt.Errorf("--out %s: want a name that ends in .csv or .xlsx", out))
			}
			r, all, err := f.read(c.Context())
			if err != nil {
				return err
			}
			list := r.CallSheet(calledBy(all, time.Time{}), advice.NextFor)
			write := list.WriteCSV
			if ext == ".xlsx" {
				write = list.WriteXLSX
			}
			if err := writeFile(out, 0o600, write); err != nil {
				return err
			}
			n := list.Progress
			return printResult(std.out, f.asJSON, n, "%s: %d meters to call about: %d done, %d tried, %d not tried yet\n", out, n.ToCall, n.Done, n.Tried, n.ToCall-n.Done-n.Tried)
		},
	}
	f.add(c)
	c.Flags().StringVar(&out, "out", "", "file to write, .csv or .xlsx; replaced if it exists")
	required(c, "out")
	return c
}

func newCallsImport(std stdio) *cobra.Command {
	var f callFlags
	var rejects, by string
	c := &cobra.Command{
		Use:   "import FILE --journal FILE",
		Short: "Take in what came of the calls",
		Long: `Reads a CSV with the columns mpxn, outcome, person, at and note, as the call list has them,
and adds what is new to the record of calls beside the journal: durably, by name, and so
that a changed line is found. It changes nothing that is sent, and may be done while the
sweep runs. Lists, the page and the weekly report then say how far the call centre is.

Outcomes of a try: no_answer, message, call_back, wrong_number. Outcomes that end it:
pressed, visit, moved, other. A row without an outcome counts as not called. A row that came
in before is passed over. A row with a fault goes to a reject file with its line and reason;
the others are taken in. Exit 0 if the file could be read to its end and not every row with
an outcome was rejected.`,
		Example: `  safemode calls import calls.csv --journal journal.db --by "Ada Byron"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if rejects == "" {
				rejects = args[0] + ".rejects.csv"
			}
			r, _, err := f.read(c.Context())
			if err != nil {
				return err
			}
			text, err := safefile.Read(args[0], safefile.List, safefile.Checked)
			if err != nil {
				return failWith(exitUsage, err)
			}
			good, bad, blank, err := callbook.Parse(bytes.NewReader(text), homesOf(r), time.Now())
			if err != nil {
				return failWith(exitUsage, fmt.Errorf("%s: %w", args[0], err))
			}
			if sameFile(args[0], rejects) {
				return failWith(exitUsage, fmt.Errorf("--rejects names the list itself: %s", rejects))
			}
			if err := writeFile(rejects, 0o600, func(w io.Writer) error { return writeRejectedCalls(w, bad) }); err != nil {
				return err
			}
			added, err := callbook.Add(f.record, r.Summary.SweepID, by, time.Now(), good)
			if err != nil {
				return failWith(exitFailed, err)
			}
			taken := map[string]any{"added": added, "known": len(good) - added, "blank": blank, "rejected": len(bad), "rejects": rejects, "record": f.record}
			err = printResult(std.out, f.asJSON, taken, "%d calls taken in, %d were known, %d rows say nothing, %d rejected; the rejected are in %s\n",
				added, len(good)-added, blank, len(bad), rejects)
			if err == nil && len(good) == 0 && len(bad) > 0 {
				err = failWith(exitUsage, fmt.Errorf("%s: no good row: %w", args[0], bad[0]))
			}
			return err
		},
	}
	f.add(c)
	c.Flags().StringVar(&rejects, "rejects", "", "reject file to write (default FILE.rejects.csv)")
	c.Flags().StringVar(&by, "by", claimant(), "who takes them in; it is recorded")
	return c
}

// homesOf finds a planned home by an MPxN as people write it, and returns it as the plan has it.
func homesOf(r *report.Report) func(string) (string, bool) {
	homes := map[string]string{}
	for i := range r.Meters {
		mpxn := r.Meters[i].Target.MPxN
		if plain, err := portfolio.PlainMPxN(mpxn); err == nil {
			homes[plain] = mpxn
		}
	}
	return func(text string) (string, bool) {
		plain, err := portfolio.PlainMPxN(text)
		if err != nil {
			return "", false
		}
		mpxn, known := homes[plain]
		return mpxn, known
	}
}

func writeRejectedCalls(w io.Writer, bad []*callbook.RowError) error {
	out := table.NewWriter(w)
	out.Write("line", "mpxn", "reason")
	for _, e := range bad {
		out.Write(strconv.Itoa(e.Line), e.MPxN, e.Reason)
	}
	return out.End()
}

// sameFile says whether two names are of one file that is there.
func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// calledBeside adds the record beside a journal to a report's options. If it cannot be read, the
// report has no calls, and the reader is told.
func calledBeside(std stdio, r *report.Report, journalPath string, o *report.Options) {
	o.Say = advice.NextFor
	path := callbook.Beside(journalPath)
	if path == "" {
		return
	}
	all, err := callbook.Read(path, r.Summary.SweepID)
	if err != nil {
		fmt.Fprintf(std.err, "warning: the reports say nothing of calls: %v\n", err)
		return
	}
	o.Called = calledBy(all, o.WeekTo)
}
