package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/table"
)

// Event is something that was done to the sweep as a whole or to a part of it: an
// order, a wave's turn, a tripwire.
type Event struct {
	At            time.Time
	What          string // the order's action, or wave opened, tripwire ...
	Scope         string // the sweep, a region, a wave, an SRV
	By            string // a person, or the sweep itself
	Authenticated bool   // the person's token proved the name
	Meters        int    // that it names; 0: it names none
	Reason        string
	Reference     string
	Devices       []servicerequests.EUI // that it names
	Cause         string                // of what the sweep ordered itself
}

// Holds are the pauses and stops in force at the end of the journal: they outlive a process.
func (r *Report) Holds() (holds []record.HoldStatus) {
	var stands []Event
	for _, e := range r.Events {
		lifted := func(Event) bool { return false }
		action := strings.TrimSuffix(e.What, stopNow)
		switch action {
		case record.OrderHandover:
			continue // it ended the run that it was given to, and so
		case record.OrderPause, record.OrderStop:
			if action == record.OrderStop && e.Scope == record.WholeSweep {
				continue // it ended the run that it was given to
			}
			lifted = func(h Event) bool { return h.What == e.What && h.Scope == e.Scope && h.Cause == e.Cause }
		case record.OrderResume:
			lifted = func(h Event) bool { return h.Scope == e.Scope }
		case record.OrderRenew:
			lifted = func(h Event) bool { return h.Cause == record.CauseRenewal }
		}
		stands = slices.DeleteFunc(stands, lifted)
		if action == record.OrderPause || action == record.OrderStop {
			stands = append(stands, e)
		}
	}
	for _, e := range stands {
		holds = append(holds, record.HoldStatus{Scope: e.Scope, Action: strings.TrimSuffix(e.What, stopNow), By: e.By, Cause: e.Cause, Reason: e.Reason, Since: e.At})
	}
	return holds
}

// stopNow ends the name of a stop that withdraws what is queued.
const stopNow = " now"

// Notice is what the Supplier of Last Resort wishes: that the sweep ceases or goes on.
type Notice struct {
	At            time.Time `json:"at"`
	Wish          string    `json:"wish"` // cease or go_on
	Reference     string    `json:"reference"`
	Reason        string    `json:"reason,omitempty"`
	By            string    `json:"recorded_by"`
	Authenticated bool      `json:"authenticated"`
}

// ordered takes in an order.
func (f *reading) ordered(rec record.Record) error {
	o, err := record.Decode[record.OrderBody](rec)
	if err != nil {
		return err
	}
	what := o.Action
	if o.Now {
		what += stopNow
	}
	if o.Action == record.OrderCease || o.Action == record.OrderGoOn {
		f.report.Notices = append(f.report.Notices, Notice{rec.At, o.Action, o.Reference, o.Reason, o.By, o.Authenticated})
	}
	f.leaves(rec.At, o)
	f.event(Event{rec.At, what, o.Scope(), o.By, o.Authenticated, len(o.Devices), o.Reason, o.Reference, o.Devices, o.Cause})
	return nil
}

// turned takes in how far a wave has come.
func (f *reading) turned(rec record.Record) error {
	w, err := record.Decode[record.WaveBody](rec)
	if rec.Code == record.WaveOpened {
		f.wavesOpened = max(f.wavesOpened, w.Wave)
	}
	f.event(Event{At: rec.At, What: "wave " + rec.Code, Scope: w.Name, By: record.BySweep, Meters: w.Meters})
	return err
}

// tripped takes in what halted the sweep. The meters it names are no other supplier's
// on that word: until they are asked again nothing is known of them.
func (f *reading) tripped(rec record.Record) error {
	t, err := record.Decode[record.TripwireBody](rec)
	for _, device := range t.Devices {
		m := f.meter(device)
		m.Leaving.Refused, m.Leaving.Expected = time.Time{}, false
		m.Verdict = record.VerdictBody{Verdict: record.VerdictUnknown, Reason: "refused in the run of refusals that halted the sweep: to be asked again"}
		m.Changes = append(m.Changes, Change{rec.At, m.Verdict.Verdict, m.Verdict.Reason})
	}
	f.event(Event{At: rec.At, What: "tripwire", Scope: rec.Code, By: record.BySweep, Meters: len(t.Devices), Reason: t.Reason})
	return err
}

func (f *reading) event(e Event) { f.report.Events = append(f.report.Events, e) }

// WriteEvents writes orders.csv.
func (r *Report) WriteEvents(w io.Writer) error {
	out := table.NewWriter(w)
	out.Write("at", "what", "scope", "by", "authenticated", "meters", "reason", "reference")
	for _, e := range r.Events {
		out.Write(timestamp(e.At), e.What, e.Scope, e.By, strconv.FormatBool(e.Authenticated), strconv.Itoa(e.Meters), e.Reason, e.Reference)
	}
	return out.End()
}

// mostEvents bounds what the summary for people lists; orders.csv has all.
const mostEvents = 40

// writeEvents lists the last events for people.
func (r *Report) writeEvents(out io.Writer) {
	if len(r.Events) == 0 {
		return
	}
	from := max(0, len(r.Events)-mostEvents)
	fmt.Fprintf(out, "\nOrders and turns, %d of %d\n", len(r.Events)-from, len(r.Events))
	for _, e := range r.Events[from:] {
		by := e.By
		if e.By != record.BySweep && !e.Authenticated {
			by += " (not authenticated)"
		}
		fmt.Fprintf(out, "  %s  %s: %s, by %s", e.At.UTC().Format("2006-01-02 15:04:05"), e.What, e.Scope, by)
		if e.Meters > 0 {
			fmt.Fprintf(out, ", %d meters", e.Meters)
		}
		for _, text := range [...]string{e.Reference, e.Reason} {
			if text != "" {
				fmt.Fprintf(out, ": %s", text)
			}
		}
		fmt.Fprintln(out)
	}
}
