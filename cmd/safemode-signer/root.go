//go:build cgo

package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"io"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"safemode/cmd/cli"
	"safemode/cmd/signercmd"
	"safemode/config"
	"safemode/engine/token"
)

// stdio is where a command reads and writes: results to out, talk to err.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, io stdio) int {
	root := newRoot(io)
	root.SetIn(io.in)
	root.SetOut(io.out)
	root.SetErr(io.err)
	return cli.Run(ctx, root, args)
}

func newRoot(io stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "safemode-signer",
		Short: "Hold a failed energy supplier's keys, in a token or in files",
		Long: `safemode-signer holds the keys with which the requests of a sweep are signed. The keys may
be in a PKCS#11 token: an HSM, or SoftHSM. They never leave it, and no command shows one.

Exit codes: 0 done; 1 failed; 2 wrong usage or bad input; 3 refused by the token;
130 interrupted.`,
		Example: `  safemode-signer check --config signer.yaml
  safemode-signer import --config signer.yaml --key xml_signing --from xml-signing.key
  safemode-signer serve --config signer.yaml`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newCheck(io), newImport(io))
	root.AddCommand(program(io).Commands()...)
	return root
}

// program is the running signer's commands, with a token.
func program(streams stdio) signercmd.Program {
	return signercmd.Program{
		Name: "safemode-signer", Out: streams.out, Err: streams.err, Logger: cli.NewLogger,
		Token: func(ctx context.Context, c *config.Signer, log *zap.Logger) (signercmd.Token, error) {
			o := tokenOptions(c.PKCS11)
			o.Log = log
			t, err := token.Open(ctx, o)
			if err != nil {
				return nil, tokenError(err)
			}
			return opened{t}, nil
		},
	}
}

// opened is a token whose keys are [crypto.Signer]s.
type opened struct{ *token.Token }

func (o opened) Signer(ctx context.Context, uri string, public *ecdsa.PublicKey) (crypto.Signer, error) {
	key, err := o.Token.Signer(ctx, uri, public)
	return key, tokenError(err)
}
