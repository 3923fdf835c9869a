package sweep

import (
	"slices"
	"testing"
	"time"

	"safemode/engine/exchange"
	"safemode/engine/ledger"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
)

// never is a limit that lets nothing go.
func never(time.Time, exchange.Place) (bool, time.Duration, string) {
	return false, time.Second, "user"
}

// armAgain drives a meter that is off for lack of credit to where its 7.3 is signed and
// about to be POSTed again.
func armAgain(t testing.TB, struck fate) *driver {
	d := newDriver(cutOff())
	d.strike(true, arm, struck)
	if !d.until(func() bool {
		r := d.m.ledger(0).openOf(arm)
		return r != nil && r.Command() && (r.Phase == ledger.Ready || r.Phase == ledger.Resting || r.Phase == ledger.Posting)
	}) {
		t.Fatalf("7.3 was not asked for: %+v", d.verdict())
	}
	return d
}

func TestArmIsPostedAgainWhileItsReadIsFresh(t *testing.T) {
	for _, struck := range []fate{throttled, notWritten, lostBefore, lostAfter} {
		d := armAgain(t, struck)
		d.finishAll()
		if got := d.Outcomes(arm); !slices.Equal(got, []string{record.ClassSuccess.String()}) {
			t.Errorf("%s: 7.3 ended as %v", struck, got)
		}
		wantGood(t, d)
	}
}

func TestArmIsNotPostedAgainOnceItsReadIsOld(t *testing.T) {
	for struck, class := range map[fate]record.Class{throttled: record.ClassWithdrawn, notWritten: record.ClassWithdrawn, lostBefore: record.ClassInDoubt} {
		d := armAgain(t, struck)
		d.OnTake = never
		d.drain()
		d.pass(61 * time.Second)
		d.OnTake = nil
		d.finishAll()
		if got := d.Outcomes(arm); !slices.Equal(got, []string{class.String()}) {
			t.Errorf("%s: 7.3 ended as %v", struck, got)
		}
		if v := d.verdict(); v.Verdict != record.VerdictArmed {
			t.Errorf("%s: verdict %s (%s)", struck, v.Verdict, v.Reason)
		}
		wantGood(t, d)
	}
}

// A worker that comes to its half late signs and POSTs no 7.3 on an old read: neither one
// that is not signed yet nor one whose bytes are durable.
func TestASlowWorkerDoesNotLetAnOldArmOut(t *testing.T) {
	for _, signed := range []bool{false, true} {
		d := newDriver(cutOff())
		if signed {
			d.strike(true, arm, throttled)
		}
		if !d.until(func() bool {
			return len(d.jobs) == 1 && d.jobs[0].Expected.Service == arm && d.jobs[0].Command && (d.jobs[0].Body != nil) == signed
		}) {
			t.Fatal("7.3 was not given to a worker")
		}
		d.now = d.now.Add(2 * time.Minute)
		d.finishAll()
		if got := d.Outcomes(arm); !slices.Equal(got, []string{record.ClassWithdrawn.String()}) {
			t.Errorf("signed %t: 7.3 ended as %v", signed, got)
		}
		if v := d.verdict(); v.Verdict != record.VerdictArmed {
			t.Errorf("signed %t: verdict %s (%s)", signed, v.Verdict, v.Reason)
		}
		wantGood(t, d)
	}
}

// A read that the DCC could deliver only after an hour is no fresh read.
func TestReadThatWasDeliveredLateIsNotFresh(t *testing.T) {
	d := newDrive(cutOff())
	d.Policy.ResponseWait.Electricity = 2 * time.Hour
	d.start()
	if !d.until(func() bool {
		return d.Devices[0].Mode == credit && len(d.Inbox) > 0 && d.Inbox[0].SRV == supply.SRV()
	}) {
		t.Fatal("no read-back")
	}
	d.now = d.now.Add(time.Hour)
	d.take(0)
	if r := d.m.ledger(0).openOf(arm); r != nil {
		t.Fatal("7.3 rests on a read an hour old")
	}
	d.finishAll()
	wantGood(t, d)
}

// A read that was stored by one process and is heard by the next is as old as it is.
func TestReadThatTheNextProcessHearsIsNotFresh(t *testing.T) {
	d := newDrive(cutOff())
	d.Policy.ResponseWait.Electricity = 2 * time.Hour
	d.start()
	if !d.until(func() bool {
		return d.Devices[0].Mode == credit && len(d.Inbox) > 0 && d.Inbox[0].SRV == supply.SRV()
	}) {
		t.Fatal("no read-back")
	}
	answer := d.Inbox[0]
	answer.At = time.Time{} // the DCC does not say
	d.Inbox = d.Inbox[1:]
	d.storeOnly(answer)
	d.now = d.now.Add(time.Hour)
	d.die(0)
	if r := d.m.ledger(0).openOf(arm); r != nil {
		t.Fatal("7.3 rests on a read an hour old")
	}
	d.finishAll()
	wantGood(t, d)
}

// One balance read that gets no answer does not leave a home dark (decision 49): it is asked
// for again like any other precondition, and whichever proof comes counts.
func TestALostBalanceDoesNotLeaveAHomeDark(t *testing.T) {
	for _, after := range []bool{false, true} {
		for _, gas := range []bool{false, true} {
			for _, f := range []fate{answered, lost, noAnswer, undeliv, doneSilent, garbled, sweeptest.NoValue, doneLate} {
				x := cutOff()
				if gas {
					x.Kind, x.Proxy = servicerequests.GSME, x.EUI+2
				}
				d := newDrive(x)
				d.Policy.BalanceAfter = after
				d.Policy.ArmFresh.Gas = 45 * time.Minute
				d.start()
				d.strikeFlight(balance, f)
				d.finishAll()
				if v := d.verdict(); v.Verdict != record.VerdictArmed || x.Supply != servicerequests.Armed {
					t.Errorf("gas %t, balance after %t, %s: verdict %s (%s)", gas, after, f, v.Verdict, v.Reason)
				}
				if n := len(d.SentIn(record.Request, balance)); n < 2 && f != answered && f != doneLate {
					t.Errorf("gas %t, balance after %t, %s: 4.18 asked for %d times", gas, after, f, n)
				}
				wantGood(t, d)
			}
		}
	}
}

// No read of the balance is answered in time. One answer comes when the home has its
// verdict: it shows that there was no credit, and the home is armed on it.
func TestABalanceThatComesAfterTheVerdictIsProof(t *testing.T) {
	for _, after := range []bool{false, true} {
		d := newDrive(cutOff())
		d.Policy.BalanceAfter = after
		d.start()
		d.OnFlight = func(f *flight) fate {
			if f.Service == balance {
				return doneLate
			}
			return answered
		}
		var late []proof.Delivery
		d.until(func() bool {
			if x, ok := d.Pull(func(x proof.Delivery) bool { return x.Result != nil && x.Result.HasBalance }); ok {
				late = append(late, x)
			}
			return false
		})
		if v := d.verdict(); v.Verdict != record.VerdictNotSafe || v.Reason != "disabled, balance not known" || len(late) < 3 {
			t.Fatalf("verdict %s (%s) after %d reads", v.Verdict, v.Reason, len(late))
		}
		d.Deliver(late[1])
		d.take(0)
		d.finishAll()
		if v := d.verdict(); v.Verdict != record.VerdictArmed {
			t.Errorf("balance after %t: verdict %s (%s)", after, v.Verdict, v.Reason)
		}
		wantGood(t, d)
	}
}
