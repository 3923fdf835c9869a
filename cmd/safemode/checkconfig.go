package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"safemode/config"
)

func newCheckConfig(io stdio) *cobra.Command {
	return &cobra.Command{
		Use:     "check-config FILE",
		Short:   "Validate a configuration, with the path of each fault",
		Example: `  safemode check-config safemode.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := loadConfig(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(io.out, "%s: valid (environment %s, %d identities)\n", args[0], c.Environment, len(c.Identities))
			w := wayHere(io, config.Night{Config: args[0]})
			w.say(io, w.afterConfig())
			return nil
		},
	}
}
