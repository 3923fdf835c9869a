package main

import (
	_ "embed"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"

	"safemode/engine/journal"
	"safemode/engine/plan"
)

// changes tell operators what each version changed, the newest first.
//
//go:embed changes.txt
var changes string

func newVersion(std stdio) *cobra.Command {
	var all, asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Which program this is, and what each version changed",
		Long: `Prints the program's version, the formats of journal and plan that it writes, and the revision
that it was built from. A journal or a plan of another format is refused by name. With
--changes it prints what each version changed for operators: journal, commands, settings.`,
		Example: `  safemode version
  safemode version --changes`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			switch {
			case asJSON:
				return printJSON(std.out, struct {
					Version  int    `json:"version"`
					Journal  int    `json:"journal_format"`
					Plan     int    `json:"plan_format"`
					Revision string `json:"revision"`
					Changes  string `json:"changes,omitempty"`
				}{release, journal.Format, plan.Version, version(), map[bool]string{true: changes}[all]})
			case all:
				_, err := io.WriteString(std.out, changes)
				return failWith(exitFailed, err)
			}
			_, err := fmt.Fprintf(std.out, "safemode %d, journal format %d, plan format %d, revision %s\n", release, journal.Format, plan.Version, version())
			return failWith(exitFailed, err)
		},
	}
	c.Flags().BoolVar(&all, "changes", false, "print what each version changed")
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON")
	return c
}

// release is the program's version. It goes up when an operator must do something for it: a
// journal or a plan is of another format, or a command or setting went.
const release = 3

// version is the module's version, or the revision it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return info.Main.Version
}
