package sweep

import (
	"slices"
	"testing"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// marks lists the kinds of the records that mark a stored message.
func (d *driver) marks(seq uint64) (kinds []record.Kind) {
	for _, r := range d.Disk.All() {
		if sweeptest.Marks(r) == seq {
			kinds = append(kinds, r.Kind)
		}
	}
	return kinds
}

// tell has the machine hear of a delivery, and returns the message's number.
func (d *driver) tell(x proof.Delivery) (seq uint64) {
	seq = d.storeOnly(x)
	d.step(Heard{Seq: seq, At: d.now, Delivery: x})
	return seq
}

// Every stored message ends with one mark, of the kind that says what was made of it, and
// is settled. A start hears none of them again.
func TestEveryMessageEndsWithOneMark(t *testing.T) {
	x := healthy()
	d := newDrive(x)
	d.alter = func(o *Options) { o.StandIn = "the test" } // counters that nobody has given out are among what is told
	d.start()
	d.OnFlight = func(f *flight) fate {
		switch f.Service {
		case supply:
			return lost // nothing is heard of it
		case balance:
			return doneLate
		}
		return answered
	}
	d.finishAll()
	if v := d.verdict(); v.Verdict != record.VerdictUnknown {
		t.Fatalf("verdict %s", v.Verdict)
	}
	ids := map[servicerequests.Service]servicerequests.RequestID{}
	for _, r := range d.SentIn(record.Outcome) {
		if _, ok := ids[r.Service]; !ok {
			ids[r.Service] = r.ID
		}
	}
	answer := func(s servicerequests.Service) proof.Delivery { return x.Respond(d.now, s, ids[s], true) }
	garbledAnswer := answer(supply)
	garbledAnswer.Message.Counter++
	strange := ids[mode]
	strange.Counter = 5
	stranger := proof.Delivery{Device: 0x77, Alert: &gbcs.Alert{Code: ledger.AlertLocked}}
	for _, c := range []struct {
		name string
		what proof.Delivery
		want record.Kind
	}{
		{"a repetition", answer(mode), record.Repeated},
		{"the DCC's word about what is answered", proof.Delivery{ID: ids[mode], Device: x.EUI, Code: servicerequests.NoResponse}, record.Repeated},
		{"an acknowledgement", proof.Delivery{ID: ids[mode], Device: x.EUI, Code: servicerequests.Acknowledged}, record.Repeated},
		{"the DCC's word about what was given up", proof.Delivery{ID: ids[supply], Device: x.EUI, Code: servicerequests.NoResponse}, record.Repeated},
		{"a late answer that does not correlate", garbledAnswer, record.Refused},
		{"a late answer", answer(supply), record.Outcome},
		{"the same once more", answer(supply), record.Repeated},
		{"an answer to what was never asked", x.Respond(d.now, mode, strange, true), record.Unmatched},
		{"an alert", x.Alert(d.now, 0x8F32, 1), record.Proven},
		{"an alert again", x.Alert(d.now, 0x8F32, 1), record.Proven},
		{"a stranger's alert", stranger, record.Unmatched},
		{"a DCC Alert", proof.Delivery{DCCAlert: &duis.DCCAlert{Code: "N42"}}, record.Unmatched},
		{"a quarantine of what is answered", sweeptest.HeldBack(ids[mode], "1"), record.Proven},
		{"a quarantine of a stranger's", sweeptest.HeldBack(servicerequests.RequestID{Originator: ourEUI, Target: 0x77, Counter: 3}, "1"), record.Unmatched},
	} {
		if got := d.marks(d.tell(c.what)); !slices.Equal(got, []record.Kind{c.want}) {
			t.Errorf("%s is marked %v, want %v", c.name, got, c.want)
		}
	}
	d.OnFlight = nil
	d.drain()
	d.restart()
	if left, _ := (sweeptest.Messages{World: d.World}).Unjudged(); len(left) != 0 {
		t.Errorf("a start hears %v again", left)
	}
	d.finishAll()
	wantGood(t, d)
}

// While a worker has the half, answers wait: the device's own takes the place of the DCC's
// word, a second one is a repetition, and each is marked once.
func TestAnswersWhileAWorkerHasTheHalf(t *testing.T) {
	d := newDriver(healthy())
	r := d.m.ledger(0).openOf(supply)
	d.work(0)
	d.Arrive(0)
	answer, _ := d.Next()
	word := proof.Delivery{ID: r.ID, Device: r.ID.Target, Code: servicerequests.NoResponse}
	first, second, third := d.tell(word), d.tell(answer), d.tell(answer)
	d.finish(0)
	for seq, want := range map[uint64]record.Kind{first: record.Repeated, second: record.Outcome, third: record.Repeated} {
		if got := d.marks(seq); !slices.Equal(got, []record.Kind{want}) {
			t.Errorf("message %d is marked %v, want %v", seq, got, want)
		}
	}
	if got := d.Outcomes(supply); !slices.Equal(got, []string{record.ClassSuccess.String()}) {
		t.Errorf("7.4 ended as %v", got)
	}
	d.finishAll()
	wantGood(t, d)
}

// A death between an answer and the worker's result loses neither.
func TestAnEarlyAnswerOutlivesTheProcess(t *testing.T) {
	d := newDriver(healthy())
	d.work(0)
	d.Arrive(0)
	d.take(0)
	d.keep()
	d.restart()
	d.finishAll()
	if got := d.Outcomes(supply); !slices.Equal(got, []string{record.ClassSuccess.String()}) {
		t.Errorf("7.4 ended as %v", got)
	}
	wantGood(t, d)
}

// A message that is refused for good is marked: as refused if it claims to answer a request
// of this sweep, else as other traffic. A message that is not proven yet is not marked, and
// counts if it is proven later.
func TestDisbelieved(t *testing.T) {
	for name, c := range map[string]struct {
		ours, final bool
		want        []record.Kind
	}{
		"ours, for good":     {true, true, []record.Kind{record.Refused}},
		"ours, not yet":      {true, false, nil},
		"not ours, for good": {false, true, []record.Kind{record.Unmatched}},
		"not ours, not yet":  {false, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrive(healthy())
			d.Policy.ResponseWait.Electricity = time.Hour
			d.start()
			d.strikeFlight(supply, lost)
			sent := func() *request {
				if r := d.m.ledger(0).openOf(supply); r != nil && r.Phase == ledger.Sent {
					return r
				}
				return nil
			}
			if !d.until(func() bool { return sent() != nil }) {
				t.Fatal("7.4 was not taken")
			}
			r := sent()
			id := r.ID
			if !c.ours {
				id.Originator = 0x77
			}
			answer := d.Devices[0].Respond(d.now, supply, r.ID, true)
			answer.ID = id
			seq := d.storeOnly(answer)
			d.step(Disbelieved{Seq: seq, ID: id, Reason: "no key", FromDCC: true, Final: c.final})
			if got := d.marks(seq); !slices.Equal(got, c.want) {
				t.Errorf("it is marked %v, want %v", got, c.want)
			}
			if r.Unproven != (c.ours && c.final) || r.undecided != (c.ours && !c.final) {
				t.Errorf("the request doubts %t, and waits for a proof %t", r.Unproven, r.undecided)
			}
			if !c.final && c.ours { // the key comes
				d.step(Heard{Seq: seq, At: d.now, Delivery: answer})
				if got := d.marks(seq); !slices.Equal(got, []record.Kind{record.Outcome}) {
					t.Errorf("believed in the end, it is marked %v", got)
				}
			}
			if !c.final && !c.ours {
				d.step(Disbelieved{Seq: seq, ID: id, Reason: "no key", Final: true})
			}
			d.finishAll()
			want := record.ClassNoResponse
			switch {
			case c.ours && c.final:
				want = record.ClassUnverified
			case c.ours:
				want = record.ClassSuccess
			}
			if got := d.Outcomes(supply); !slices.Equal(got, []string{want.String()}) {
				t.Errorf("7.4 ended as %v, want %v", got, want)
			}
			wantGood(t, d)
		})
	}
}

