package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// stdio is where a command reads and writes: results to out, talk to err.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// Exit codes. Scripts hold on to them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitRefused     = 3
	exitNotHeld     = 4
	exitHalted      = 5
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

// run executes one command line and returns the exit code. It is what main
// does, and what tests call.
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
	if text := known.Error(); text != "" {
		fmt.Fprintf(io.err, "safemode: %s\n", spoken(text))
	}
	return known.code
}

// spoken lays an error out for people: one fault is one line, several are a line
// each. A line that only ends another one says nothing new: a failed write is
// found again by the flush and the close that follow it.
func spoken(text string) string {
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

func newRoot(io stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "safemode",
		Short: "Put a failed energy supplier's prepayment meters into safe mode",
		Long: `safemode is a Shared Resource Provider's engine for the night an energy supplier
fails: directed by the regulator, it switches the supplier's prepayment meters to
credit mode, activates emergency credit and re-arms supplies that are off, through
the DCC. It never turns a supply on or off: the consumer presses the button.

Exit codes: 0 done and the verdict holds; 1 failed; 2 wrong usage or bad input;
3 refused; 4 finished, but the verdict does not hold; 5 halted; 130 interrupted.`,
		Example: `  safemode demo                 rehearse a whole sweep, with nothing prepared
  safemode duis build --help    make one Service Request`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(
		newDemo(io), newInit(io), newPKI(io), newFleet(io), newSim(io), newPortfolio(io), newPlan(io), newSign(io), newApprove(io), newPreflight(io), newSweep(io),
		newStatus(io), newWait(io),
		newReport(io), newCalls(io), newEvidence(io), newAudit(io), newNotify(io), newIncident(io), newLoadTest(io), newJournal(io), newSweeps(io), newCustody(io), newSigner(io),
		newCheckConfig(io), newDUIS(io), newGBCS(io),
	)
	root.AddCommand(newOrders(io)...)
	help := newHelp(io)
	root.SetHelpCommand(help)
	root.AddCommand(newCompletion(io), newManual(io), help)
	inOrder(root)
	completeValues(root, valuesOf())
	inDecimal(root)
	return root
}

// nightOrder is the order in which a night needs the commands, in groups.
var nightOrder = [...]struct{ id, title, commands string }{
	{"rehearse", "To rehearse:", "demo sim loadtest"},
	{"prepare", "Before the night:", "init pki fleet portfolio check-config notify sign plan approve preflight signer"},
	{"night", "In the night:", "sweep status wait pause resume stop rerun exclude suppress deleted renew go-on cease"},
	{"after", "Afterwards:", "report calls evidence incident audit journal sweeps custody"},
	{"tools", "Single messages, and help:", "duis gbcs completion man help"},
}

// Once, before any command line: it is one for the whole process.
func init() { cobra.EnableCommandSorting = false }

// inOrder has the help list the commands in groups, in the night's order.
func inOrder(root *cobra.Command) {
	of := map[string]string{}
	var order []string
	for _, g := range nightOrder {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, name := range strings.Fields(g.commands) {
			of[name] = g.id
			order = append(order, name)
		}
	}
	root.SetHelpCommandGroupID("tools")
	all := root.Commands()
	slices.SortStableFunc(all, func(a, b *cobra.Command) int { return slices.Index(order, a.Name()) - slices.Index(order, b.Name()) })
	root.RemoveCommand(all...)
	for _, c := range all {
		c.GroupID = of[c.Name()]
	}
	root.AddCommand(all...)
}

// group is a command that only holds others. Its example is its first child's.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Example: children[0].Example, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return fmt.Errorf("%s needs a subcommand; see safemode %s --help", use, use)
		},
	}
	c.AddCommand(children...)
	return c
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
