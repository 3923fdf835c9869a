package ledger

import (
	"slices"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

func TestGasSwitchFollowsTheAcknowledgements(t *testing.T) {
	a := newActor(t, servicerequests.GSME)
	a.expect(supply, mode, balance)
	a.expect()
	a.acknowledge()
	a.expect() // it may be off: how it was found is to be proven
	a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(5)})
	a.expect(toCredit)
}

// A gas meter that may be off is switched when it has told how it was found, or when that
// has been waited for long enough.
func TestGasThatMayBeOffIsProvenFirst(t *testing.T) {
	for _, told := range []bool{true, false} {
		a := newActor(t, servicerequests.GSME)
		a.expect(supply, mode, balance)
		a.acknowledge()
		a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)})
		a.expect()
		if told {
			a.read(prepay, off, nil)
		} else {
			a.now = a.now.Add(a.p.ProofWait.Gas)
		}
		a.expect(toCredit)
	}
}

// That a gas meter was found in Prepayment its proxy may say, which need not be woken. That
// it is in Credit is the meter's to say.
func TestGasModeIsFoundByTheProxy(t *testing.T) {
	a := newActor(t, servicerequests.GSME)
	a.p.GasBalanceFromProxy = true
	a.m.Proxy = proxyEUI
	a.expect(supply, mode, balance)
	if target := a.m.PendingOf(mode).ID.Target; target != proxyEUI {
		t.Fatalf("the mode is asked of %v", target)
	}
	a.end(mode, record.ClassSuccess, "", &record.Observation{Mode: credit})
	a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)})
	a.expect(mode)
	if target := a.m.PendingOf(mode).ID.Target; a.m.Now.Mode.Known() || target != a.m.Device {
		t.Errorf("%+v, and the mode is asked of %v", a.m.Now.Mode, target)
	}

	lost := newActor(t, servicerequests.GSME)
	lost.m.Proxy = proxyEUI
	lost.expect(supply, mode, balance)
	lost.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)})
	lost.end(mode, record.ClassNoResponse, "E21", nil)
	lost.expect(mode) // at once, of the meter
	if lost.m.PendingOf(mode).ID.Target != lost.m.Device || lost.m.Tally(mode).Failures != 0 {
		t.Errorf("%+v", lost.m.Tally(mode))
	}

	b := newActor(t, servicerequests.GSME)
	b.m.Proxy = proxyEUI
	b.expect(supply, mode, balance)
	b.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)})
	b.end(mode, record.ClassSuccess, "", &record.Observation{Mode: prepay})
	b.end(supply, record.ClassSuccess, "", &record.Observation{Supply: off})
	b.expect(toCredit)
}

func TestGasBalanceGoesToTheProxy(t *testing.T) {
	a := newActor(t, servicerequests.GSME)
	a.p.GasBalanceFromProxy = true
	a.expect(supply, mode, servicerequests.ReadInventory)
	a.acknowledge()
	a.m.Proxy = 0x00DB1234567890A3
	a.end(servicerequests.ReadInventory, record.ClassSuccess, "I0", nil)
	a.expect(balance)
	a.acknowledge()
	a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(5)})
	a.expect(toCredit)
}

// A proxy's balance is up to half an hour old: the meter that is off has used its last
// pence since. It is asked itself, and what it says decides.
func TestProxyThatLagsBehindProvesNothing(t *testing.T) {
	for _, c := range []struct {
		own   float64
		armed bool
	}{{-0.01, true}, {0, true}, {3, false}} {
		a := newActor(t, servicerequests.GSME)
		a.p.GasBalanceFromProxy, a.p.DailySpend = true, 5*servicerequests.Pound
		a.m.Proxy = 0x00DB1234567890A3
		a.expect(supply, mode, balance)
		a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(0.05)})
		a.acknowledge()
		a.expect()
		a.read(prepay, off, nil)
		a.expect(toCredit)
		a.end(toCredit, record.ClassSuccess, "", nil)
		a.expect(supply, mode, balance)
		a.read(credit, off, pounds(c.own))
		if !c.armed {
			a.expectVerdict(record.VerdictNotSafe, "disabled with credit left")
			continue
		}
		a.expectArmed()
	}
}

// A gas meter whose proxy says that it has credit left is not asked for its balance itself
// if it was found on or in credit mode, or if a person must arm it in any case.
func TestProxyIsBelievedWhereNothingRestsOnIt(t *testing.T) {
	for name, change := range map[string]func(*actor){
		"found on":     func(a *actor) { a.read(prepay, on, nil) },
		"for a person": func(a *actor) { a.m.Bars.Person = "disabled by the supplier"; a.read(prepay, off, nil) },
		"in credit":    func(a *actor) { a.read(credit, off, nil) },
	} {
		a := newActor(t, servicerequests.GSME)
		a.p.GasBalanceFromProxy = true
		a.m.Proxy = 0x00DB1234567890A3
		a.expect(supply, mode, balance)
		a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(0.05)})
		a.acknowledge()
		a.expect(toCredit)
		change(a)
		a.end(toCredit, record.ClassSuccess, "", nil)
		if got := a.step(); !slices.Equal(got, []servicerequests.Service{supply, mode}) {
			t.Errorf("%s: asked for %v", name, got)
		}
	}
}

// A home that is found off while its proxy is still being looked up needs its balance for
// two reasons. It is asked for once.
func TestBalanceIsAskedForOnceAtATime(t *testing.T) {
	a := newActor(t, servicerequests.GSME)
	a.p.GasBalanceFromProxy = true
	a.expect(supply, mode, servicerequests.ReadInventory)
	a.read(prepay, off, nil)
	a.m.Proxy = proxyEUI
	a.end(servicerequests.ReadInventory, record.ClassSuccess, "I0", nil)
	a.expect(balance)
	if target := a.m.PendingOf(balance).ID.Target; target != proxyEUI {
		t.Errorf("it is asked of %v", target)
	}
}

// The DCC's service for inventories may be down for hours.
func TestInventoryThatCannotBeAskedForHoldsUpNoHome(t *testing.T) {
	a := newActor(t, servicerequests.GSME)
	a.p.GasBalanceFromProxy = true
	a.step()
	a.acknowledge()
	r := a.m.PendingOf(servicerequests.ReadInventory)
	r.Phase, r.AskedAt = Ready, time.Time{}
	a.read(prepay, on, nil)
	a.expect()
	a.now = a.now.Add(time.Minute)
	a.expect(toCredit)
}
