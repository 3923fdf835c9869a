package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"safemode/engine"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/durable"
	"safemode/engine/journal"
	"safemode/engine/journal/store"
	"safemode/servicerequests"
	"safemode/servicerequests/safefile"
)

func newCustody(io stdio) *cobra.Command {
	return group("custody", "Where originator counters are kept; hand them back, or take an older journal for theirs",
		newCustodyNew(io), newCustodyList(io), newCustodyCopy(io), newCustodyRelease(io), newCustodyAccept(io))
}

// custodyFlag says what names a custody.
const custodyFlag = "folder of the counters, or postgres://USER@HOST/DATABASE?custody=NAME"

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
	required(c, "custody-dir")
	return c
}

func makeCustody(c *cobra.Command, at string) (err error) {
	if journal.IsAddress(at) {
		err = journal.MakeFiles(c.Context(), at)
	} else {
		err = newFolder(at)
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
				Journal    string `json:"journal"`    // whose counters they are
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
	required(c, "custody-dir")
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
	required(c, "from", "to")
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

func newCustodyRelease(streams stdio) *cobra.Command {
	var at, originator, out string
	c := &cobra.Command{
		Use:   "release --custody-dir DIR --originator EUI --out FILE",
		Short: "Hand an originator's counters back to the everyday system",
		Long: `Writes the last counter that was used into a small file of JSON, from which the
supplier's everyday system goes on, and closes the custody: no sweep gets a counter of
this originator any more. After a crash the last counter may be up to one block higher
than the last one that was sent; none over it was.`,
		Example: `  safemode custody release --custody-dir custody --originator 90-B3-D5-1F-30-01-00-00 --out handback.json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			eui, err := servicerequests.ParseEUI(originator)
			if err != nil {
				return failWith(exitUsage, fmt.Errorf("--originator: %w", err))
			}
			files, err := journal.OpenFiles(at)
			if err != nil {
				return failWith(exitUsage, err)
			}
			h, err := custody.Release(files, eui, time.Now())
			if err != nil {
				return failWith(custodyCode(err), err)
			}
			if err := writeFile(out, 0o600, func(w io.Writer) error {
				e := json.NewEncoder(w)
				e.SetIndent("", "  ")
				return e.Encode(h)
			}); err != nil {
				return err
			}
			return printJSON(streams.out, h)
		},
	}
	c.Flags().StringVar(&at, "custody-dir", "", custodyFlag)
	c.Flags().StringVar(&originator, "originator", "", "EUI of the identity")
	c.Flags().StringVar(&out, "out", "", "file for the last counter")
	required(c, "custody-dir", "originator", "out")
	return c
}

func newCustodyAccept(streams stdio) *cobra.Command {
	var configPath, planDir, path, by string
	c := &cobra.Command{
		Use:   "accept --config FILE --plan DIR --journal FILE --by NAME",
		Short: "Go on with a journal, or a folder of counters, that was restored from a backup",
		Long: `Takes an older copy of a journal for the owner of its counters, or a copied or restored
folder of counters for the one that it was, because the newer is lost. Two must have
approved it: safemode approve --accept, with this very journal and folder. By their
approvals the sweep then goes on. Never do this while the newer journal can be found.

No counter is used twice: the high-water mark stays. What was sent after the copy was made
is not in it. Devices may have done it: meters are read again before anything is concluded.`,
		Example: `  safemode approve --accept --config safemode.yaml --plan plan --journal journal.db --cert alice.pem --key alice.key
  safemode custody accept --config safemode.yaml --plan plan --journal journal.db --by "A. Person"`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := loadConfig(configPath)
			if err != nil {
				return err
			}
			p, err := loadPlan(planDir)
			if err != nil {
				return err
			}
			a := engine.Acceptance{By: by, Options: engine.Options{Plan: p, Journal: path, CustodyDir: conf.CustodyDir, ApprovalsAtMost: conf.Roster.ApprovalsAtMost}}
			if a.Roster, err = loadRoster(conf); err != nil {
				return err
			}
			if a.Approvals, err = direction.LoadApprovals(planDir); err != nil {
				return failWith(exitRefused, err)
			}
			var faults []error
			a.DCC.Authorities = loadCertificates(conf.DCC.Authorities, &faults)
			if a.Revoked, err = revokedBy(c.Context(), conf); err != nil {
				return failWith(exitRefused, errors.Join(append(faults, err)...))
			}
			accepted, err := engine.AcceptJournal(c.Context(), a)
			for _, a := range accepted {
				fmt.Fprintf(streams.out, "%v: accepted; at least %d records are missing; the next counter is over %d\n", a.Originator, a.Missing, a.HighWater)
			}
			if err != nil {
				return failWith(custodyCode(err), err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&configPath, "config", "", "configuration of the sweep: its folder of counters, its roster")
	c.Flags().StringVar(&planDir, "plan", "", "folder of the frozen plan, with the approvals")
	c.Flags().StringVar(&path, "journal", "", "the journal to go on with: "+journalFlag)
	c.Flags().StringVar(&by, "by", "", "who says so; it is written into the journal")
	required(c, "config", "plan", "journal", "by")
	return c
}

// custodyCode is the exit code of counters that cannot be had.
func custodyCode(err error) int {
	switch {
	case errors.Is(err, engine.ErrRefused), errors.Is(err, custody.ErrNoBook), errors.Is(err, custody.ErrCopied), errors.Is(err, custody.ErrFloor),
		errors.Is(err, custody.ErrInUse), errors.Is(err, custody.ErrOtherOwner), errors.Is(err, custody.ErrOldJournal), errors.Is(err, custody.ErrReleased),
		errors.Is(err, journal.ErrInUse), errors.Is(err, safefile.ErrOpenToOthers):
		return exitRefused
	case errors.Is(err, custody.ErrDamaged):
		return exitHalted
	case errors.Is(err, os.ErrNotExist):
		return exitUsage
	default:
		return journalCode(err)
	}
}
