package sweep

import (
	"strings"
	"testing"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// street makes a driver of electricity meters, each in a home of its own, that take turns
// between the regions.
func street(meters int) *driver {
	d := newDrive()
	for i := range meters {
		x := healthy()
		x.EUI = 0x00DB123400000000 + servicerequests.EUI(i)*16
		x.Home, x.Balance = x.EUI+8, 20*servicerequests.Pound
		d.Add(x, ourEUI, servicerequests.Regions[i%3])
	}
	return d
}

// A tripwire's trip is written at once, with the halt right after it, and nothing is sent in
// that step; the gate of the market participant IDs is told. No meter stays excluded for an
// E4: the next process asks them all again.
func TestATripwireThenAHalt(t *testing.T) {
	d := street(30)
	d.alter = func(o *Options) { o.Tripwires.Unregistered = Tripwire{Window: 20, Minimum: 5, Ratio: 0.2} }
	moved := false
	d.OnPost = func(piece) fate {
		if moved {
			return "E4"
		}
		return taken
	}
	var tripping []Action
	d.watch = func(_ []Event, actions []Action) {
		for _, a := range actions {
			if w, ok := a.(Append); ok && w.Records[0].Kind == record.Tripwire {
				tripping = actions
			}
		}
	}
	d.start()
	d.until(func() bool { return d.Posts > 40 })
	moved = true
	d.finishAll()
	if d.m.run.halt == nil || !strings.Contains(d.m.run.halt.Error(), "market participant IDs have moved") || d.moved == nil {
		t.Fatalf("halt %v, told %v", d.m.run.halt, d.moved)
	}
	var kinds []record.Kind
	sends := 0
	for _, a := range tripping {
		switch a := a.(type) {
		case Append:
			kinds = append(kinds, a.Records[0].Kind)
		case Send:
			sends++
		}
	}
	if s := join(kinds); !strings.Contains(s, "tripwire halted") || sends != 0 {
		t.Errorf("the step that trips writes %s and sends %d", s, sends)
	}
	d.drain()
	for _, m := range d.m.ledgers() {
		if m.Bars.Excluded != "" {
			t.Errorf("%v: %s", m.Device, m.Bars.Excluded)
		}
	}
	d.keep()
	moved = false
	d.restart()
	d.finishAll()
	if n := d.m.counts.verdicts[record.VerdictOnSupply]; n != 30 {
		t.Errorf("verdicts %v", d.m.counts.verdicts)
	}
	wantGood(t, d)
}

func join(kinds []record.Kind) string {
	text := ""
	for _, k := range kinds {
		text += k.String() + " "
	}
	return text
}

// Messages that answer no request of this sweep trip nothing, however many cannot be proven.
func TestOthersTrafficTripsNothing(t *testing.T) {
	d := newDrive(healthy())
	d.alter = func(o *Options) { o.Tripwires.Unverified = Tripwire{Window: 10, Minimum: 3, Ratio: 0.2} }
	d.start()
	for i := range uint64(20) {
		d.step(Disbelieved{Seq: 0, ID: servicerequests.RequestID{Originator: ourEUI, Target: 0x77, Counter: i + 1}, FromDCC: true, Final: true})
	}
	if d.m.run.halt != nil {
		t.Fatalf("halt %v", d.m.run.halt)
	}
	if n := len(d.SentIn(record.Unmatched)); n != 20 {
		t.Errorf("%d unmatched", n)
	}
}

// Answers to our requests that the DCC has signed and that cannot be proven trip; messages that
// the DCC has not signed do not.
func TestUnbelievedAnswersTrip(t *testing.T) {
	for _, fromDCC := range []bool{false, true} {
		d := newDrive(healthy())
		d.alter = func(o *Options) { o.Tripwires.Unverified = Tripwire{Window: 10, Minimum: 3, Ratio: 0.2} }
		d.start()
		d.finishAll()
		id := d.SentIn(record.Outcome)[0].ID
		for range 3 {
			seq := d.storeOnly(d.Devices[0].Respond(d.now, supply, id, true))
			d.step(Disbelieved{Seq: seq, ID: id, FromDCC: fromDCC, Final: true})
		}
		if tripped := d.m.run.halt != nil; tripped != fromDCC {
			t.Errorf("from the DCC %t: halt %v", fromDCC, d.m.run.halt)
		}
		wantNoFaults(t, d)
	}
}
