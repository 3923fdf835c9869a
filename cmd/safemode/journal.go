package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"safemode/engine/journal"
)

func newJournal(io stdio) *cobra.Command {
	return group("journal", "Look after a sweep's journal", newJournalBackup(io), newJournalKey(io))
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
		RunE: func(c *cobra.Command, _ []string) error {
			tip, err := journal.Backup(c.Context(), path, out)
			if errors.Is(err, os.ErrExist) {
				return failWith(exitUsage, fmt.Errorf("%s exists: name a new file", out))
			}
			if err != nil {
				return failWith(journalCode(err), err)
			}
			if asJSON {
				return printJSON(io.out, struct {
					Out     string `json:"out"`
					Records uint64 `json:"records"`
					Hash    string `json:"hash"`
				}{out, tip.Seq, hex.EncodeToString(tip.Hash[:])})
			}
			fmt.Fprintf(io.out, "%s: %d records, verified, last hash %x\n", out, tip.Seq, tip.Hash)
			return nil
		},
	}
	c.Flags().StringVar(&path, "journal", "", "the sweep's journal")
	c.Flags().StringVar(&out, "out", "", "the copy; a new file")
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON")
	_ = c.MarkFlagRequired("journal")
	_ = c.MarkFlagRequired("out")
	return c
}
