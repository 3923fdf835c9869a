package truth

import (
	"fmt"

	"safemode/devicesim/history"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Alerts after which what was read before is not known any more.
const (
	alertLocked      = 0x81BE
	alertGasFlow     = 0x81BF
	alertFutureDated = 0x8F66
)

// wrongVerdict says what is wrong with a verdict that rests on something.
func (r row) wrongVerdict() string {
	v := r.verdict
	switch v.Verdict {
	case record.VerdictUnknown:
		return ""
	case record.VerdictExcluded:
		if r.Registered && !r.ordered && !r.told() {
			return "excluded, but still registered to the supplier, and nobody has ordered it or said that it leaves"
		}
		return ""
	case record.VerdictOnSupply, record.VerdictArmed, record.VerdictNotSafe:
	default:
		return "no verdict of this name"
	}
	mode, fault := r.evidence(srvMode, v.ModeCounter)
	if fault != "" {
		return fault
	}
	supply, fault := r.evidence(srvSupply, v.SupplyCounter)
	if fault != "" {
		return fault
	}
	if is, at := mode.State.Mode, supply.State.Supply; is != v.End.Mode || at != v.End.Supply {
		return fmt.Sprintf("claimed %v and %v, was %v and %v", v.End.Mode, v.End.Supply, is, at)
	}
	if want := called(mode.State.Mode, supply.State.Supply); v.Verdict != want {
		return fmt.Sprintf("called %s, is %s", v.Verdict, want)
	}
	for _, c := range r.Meter.Carried {
		if c.Order > supply.Order && isCommand(c.SRV) {
			return fmt.Sprintf("a %s was carried out after the read of the supply that it rests on", c.SRV)
		}
	}
	return ""
}

// evidence is the read with a counter that a verdict rests on.
func (r row) evidence(srv string, counter uint64) (c history.Carried, fault string) {
	by := r.Meter
	c, ok := by.Find(counter)
	if there, is := r.Proxy.Find(counter); !ok && is && there.State.Mode == servicerequests.Prepayment {
		c, ok, by = there, true, r.Proxy // that it is in Prepayment a proxy may say
	}
	switch {
	case !ok || srvOf(by, counter) == "":
		return c, fmt.Sprintf("it rests on a %s under counter %d, which was not carried out", srv, counter)
	case c.SRV != srv || c.Result != 0:
		return c, fmt.Sprintf("it rests on a %s under counter %d, which was a %s with result %d", srv, counter, c.SRV, c.Result)
	case delivered(by, counter) == 0:
		return c, fmt.Sprintf("it rests on a %s under counter %d, whose honest answer was not delivered", srv, counter)
	}
	return c, ""
}

// called is the verdict on a meter that was read.
func called(mode servicerequests.PaymentMode, supply servicerequests.SupplyState) string {
	switch {
	case mode == servicerequests.Credit && supply == servicerequests.Enabled:
		return record.VerdictOnSupply
	case mode == servicerequests.Credit && supply == servicerequests.Armed:
		return record.VerdictArmed
	}
	return record.VerdictNotSafe
}

// wronglyUnknown says why a meter that is called unknown was known. A sweep that was
// broken off owes no verdict to what it had in hand.
func (r row) wronglyUnknown() string {
	if reason := r.verdict.Reason; r.verdict.Verdict != record.VerdictUnknown || !r.Finished && (reason == noVerdict || reason == refusedInRun) {
		return ""
	}
	if mode, supply, known := r.known(); known {
		return fmt.Sprintf("unknown, though honest answers of %v and %v were delivered, asked under %d and %d after every command",
			mode.State.Mode, supply.State.Supply, mode.Counter, supply.Counter)
	}
	return ""
}

// known says whether mode and supply were read after every command, and nothing has been
// told since that casts doubt on them.
func (r row) known() (mode, supply answer, known bool) {
	last := r.lastCommand()
	mode, ok := latest(said(r.Meter, srvMode), last)
	supply, there := latest(said(r.Meter, srvSupply), last)
	doubt := r.alerted(alertLocked, alertGasFlow, alertFutureDated)
	return mode, supply, ok && there && (doubt == 0 || doubt < min(mode.delivered, supply.delivered))
}

// latest returns the answer with the highest counter above another.
func latest(list []answer, above uint64) (found answer, ok bool) {
	for _, a := range list {
		if a.Counter > above && a.Counter > found.Counter {
			found, ok = a, true
		}
	}
	return found, ok
}
