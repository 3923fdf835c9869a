package sweep

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// last is the kind of the last durable record about the latest request of a service.
func (d *driver) last(service servicerequests.Service) (kind record.Kind) {
	var id servicerequests.RequestID
	for _, r := range d.Disk.Durable() {
		if r.Service == service {
			id = r.ID
		}
		if r.ID == id && id.Counter != 0 {
			kind = r.Kind
		}
	}
	return kind
}

// The process dies with the journal in each state that a command can leave it in. No byte
// is signed again, and the command is carried out once.
func TestGoingOnFromEachState(t *testing.T) {
	for _, service := range []servicerequests.Service{to, arm} {
		for _, kind := range []record.Kind{
			record.Request, record.PreCommand, record.SignedCommand, record.Reply, record.Response, record.Outcome,
		} {
			for _, kept := range []bool{false, true} {
				t.Run(fmt.Sprint(service, " ", kind, " state ", kept), func(t *testing.T) {
					d := newDriver(cutOff())
					switch kind {
					case record.Request:
						d.strike(false, service, lostAfter)
					case record.SignedCommand:
						d.strike(true, service, lostAfter)
					}
					if !d.until(func() bool {
						d.Disk.Flush() // what is appended is durable soon
						if kind == record.Response {
							if x, ok := d.Pull(func(x proof.Delivery) bool { return sweeptest.ServiceOf(x) == service }); ok {
								d.storeOnly(x)
							}
						}
						return d.last(service) == kind
					}) {
						t.Fatal("never in this state")
					}
					if kept {
						d.keep()
						d.Disk.Flush()
					}
					d.die(0)
					d.finishAll()
					if got := d.Outcomes(service); !slices.Equal(got, []string{record.ClassSuccess.String()}) {
						t.Errorf("ended as %v", got)
					}
					if v := d.verdict(); v.Verdict != record.VerdictArmed {
						t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
					}
					wantGood(t, d)
				})
			}
		}
	}
}

// The process dies before each step of a run, with none, some or all of what was appended
// durable, and with or without a kept state. The next one ends well every time.
func TestADeathBeforeEachStep(t *testing.T) {
	for _, kept := range []int{0, 1, 3, 1 << 30} {
		for _, state := range []bool{false, true} {
			for at := 1; ; at++ {
				d := newDriver(cutOff())
				dead := false
				d.until(func() bool {
					if state && d.steps%3 == 0 {
						d.keep()
					}
					if d.steps >= at && !dead {
						dead = true
						d.die(kept)
					}
					return false
				})
				if !dead {
					break
				}
				if v := d.verdict(); v.Verdict != record.VerdictArmed {
					t.Errorf("death %d, %d kept: verdict %s (%s)", at, kept, v.Verdict, v.Reason)
				}
				d.judge()
				if wantNoFaults(t, d); t.Failed() {
					t.Fatalf("death %d, %d kept, state %t", at, kept, state)
				}
			}
		}
	}
}

// An answer counts though the process died before it was acted on, whatever else was said
// of the same request afterwards.
func TestJournalledAnswersAreActedOn(t *testing.T) {
	d := newDriver(healthy())
	d.strikeFlight(supply, twice)
	if !d.until(func() bool { return len(d.Inbox) > 0 }) {
		t.Fatal("nothing to deliver")
	}
	answer := d.Inbox[0]
	d.storeOnly(answer)
	d.storeOnly(proof.Delivery{ID: answer.ID, Device: answer.Device, Code: servicerequests.NoResponse})
	d.Inbox = nil
	d.now = d.now.Add(time.Hour) // its deadline passes before the next run
	d.die(0)
	d.finishAll()
	if got := d.Outcomes(sweeptest.ServiceOf(answer)); !slices.Equal(got, []string{record.ClassSuccess.String()}) {
		t.Errorf("ended as %v", got)
	}
	wantGood(t, d)
}

