package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"safemode/cmd/cli"
	"safemode/servicerequests/safefile"
)

// readInput reads a named file, or standard input for "-" and "". What it reads
// is limited: a message or a document never is that large.
func readInput(ctx context.Context, in io.Reader, name string, limit int64) ([]byte, error) {
	if name != "" && name != "-" {
		b, err := safefile.Read(name, limit, safefile.Checked)
		return b, failWith(exitUsage, err)
	}
	type input struct {
		b   []byte
		err error
	}
	read := make(chan input, 1) // holds what comes when nobody waits any more
	go func() {
		b, err := safefile.Bounded(in, "standard input", limit)
		read <- input{b, failWith(exitUsage, err)}
	}()
	select {
	case got := <-read:
		return got.b, got.err
	case <-ctx.Done(): // a terminal at which nobody types; its read cannot be called off
		return nil, failWith(exitInterrupted, errors.New("interrupted while waiting for standard input"))
	}
}

// readFile is what is made of a named file; the error names it.
func readFile[T any](name string, limit int64, trust safefile.Trust, read func(io.Reader) (T, error)) (made T, _ error) {
	f, err := safefile.Open(name, limit, trust)
	if err != nil {
		return made, err
	}
	defer f.Close()
	if made, err = read(f); err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return made, err
}

// writeFile makes a file as a whole or not at all: see [cli.WriteFile].
func writeFile(path string, mode fs.FileMode, write func(io.Writer) error) error {
	return cli.WriteFile(path, mode, write)
}

// makeDir makes a folder for a command's results.
func makeDir(path string) error { return cli.MakeDir(path) }

// writeLine writes a result and a line end.
func writeLine(w io.Writer, b []byte) error {
	if _, err := w.Write(append(b, '\n')); err != nil {
		return failWith(exitFailed, fmt.Errorf("standard output: %w", err))
	}
	return nil
}

// first is the first argument, empty if there is none.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
