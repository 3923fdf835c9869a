package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"safemode/engine/console"
	"safemode/engine/portfolio"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/safefile"
)

// orderCommand is a command that gives the running sweep one order.
type orderCommand struct {
	client operations
	action string
	order  console.Order

	region, file string
	devices      []string
	asJSON       bool
	person       string // who gives an order that cannot be undone; empty: the person of the token
}

// newOrders lists the commands that steer a running sweep.
func newOrders(io stdio) []*cobra.Command {
	return []*cobra.Command{
		newOrder(io, "pause", "Send nothing new; answers are still taken in",
			"  safemode pause --reason \"calls from the North\"\n  safemode pause --region North\n  safemode pause --srv 7.3", (*orderCommand).scoped),
		newOrder(io, "resume", "Go on after a pause or a stop of the same scope",
			"  safemode resume\n  safemode resume --srv 1.6", (*orderCommand).scoped),
		newOrder(io, "stop", "Drain the sweep and end it; the same command goes on with it",
			"  safemode stop\n  safemode stop --now\n  safemode stop --wave 2", (*orderCommand).stop),
		newOrder(io, "handover", "Drain the sweep and give it to the machine that stands by",
			"  safemode handover --reason \"new kernel\"\n  safemode handover --nobody", (*orderCommand).handover),
		newOrder(io, "rerun", "Ask meters again from their first reads on",
			"  safemode rerun --device 00-DB-12-34-56-78-90-A1 --reason \"reported off\"\n  safemode rerun --verdict not_safe --reason \"after the outage\"", (*orderCommand).rerun),
		newOrder(io, "exclude", "Leave meters alone that are another supplier's now",
			"  safemode exclude --file transferred.txt --person \"Ada Byron\"", (*orderCommand).list),
		newOrder(io, "suppress", "Leave further meters alone",
			"  safemode suppress --file suppress.txt --token-file ada.token", (*orderCommand).list),
		newOrder(io, "deleted", "Say that the DCC has deleted a quarantined request: it is read back",
			"  safemode deleted --reference 20261123001", (*orderCommand).referenced),
		newOrder(io, "renew", "Say that an operator is still there",
			"  safemode renew", func(*orderCommand, *cobra.Command) {}),
		newOrder(io, "cease", "End the sweep for good, by the next supplier's notice",
			"  safemode cease --reference \"SoLR notice 12\" --person \"Ada Byron\"", (*orderCommand).final),
		newOrder(io, "go_on", "Record the next supplier's wish that the sweep goes on",
			"  safemode go-on --reference \"SoLR notice 11\" --reason \"1,200 homes are not transferred yet\"", (*orderCommand).wished),
	}
}

// newOrder makes the command of one order.
func newOrder(io stdio, action, what, example string, flags func(*orderCommand, *cobra.Command)) *cobra.Command {
	o := orderCommand{action: action}
	c := &cobra.Command{
		Use:     strings.ReplaceAll(action, "_", "-"),
		Short:   what,
		Long:    orderHelp[action],
		Example: example,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.resolve(); err != nil {
				return failWith(exitUsage, err)
			}
			if forGood[action] != "" {
				if err := o.confirmFinal(c.Context(), io); err != nil {
					return err
				}
			}
			body, err := json.Marshal(o.order)
			if err != nil {
				return failWith(exitUsage, err)
			}
			if err := o.client.call(c.Context(), http.MethodPost, "/"+action, body, nil); err != nil {
				return err
			}
			return o.confirmDone(c, io)
		},
	}
	o.client.addFlags(c)
	c.Flags().BoolVar(&o.asJSON, "json", false, "print the status after the order as one line of JSON")
	c.Flags().StringVar(&o.order.Reason, "reason", "", "why; it is journalled with your name")
	flags(&o, c)
	return c
}