// An answer is durable and the DCC need not send it again; its request's wait ends before
// the machine hears of it, and the outcome that gives it up is durable, too; the process
// dies. An outcome without an answer takes no answer away: the start hears it.
func TestAnAnswerFromBeforeTheOutcomeThatGaveItUpIsNotLost(t *testing.T) {
	for _, state := range []bool{false, true} {
		d := newDrive(healthy())
		d.Policy.Retry.Electricity = nil
		d.start()
		var answer proof.Delivery
		if !d.until(func() (yes bool) {
			if r := d.m.ledger(0).openOf(mode); r != nil && r.Phase == ledger.Sent {
				answer, yes = d.Pull(func(x proof.Delivery) bool { return x.ID == r.ID })
			}
			return yes
		}) {
			t.Fatal("no answer")
		}
		r := d.m.ledger(0).openOf(mode)
		seq := d.storeOnly(answer)
		d.pass(r.Deadline.Sub(d.now) + time.Second) // the wait ends: its outcome is written
		if got := d.Outcomes(mode); !slices.Equal(got, []string{record.ClassNoResponse.String()}) {
			t.Fatalf("ended as %v", got)
		}
		if state {
			d.keep()
		}
		d.restart()
		d.drain()
		if past := d.m.ledger(0).PastWith(answer.ID); past == nil || past.Class != record.ClassSuccess {
			t.Errorf("state %t: the stored answer is lost: %+v", state, past)
		}
		if m := d.m.ledger(0); !m.Found.Mode.Known() && !m.Now.Mode.Known() {
			t.Errorf("state %t: nothing was learnt of it", state)
		}
		marked := 0
		for _, rec := range d.Disk.All() {
			if sweeptest.Marks(rec) == seq {
				marked++
			}
		}
		if marked != 1 {
			t.Errorf("state %t: %d marks of it", state, marked)
		}
		d.finishAll()
		wantGood(t, d)
	}
}

// A verdict does not outlive what was learnt after it.
func TestVerdictOlderThanALateAnswerIsGivenAnew(t *testing.T) {
	x := healthy()
	x.Mode, x.Claimed = credit, credit
	d := newDriver(x)
	d.OnFlight = func(*flight) fate { return doneLate }
	d.until(func() bool {
		d.Inbox = slices.DeleteFunc(d.Inbox, func(x proof.Delivery) bool { return x.Result != nil })
		return false
	})
	if v := d.verdict(); v.Verdict != record.VerdictUnknown {
		t.Fatalf("verdict %s", v.Verdict)
	}
	d.Disk.Close()
	for _, r := range d.Disk.All() {
		if r.Kind == record.Request && (r.Service == supply || r.Service == mode) {
			d.Deliver(x.Respond(d.now, r.Service, r.ID, true))
		}
	}
	d.drain()
	// All is durable but the new verdicts.
	d.Disk.Lose(func(r record.Record) bool { return r.Kind == record.Verdict })
	d.restart()
	d.finishAll()
	if v := d.verdict(); v.Verdict != record.VerdictOnSupply {
		t.Errorf("still %s (%s)", v.Verdict, v.Reason)
	}
	wantNoFaults(t, d)
}

func TestUnprovenAnswerIsRememberedAcrossRuns(t *testing.T) {
	d := newDriver(healthy())
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
	// The DCC's signed message about it is stored, and cannot be proven.
	r := sent()
	seq := d.storeOnly(proof.Delivery{ID: r.ID, Device: r.ID.Target, Code: servicerequests.Success})
	d.step(Disbelieved{Seq: seq, ID: r.ID, Reason: "bad MAC", FromDCC: true, Final: true})
	d.restart()
	d.finishAll()
	if got := d.Outcomes(supply); !slices.Equal(got, []string{record.ClassUnverified.String()}) {
		t.Errorf("ended as %v", got)
	}
	wantGood(t, d)
}

// Records of devices that are not planned are the User's other traffic.
func TestForeignRecordsDoNotStopAReplay(t *testing.T) {
	const stranger = servicerequests.EUI(0x00DB999999999999)
	id := servicerequests.RequestID{Originator: ourEUI, Target: stranger, Counter: 7}
	d := newDriver(healthy())
	d.Deliver(
		proof.Delivery{ID: id, Device: stranger, Code: servicerequests.Unreachable},
		proof.Delivery{Device: stranger, Alert: &gbcs.Alert{Code: ledger.AlertLocked}},
	)
	for len(d.Inbox) > 0 {
		d.take(0)
	}
	d.Disk.Append(record.Record{
		Kind: record.Refused, Device: stranger, ID: id, Code: record.RefusedUnverified, Body: record.Encode(record.RefusedBody{}),
	}, record.Record{
		Kind: record.Operator, Body: record.Encode(record.OrderBody{Action: record.OrderExclude, Devices: []servicerequests.EUI{stranger}}),
	}, record.Record{Kind: record.Closed})
	for range 2 {
		d.restart()
	}
	if n := len(d.SentIn(record.Unmatched)); n != 2 {
		t.Errorf("%d unmatched messages, want the response and the alert, once each", n)
	}
	d.finishAll()
	wantGood(t, d)
}

