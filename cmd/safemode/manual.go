package main

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"safemode/config/faults"
	"safemode/devicesim/fault"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// newCompletion writes what a shell needs to complete this program's command lines.
func newCompletion(io stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "What a shell needs to complete safemode's command lines",
		Long: `Writes a script that completes commands, flags and the values of some flags. It asks
the program itself, so it needs no new script when the program changes.`,
		Example: `  safemode completion bash >~/.local/share/bash-completion/completions/safemode
  safemode completion zsh >"${fpath[1]}/_safemode"
  safemode completion fish >~/.config/fish/completions/safemode.fish`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(c *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return failWith(exitFailed, c.Root().GenBashCompletionV2(io.out, true))
			case "zsh":
				return failWith(exitFailed, c.Root().GenZshCompletion(io.out))
			}
			return failWith(exitFailed, c.Root().GenFishCompletion(io.out, true))
		},
	}
}

// newManual writes the manual from the same tree of commands.
func newManual(io stdio) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "man --out DIR",
		Short: "Write a manual page for each command",
		Long: `Writes safemode.1 and a page for each command into a folder, like
/usr/local/share/man/man1. Their date is that of SOURCE_DATE_EPOCH, or today.`,
		Example: `  safemode man --out man1`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := makeDir(out); err != nil {
				return err
			}
			header := &doc.GenManHeader{Section: "1", Source: "safemode", Manual: "safemode"}
			if err := doc.GenManTree(c.Root(), header, out); err != nil {
				return failWith(exitFailed, err)
			}
			pages, err := filepath.Glob(filepath.Join(out, "safemode*.1"))
			if err != nil {
				return failWith(exitFailed, err)
			}
			fmt.Fprintf(io.out, "%d pages in %s\n", len(pages), out)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "folder for the pages; made if it does not exist")
	required(c, "out")
	return c
}

// valuesOf are what flags of a name can be.
func valuesOf() map[string][]string {
	profiles, err := fault.Names(faults.Files)
	if err != nil {
		profiles = nil // the commands that read them say what is wrong
	}
	values := map[string][]string{
		"faults":  profiles,
		"verdict": record.Verdicts[:],
	}
	for _, r := range servicerequests.Regions {
		values["region"] = append(values["region"], r.String())
	}
	for _, s := range servicerequests.Services {
		values["srv"] = append(values["srv"], s.SRV())
	}
	return values
}

// completeValues has shells complete the values of flags, in all the tree's commands.
func completeValues(c *cobra.Command, values map[string][]string) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if known := values[f.Name]; known != nil {
			directive := cobra.ShellCompDirectiveNoFileComp
			if f.Name == "faults" { // or a file
				directive = cobra.ShellCompDirectiveDefault
			}
			_ = c.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(slices.Clone(known), directive)) // fails only for a flag that is not there
		}
	})
	for _, child := range c.Commands() {
		completeValues(child, values)
	}
}
