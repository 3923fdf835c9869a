package sweep

import (
	"flag"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

var leavingHomes = flag.Int("leave.homes", 400, "homes of TestHomesLeaveOverTenDays; the long form is 5000")

// leaver is a home that leaves.
type leaver struct {
	from             time.Time // another supplier's
	listed, alerting bool
}

const margin = 6 * time.Hour

// listOf is the list of transfers as the machine is given it.
func listOf(homes map[servicerequests.EUI]leaver) (list []record.Transfer) {
	for device, l := range homes {
		if l.listed {
			list = append(list, record.Transfer{Device: device, MPxN: "1", Effective: l.from, Leave: l.from.Add(-margin), Incoming: "SOLR", Source: "CSS"})
		}
	}
	slices.SortFunc(list, func(a, b record.Transfer) int { return int(a.Device) - int(b.Device) })
	return list
}

// tenDays sweeps homes of which every second ends armed and is read again each day, while
// some leave. It returns the driver and how many POSTs of homes that had left were refused.
func tenDays(t *testing.T, homes int, leaving map[servicerequests.EUI]leaver) (d *driver, refused map[bool]int) {
	t.Helper()
	d = street(homes)
	for i, x := range d.Devices {
		if i%2 == 0 {
			x.Supply, x.Balance, x.Found = servicerequests.Disabled, 0, sweeptest.State{Mode: servicerequests.Prepayment, Supply: servicerequests.Disabled}
		}
	}
	d.check = homes <= 100
	d.Policy.RereadArmedAfter = 20 * time.Hour
	refused = map[bool]int{}
	d.OnPost = func(p piece) fate {
		l, leaves := leaving[p.ID.Target]
		switch {
		case leaves && l.listed && !d.now.Before(l.from.Add(-margin)):
			d.Fault("%v: POSTed %v before it leaves at %v", p.ID.Target, l.from.Sub(d.now), l.from)
		case leaves && !d.now.Before(l.from):
			refused[l.listed]++
			return "E4"
		}
		return taken
	}
	d.alter = func(o *Options) {
		o.Tripwires.Unregistered = Tripwire{Window: 50, Minimum: 12, Ratio: 0.2}
		o.Transfers = listOf(leaving)
		o.InFlight, o.Workers = 1000, 1000
	}
	d.start()
	d.finishAll()
	for day := 1; day <= 10; day++ {
		d.now = epoch.Add(time.Duration(day) * 24 * time.Hour)
		d.keep()
		d.restart()
		for device, l := range leaving {
			if l.alerting && !l.from.After(d.now) && l.from.After(d.now.Add(-24*time.Hour)) {
				d.Deliver(proof.Delivery{Signed: true, DCCAlert: &duis.DCCAlert{Code: "N27", Event: duis.ChangeOfSupplier{Device: device}}})
			}
		}
		d.finishAll()
		d.drain()
		if d.m.run.halt != nil {
			t.Fatalf("day %d: %v", day, d.m.run.halt)
		}
	}
	return d, refused
}

// A fifth of the homes leave over ten days, some unannounced. Nothing is sent to one that
// is listed from the margin before its day on, nothing halts, every unexpected E4 is
// counted, and the others end as they do when nobody leaves.
func TestHomesLeaveOverTenDays(t *testing.T) {
	homes := *leavingHomes
	leaving := map[servicerequests.EUI]leaver{}
	for i := range homes {
		if i%5 == 0 {
			n := i / 5
			leaving[0x00DB123400000000+servicerequests.EUI(i)*16] = leaver{
				from: epoch.Add(time.Duration(1+n%10)*24*time.Hour - time.Hour), listed: n%10 < 7, alerting: n%10 < 7 && n%3 == 0 || n%10 == 7,
			}
		}
	}
	d, refused := tenDays(t, homes, leaving)
	calm, _ := tenDays(t, homes, nil)
	listed, left, told := 0, 0, 0
	for device, l := range leaving {
		m := d.m.find(device)
		if l.listed {
			listed++
			if !strings.HasPrefix(m.Bars.Excluded, record.ReasonLeaves) && !strings.HasPrefix(m.Bars.Excluded, record.ReasonTransferred) {
				t.Errorf("%v is not left alone: %q", device, m.Bars.Excluded)
			}
		}
		if m.Bars.Excluded != "" {
			left++
		}
		if l.listed || l.alerting {
			told++
		}
	}
	was, is := calm.m.ledgers(), d.m.ledgers()
	for i, x := range d.Devices {
		if _, leaves := leaving[x.EUI]; leaves {
			continue
		}
		if was, is := was[i].Verdict.Verdict, is[i].Verdict.Verdict; was != is {
			t.Fatalf("%v ends %s, and %s when nobody leaves", x.EUI, is, was)
		}
	}
	st := *d.m.Status(d.now).Transfers
	if refused[true] != 0 || refused[false] == 0 || st.Unexpected != refused[false] || st.Expected != 0 || st.Listed != listed || st.Confirmed == 0 || st.Left != told {
		t.Errorf("%d listed, %d are left alone, refused %v: %+v", listed, left, refused, st)
	}
	wantGood(t, d)
	wantGood(t, calm)
	t.Logf("%d homes, %d leave, %d of them listed, %d POSTs, %+v", homes, len(leaving), listed, d.Posts, st)
}

// Without a list, the same unexpected refusals of all homes at once still halt: the old
// wall. And the list of some does not keep the wall from halting.
func TestTheWallStillHalts(t *testing.T) {
	for _, listed := range []int{0, 10} {
		d := street(60)
		list := []record.Transfer{}
		for _, x := range d.Devices[:listed] {
			list = append(list, record.Transfer{Device: x.EUI, Effective: epoch.Add(time.Hour), Leave: epoch.Add(time.Hour)})
		}
		d.alter = func(o *Options) {
			o.Tripwires.Unregistered = Tripwire{Window: 50, Minimum: 12, Ratio: 0.2}
			o.Transfers = list
		}
		d.OnPost = func(piece) fate { return "E4" }
		d.start()
		d.finishAll()
		if d.m.run.halt == nil || d.moved == nil {
			t.Errorf("%d listed: no halt: %+v", listed, d.m.Status(d.now).Transfers)
		}
	}
}

// E4 of a home that is listed is expected from its day on, and not before. Expected ones
// trip nothing, however many there are.
func TestExpectedE4TripsNothing(t *testing.T) {
	d := street(60)
	var list []record.Transfer
	for _, x := range d.Devices {
		// They are left alone late, as by a list whose margin is under nothing.
		list = append(list, record.Transfer{Device: x.EUI, Effective: epoch.Add(-time.Hour), Leave: epoch.Add(time.Hour)})
	}
	list[0].Effective = epoch.Add(time.Hour)
	d.alter = func(o *Options) {
		o.Tripwires.Unregistered = Tripwire{Window: 50, Minimum: 12, Ratio: 0.2}
		o.Transfers = list
	}
	d.OnPost = func(piece) fate { return "E4" }
	d.start()
	d.finishAll()
	st := *d.m.Status(d.now).Transfers
	if d.m.run.halt != nil || st.Unexpected == 0 || st.Expected < 59 {
		t.Errorf("halt %v, %+v", d.m.run.halt, st)
	}
	d.keep()
	d.restart()
	if again := *d.m.Status(d.now).Transfers; again != st {
		t.Errorf("after a restart %+v, before %+v", again, st)
	}
	d.Disk.Forget()
	d.restart()
	if again := *d.m.Status(d.now).Transfers; again != st {
		t.Errorf("after all records were read %+v, before %+v", again, st)
	}
}

// A list that changes while requests are under way: what a worker has is held back at the
// socket, what waits is withdrawn, and what is removed from the list before its time goes
// on.
func TestTheListChanges(t *testing.T) {
	d := street(3)
	leaves, stays := d.Devices[0].EUI, d.Devices[1].EUI
	d.start()
	d.back = func(s Send) bool { return s.Device == leaves } // workers have what is to go to it
	d.until(func() bool { return slices.ContainsFunc(d.jobs, d.back) })
	held := slices.Clone(d.jobs)
	d.back = nil
	d.step(Transfers{[]record.Transfer{
		{Device: leaves, Effective: d.now, Leave: d.now.Add(-time.Hour), Incoming: "SOLR"},
		{Device: stays, Effective: d.now.Add(time.Hour), Leave: d.now.Add(time.Hour)},
		{Device: 0x77, Effective: d.now, Leave: d.now}, // not planned
	}})
	posts := func() int {
		return len(slices.DeleteFunc(d.SentIn(record.Request), func(r record.Record) bool { return r.Device != leaves }))
	}
	for i, job := range held {
		if job.Device == leaves {
			d.work(i)
			break
		}
	}
	if n := posts(); n != 0 {
		t.Errorf("%d requests of a home that has left were signed", n)
	}
	d.step(Transfers{[]record.Transfer{{Device: leaves, Effective: d.now, Leave: d.now.Add(-time.Hour), Incoming: "SOLR"}}})
	d.finishAll()
	if m := d.m.find(leaves); m.Verdict.Verdict != record.VerdictExcluded || !strings.HasPrefix(m.Bars.Excluded, record.ReasonLeaves) {
		t.Errorf("%s: %s", m.Verdict.Verdict, m.Bars.Excluded)
	}
	if m := d.m.find(stays); m.Verdict.Verdict != record.VerdictOnSupply {
		t.Errorf("%s: %s", m.Verdict.Verdict, m.Verdict.Reason)
	}
	orders := 0
	for _, r := range d.SentIn(record.Operator) {
		if r.Code == record.OrderTransfers {
			orders++
		}
	}
	if orders != 2 {
		t.Errorf("%d changes of the list are written", orders)
	}
	wantGood(t, d)
}

// The door itself holds back what a worker has when the home's time comes, though the
// machine has not turned since.
func TestTheDoorKnowsWhenAHomeLeaves(t *testing.T) {
	d := street(1)
	d.alter = func(o *Options) {
		o.Transfers = []record.Transfer{{Device: d.Devices[0].EUI, Effective: epoch.Add(time.Minute), Leave: epoch.Add(time.Minute)}}
	}
	d.start()
	d.until(func() bool { return len(d.jobs) > 0 })
	d.now = epoch.Add(time.Minute)
	for len(d.jobs) > 0 {
		d.work(0)
	}
	if d.Posts != 0 {
		t.Errorf("%d POSTs", d.Posts)
	}
	d.finishAll()
	if v := d.verdict(); v.Verdict != record.VerdictExcluded || d.Posts != 0 {
		t.Errorf("%s (%s), %d POSTs", v.Verdict, v.Reason, d.Posts)
	}
	wantGood(t, d)
}

// A message that names a counter of ours that the journal did not give out pauses the sweep
// in the same step, and says whose, which and what floor would be safe. It does so once; a
// higher one does so again.
func TestAStrangersCounterPauses(t *testing.T) {
	d := newDriver(healthy())
	x := d.Devices[0]
	d.until(func() bool { return len(d.SentIn(record.Request)) > 0 })
	mine := d.SentIn(record.Request)[0].ID
	tell := func(counter uint64, originator servicerequests.EUI) (paused bool) {
		id := mine
		id.Originator, id.Counter = originator, counter
		d.tell(x.Respond(d.now, mode, id, true))
		return d.m.pauses.whole()
	}
	if tell(mine.Counter+1_000_000, 0x77) || tell(0, mine.Originator) {
		t.Error("another's counter pauses")
	}
	if !tell(mine.Counter+1_000_000, mine.Originator) {
		t.Fatal("it is not paused")
	}
	h := d.m.pauses.all[0].Order
	if h.Cause != record.CauseStranger || h.By != record.BySweep || !strings.Contains(h.Reason, "another system sends under "+mine.Originator.String()) ||
		!strings.Contains(h.Reason, "counter_floor of ") {
		t.Errorf("%+v", h)
	}
	for _, c := range []struct {
		counter uint64
		paused  bool
	}{{mine.Counter + 1_000_000, false}, {5, false}, {mine.Counter + 1_000_001, true}} {
		if err := d.order(record.OrderBody{Action: record.OrderResume}); err != nil {
			t.Fatal(err)
		}
		if paused := tell(c.counter, mine.Originator); paused != c.paused {
			t.Errorf("counter %d after a resume: paused %t", c.counter, paused)
		}
		if !c.paused {
			d.m.pauses.add(record.OrderBody{Action: record.OrderPause}, d.now)
		}
	}
	if err := d.order(record.OrderBody{Action: record.OrderResume}); err != nil {
		t.Fatal(err)
	}
	d.finishAll()
	if v := d.verdict(); v.Verdict != record.VerdictOnSupply {
		t.Errorf("%s (%s)", v.Verdict, v.Reason)
	}
}

// Other messages that name a counter: DCC Alerts, unproven messages that the DCC has signed, and
// a device's alert of a command that is as new as the journal. A command that the failed
// supplier left on a meter long before is no stranger's.
func TestWhatElseNamesACounter(t *testing.T) {
	for name, c := range map[string]struct {
		tell   func(d *driver, id servicerequests.RequestID)
		paused bool
	}{
		"an old future dated command": {func(d *driver, id servicerequests.RequestID) {
			d.tell(futureDated(d, id, 1))
		}, false},
		"a new future dated command": {func(d *driver, id servicerequests.RequestID) {
			d.tell(futureDated(d, id, id.Counter+500))
		}, true},
		"a quarantined request": {func(d *driver, id servicerequests.RequestID) {
			id.Counter += 500
			d.tell(proof.Delivery{Signed: true, DCCAlert: &duis.DCCAlert{Code: "AD1", Event: duis.QuarantinedRequest{Request: id}}})
		}, true},
		"a failed command": {func(d *driver, id servicerequests.RequestID) {
			id.Target, id.Counter = 0x77, id.Counter+500
			d.tell(proof.Delivery{Signed: true, DCCAlert: &duis.DCCAlert{Code: "N13", Event: duis.CommandFailure{Request: id}}})
		}, true},
		"a failed command of another User": {func(d *driver, id servicerequests.RequestID) {
			id.Originator = 0x77
			d.tell(proof.Delivery{Signed: true, DCCAlert: &duis.DCCAlert{Code: "N13", Event: duis.CommandFailure{Request: id}}})
		}, false},
		"what is not believed, signed by the DCC": {func(d *driver, id servicerequests.RequestID) {
			id.Counter += 500
			seq := d.storeOnly(d.Devices[0].Respond(d.now, mode, id, true))
			d.step(Disbelieved{Seq: seq, ID: id, Reason: "a use case that is not known", FromDCC: true, Final: true})
		}, true},
		"what nobody has signed": {func(d *driver, id servicerequests.RequestID) {
			id.Counter += 500
			d.tell(proof.Delivery{ID: id, Device: id.Target, Code: servicerequests.NoResponse})
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDriver(healthy())
			d.until(func() bool { return d.m.given[ourEUI].First != 0 })
			c.tell(d, d.SentIn(record.Request)[0].ID)
			if d.m.pauses.whole() != c.paused {
				t.Errorf("paused: %t, want %t", d.m.pauses.whole(), c.paused)
			}
		})
	}
}

// futureDated is a device's alert that a future dated command was done.
func futureDated(d *driver, command servicerequests.RequestID, counter uint64) proof.Delivery {
	a := d.Devices[0].Alert(d.now, gbcs.AlertFutureDatedDone, 7)
	a.Message.Target = command.Originator
	a.Alert.FutureDated = &gbcs.FutureDated{Code: 0x001B, Counter: counter}
	return a
}

// An older copy of the journal does not know what was sent after it: answers to that are
// no stranger's.
func TestAnOlderJournalKnowsNoStranger(t *testing.T) {
	d := newDriver(healthy())
	d.finishAll()
	id := d.SentIn(record.Request)[0].ID
	d.Disk.Write(record.Record{At: d.now, Kind: record.Operator, Code: record.OrderAccept, Body: record.Encode(record.OrderBody{Action: record.OrderAccept, By: "Ada"})})
	d.restart()
	id.Counter += 400 // reserved by the run that is lost
	d.tell(d.Devices[0].Respond(d.now, mode, id, true))
	if d.m.pauses.whole() {
		t.Error(d.m.pauses.all[0].Order.Reason)
	}
}
