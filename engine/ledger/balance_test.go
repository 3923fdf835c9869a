package ledger

import (
	"slices"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// lost are the ways in which a balance is not told.
var lost = map[string]struct {
	class record.Class
	code  string
}{
	"E20":       {record.ClassNoResponse, "E20"},
	"E21":       {record.ClassNoResponse, "E21"},
	"silence":   {record.ClassNoResponse, ""},
	"in doubt":  {record.ClassInDoubt, ""},
	"no proof":  {record.ClassUnverified, ""},
	"no value":  {record.ClassNegative, record.CodeNoValue},
	"it says 1": {record.ClassNegative, "1"},
}

const proxyEUI = servicerequests.EUI(0x00DB1234567890A3)

// darkHome is a meter that is found off in Prepayment. What it says of its balance is told
// by a function of how many times it was asked.
func darkHome(t *testing.T, kind servicerequests.DeviceType, told func(try int, r *Request) (record.Class, string, *record.Observation)) (a *actor, targets []servicerequests.EUI) {
	t.Helper()
	a = newActor(t, kind)
	a.p.Retry = PerFuel[[]time.Duration]{Electricity: slices.Repeat([]time.Duration{time.Minute}, 9), Gas: slices.Repeat([]time.Duration{time.Hour}, 9)}
	if kind == servicerequests.GSME {
		a.p.GasBalanceFromProxy, a.m.Proxy = true, proxyEUI
	}
	state, is := off, prepay
	a.drive(func(r *Request) (record.Class, string, *record.Observation) {
		switch r.Service {
		case supply:
			return record.ClassSuccess, "", &record.Observation{Supply: state}
		case mode:
			return record.ClassSuccess, "", &record.Observation{Mode: is}
		case buyTime:
			return record.ClassNegative, "250", nil
		case toCredit:
			is = credit
		case arm:
			state = armed
		case balance:
			targets = append(targets, r.ID.Target)
			return told(len(targets), r)
		}
		return record.ClassSuccess, "", nil
	})
	return a, targets
}

// One lost balance leaves no dark home dark (decision 49): it is asked for until there is
// proof, and the proof counts whichever answer brings it.
func TestLostBalanceIsAskedForAgain(t *testing.T) {
	for name, way := range lost {
		for losses := 1; losses < balanceReads; losses++ {
			for _, kind := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
				a, targets := darkHome(t, kind, func(try int, _ *Request) (record.Class, string, *record.Observation) {
					if try <= losses {
						return way.class, way.code, nil
					}
					return record.ClassSuccess, "", &record.Observation{Balance: pounds(-5)}
				})
				if a.verdict.Verdict != record.VerdictArmed || len(targets) != losses+1 {
					t.Errorf("%v, %d times %s: verdict %s (%s), 4.18 asked for %d times", kind, losses, name, a.verdict.Verdict, a.verdict.Reason, len(targets))
				}
				for i, target := range targets {
					if proxied := target == proxyEUI; proxied != (kind == servicerequests.GSME && i == 0) {
						t.Errorf("%v, %s: try %d goes to %v: first the proxy is asked, then the meter itself", kind, name, i+1, target)
					}
				}
			}
		}
	}
}

// A balance that is never told is asked for a bounded number of times, and ends with a
// person.
func TestBalanceThatIsNeverTold(t *testing.T) {
	for name, way := range lost {
		for _, kind := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
			a, targets := darkHome(t, kind, func(int, *Request) (record.Class, string, *record.Observation) { return way.class, way.code, nil })
			if a.verdict.Verdict != record.VerdictNotSafe || a.verdict.Reason != "disabled, balance not known" || len(targets) != balanceReads || slices.Contains(a.asked, arm) {
				t.Errorf("%v, %s: verdict %s (%s), 4.18 asked for %d times", kind, name, a.verdict.Verdict, a.verdict.Reason, len(targets))
			}
		}
	}
	// The ladder bounds it, too.
	a, targets := darkHome(t, servicerequests.ESME, func(int, *Request) (record.Class, string, *record.Observation) {
		return record.ClassRejected, "E19", nil
	})
	if len(targets) != 1 || a.verdict.Reason != "disabled, balance not known" {
		t.Errorf("rejected for good: asked for %d times (%s)", len(targets), a.verdict.Reason)
	}
}

