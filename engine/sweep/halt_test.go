package sweep

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// A halt of any cause is written before anything else is done; it recalls each half that a
// worker has, and nothing is sent after it. It is written once.
func TestAHaltIsWrittenBeforeAnythingElse(t *testing.T) {
	broken := errors.New("broken")
	for name, cause := range map[string]Event{
		"gate":     GateClosed{broken},
		"journal":  JournalFailed{broken},
		"counters": Reserved{Originator: otherEUI, Err: broken},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrive(healthy())
			other := healthy()
			other.EUI += 16
			d.Add(other, ourEUI, servicerequests.South)
			d.alter = func(o *Options) { o.Drain = time.Minute }
			d.start()
			if len(d.jobs) != 2 {
				t.Fatalf("%d halves", len(d.jobs))
			}
			d.work(0) // one half is on its way back, one is still with its worker
			halves := slices.Clone(d.jobs)
			actions := d.step(cause)
			write, ok := actions[0].(Append)
			if !ok || len(write.Records) != 1 || write.Records[0].Kind != record.Halted {
				t.Fatalf("the first action is %T %+v", actions[0], actions[0])
			}
			body, err := record.Decode[record.HaltedBody](write.Records[0])
			if err != nil || !strings.Contains(body.Reason, "broken") {
				t.Errorf("it says %q, %v", body.Reason, err)
			}
			if !recalled(actions, halves[0]) {
				t.Error("the half that a worker has is not recalled")
			}
			if yes, _ := d.m.Ended(); yes {
				t.Error("it has ended with a half with a worker")
			}
			posts := d.Posts
			d.step(cause) // the same once more
			d.drain()
			d.pass(time.Minute)
			d.drain()
			if d.Posts != posts {
				t.Errorf("%d POSTs after it", d.Posts-posts)
			}
			yes, err := d.m.Ended()
			var halt *HaltError
			if !yes || !errors.As(err, &halt) || !errors.Is(err, broken) {
				t.Errorf("ended %t with %v", yes, err)
			}
			if n := len(d.SentIn(record.Halted)); n != 1 {
				t.Errorf("%d halts are written", n)
			}
			if err := d.order(record.OrderBody{Action: record.OrderResume}); !errors.Is(err, ErrOrder) {
				t.Errorf("a halt is resumed: %v", err)
			}
			d.restart()
			d.finishAll()
			wantGood(t, d)
		})
	}
}

// A gate that closes is noticed by the door or by the driver, whichever asks first. Answers
// to what was sent still come in, for as long as the drain lasts and no longer than there
// are any; then it ends.
func TestAClosedGateDrains(t *testing.T) {
	for _, silent := range []bool{false, true} {
		for _, byTheDoor := range []bool{false, true} {
			d := newDrive(healthy())
			d.alter = func(o *Options) { o.Drain = 10 * time.Minute }
			d.Policy.ResponseWait.Electricity = time.Hour
			if silent {
				d.OnFlight = func(*flight) fate { return lost }
			}
			d.start()
			if !d.until(func() bool { return len(d.m.ledger(0).Open) == 3 && len(d.jobs) == 2 }) {
				t.Fatal("no reads")
			}
			d.work(0)
			d.finish(0)
			d.gate = &HaltError{Reason: "moved"}
			if byTheDoor {
				d.work(0)
				d.finish(0)
			} else {
				d.step(GateClosed{d.gate})
				d.work(0)
				d.finish(0)
			}
			if d.m.run.halt == nil || !errors.Is(d.m.run.halt, d.gate) {
				t.Fatalf("halt %v", d.m.run.halt)
			}
			began := d.now
			for yes := false; !yes; yes, _ = d.m.Ended() {
				d.drain()
				d.pass(time.Second)
				if d.now.Sub(began) > time.Hour {
					t.Fatal("no end")
				}
			}
			lasted := d.now.Sub(began)
			if silent && lasted != 10*time.Minute || !silent && lasted > 2*time.Second {
				t.Errorf("silent %t, by the door %t: it drained for %v", silent, byTheDoor, lasted)
			}
			if answers := len(d.SentIn(record.Outcome)); silent == (answers > 0) {
				t.Errorf("silent %t: %d outcomes", silent, answers)
			}
			d.gate, d.OnFlight = nil, nil
			d.restart()
			d.finishAll()
			wantGood(t, d)
		}
	}
}

// A journal that fails at any commit, and has or has not what it was given, halts the sweep;
// the next process ends well.
func TestAJournalThatFails(t *testing.T) {
	for _, applied := range []bool{false, true} {
		for at := 1; ; at++ {
			d := newDrive(cutOff())
			d.start()
			d.Disk.Fail(at, applied)
			failed := false
			d.until(func() bool {
				if err := d.Disk.Err(); err != nil && !failed {
					failed = true
					d.step(JournalFailed{err})
				}
				return false
			})
			if !failed {
				if at < 10 {
					t.Errorf("only %d commits", at)
				}
				break
			}
			if d.m.run.halt == nil {
				t.Fatalf("commit %d: not halted", at)
			}
			d.die(0)
			d.finishAll()
			if v := d.verdict(); v.Verdict != record.VerdictArmed {
				t.Errorf("commit %d, applied %t: verdict %s (%s)", at, applied, v.Verdict, v.Reason)
			}
			d.judge()
			if wantNoFaults(t, d); t.Failed() {
				t.Fatalf("commit %d, applied %t", at, applied)
			}
		}
	}
}
