package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"safemode/cmd/cli"
	"safemode/engine/audit"
	"safemode/engine/custody"
	"safemode/engine/journal"
	"safemode/engine/record"
)

func newAudit(streams stdio) *cobra.Command {
	var o audit.Options
	var asJSON bool
	var checkpointKey, configPath string
	c := &cobra.Command{
		Use:   "audit --journal FILE [--backup FILE]... [--custody-dir DIR] [--checkpoints FILE --checkpoint-key FILE]",
		Short: "Prove or disprove what a journal promises",
		Long: `Reads a journal, and the backups and custody files given, and says of each claim
whether it is proven, and by how many records: the chain of evidence is intact, no
originator counter was used twice or out of order, nothing was sent that the journal did
not know before or the direction does not cover, and each start was approved by two who
were on the roster then. With --config the roster must be signed by whom that
configuration pins. It asks nobody.

With checkpoints, and the public key that checks them, it also shows that nothing was
rewritten or cut off since they were made; take a copy that was kept elsewhere. Of a
damaged journal it names the first bad record and what was done to it, and says what is
still proven.

Exit codes: 0 proven, 4 not proven, 2 a file cannot be read or is no journal.`,
		Example: `  safemode audit --journal journal.db
  safemode audit --journal journal.db --config safemode.yaml --custody-dir custody
  safemode audit --journal journal.db --signer-log signer/signer.db
  safemode audit --journal journal.db --backup monday.db --backup tuesday.db --custody-dir custody --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if checkpointKey != "" {
				verifier, err := loadCheckpointVerifier(checkpointKey)
				if err != nil {
					return err
				}
				o.Verifier = verifier
			}
			if configPath != "" {
				conf, err := loadConfig(configPath)
				if err != nil {
					return err
				}
				if conf.Roster.Named() {
					if o.RosterSignedBy, err = cli.Certificate(conf.Roster.SignedBy); err != nil {
						return err
					}
				}
				o.Chained = trustOf(conf).Chained
			}
			r, err := audit.Run(c.Context(), o)
			if err != nil {
				return failWith(auditCode(err), err)
			}
			if asJSON {
				if err := printJSON(streams.out, r); err != nil {
					return err
				}
			} else if err := writeAudit(streams.out, r); err != nil {
				return failWith(exitFailed, err)
			}
			if !r.Proven {
				return failWith(exitNotHeld, errors.New("not every claim is proven"))
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&o.Journal, "journal", "", "the sweep's journal: "+journalFlag)
	f.StringArrayVar(&o.Backups, "backup", nil, "a backup of it; may be given more than once")
	f.StringVar(&o.CustodyDir, "custody-dir", "", custodyFlag)
	f.StringVar(&configPath, "config", "", "a configuration of your own: it pins who signs rosters, and the authorities of people's certificates")
	f.StringVar(&o.SignerLog, "signer-log", "", "log of the signer that signed for it (signer.db in its folder)")
	f.StringVar(&o.Checkpoints, "checkpoints", "", "signed notes that pin the journal")
	f.StringVar(&checkpointKey, "checkpoint-key", "", "the public key that checks them (.pub of journal key)")
	f.BoolVar(&asJSON, "json", false, "one line of JSON")
	required(c, "journal")
	c.MarkFlagsRequiredTogether("checkpoints", "checkpoint-key")
	return c
}

func auditCode(err error) int {
	switch {
	case errors.Is(err, journal.ErrForeign), errors.Is(err, journal.ErrVersion), errors.Is(err, journal.ErrDamaged), errors.Is(err, journal.ErrNone),
		errors.Is(err, custody.ErrDamaged), errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return exitUsage
	default:
		return exitFailed
	}
}

// writeAudit writes a line for each claim, and one for each fault below it.
func writeAudit(w io.Writer, r *audit.Report) error {
	text := record.Identity{Environment: r.Environment}.Banner() + "\n"
	text += fmt.Sprintf("journal %s, sweep %s: %d records, last hash %s\n", r.ID, r.SweepID, r.Records, r.Hash)
	for _, c := range r.Claims {
		text += fmt.Sprintf("%-9s  %-16s  %d %s", c.Status, c.Name, c.Checked, c.Of)
		if c.Faulty > 0 {
			text += fmt.Sprintf(", %d at fault", c.Faulty)
		}
		if c.Note != "" {
			text += "; " + c.Note
		}
		text += "\n"
		for _, fault := range c.Faults {
			text += "           " + fault + "\n"
		}
		if n := c.Faulty - uint64(len(c.Faults)); n > 0 {
			text += fmt.Sprintf("           and %d more\n", n)
		}
	}
	_, err := io.WriteString(w, text)
	return err
}
