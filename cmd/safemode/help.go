package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"safemode/engine/advice"
)

// newHelp is the help command: of commands, and of incidents.
func newHelp(std stdio) *cobra.Command {
	c := &cobra.Command{
		Use:   "help [COMMAND | incident [NAME]]",
		Short: "Help about a command, or about what has gone wrong",
		Long: `Tells of a command, as its --help does; or, after "incident", what an incident means, what to
do next and what not to do. The page, alerts and the list of things to do name the incident.
Without a name it lists the incidents.`,
		Example: `  safemode help sweep
  safemode help incident region-out`,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			if len(args) == 1 && args[0] == "incident" {
				for _, i := range advice.Incidents {
					names = append(names, i.Name+"\t"+i.Title)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 && args[0] == "incident" {
				return helpIncident(std.out, args[1:])
			}
			named, _, err := c.Root().Find(args)
			if err != nil {
				return failWith(exitUsage, err)
			}
			named.InitDefaultHelpFlag()
			return named.Help()
		},
	}
	return c
}

// helpIncident writes the runbook's text of one incident, or the list of them.
func helpIncident(w io.Writer, names []string) error {
	if len(names) == 0 {
		text := "What has gone wrong? safemode help incident NAME says what it means and what to do.\n\n"
		for _, i := range advice.Incidents {
			text += fmt.Sprintf("  %-20s %s\n", i.Name, i.Title)
		}
		_, err := io.WriteString(w, text)
		return failWith(exitFailed, err)
	}
	i, known := advice.FindIncident(strings.Join(names, " "))
	if !known {
		return failWith(exitUsage, fmt.Errorf("no incident %q; safemode help incident lists them", strings.Join(names, " ")))
	}
	_, err := io.WriteString(w, i.String())
	return failWith(exitFailed, err)
}
