package ledger

import (
	"slices"
	"testing"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// claimedHome is a gas meter whose portfolio names a gas proxy.
func claimedHome(t *testing.T) *actor {
	a := newActor(t, servicerequests.GSME)
	a.p.GasBalanceFromProxy = true
	a.m = New(a.m.Device, record.TargetBody{Type: servicerequests.GSME, Claimed: prepay, Originator: ourEUI, Proxy: othersEUI})
	return a
}

// A proxy that the portfolio names is asked at once, and a home that is on needs no inventory.
func TestClaimedProxySavesTheInventory(t *testing.T) {
	a := claimedHome(t)
	a.expect(supply, mode, balance)
	for _, service := range []servicerequests.Service{mode, balance} {
		if target := a.m.PendingOf(service).ID.Target; target != othersEUI {
			t.Errorf("%v is asked of %v", service, target)
		}
	}
	a.read(prepay, on, pounds(7))
	a.expect(toCredit)
	if v := a.p.Conclude(a.m); v.Found != (record.Observation{Supply: on}) || v.End.Balance != nil {
		t.Errorf("an unproven proxy is told as found: %+v, %+v", v.Found, v.End)
	}
	if a.m.ModeCurrent() {
		t.Error("a verdict may rest on a proxy that only the portfolio names")
	}
}

// Before a home that is off is armed, the inventory says whether the proxy is its own: if so
// what it said is proof, if not it is forgotten and the right one is asked.
func TestClaimedProxyIsConfirmedBeforeAnArming(t *testing.T) {
	inventory := servicerequests.ReadInventory
	a := claimedHome(t)
	a.expect(supply, mode, balance)
	a.read(prepay, off, pounds(-5))
	a.expect(inventory)
	if a.p.creditSpent(a.m) || a.m.foundProven() {
		t.Error("an unproven proxy is proof")
	}
	confirmed := a.m.PendingOf(inventory)
	a.apply(outcomeOf(a, confirmed, record.OutcomeBody{Class: record.ClassSuccess, Code: "I0", Proxy: othersEUI}))
	if !a.p.creditSpent(a.m) || !a.m.foundProven() || a.m.ProxyClaimed {
		t.Error("confirmed, and no proof")
	}

	b := claimedHome(t)
	b.expect(supply, mode, balance)
	b.read(prepay, off, pounds(-5))
	b.expect(inventory)
	b.apply(outcomeOf(b, b.m.PendingOf(inventory), record.OutcomeBody{Class: record.ClassSuccess, Code: "I0", Proxy: proxyEUI}))
	if b.m.Found.Mode.Known() || b.m.Found.Balance.Known() || b.m.Now.Balance.Known() || !b.m.Found.Supply.Known() {
		t.Errorf("of another home's proxy: %+v", b.m.Found)
	}
	step := b.p.Decide(b.m, b.now, Commanding)
	if !slices.Contains(step.Ask, balance) || !slices.Contains(step.Ask, mode) || slices.Contains(step.Ask, toCredit) {
		t.Errorf("asked for %v", step.Ask)
	}
	if r := b.m.Ask(&b.p, balance, dccEUI, false, b.now); r.ID.Target != proxyEUI {
		t.Errorf("the balance is asked of %v", r.ID.Target)
	}
}

// A proxy that is not there, is another supplier's or cannot be reached counts against
// nobody: the inventory is asked as if the portfolio named none.
func TestClaimedProxyThatIsNotThere(t *testing.T) {
	for name, way := range map[string]record.OutcomeBody{
		"no such device":       {Class: record.ClassRejected, Code: "E19"},
		"its status forbids":   {Class: record.ClassRejected, Code: "E5"},
		"another supplier's":   {Class: record.ClassRejected, Code: "E4"},
		"cannot be reached":    {Class: record.ClassNoResponse, Code: "E20"},
		"does not answer":      {Class: record.ClassNoResponse, Code: "E21"},
		"silence":              {Class: record.ClassNoResponse},
		"cannot be proven":     {Class: record.ClassUnverified},
		"a type of other kind": {Class: record.ClassRejected, Code: "E11"},
	} {
		a := claimedHome(t)
		a.expect(supply, mode, balance)
		e := a.apply(outcomeOf(a, a.m.PendingOf(balance), way))
		if !e.OtherDevice || e.Sampled || a.m.Proxy != 0 || a.m.Bars != (Bars{}) || *a.m.Tally(balance) != (Tally{}) {
			t.Errorf("%s: proxy %v, bars %+v, tally %+v, %+v", name, a.m.Proxy, a.m.Bars, *a.m.Tally(balance), e)
		}
		a.expect(servicerequests.ReadInventory)
		a.apply(outcomeOf(a, a.m.PendingOf(servicerequests.ReadInventory), record.OutcomeBody{Class: record.ClassSuccess, Code: "I0", Proxy: proxyEUI}))
		a.expect(balance)
		if target := a.m.PendingOf(balance).ID.Target; target != proxyEUI {
			t.Errorf("%s: the balance is asked of %v", name, target)
		}
		// An answer that still comes from the other proxy is not of this meter.
		before := a.m.Found
		a.apply(outcomeOf(a, a.m.PendingOf(mode), record.OutcomeBody{Class: record.ClassSuccess, Observed: &record.Observation{Mode: prepay}}))
		if a.m.Found != before {
			t.Errorf("%s: found %+v by a proxy that is not its own", name, a.m.Found)
		}
	}
	// A refusal of the User itself says nothing about the proxy.
	a := claimedHome(t)
	a.expect(supply, mode, balance)
	if e := a.apply(outcomeOf(a, a.m.PendingOf(balance), record.OutcomeBody{Class: record.ClassRejected, Code: "E1"})); e.OtherDevice || a.m.Proxy != othersEUI {
		t.Errorf("E1: %+v", e)
	}
}

// outcomeOf ends an open request of a meter, as the DCC or the device has it.
func outcomeOf(a *actor, r *Request, body record.OutcomeBody) record.Record {
	a.t.Helper()
	if r.Endpoint() == record.SendCommand {
		a.take(r)
	}
	a.move(r, End)
	body.AnsweredAt, body.Attempt = a.now, r.Attempt
	return record.Record{Kind: record.Outcome, Service: r.Service, ID: r.ID, Code: body.Class.String(), Body: record.Encode(body)}
}
