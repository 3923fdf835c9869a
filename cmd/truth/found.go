package truth

import (
	"fmt"
	"slices"
	"time"

	"safemode/devicesim/history"
	"safemode/servicerequests"
)

// wrongFound says which part of the found state no answer bears out: mode and balance
// as they were before the first 1.6, the supply before the first command.
func (r row) wrongFound() string {
	v := r.verdict.Found
	switched := r.firstSwitch()
	switch {
	case v.Mode != servicerequests.UnknownMode && !r.foundIn(v.Mode):
		return fmt.Sprintf("found state invented: no answer before the first 1.6 said %v", v.Mode)
	case v.Supply != servicerequests.UnknownSupply && !saidBefore(said(r.Meter, srvSupply), r.firstCommand(), func(a answer) bool { return a.State.Supply == v.Supply }):
		return fmt.Sprintf("found state invented: no answer before the first command said %v", v.Supply)
	case v.Balance != nil && !saidBefore(r.balances(), switched, func(a answer) bool { return a.State.Balance == *v.Balance }):
		return fmt.Sprintf("found state invented: no answer before the first 1.6 said a balance of %v", *v.Balance)
	}
	return ""
}

// foundIn says whether an answer bears out that a meter was found in a mode: one from
// before the first 1.6, or any that says Prepayment. Nothing that may be sent sets that
// mode, so a meter that says it after a 1.6 (it refused it, or its proxy lags) had it before.
func (r row) foundIn(mode servicerequests.PaymentMode) bool {
	before := r.firstSwitch()
	if mode == servicerequests.Prepayment {
		before = never
	}
	return saidBefore(r.modes(), before, func(a answer) bool { return a.State.Mode == mode })
}

// saidBefore says whether an answer from before an order says something.
func saidBefore(list []answer, before uint64, says func(answer) bool) bool {
	return slices.ContainsFunc(list, func(a answer) bool { return a.Order < before && says(a) })
}

// underSignature is how long a command may lie signed, for its limits, before the DCC takes it.
const underSignature = history.Instant(10 * time.Minute)

// toldBefore says whether a meter's answer to a service had come well before the DCC took the
// first command. A read that was done before the command but answered later proves nothing,
// because nobody can rely on the order in which a hub serves.
func (r row) toldBefore(srv string) bool {
	commands := r.commands()
	return slices.ContainsFunc(r.saidByBoth(srv), func(a answer) bool {
		return len(commands) == 0 || a.delivered < commands[0].At-underSignature
	})
}

// wrongBalance says what is wrong with the balance at the end.
func (r row) wrongBalance() string {
	claimed := r.verdict.End.Balance
	if claimed == nil {
		return ""
	}
	last, ok := latest(r.balances(), 0)
	switch {
	case !ok:
		return fmt.Sprintf("ends with a balance of %v, which no answer said", *claimed)
	case last.State.Balance != *claimed:
		return fmt.Sprintf("ends with a balance of %v, the latest answer said %v", *claimed, last.State.Balance)
	}
	return ""
}
