package sweep

import (
	"fmt"
	"slices"
	"testing"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
)

// checkState compares the machine's state with its rules: no count, queue or index disagrees
// with the phases of the requests.
func (d *driver) checkState() {
	s := d.m
	hubs := map[hubKey]int{}
	var regions [len(s.queues.regions)][2]int
	working, done, afters := 0, 0, 0
	for number, m := range s.store.awake {
		commands, attended := 0, !m.due.IsZero()
		for _, open := range m.Open {
			r := of(open)
			if r.Service.Critical() {
				commands++
			}
			if r.heard {
				regions[m.Plan.Region][m.fuel()]++
			}
			if r.heard != (r.Phase.Counted() && m.wait == ledger.NotWaiting) {
				d.Fault("%v: %v %v is counted %t", m.Device, r.Service, r.Phase, r.heard)
			}
			if r.inHub != (r.Phase != ledger.Behind) {
				d.Fault("%v: %v %v in its hub %t", m.Device, r.Service, r.Phase, r.inHub)
			}
			if r.inHub {
				hubs[hubKey{m.Plan.Hub, m.Gas()}]++
			}
			if r.Phase.Waits() != (r.place != nowhere) {
				d.Fault("%v: %v %v at %d of a queue", m.Device, r.Service, r.Phase, r.place)
			}
			if r.Phase.Working() {
				working++
				if r.permit == nil {
					d.Fault("%v: %v %v without a permit", m.Device, r.Service, r.Phase)
				}
			}
			if (r.ID.Counter != 0) != (r.Phase.Counted() && r.Phase != ledger.Signing) && r.Phase != ledger.Signing {
				d.Fault("%v: %v %v with counter %d", m.Device, r.Service, r.Phase, r.ID.Counter)
			}
			if (r.Phase == ledger.Ready || r.Phase == ledger.Resting || r.Phase == ledger.Posting) && r.Body == nil {
				d.Fault("%v: %v %v without bytes", m.Device, r.Service, r.Phase)
			}
			if r.Phase == ledger.Prepared && r.token == nil {
				d.Fault("%v: %v prepared without a token", m.Device, r.Service)
			}
			if (r.Phase == ledger.Quarantined) != (s.quarantine.requests[r.Event] == r) {
				d.Fault("%v: %v %v, held %t", m.Device, r.Service, r.Phase, r.Phase == ledger.Quarantined)
			}
			if r.After {
				afters++
			}
			// While it waits or rests, or a worker or the DCC has it, somebody looks again.
			attended = attended || r.Phase.Waits() || r.Phase.Working() || r.Phase == ledger.Behind || r.Phase == ledger.Quarantined
			if s.run.halt == nil && (r.Phase == ledger.Sent && r.Deadline.IsZero() || r.Phase == ledger.Resting && r.RetryAt.IsZero()) {
				d.Fault("%v: open %v %v has no end", m.Device, r.Service, r.Phase)
			}
		}
		if commands > 1 {
			d.Fault("%v: %d commands open", m.Device, commands)
		}
		if m.Done && slices.ContainsFunc(m.Open, func(r *ledger.Request) bool { return !r.After }) {
			d.Fault("%v: a verdict with %d requests open", m.Device, len(m.Open))
		}
		if !m.Done && !m.Started.IsZero() && len(m.Open) > 0 && !attended && s.open() {
			d.Fault("%v: nobody looks again", m.Device)
		}
		if len(m.Open) == 0 && !m.dirty {
			d.Fault("meter %d is awake for nothing", number)
		}
	}
	sum := 0
	for number := range int32(s.store.size()) {
		h := s.store.head(number)
		if h.done {
			done++
		} else if !h.begun && !h.waits && h.awaits == ledger.ReadingSupply && s.store.awake[number] == nil {
			d.Fault("%v: it has not begun, and is in no intake", h.device)
		} else if h.begun && s.store.awake[number] == nil && h.due == 0 && h.awaits == ledger.ReadingSupply && s.open() && len(s.pauses.all) == 0 {
			d.Fault("%v: it sleeps for good without a verdict", h.device)
		}
	}
	for _, n := range s.counts.verdicts {
		sum += n
	}
	if done != s.counts.done || sum != done {
		d.Fault("%d meters are done, counted %d, by verdict %d", done, s.counts.done, sum)
	}
	if afters != s.counts.afters {
		d.Fault("%d requests after verdicts, counted %d", afters, s.counts.afters)
	}
	for key, h := range s.queues.hubs {
		if h.open != hubs[key] {
			d.Fault("hub counts %d open, has %d", h.open, hubs[key])
		}
	}
	for _, l := range s.queues.regions {
		if l.inFlight != regions[l.region] {
			d.Fault("%v counts %d in flight, has %d", l.region, l.inFlight, regions[l.region])
		}
	}
	if busy := len(d.jobs) + len(d.results); working != busy && s.run.halt == nil {
		d.Fault("%d halves are with workers, %d requests say so", busy, working)
	}
	if d.Leaves != 0 { // a half is reported before its worker comes back
		d.Fault("%d leaves of the breaker are not reported", d.Leaves)
	}
}

