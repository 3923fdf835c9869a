package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"safemode/engine/journal"
)

func newJournal(io stdio) *cobra.Command {
	return group("journal", "Look after a sweep's journal", newJournalBackup(io), newJournalCopy(io), newJournalExport(io), newJournalUpgrade(io), newJournalKey(io))
}

func newJournalBackup(io stdio) *cobra.Command {
	var path, out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "backup --journal FILE --out FILE",
		Short: "Copy a journal, also while a sweep writes it, and verify the copy",
		Long: `Copies every record that is durable at this moment into one new file, and verifies
the whole chain of the copy before it gets its name.

A copy that is restored is older than what was sent since: a sweep refuses it by the
custody of the originator counters, which lies outside the journal. Where the newer
journal is lost, see safemode custody accept.`,
		Example: `  safemode journal backup --journal journal.db --out /backup/journal-2026-11-25.db`,
		Args:    cobra.NoArgs,
		RunE:    transfer(io, journal.Backup, &path, &out, &asJSON),
	}
	transferFlags(c, &path, "journal", "the sweep's journal: "+journalFlag, &out, "out", "the copy; a new file", &asJSON)
	return c
}

func newJournalCopy(io stdio) *cobra.Command {
	var from, to string
	var asJSON bool
	c := &cobra.Command{
		Use:   "copy --from FILE|ADDRESS --to FILE|ADDRESS",
		Short: "Move a journal between a file and a database",
		Long: `Copies every record that is durable at this moment, in the same segments, to a place
where there is no journal yet, and verifies the chain on the way. The copy is the same
journal: a sweep goes on with it. The custody of the originator counters refuses whichever
of the two has fallen behind. It is not copied along: one in a folder serves a journal in a
file and in a database; for two machines safemode custody copy puts it into the database.

An address is postgres://USER@HOST/DATABASE?sweep=NAME; the database holds many sweeps.`,
		Example: `  safemode journal copy --from journal.db --to 'postgres://srp@db.example/sweeps?sweep=winter'
  safemode journal copy --from 'postgres://srp@db.example/sweeps?sweep=winter' --to journal.db`,
		Args: cobra.NoArgs,
		RunE: transfer(io, journal.Copy, &from, &to, &asJSON),
	}
	transferFlags(c, &from, "from", "the journal: "+journalFlag, &to, "to", "the copy: a new file, or a sweep that the database does not have", &asJSON)
	return c
}

func newJournalUpgrade(io stdio) *cobra.Command {
	var from, out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "upgrade --journal FILE --out FILE|ADDRESS",
		Short: "Make a journal of an older program one of today",
		Long: `Older programs wrote a row for each record. This makes a journal of today of such a
file, in a new place, and verifies the older chain on the way. Records, numbers, hashes and
the journal's ID are the same: custody, checkpoints and approvals hold for it. The older
file stays as it is. A signer's log (signer.db) and a load test's are journals, too.`,
		Example: `  safemode journal upgrade --journal journal.db --out journal3.db`,
		Args:    cobra.NoArgs,
		RunE:    transfer(io, journal.Upgrade, &from, &out, &asJSON),
	}
	transferFlags(c, &from, "journal", "the older journal", &out, "out", "the journal of today; a new file, or an address", &asJSON)
	return c
}

// journalFlag says what names a journal.
const journalFlag = "a file, or postgres://USER@HOST/DATABASE?sweep=NAME"

func transferFlags(c *cobra.Command, from *string, fromName, fromUsage string, to *string, toName, toUsage string, asJSON *bool) {
	c.Flags().StringVar(from, fromName, "", fromUsage)
	c.Flags().StringVar(to, toName, "", toUsage)
	c.Flags().BoolVar(asJSON, "json", false, "one line of JSON")
	required(c, fromName, toName)
}

// transfer runs what makes one journal of another.
func transfer(io stdio, run func(ctx context.Context, from, to string) (journal.Tip, error), from, to *string, asJSON *bool) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, _ []string) error {
		tip, err := run(c.Context(), *from, *to)
		if errors.Is(err, os.ErrExist) {
			return failWith(exitUsage, fmt.Errorf("%s exists: name a new one", *to))
		}
		if err != nil {
			return failWith(journalCode(err), err)
		}
		return printResult(io.out, *asJSON, struct {
			Out     string `json:"out"`
			Records uint64 `json:"records"`
			Hash    string `json:"hash"`
		}{*to, tip.Seq, hex.EncodeToString(tip.Hash[:])}, "%s: %d records, verified, last hash %x\n", *to, tip.Seq, tip.Hash)
	}
}