// orderHelp says more where one line does not say it.
var orderHelp = map[string]string{
	"pause": `Sends nothing new of the sweep, of a region, of a wave or of a service. Answers are
still taken in. A pause outlives the process: only resume takes it back.`,
	"resume": `Takes back pauses and stops of the same scope. The sweep's own are meant, too: after
an abort rule of a wave, after a quarantine (once the DCC has released the requests),
after a missed renewal. The abort rules then count from zero.`,
	"stop": `Without a scope the process takes nothing new in, waits for the replies under way and
ends; the same sweep command goes on with it. --now does not wait: those requests
are in doubt, and the next run POSTs the same bytes again.

Of a region or a wave no further meter begins, and those that have are brought to
their end; of a service no further request is asked. With --now nothing more of the
scope is sent, and what waits is withdrawn. resume takes it back.`,
	"handover": `For a sweep whose journal is in a database. The machine that sweeps takes nothing new in,
waits for the replies under way, gives the sweep up and ends with exit code 6; the one that
stands by goes on at once. That start is one of those that the approvals give ahead. It is
refused where nobody stands by, unless --nobody says that nobody is to: then whoever is given
the sweep command next goes on.`,
	"exclude": `Reads a list of devices, one EUI a line, # comments. Nothing more is sent to them. A
verdict that was given already stands. Meters that are not planned are passed over. It
cannot be undone: the sweep's id is typed, and a person named, as for cease.`,
	"suppress": `As exclude, but for meters that are to be left alone for another reason. The list only
grows: to take a meter out of it needs a new plan. The sweep's id is typed, and a person named.`,
	"rerun": `What the meters were found as stays known. Meters that have not begun, and those that
are to be left alone, are not concerned.`,
	"cease": `Sends nothing more, gives every meter the verdict that is known, and closes the journal
for good: a later sweep with it is refused. It cannot be undone: it shows which sweep it
is, the sweep's id must be typed, or given by --confirm, and a person named: the one whose
token is given (--token-file), which a live sweep demands, or --person.`,
	"go_on": `The Supplier of Last Resort says at least weekly whether the failed supplier's
certificates are to be used further, and why. This records its wish to go on, with its
reason, as cease records the opposite: in the journal and the reports. It changes
nothing; after a pause it is resume that has the sweep send again.`,
}

func (o *orderCommand) scoped(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.region, "region", "", "of a CSP region, like North")
	f.IntVar(&o.order.Wave, "wave", 0, "of a wave of the plan, from 1")
	f.StringVar(&o.order.SRV, "srv", "", "of a Service Request Variant, like 7.3")
	c.MarkFlagsMutuallyExclusive("region", "wave", "srv")
}

func (o *orderCommand) stop(c *cobra.Command) {
	o.scoped(c)
	c.Flags().BoolVar(&o.order.Now, "now", false, "cancel what can be cancelled")
}

func (o *orderCommand) handover(c *cobra.Command) {
	c.Flags().BoolVar(&o.order.Nobody, "nobody", false, "also where nobody stands by")
}

func (o *orderCommand) rerun(c *cobra.Command) {
	f := c.Flags()
	f.StringSliceVar(&o.devices, "device", nil, "device to ask again; may be repeated")
	f.StringVar(&o.order.Verdict, "verdict", "", "all meters with this verdict, like not_safe")
	c.MarkFlagsOneRequired("device", "verdict")
	required(c, "reason")
}

func (o *orderCommand) list(c *cobra.Command) {
	c.Flags().StringVar(&o.file, "file", "", "list of devices, one EUI a line")
	required(c, "file")
	o.confirmed(c)
}

func (o *orderCommand) referenced(c *cobra.Command) {
	c.Flags().StringVar(&o.order.Reference, "reference", "", "reference of the notice, or of the quarantine event")
	required(c, "reference")
}

func (o *orderCommand) final(c *cobra.Command) {
	o.referenced(c)
	o.confirmed(c)
}

// confirmed adds the flags of an order that cannot be undone.
func (o *orderCommand) confirmed(c *cobra.Command) {
	c.Flags().StringVar(&o.person, "person", "", "name of the person who orders it; not needed with --token-file")
	c.Flags().StringVar(&o.order.Confirm, "confirm", "", "the sweep's id, instead of typing it")
	c.MarkFlagsOneRequired("person", "token-file")
}