// The balance is asked of the meter itself if the DCC refuses the request to its proxy
// with E5, E11 or E19, but not after E4, which excludes the meter.
func TestBalanceThatTheProxyIsRefused(t *testing.T) {
	for _, code := range []string{"E5", "E11", "E19"} {
		a, targets := darkHome(t, servicerequests.GSME, func(try int, _ *Request) (record.Class, string, *record.Observation) {
			if try == 1 {
				return record.ClassRejected, code, nil
			}
			return record.ClassSuccess, "", &record.Observation{Balance: pounds(-5)}
		})
		if a.verdict.Verdict != record.VerdictArmed || !slices.Equal(targets, []servicerequests.EUI{proxyEUI, a.m.Device}) {
			t.Errorf("%s: verdict %s (%s), asked of %v", code, a.verdict.Verdict, a.verdict.Reason, targets)
		}
	}
	a, targets := darkHome(t, servicerequests.GSME, func(int, *Request) (record.Class, string, *record.Observation) {
		return record.ClassRejected, "E4", nil
	})
	if a.verdict.Verdict != record.VerdictExcluded || len(targets) != 1 {
		t.Errorf("E4: verdict %s, asked %d times", a.verdict.Verdict, len(targets))
	}
}

// Also where no switch is possible, the proxy is asked once and then the meter itself.
func TestProxyIsAskedOnce(t *testing.T) {
	a := newActor(t, servicerequests.GSME)
	a.p.GasBalanceFromProxy, a.p.Strategy, a.m.Proxy = true, record.EmergencyCredit, proxyEUI
	a.expect(supply, mode, balance)
	a.end(balance, record.ClassRejected, "E5", nil)
	a.read(prepay, off, nil)
	a.expect(buyTime)
	a.end(buyTime, record.ClassNegative, "250", nil)
	a.expect(supply, balance)
	if target := a.m.PendingOf(balance).ID.Target; target != a.m.Device {
		t.Errorf("it is asked of %v again", target)
	}
}

// A balance with credit left is no proof, and ends the asking.
func TestBalanceWithCreditLeft(t *testing.T) {
	for _, kind := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
		a, targets := darkHome(t, kind, func(try int, _ *Request) (record.Class, string, *record.Observation) {
			if try == 1 {
				return record.ClassNoResponse, "E21", nil
			}
			return record.ClassSuccess, "", &record.Observation{Balance: pounds(3)}
		})
		if a.verdict.Reason != "disabled with credit left" || len(targets) != 2 {
			t.Errorf("%v: verdict %s (%s), asked %d times", kind, a.verdict.Verdict, a.verdict.Reason, len(targets))
		}
	}
}

// An answer that comes late is an answer: the proxy's while the meter itself is asked, and
// the meter's own after it was given up.
func TestLateBalanceProves(t *testing.T) {
	for _, late := range []int{1, 2} {
		var given *Request
		var a *actor
		a, _ = darkHome(t, servicerequests.GSME, func(try int, r *Request) (record.Class, string, *record.Observation) {
			if try == late {
				copied := *r
				given = &copied
			}
			return record.ClassNoResponse, "E21", nil
		})
		if a.verdict.Reason != "disabled, balance not known" {
			t.Fatalf("verdict %s", a.verdict.Reason)
		}
		e := a.outcome(balance, given.ID, record.ClassSuccess, "", &record.Observation{Balance: pounds(-5)})
		if e.Request != nil || e.Was != record.ClassNoResponse || e.Is != record.ClassSuccess {
			t.Errorf("%+v", e)
		}
		if step := a.p.Decide(a.m, a.now, Commanding); !slices.Equal(step.Ask, []servicerequests.Service{supply}) && !slices.Equal(step.Ask, []servicerequests.Service{arm}) {
			t.Errorf("answer %d is late and proves the cause: asked for %v", late, step.Ask)
		}
	}
}