// After an unproven answer of a sleeping meter the sweep does not wait as long as for a silent
// one; a shorter wait stays as it is.
func TestDoubtShortensTheWait(t *testing.T) {
	now := epoch
	const awake = 15 * time.Minute
	for name, test := range map[string]struct{ deadline, want time.Time }{
		"a day":    {now.Add(24 * time.Hour), now.Add(awake)},
		"a minute": {now.Add(time.Minute), now.Add(time.Minute)},
	} {
		d := newDrive(healthy())
		d.Policy.ResponseWait = ledger.PerFuel[time.Duration]{Electricity: awake, Gas: 25 * time.Hour}
		d.start()
		d.OnFlight = func(*flight) fate { return lost }
		d.until(func() bool { return len(d.m.ledger(0).Open) > 0 && d.m.ledger(0).Open[0].Phase == ledger.Sent })
		m := d.m.ledger(0)
		r := of(m.Open[0])
		r.Deadline = test.deadline
		d.m.schedule(m, test.deadline)
		d.m.doubt(r)
		if !r.Unproven || !r.Deadline.Equal(test.want) || !m.due.Equal(test.want) {
			t.Errorf("%s: unproven %t, deadline %v, looked at %v", name, r.Unproven, r.Deadline, m.due)
		}
	}
}

