package sweep

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// armAgain drives a meter that is off for lack of credit to where its 7.3 is
// signed and about to be POSTed again.
func armAgain(t testing.TB, struck fate) *walker {
	w := newScript(t, cutOff())
	w.strike(place{commandLeg, arm}, struck)
	if !w.until(func() bool {
		r := w.s.ledger(0).openRequest(arm)
		return r != nil && r.body != nil && r.leg == commandLeg && !r.acknowledged
	}) {
		t.Fatalf("7.3 was not asked for: %+v", w.s.ledger(0).verdict)
	}
	return w
}

func TestArmIsPostedAgainWhileItsReadIsFresh(t *testing.T) {
	for _, struck := range []fate{throttled, notWritten, lostBefore, lostAfter} {
		synctest.Test(t, func(t *testing.T) {
			w := armAgain(t, struck)
			w.finishAll()
			if got := w.outcomes(arm); !slices.Equal(got, []string{record.ClassSuccess}) {
				t.Errorf("%s: 7.3 ended as %v", struck, got)
			}
			w.conclude()
		})
	}
}

func TestArmIsNotPostedAgainOnceItsReadIsOld(t *testing.T) {
	for struck, class := range map[fate]string{throttled: record.ClassWithdrawn, notWritten: record.ClassWithdrawn, lostBefore: record.ClassInDoubt} {
		synctest.Test(t, func(t *testing.T) {
			w := armAgain(t, struck)
			w.limit = func() bool { return false }
			w.drain()
			time.Sleep(61 * time.Second)
			w.limit = func() bool { return true }
			w.finishAll()
			if got := w.outcomes(arm); !slices.Equal(got, []string{class}) {
				t.Errorf("%s: 7.3 ended as %v", struck, got)
			}
			if v := w.s.ledger(0).verdict; v.Verdict != record.VerdictArmed {
				t.Errorf("%s: verdict %s (%s)", struck, v.Verdict, v.Reason)
			}
			w.conclude()
		})
	}
}

func TestSlowJournalDoesNotLetAnOldArmOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newScript(t, cutOff())
		slow := true
		w.sign = func(p piece) error {
			if p.service == arm && p.leg == commandLeg && slow {
				slow = false
				time.Sleep(2 * time.Minute)
			}
			return nil
		}
		w.finishAll()
		if got := w.outcomes(arm); !slices.Equal(got, []string{record.ClassWithdrawn}) {
			t.Errorf("7.3 ended as %v", got)
		}
		if v := w.s.ledger(0).verdict; v.Verdict != record.VerdictArmed {
			t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
		}
		w.conclude()
	})
}

// A read that the DCC could deliver only after an hour is no fresh read.
func TestReadThatWasDeliveredLateIsNotFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newScript(t, cutOff())
		w.policy.ResponseWait.Electricity = 2 * time.Hour
		w.start()
		if !w.until(func() bool {
			return w.devices[0].mode == servicerequests.Credit && len(w.world.inbox) > 0 && w.world.inbox[0].SRV == supply.SRV()
		}) {
			t.Fatal("no read-back")
		}
		time.Sleep(time.Hour)
		w.take()
		if r := w.s.ledger(0).openRequest(arm); r != nil {
			t.Fatal("7.3 rests on a read an hour old")
		}
		w.finishAll()
		w.conclude()
	})
}
