// Package cli has what every command line program of safemode has: exit codes, errors
// that carry one, results as JSON, and a log on standard error.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"safemode/engine/durable"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Exit codes. Scripts rely on them.
const (
	Done        = 0
	Failed      = 1
	Usage       = 2
	Refused     = 3
	NotHeld     = 4 // finished, but the verdict does not hold
	Halted      = 5
	HandedOver  = 6
	Interrupted = 130
)

// Error is an error that knows its exit code.
type Error struct {
	Code int
	err  error
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// Fail gives an error an exit code; nil stays nil.
func Fail(code int, err error) error {
	if err == nil {
		return nil
	}
	return &Error{code, err}
}

// Run executes a program's command line and returns the exit code. It writes the error, if
// there is one and it has a text, to where the program talks.
func Run(ctx context.Context, program *cobra.Command, args []string) int {
	program.SetArgs(args)
	err := program.ExecuteContext(ctx)
	if err == nil {
		return Done
	}
	var known *Error
	if !errors.As(err, &known) {
		known = &Error{Usage, err} // cobra's own: unknown command, flag or argument
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		known = &Error{Interrupted, errors.New("interrupted")}
	}
	if text := known.Error(); text != "" {
		fmt.Fprintf(program.ErrOrStderr(), "%s: %s\n", program.Name(), Spoken(text))
	}
	return known.Code
}

// Spoken lays an error out for people: one fault is one line, several are a line
// each. A line that only ends another one says nothing new: a failed write is
// found again by the flush and the close that follow it.
func Spoken(text string) string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if !slices.ContainsFunc(lines, func(said string) bool { return said == line || strings.HasSuffix(said, ": "+line) }) {
			lines = append(lines, line)
		}
	}
	if len(lines) == 2 && strings.HasSuffix(lines[0], ":") { // a heading and its only fault
		return lines[0] + " " + lines[1]
	}
	return strings.Join(lines, "\n")
}

// PrintJSON writes one value on one line.
func PrintJSON(w io.Writer, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return Fail(Failed, err)
	}
	if _, err := w.Write(append(b, '\n')); err != nil {
		return Fail(Failed, fmt.Errorf("standard output: %w", err))
	}
	return nil
}

// NewLogger writes one JSON object a line: warnings and worse, or everything where verbose.
// Otherwise, of lines that say the same, ten a minute and every thousandth are written. Logs
// are talk; the record is the journal.
func NewLogger(w io.Writer, verbose bool) *zap.Logger {
	level := zapcore.WarnLevel
	if verbose {
		level = zapcore.DebugLevel
	}
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.EncodeDuration = zapcore.StringDurationEncoder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(config), zapcore.Lock(zapcore.AddSync(w)), level)
	if !verbose {
		// A thousand meters with the same trouble are not a thousand lines.
		core = zapcore.NewSamplerWithOptions(core, time.Minute, 10, 1000)
	}
	return zap.New(core)
}

// WriteFile makes a file as a whole or not at all: it is written beside its
// place, made durable, and moved. An existing file is replaced.
func WriteFile(path string, mode fs.FileMode, write func(io.Writer) error) error {
	if err := durable.Replace(path, mode, write); err != nil {
		return Fail(Failed, fmt.Errorf("%s: %w", path, err))
	}
	return nil
}

// Require marks flags that a command cannot do without.
func Require(c *cobra.Command, flags ...string) {
	for _, name := range flags {
		_ = c.MarkFlagRequired(name) // fails only for a flag that does not exist
	}
}

// Result shows what a command has made, as one line of JSON or in words.
func Result(w io.Writer, asJSON bool, value any, format string, args ...any) error {
	if asJSON {
		return PrintJSON(w, value)
	}
	fmt.Fprintf(w, format, args...)
	return nil
}

// MakeDir makes a folder for a command's results.
func MakeDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return Fail(Failed, err)
	}
	return nil
}