// An alert of a month ago, or one that was taken before, is no proof that a supply is off
// for lack of credit (decision 50): it arms nothing.
func TestAStaleAlertArmsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		age  time.Duration
		arms bool
	}{
		"a month old":            {31 * 24 * time.Hour, false},
		"before the last read":   {time.Minute, false},
		"later than the read":    {-time.Second, true},
		"of before, told again":  {time.Hour, false},
		"as old as the read is":  {0, false},
		"a second before it was": {time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			x := healthy()
			x.Balance = -5 * servicerequests.Pound // in its non-disablement period
			d := newDriver(x)
			// Its supply goes off for another reason once it is in Credit.
			if !d.until(func() bool { return x.Mode == credit }) {
				t.Fatal("not switched")
			}
			read := d.m.ledger(0).Now.Supply.At
			x.Supply = servicerequests.Disabled
			x.Found.Supply = x.Supply // so that the world has nothing to say about it
			alert := x.Alert(read.Add(-c.age), ledger.AlertBelow, 4)
			if c.age < 0 {
				d.now = d.now.Add(2 * time.Second)
			}
			for range 2 {
				d.Deliver(alert)
			}
			for len(d.Inbox) > 0 {
				d.take(0)
			}
			d.finishAll()
			d.Deliver(alert) // and once more, when all is over
			d.take(0)
			d.restart()
			d.finishAll()
			armed := len(d.SentIn(record.SignedCommand, arm)) > 0
			if v := d.verdict(); armed != c.arms {
				t.Errorf("armed %t: verdict %s (%s)", armed, v.Verdict, v.Reason)
			}
			wantGood(t, d)
		})
	}
}

// An alert that is told again, by its counter, reopens nothing. One that is new does.
func TestARepeatedAlertReopensNothing(t *testing.T) {
	for _, code := range []uint16{ledger.AlertLocked, ledger.AlertFutureDated, ledger.AlertFlowB4} {
		d := newDriver(healthy())
		x := d.Devices[0]
		d.finishAll()
		tell := func(counter uint64) (verdicts int) {
			before := len(d.SentIn(record.Verdict))
			d.now = d.now.Add(2 * time.Hour)
			alert := x.Alert(d.now, code, counter)
			alert.Alert.FutureDated = &gbcs.FutureDated{Code: ledger.CodeECS03}
			d.Deliver(alert)
			d.take(0)
			d.finishAll()
			return len(d.SentIn(record.Verdict)) - before
		}
		if n := tell(7); n != 1 {
			t.Errorf("%04X: %d verdicts after the first", code, n)
		}
		requests := len(d.SentIn(record.Request))
		if n := tell(7); n != 0 {
			t.Errorf("%04X: %d verdicts after a repetition", code, n)
		}
		d.restart()
		d.finishAll()
		if n := tell(6); n != 0 || len(d.SentIn(record.Request)) != requests {
			t.Errorf("%04X: %d verdicts after one that was overtaken, in the next process", code, n)
		}
		if n := tell(8); n != 1 {
			t.Errorf("%04X: %d verdicts after a new one", code, n)
		}
		wantGood(t, d)
	}
}
