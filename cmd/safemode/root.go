package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"safemode/cmd/cli"
)

// stdio is where a command reads and writes: results to out, talk to err.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// The exit codes of package cli.
const (
	exitDone        = cli.Done
	exitFailed      = cli.Failed
	exitUsage       = cli.Usage
	exitRefused     = cli.Refused
	exitNotHeld     = cli.NotHeld
	exitHalted      = cli.Halted
	exitHandedOver  = cli.HandedOver
	exitInterrupted = cli.Interrupted
)

// failWith gives an error an exit code.
func failWith(code int, err error) error { return cli.Fail(code, err) }

// printJSON writes one value on one line.
func printJSON(w io.Writer, value any) error { return cli.PrintJSON(w, value) }

// printResult shows what a command has made, as one line of JSON or in words.
func printResult(w io.Writer, asJSON bool, value any, format string, args ...any) error {
	return cli.Result(w, asJSON, value, format, args...)
}

// required marks flags that a command cannot do without.
func required(c *cobra.Command, flags ...string) { cli.Require(c, flags...) }

// newLogger writes a program's talk: see [cli.NewLogger].
func newLogger(w io.Writer, verbose bool) *zap.Logger { return cli.NewLogger(w, verbose) }

// run executes one command line and returns the exit code. It is what main
// does, and what tests call.
func run(ctx context.Context, args []string, io stdio) int {
	root := newRoot(io)
	root.SetIn(io.in)
	root.SetOut(io.out)
	root.SetErr(io.err)
	return cli.Run(ctx, root, args)
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
3 refused; 4 finished, but the verdict does not hold; 5 halted; 6 handed over; 130 interrupted.`,
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
		newCheckConfig(io), newDUIS(io), newGBCS(io), newVersion(io),
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
	{"night", "In the night:", "sweep status wait pause resume stop handover rerun exclude suppress deleted renew go-on cease"},
	{"after", "Afterwards:", "report calls evidence incident audit journal sweeps custody"},
	{"tools", "Single messages, and help:", "duis gbcs version completion man help"},
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
