//go:build cgo

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// stdio is where a command reads and writes: results to out, talk to err.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// Exit codes, as safemode's. Scripts hold on to them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitRefused     = 3
	exitInterrupted = 130
)

// exitError is an error that knows its exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// failWith gives an error an exit code.
func failWith(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code, err}
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, io stdio) int {
	root := newRoot(io)
	root.SetArgs(args)
	root.SetIn(io.in)
	root.SetOut(io.out)
	root.SetErr(io.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var known *exitError
	if !errors.As(err, &known) {
		known = &exitError{exitUsage, err} // cobra's own: unknown command, flag or argument
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		known = &exitError{exitInterrupted, errors.New("interrupted")}
	}
	fmt.Fprintf(io.err, "safemode-signer: %v\n", known)
	return known.code
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

// printJSON writes one value on one line.
func printJSON(w io.Writer, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return failWith(exitFailed, err)
	}
	if _, err := w.Write(append(b, '\n')); err != nil {
		return failWith(exitFailed, fmt.Errorf("standard output: %w", err))
	}
	return nil
}
