package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"iter"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"safemode/config"
	"safemode/engine/journal"
	"safemode/engine/portfolio"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/table"
)

func newReport(io stdio) *cobra.Command {
	var journalPath, out string
	var flags reportFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "report --journal FILE --out DIR",
		Short: "Reports from the journal alone",
		Long: `Writes, from the journal and nothing else: the summary, the list of meters, the
rows that were not covered, the weekly report, and the pack for the next supplier in
DIR/handover. It may be run while a sweep writes the journal. go doc ./engine/report
lists every file and column.

With an inventory (CSV with a column device_id) or a list of transfers it also writes
what differs. The list of transfers is the one that a sweep takes (mpxn, effective_date,
incoming_mpid, source, as_of), or names meters by device_id. transfers.csv says who has
left, when and in which state, by that list, or else by the one that the sweep had.

With a key it signs the pack; check that with
  openssl dgst -sha256 -verify signer.pub.pem -signature SHA256SUMS.sig SHA256SUMS`,
		Example: `  safemode report --journal journal.db --out report
  safemode report --journal journal.db --out report --transfers transferred.csv --sign-key srp.key`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			options, err := flags.options()
			if err != nil {
				return err
			}
			transfers, err := readTransfers(flags.transfers)
			if err != nil {
				return err
			}
			r, err := readReport(c.Context(), journalPath)
			if err != nil {
				return err
			}
			options.Transfers = transfers(r)
			calledBeside(io, r, journalPath, &options)
			if flags.redact {
				r.Redact()
			}
			if err := r.Write(out, options); err != nil {
				return failWith(exitFailed, err)
			}
			if err := printReport(io, r, out, asJSON); err != nil {
				return err
			}
			w := wayHere(io, config.Night{Journal: journalPath})
			w.say(io, w.audit())
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&journalPath, "journal", "", "the sweep's journal: "+journalFlag)
	f.StringVar(&out, "out", "", "folder for the reports")
	f.StringVar(&flags.weekTo, "week-to", "", "last instant of the weekly report, like 2026-11-29T17:00:00Z (default: the last record)")
	f.StringVar(&flags.inventory, "inventory", "", "CSV of the DCC's inventory: device_id, and device_status and mpxn if known")
	f.StringVar(&flags.transfers, "transfers", "", "CSV of homes that have left or are to leave: mpxn, effective_date, incoming_mpid, source, as_of; or of meters: device_id, and mpxn, transfer_date (like 2026-11-30) and incoming_mpid if known")
	f.StringVar(&flags.signKey, "sign-key", "", "PEM file of the P-256 key that signs the handover pack")
	f.BoolVar(&flags.redact, "redact", false, "leave out device identifiers, MPxNs and Request IDs")
	f.BoolVar(&asJSON, "json", false, "print the summary as one line of JSON")
	required(c, "journal", "out")
	c.MarkFlagsMutuallyExclusive("redact", "inventory")
	c.MarkFlagsMutuallyExclusive("redact", "transfers")
	return c
}

// reportFlags are the flags for what is written beside the reports that are always written.
type reportFlags struct {
	weekTo, inventory, transfers, signKey string
	redact                                bool
}

func (f reportFlags) options() (o report.Options, err error) {
	if f.weekTo != "" {
		if o.WeekTo, err = time.Parse(time.RFC3339, f.weekTo); err != nil {
			return o, failWith(exitUsage, fmt.Errorf("--week-to %q: want an instant like 2026-11-29T17:00:00Z", f.weekTo))
		}
	}
	if o.Inventory, err = readList(f.inventory); err != nil {
		return o, err
	}
	if f.signKey == "" {
		return o, nil
	}
	text, err := safefile.Read(f.signKey, safefile.Small, safefile.Checked)
	if err != nil {
		return o, failWith(exitUsage, err)
	}
	key, err := smki.ParsePrivateKeyPEM(text)
	if err != nil {
		return o, failWith(exitUsage, fmt.Errorf("%s: %w", f.signKey, err))
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return o, failWith(exitUsage, fmt.Errorf("%s: %w", f.signKey, err))
	}
	o.PublicKey = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	o.Sign = func(digest []byte) ([]byte, error) { return ecdsa.SignASN1(rand.Reader, key, digest) }
	return o, nil
}

// readList reads somebody's list of devices; nil if none is named.
func readList(name string) (report.List, error) {
	if name == "" {
		return nil, nil
	}
	f, err := safefile.Open(name, safefile.List, safefile.Checked)
	if err != nil {
		return nil, failWith(exitUsage, err)
	}
	defer f.Close()
	list, err := report.ReadList(f)
	if err != nil {
		return nil, failWith(exitUsage, fmt.Errorf("%s:\n%w", name, err))
	}
	return list, nil
}

// readTransfers reads a list of homes that leave, by MPxN, or of meters, by device. The function
// that it returns finds a report's meters in it.
func readTransfers(name string) (func(*report.Report) report.List, error) {
	none := func(*report.Report) report.List { return nil }
	if name == "" {
		return none, nil
	}
	text, err := safefile.Read(name, safefile.List, safefile.Checked)
	if err != nil {
		return none, failWith(exitUsage, err)
	}
	if _, other := table.NewReader(bytes.NewReader(text)).Header([]string{"device_id"}); other == nil {
		list, err := report.ReadList(bytes.NewReader(text))
		if err != nil {
			return none, failWith(exitUsage, fmt.Errorf("%s:\n%w", name, err))
		}
		return func(*report.Report) report.List { return list }, nil
	}
	homes, err := portfolio.ReadTransfers(bytes.NewReader(text))
	if err != nil {
		return none, failWith(exitUsage, fmt.Errorf("%s:\n%w", name, err))
	}
	return func(r *report.Report) report.List {
		list := report.List{}
		for i := range r.Meters {
			m := &r.Meters[i]
			mpxn, err := portfolio.PlainMPxN(m.Target.MPxN)
			if err != nil {
				continue // a plan of an older program may have what is no MPxN: no list has it
			}
			if t, leaves := homes[mpxn]; leaves {
				list[m.Device] = report.Listed{Date: t.Effective, Incoming: t.Incoming}
			}
		}
		return list
	}, nil
}

// readReport reads a journal into a report.
func readReport(ctx context.Context, path string) (*report.Report, error) {
	return ofJournal(ctx, path, report.Read)
}

// ofJournal is what is made of a journal's records.
func ofJournal[T any](ctx context.Context, path string, read func(iter.Seq2[record.Record, error]) (T, error)) (made T, _ error) {
	j, err := journal.OpenReadOnly(path)
	if err != nil {
		return made, failWith(journalCode(err), err)
	}
	defer j.Close()
	if made, err = read(j.Records(ctx, 1)); err != nil {
		return made, failWith(journalCode(err), fmt.Errorf("%s: %w", path, err))
	}
	return made, nil
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