// An alert that was stored is taken in by the next process, once. Of a journal from before
// messages were stored first it is taken in by its code, even where it cannot be proven
// again.
func TestAlertsAreReplayed(t *testing.T) {
	for _, first := range []bool{true, false} {
		for code, want := range map[uint16]string{
			ledger.AlertLocked: "disabled then locked by the meter (81BE)", ledger.AlertFlowB5: "gas flow fault (81B5)",
			ledger.AlertFutureDated: "", 0x8F32: "",
		} {
			d := newDriver(healthy())
			d.finishAll()
			d.Disk.Close()
			d.now = d.now.Add(time.Hour)
			given := len(d.SentIn(record.Verdict))
			var seq uint64
			if first {
				alert := d.Devices[0].Alert(d.now, code, 9)
				alert.Alert.FutureDated = &gbcs.FutureDated{Code: ledger.CodeECS03}
				seq = d.storeOnly(alert)
				d.start()
			} else {
				all := slices.DeleteFunc(d.Disk.All(), func(r record.Record) bool { return r.Kind == record.Opened })
				d.Disk = sweeptest.NewDisk()
				d.Disk.Write(all...)
				d.Disk.Write(record.Record{At: d.now, Kind: record.Alert, Device: d.Devices[0].EUI, Code: fmt.Sprintf("%04X", code), Body: []byte("lost")})
				d.start()
			}
			if got := d.m.ledger(0).Bars.Person; got != want {
				t.Errorf("%04X: person %q, want %q", code, got, want)
			}
			if reopened := d.m.counts.done == 0 || len(d.SentIn(record.Verdict)) > given; reopened != (want != "" || code == ledger.AlertFutureDated) {
				t.Errorf("%04X, stored first %t: reopened %v", code, first, reopened)
			}
			d.finishAll()
			if first {
				d.restart() // it is taken in once
				if n := len(d.SentIn(record.Proven)); n != 1 || sweeptest.Marks(d.SentIn(record.Proven)[0]) != seq {
					t.Errorf("%04X: taken in %d times", code, n)
				}
				wantGood(t, d)
			}
			wantNoFaults(t, d)
		}
	}
}

// A meter whose 1.6 is under way, and which is suppressed at the next start, is sent
// nothing more and is excluded.
func TestSuppressedMeterIsLeftAlone(t *testing.T) {
	d := newDriver(healthy())
	if !d.until(func() bool { return d.m.ledger(0).openOf(to) != nil }) {
		t.Fatal("1.6 was not asked for")
	}
	d.Disk.Close()
	posts := d.Posts
	d.Suppressed = map[servicerequests.EUI]struct{}{d.Devices[0].EUI: {}}
	d.start()
	d.finishAll()
	if v := d.verdict(); v.Verdict != record.VerdictExcluded || v.Reason != "suppressed" {
		t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	if d.Posts != posts {
		t.Errorf("%d POSTs", d.Posts-posts)
	}
	wantGood(t, d)
}

func TestReplayRefuses(t *testing.T) {
	target := record.Record{Kind: record.Target, Device: 1, Body: record.Encode(record.TargetBody{
		Type: servicerequests.ESME, Hub: 2, Region: servicerequests.North, Claimed: prepay, Originator: ourEUI,
	})}
	id := servicerequests.RequestID{Originator: ourEUI, Target: 1, Counter: 5}
	request := record.Record{Kind: record.Request, Device: 1, Service: to, ID: id, Body: []byte("signed")}
	command := request
	command.Kind = record.SignedCommand
	for name, records := range map[string][]record.Record{
		"planned twice": {target, target},
		"originator without an identity": {{Kind: record.Target, Device: 1, Body: record.Encode(record.TargetBody{
			Type: servicerequests.ESME, Hub: 2, Region: servicerequests.North, Claimed: prepay, Originator: 9,
		})}},
		"a request of a meter not planned": {request},
		"a request signed twice":           {target, request, request},
		"a command without its request":    {target, command},
		"a command signed twice":           {target, request, command, command},
		"an outcome of no class":           {target, {Kind: record.Outcome, Device: 1, Body: []byte(`{"class":"odd"}`)}},
		"a wave that is not planned":       {target, {Kind: record.Wave, Code: record.WaveOpened, Body: record.Encode(record.WaveBody{Wave: 2})}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrive()
			d.Disk.Write(records...)
			if _, _, err := replayOf(d.World, nil, nil); !errors.Is(err, ErrReplay) {
				t.Errorf("%v, want %v", err, ErrReplay)
			}
		})
	}
	t.Run("the journal cannot be read", func(t *testing.T) {
		d := newDrive(healthy())
		broken := func(yield func(record.Record, error) bool) { yield(record.Record{}, sweeptest.ErrDisk) }
		if _, err := machineOf(d.World, nil).Replay(broken, d.Read); !errors.Is(err, sweeptest.ErrDisk) {
			t.Errorf("%v", err)
		}
	})
}