// judge holds the end of a run against the truth: claims, verdicts, the journal.
func (d *driver) judge() {
	s := d.m
	ends, verdicts := map[servicerequests.RequestID]bool{}, map[servicerequests.EUI]record.VerdictBody{}
	for _, r := range d.Disk.All() {
		switch r.Kind {
		case record.Verdict:
			verdicts[r.Device], _ = record.Decode[record.VerdictBody](r)
		case record.Request:
			if _, ok := ends[r.ID]; ok {
				d.Fault("counter %d is used twice", r.ID.Counter)
			}
			ends[r.ID] = false
		case record.Outcome:
			if class, err := record.ParseClass(r.Code); err != nil || class == record.ClassOpen {
				d.Fault("outcome of class %q", r.Code)
			}
			ends[r.ID] = true
		}
	}
	for id, ended := range ends {
		if !ended {
			d.Fault("%v has no outcome", id)
		}
	}
	for i, m := range s.ledgers() {
		x := d.Devices[i]
		v := verdicts[m.Device]
		if v.ModeCounter != 0 {
			if got := x.Answered[v.ModeCounter].Mode; got != v.End.Mode || got != x.Mode {
				d.Fault("%v: claimed %v, read %v, is %v", x.EUI, v.End.Mode, got, x.Mode)
			}
			if got := x.Answered[v.SupplyCounter].Supply; got != v.End.Supply || got != x.Supply && !x.Pressed {
				d.Fault("%v: claimed %v, read %v, is %v", x.EUI, v.End.Supply, got, x.Supply)
			}
		}
		is := x.Supply
		if x.Pressed && v.SupplyCounter != 0 { // nobody may have heard of it
			is = x.Answered[v.SupplyCounter].Supply
		}
		var want string
		switch {
		case m.Bars.Excluded != "":
			want = v.Verdict // it stays as history
		case v.ModeCounter == 0:
			want = record.VerdictUnknown
		case x.Mode != credit || is == servicerequests.Disabled:
			want = record.VerdictNotSafe
		case is == servicerequests.Armed:
			want = record.VerdictArmed
		default:
			want = record.VerdictOnSupply
		}
		if v.Verdict != want {
			d.Fault("%v: verdict %s, want %s", x.EUI, v.Verdict, want)
		}
		if v.Verdict != m.Verdict.Verdict {
			d.Fault("%v: the journal says %q, the machine %q", x.EUI, v.Verdict, m.Verdict.Verdict)
		}
	}
	s.sleepIdle()
	swept, err := sweeptest.StoryOf(s, d.blank())
	if err != nil {
		d.Fault("%v", err)
		return
	}
	for _, wrong := range d.CheckMarks() {
		d.Fault("%s", wrong)
	}
	d.Disk.Close()
	again, _, err := replayOf(d.World, nil, d.alter)
	if err != nil {
		d.Fault("%v", err)
		return
	}
	replayed, err := sweeptest.StoryOf(again, nil)
	if err != nil {
		d.Fault("%v", err)
		return
	}
	sweeptest.Level(replayed, swept)
	for name := range replayed.Meters {
		if a, b := fmt.Sprintf("%+v", replayed.Meters[name]), fmt.Sprintf("%+v", swept.Meters[name]); a != b {
			d.Fault("%s: the journal tells another story:\nreplayed %s\nswept     %s", name, a, b)
		}
	}
}

// blank are rows to put changed ones over: all of the machine's, as they stand.
func (d *driver) blank() []record.StateRow {
	for number := range int32(len(d.m.store.blocks)) {
		d.m.store.changed[number] = struct{}{}
	}
	return nil
}

// wantNoFaults reports what the world has collected.
func wantNoFaults(t testing.TB, d *driver) {
	t.Helper()
	for i, fault := range d.Faults() {
		if i == 10 {
			t.Fatal("and more")
		}
		t.Error(fault)
	}
}

// wantGood ends a run and compares it with the truth.
func wantGood(t testing.TB, d *driver) {
	t.Helper()
	d.judge()
	wantNoFaults(t, d)
}
