//go:build cgo

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"safemode/cmd/cli"
	"safemode/engine/token"
)

func newCheck(io stdio) *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Say what a token can do",
		Long: `Opens the configured token and says, a line each: the module and its version, the token,
the mechanisms, each key with what it may be used for and whether it is its
certificate's, which ways of the key agreement work and how the configuration names them,
and how many signatures and derivations it does in a second. It takes some seconds and
writes nothing into the token.`,
		Example: `  safemode-signer check --config signer.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			configuration, err := loadConfig(path)
			if err != nil {
				return err
			}
			held, err := heldKeys(configuration)
			if err != nil {
				return err
			}
			var keys []token.Named
			for _, key := range held {
				keys = append(keys, key.Named)
			}
			faults := 0
			for _, line := range token.Check(c.Context(), tokenOptions(configuration.PKCS11), keys) {
				if line.Fault {
					faults++
				}
				if err := printLine(io, line, asJSON); err != nil {
					return err
				}
			}
			if err := c.Context().Err(); err != nil {
				return cli.Fail(cli.Interrupted, err)
			}
			if faults > 0 {
				return cli.Fail(cli.Failed, fmt.Errorf("faults: %d", faults))
			}
			return nil
		},
	}
	c.Flags().StringVar(&path, "config", "", "the signer's configuration")
	c.Flags().BoolVar(&asJSON, "json", false, "a line of JSON for each finding")
	cli.Require(c, "config")
	return c
}

func printLine(io stdio, line token.Line, asJSON bool) error {
	if asJSON {
		return cli.PrintJSON(io.out, map[string]any{"what": line.What, "text": line.Text, "fault": line.Fault})
	}
	mark := "ok"
	if line.Fault {
		mark = "FAULT"
	}
	if _, err := fmt.Fprintf(io.out, "%-5s  %s: %s\n", mark, line.What, line.Text); err != nil {
		return cli.Fail(cli.Failed, fmt.Errorf("standard output: %w", err))
	}
	return nil
}
