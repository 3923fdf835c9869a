package main

import (
	"errors"
	"fmt"
	"io/fs"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"safemode/engine/custody"
	"safemode/engine/durable"
	"safemode/engine/journal"
	"safemode/engine/journal/store"
	"safemode/servicerequests/safefile"
)

func newCustodyNew(io stdio) *cobra.Command {
	var at string
	c := &cobra.Command{
		Use:   "new --custody-dir FOLDER|ADDRESS",
		Short: "Make the place of a supplier's counters",
		Long: `Makes a folder for the counters of a supplier's originators and for what is remembered of
its sweeps, or a custody in a database, beside the journals of the sweeps: then a second
machine finds all that it needs. It holds for all sweeps of the supplier. Never make a new one
where one was: counters that were used could be used again.`,
		Example: `  safemode custody new --custody-dir custody
  safemode custody new --custody-dir 'postgres://srp@db.example/sweeps?custody=northern'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := makeCustody(c, at); err != nil {
				return err
			}
			fmt.Fprintf(io.out, "%s\n", store.Shown(at))
			return nil
		},
	}
	c.Flags().StringVar(&at, "custody-dir", "", custodyFlag+"; a new one")
	_ = c.MarkFlagRequired("custody-dir")
	return c
}

func makeCustody(c *cobra.Command, at string) (err error) {
	if journal.IsAddress(at) {
		err = journal.MakeFiles(c.Context(), at)
	} else {
		_, err = newFolder(at)
	}
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w: name a new one", err)
	}
	return failWith(exitUsage, err)
}

func newCustodyList(io stdio) *cobra.Command {
	var at string
	var asJSON bool
	c := &cobra.Command{
		Use:     "list --custody-dir FOLDER|ADDRESS",
		Short:   "List the originators whose counters are in a custody",
		Example: `  safemode custody list --custody-dir custody`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			files, err := journal.OpenFiles(at)
			if err != nil {
				return failWith(exitUsage, err)
			}
			marks, err := custody.Read(files)
			if err != nil {
				return failWith(custodyCode(err), err)
			}
			type line struct {
				Originator string `json:"originator"`
				Journal    string `json:"journal"`    // the journal that owns the counters
				HighWater  uint64 `json:"high_water"` // no counter over this one was given out
				Released   bool   `json:"released"`
			}
			lines := []line{}
			for _, m := range marks {
				lines = append(lines, line{m.Originator.String(), m.Owner, m.HighWater, m.Released})
			}
			if asJSON {
				return printJSON(io.out, lines)
			}
			w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ORIGINATOR\tHIGH WATER\tJOURNAL\tHANDED BACK")
			for _, l := range lines {
				fmt.Fprintf(w, "%s\t%d\t%s\t%v\n", l.Originator, l.HighWater, l.Journal, l.Released)
			}
			return failWith(exitFailed, w.Flush())
		},
	}
	c.Flags().StringVar(&at, "custody-dir", "", custodyFlag)
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON")
	_ = c.MarkFlagRequired("custody-dir")
	return c
}

func newCustodyCopy(io stdio) *cobra.Command {
	var from, to string
	c := &cobra.Command{
		Use:   "copy --from FOLDER|ADDRESS --to FOLDER|ADDRESS",
		Short: "Copy a custody into a new folder, or into a database",
		Long: `Copies what a custody holds to a place where there is none: the counters, the book of
sweeps, the checkpoints, what is remembered of revocation lists. End the sweeps that use it
first. No sweep goes on with a copy before two have approved that very one (safemode
approve --accept, safemode custody accept): end the use of the one that was copied then.`,
		Example: `  safemode custody copy --from custody --to 'postgres://srp@db.example/sweeps?custody=northern'
  safemode custody copy --from 'postgres://srp@db.example/sweeps?custody=northern' --to backup/custody`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			source, err := journal.OpenFiles(from)
			if err != nil {
				return failWith(exitUsage, err)
			}
			if _, err := custody.OpenBook(source); err != nil { // a typing error makes no custody
				return failWith(custodyCode(err), err)
			}
			if err := makeCustody(c, to); err != nil {
				return err
			}
			target, err := journal.OpenFiles(to)
			if err != nil {
				return failWith(exitUsage, err)
			}
			n, err := copyFiles(source, target)
			if err != nil {
				return failWith(custodyCode(err), err)
			}
			fmt.Fprintf(io.out, "%s: %d files\n", store.Shown(to), n)
			return nil
		},
	}
	c.Flags().StringVar(&from, "from", "", "the custody: "+custodyFlag)
	c.Flags().StringVar(&to, "to", "", "the copy; a new one")
	_ = c.MarkFlagRequired("from")
	_ = c.MarkFlagRequired("to")
	return c
}

// copyFiles copies the files of a custody, none of which is in use.
func copyFiles(from, to durable.Files) (n int, err error) {
	names, err := from.Names()
	for _, name := range names {
		if !custody.Holds(name) {
			continue
		}
		if err := from.Free(name); err != nil {
			return n, err
		}
		text, err := from.Read(name, safefile.List, safefile.Own)
		if err != nil {
			return n, err
		}
		if err := to.Replace(name, nil, text); err != nil {
			return n, err
		}
		n++
	}
	return n, err
}