// confirmFinal shows which sweep an order is for that cannot be undone, and has its id typed.
func (o *orderCommand) confirmFinal(ctx context.Context, io stdio) error {
	if o.person != "" {
		if err := record.CheckName(o.person); err != nil {
			return failWith(exitUsage, fmt.Errorf("--person: %w", err))
		}
		o.client.person = o.person
	}
	var st record.Status
	if err := o.client.call(ctx, http.MethodGet, "", nil, &st); err != nil {
		return err
	}
	if o.order.Confirm != "" {
		return nil // the sweep compares it with its own
	}
	printIdentity(io.err, &st)
	fmt.Fprintln(io.err, statusLine(st))
	o.order.Confirm = st.SweepID
	what := forGood[o.action]
	if n := len(o.order.Devices); n > 0 {
		what = fmt.Sprintf(what, n)
	}
	return confirmBy(io, st.SweepID, what)
}

// forGood are the orders that cannot be undone, with what the sweep's id is typed for.
var forGood = map[string]string{
	record.OrderCease:    "to end it FOR GOOD",
	record.OrderExclude:  "to leave %d meters alone FOR GOOD",
	record.OrderSuppress: "to leave %d meters alone FOR GOOD",
}

func (o *orderCommand) wished(c *cobra.Command) {
	o.referenced(c)
	required(c, "reason")
}

// stopWait is how long a stop is waited for; the process then still drains by itself.
const stopWait = 2 * time.Minute

// confirmDone says that an order holds, and what came of it: after a stop of the whole sweep
// that it has drained, after a pause what is still under way.
func (o *orderCommand) confirmDone(c *cobra.Command, io stdio) error {
	whole := o.region == "" && o.order.Wave == 0 && o.order.SRV == ""
	fmt.Fprintf(io.err, "%s: done\n", c.Name())
	var st record.Status
	look := func() error { return o.client.call(c.Context(), http.MethodGet, "", nil, &st) }
	switch {
	case o.action == record.OrderStop && whole, o.action == record.OrderHandover:
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for end := time.Now().Add(stopWait); ; {
			if err := look(); err != nil { // its process has ended; an order that holds is no failure
				fmt.Fprintln(io.err, "it has ended; safemode status --journal FILE says how it stands")
				return o.print(io, st)
			}
			switch ended := slices.Contains(endedStates, st.State); {
			case ended && o.action == record.OrderHandover:
				fmt.Fprintln(io.err, "it has drained, and gives the sweep up; safemode sweeps says who has it")
				return o.print(io, st)
			case ended:
				fmt.Fprintln(io.err, statusLine(st))
				return o.print(io, st)
			case time.Now().After(end):
				fmt.Fprintf(io.err, "it still drains: %s\n", statusLine(st))
				return o.print(io, st)
			}
			select {
			case <-ticker.C:
			case <-c.Context().Done():
				return c.Context().Err()
			}
		}
	case o.action == record.OrderPause || o.action == record.OrderResume || o.action == record.OrderStop:
		if look() == nil {
			fmt.Fprintln(io.err, statusLine(st))
		}
	case o.asJSON:
		_ = look() // an unknown value stays empty
	}
	return o.print(io, st)
}

// print writes the status after an order, if it is asked for: the last that was seen.
func (o *orderCommand) print(io stdio, st record.Status) error {
	if !o.asJSON {
		return nil
	}
	return printJSON(io.out, st)
}

// resolve reads what flags and files name into the order.
func (o *orderCommand) resolve() error {
	if o.region != "" {
		if err := o.order.Region.UnmarshalText([]byte(o.region)); err != nil || o.order.Region == servicerequests.UnknownRegion {
			return fmt.Errorf("--region %q: want North, Central, South, 4G North, 4G Central or 4G South", o.region)
		}
	}
	for _, text := range o.devices {
		eui, err := servicerequests.ParseEUI(text)
		if err != nil {
			return fmt.Errorf("--device %q: %w", text, err)
		}
		o.order.Devices = append(o.order.Devices, eui)
	}
	if o.file != "" {
		devices, err := readFile(o.file, safefile.List, safefile.Checked, portfolio.ReadSuppressed)
		if err != nil {
			return fmt.Errorf("--file: %w", err)
		}
		if len(devices) == 0 {
			return errors.New("--file: " + o.file + " lists no device")
		}
		o.order.Devices = slices.Sorted(maps.Keys(devices))
	}
	return nil
}

// claimant is the name that an order claims where no token proves one: the user's on
// this machine.
func claimant() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}
