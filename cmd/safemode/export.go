package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/servicerequests"
)

func newJournalExport(streams stdio) *cobra.Command {
	var path, format, out, from, to string
	var devices, kinds []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "export --journal FILE|ADDRESS --format sqlite|jsonl|csv [--out FILE]",
		Short: "Write a journal's records as rows, with the chain's hashes",
		Long: `Writes the records of a journal, or those of a time, of devices or of kinds, as rows:
jsonl and csv to standard output or into a new file, sqlite into a new file with the one
table record. The whole chain is checked on the way, also of what is not written; each row
has its hash. It may be run while a sweep writes the journal.

What an auditor asks, of an export to sqlite:

  all of one meter
    SELECT seq, datetime(at/1000000000, 'unixepoch'), kind, srv, code FROM record
    WHERE printf('%016X', device) = '00DB12E000000001' ORDER BY seq
  every signed command, with its counter
    SELECT seq, srv, printf('%016X', target), counter FROM record WHERE kind = 'signed_command'
  a counter that was signed twice (there is none)
    SELECT originator, counter, count(*) FROM record WHERE kind = 'signed_command' GROUP BY 1, 2 HAVING count(*) > 1
  how requests ended
    SELECT srv, code, count(*) FROM record WHERE kind = 'outcome' GROUP BY 1, 2
  where meters stand: the last verdict of each
    SELECT code, count(*) FROM (SELECT device, code, max(seq) FROM record WHERE kind = 'verdict' GROUP BY device) GROUP BY 1
  who ordered what
    SELECT seq, code, CAST(body AS TEXT) FROM record WHERE kind = 'operator'`,
		Example: `  safemode journal export --journal journal.db --format sqlite --out rows.db
  safemode journal export --journal journal.db --format jsonl --device 00-DB-12-E0-00-00-00-01
  safemode journal export --journal journal.db --format csv --kind operator,tripwire,halted --from 2026-11-25T17:00:00Z`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := selection(from, to, devices, kinds)
			if err != nil {
				return failWith(exitUsage, err)
			}
			switch {
			case format != "sqlite" && format != "jsonl" && format != "csv":
				return failWith(exitUsage, fmt.Errorf("--format %q: want sqlite, jsonl or csv", format))
			case out == "" && (format == "sqlite" || asJSON):
				return failWith(exitUsage, errors.New("--out: name a new file: standard output is not free for the rows"))
			}
			j, err := journal.OpenReadOnly(path)
			if err != nil {
				return failWith(journalCode(err), err)
			}
			defer j.Close()
			n, err := export(c.Context(), j, s, format, out, streams.out)
			if errors.Is(err, os.ErrExist) {
				return failWith(exitUsage, fmt.Errorf("%s exists: name a new file", out))
			}
			if err != nil {
				return failWith(journalCode(err), err)
			}
			switch {
			case asJSON:
				return printJSON(streams.out, struct {
					Out     string `json:"out"`
					Records uint64 `json:"records"`
				}{out, n})
			case out != "":
				fmt.Fprintf(streams.out, "%s: %d records\n", out, n)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&path, "journal", "", "the sweep's journal: "+journalFlag)
	f.StringVar(&format, "format", "", "sqlite, jsonl or csv")
	f.StringVar(&out, "out", "", "a new file (default: standard output)")
	f.StringVar(&from, "from", "", "records from this instant on, like 2026-11-25T17:00:00Z, by the sweep's clock")
	f.StringVar(&to, "to", "", "records before this instant")
	f.StringSliceVar(&devices, "device", nil, "records of this meter, or of this device as a request's target; may be given more than once")
	f.StringSliceVar(&kinds, "kind", nil, "records of this kind, like outcome or verdict; may be given more than once")
	f.BoolVar(&asJSON, "json", false, "say in one line of JSON what was written")
	required(c, "journal", "format")
	return c
}

// selection reads the flags that say which records are exported.
func selection(from, to string, devices, kinds []string) (s journal.Selection, err error) {
	for _, t := range []struct {
		flag, text string
		at         *time.Time
	}{{"--from", from, &s.From}, {"--to", to, &s.To}} {
		if t.text == "" {
			continue
		}
		if *t.at, err = time.Parse(time.RFC3339Nano, t.text); err != nil {
			return s, fmt.Errorf("%s %q: want an instant like 2026-11-25T17:00:00Z", t.flag, t.text)
		}
	}
	for _, text := range devices {
		eui, err := servicerequests.ParseEUI(text)
		if err != nil {
			return s, fmt.Errorf("--device: %w", err)
		}
		s.Devices = append(s.Devices, eui)
	}
	for _, text := range kinds {
		kind, err := record.ParseKind(text)
		if err != nil {
			return s, fmt.Errorf("--kind: %w", err)
		}
		s.Kinds = append(s.Kinds, kind)
	}
	return s, nil
}

// export writes the rows into a new file of mode 0600, or to standard output. After an
// error the file is gone.
func export(ctx context.Context, j *journal.Journal, s journal.Selection, format, out string, stdout io.Writer) (n uint64, err error) {
	if format == "sqlite" {
		return j.ExportSQLite(ctx, s, out)
	}
	w := stdout
	if out != "" {
		f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return 0, err
		}
		defer func() {
			if err = errors.Join(err, f.Close()); err != nil {
				err = errors.Join(err, os.Remove(out))
			}
		}()
		w = f
	}
	if format == "csv" {
		return j.ExportCSV(ctx, s, w)
	}
	return j.ExportLines(ctx, s, w)
}
