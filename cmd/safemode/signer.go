package main

import (
	"github.com/spf13/cobra"

	"safemode/cmd/signercmd"
)

func newSigner(io stdio) *cobra.Command {
	p := signercmd.Program{Name: "safemode signer", Out: io.out, Err: io.err, Logger: newLogger}
	return group("signer", "Hold the keys in a process of their own", p.Commands()...)
}
