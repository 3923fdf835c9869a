package truth

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"safemode/devicesim/history"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Reasons in a report for a meter that the sweep never judged, and for one that was refused
// when the market participant IDs moved.
const (
	noVerdict    = "the journal holds no verdict"
	refusedInRun = "refused in the run of refusals that halted the sweep: to be asked again"
)

// reason is what an engine may say of a meter, and when the history bears it out. A
// reason that is not in the table is borne out by nothing.
type reason struct {
	verdict string // of which it may be said
	says    *regexp.Regexp
	holds   func(r row, parts []string) bool // parts: what the pattern's groups hold
}

func because(verdict, pattern string, holds func(r row, parts []string) bool) reason {
	return reason{verdict, regexp.MustCompile("^(?:" + pattern + ")$"), holds}
}

const (
	aCode  = `([A-Z]*[0-9]*)(?: \(.*\))?` // a response code with its meaning, or without
	aState = `(enabled|armed|disabled)`
)

// reasons are those that a verdict may have. If more than one of them is true, each of these is
// right.
var reasons = []reason{
	because(record.VerdictOnSupply, "", func(r row, _ []string) bool { return !r.pending() }),
	because(record.VerdictOnSupply, "a future-dated switch may still be stored on the meter", func(r row, _ []string) bool { return r.pending() }),

	because(record.VerdictArmed, "safe once the consumer presses the button", func(row, []string) bool { return true }),

	because(record.VerdictExcluded, regexp.QuoteMeta(record.ReasonTransferred)+` \((E[0-9]+)\)`, func(r row, parts []string) bool { return r.refused("", code(parts[1])) }),
	because(record.VerdictExcluded, regexp.QuoteMeta(record.ReasonTransferred)+` \(N[0-9]+, change of supplier\)`, func(r row, _ []string) bool { return r.Meter.Left != 0 }),
	because(record.VerdictExcluded, regexp.QuoteMeta(record.ReasonLeaves)+` on (\S+)`, func(r row, parts []string) bool {
		return !r.Listed.IsZero() && parts[1] == r.Listed.UTC().Format(time.RFC3339)
	}),
	because(record.VerdictExcluded, ".*", func(r row, _ []string) bool { return r.ordered }), // in a person's words

	// Unknown: why nothing current is known.
	because(record.VerdictUnknown, noVerdict, func(r row, _ []string) bool { return !r.Finished }),
	because(record.VerdictUnknown, refusedInRun, func(r row, _ []string) bool {
		return !r.Finished && r.refused("", servicerequests.NotRegistered)
	}),
	because(record.VerdictUnknown, `held for a person: SRV ([0-9.]+) answered ([A-Z0-9]+), whose meaning is not known`, refusedAs),
	because(record.VerdictUnknown, `SRV ([0-9.]+) rejected: `+aCode, refusedAs),
	because(record.VerdictUnknown, `SRV ([0-9.]+): no answer that could be proven`, func(r row, parts []string) bool { return r.bent(parts[1]) }),
	because(record.VerdictUnknown, `no answer(?:: `+aCode+`)?(?:; the sweep's retries are used up)?`, func(r row, parts []string) bool {
		return slices.ContainsFunc([]string{srvMode, srvSupply}, func(srv string) bool {
			return r.unanswered(srv) && (parts[1] == "" || r.refused(srv, code(parts[1])) || r.bent(srv))
		})
	}),
	because(record.VerdictUnknown, `SRV ([0-9.]+) refused by the meter: ([0-9]+)`, func(r row, parts []string) bool { return r.said(parts[1], parts[2]) }),
	because(record.VerdictUnknown, "not read back", func(r row, _ []string) bool { return r.lastAnswered(srvMode) && r.lastAnswered(srvSupply) }),

	// Not safe, in Prepayment.
	because(record.VerdictNotSafe, "time bought: emergency credit is active until it is spent", inPrepayment(func(r row, _ []string) bool { return r.succeeded("2.5") })),
	because(record.VerdictNotSafe, "in prepayment: switching is not part of this sweep", inPrepayment(func(r row, _ []string) bool { return !r.Switches && !r.tried(srvSwitch) })),
	because(record.VerdictNotSafe, "switch refused by the meter: ([0-9]+)", inPrepayment(func(r row, parts []string) bool { return r.said(srvSwitch, parts[1]) })),
	because(record.VerdictNotSafe, `held for a person: SRV ([0-9.]+) answered ([A-Z0-9]+), whose meaning is not known`, inPrepayment(refusedAs)),
	because(record.VerdictNotSafe, "switch rejected: "+aCode, inPrepayment(func(r row, parts []string) bool { return r.refused(srvSwitch, code(parts[1])) })),
	because(record.VerdictNotSafe, "meter reads prepayment after it accepted the switch", inPrepayment(func(r row, _ []string) bool { return r.succeeded(srvSwitch) })),
	because(record.VerdictNotSafe, "switch got no answer", inPrepayment(func(r row, _ []string) bool { return r.unanswered(srvSwitch) })),

	// Not safe, off in Credit: why it was not armed, or is off all the same.
	because(record.VerdictNotSafe, "arm refused", off(func(r row, _ []string) bool {
		return slices.ContainsFunc(answers(r.Meter, srvArm), func(a answer) bool { return a.Result != 0 })
	})),
	because(record.VerdictNotSafe, "arm rejected: "+aCode, off(func(r row, parts []string) bool { return r.refused(srvArm, code(parts[1])) })),
	because(record.VerdictNotSafe, "arm: no answer that could be proven", off(func(r row, _ []string) bool { return r.bent(srvArm) })),
	because(record.VerdictNotSafe, "disabled after arm", off(func(r row, _ []string) bool { return r.tried(srvArm) })),
	because(record.VerdictNotSafe, "disabled by the supplier", off(func(r row, _ []string) bool { return r.marked("disabled_by_supplier") })),
	because(record.VerdictNotSafe, `disabled then locked by the meter \((81BE)\)|gas flow fault \((81BF|81B4|81B5|81B6)\)`, off(func(r row, parts []string) bool {
		n, err := strconv.ParseUint(cmp.Or(parts[1], parts[2]), 16, 16)
		return err == nil && r.alerted(uint16(n)) != 0
	})),
	because(record.VerdictNotSafe, "turned off after it was read as "+aState, off(turnedOff)),
	because(record.VerdictNotSafe, "arming is not permitted by the direction", off(func(r row, _ []string) bool { return !r.Permits(servicerequests.ArmSupply, r.target.Type) })),
	because(record.VerdictNotSafe, "how it was found was not proven before the switch", off(func(r row, _ []string) bool {
		return !r.toldBefore(srvMode) || !r.toldBefore(srvSupply)
	})),
	because(record.VerdictNotSafe, "found in credit and disabled", off(func(r row, _ []string) bool { return r.foundIn(servicerequests.Credit) })),
	because(record.VerdictNotSafe, "a stored switch to prepayment has run: it may have been off before", off(func(r row, _ []string) bool { return r.alerted(alertFutureDated) != 0 })),
	because(record.VerdictNotSafe, "turned off after it was found "+aState, off(func(r row, parts []string) bool {
		return saidBefore(said(r.Meter, srvSupply), r.firstCommand(), func(a answer) bool { return a.State.Supply.String() == parts[1] })
	})),
	because(record.VerdictNotSafe, "disabled, balance not known", off(func(r row, _ []string) bool { return len(r.balances()) == 0 })),
	because(record.VerdictNotSafe, "disabled with credit left", off(func(r row, _ []string) bool {
		return slices.ContainsFunc(r.balances(), func(a answer) bool { return a.State.Balance > r.ArmBalanceAtMost })
	})),
	because(record.VerdictNotSafe, "no read was fresh enough to arm on", off(func(r row, _ []string) bool { return r.noneFresh() })),

	// The reason in a sweep that was broken off, for a safe meter that it found worse.
	because(record.VerdictNotSafe, "read again and found (?:off|in .*)", func(r row, _ []string) bool { return !r.Finished && len(said(r.Meter, srvSupply)) > 1 }),
}

// wrongReason says why a verdict's reason does not hold.
func (r row) wrongReason() string {
	known := false
	for _, reason := range reasons {
		if reason.verdict != r.verdict.Verdict {
			continue
		}
		parts := reason.says.FindStringSubmatch(r.verdict.Reason)
		if parts == nil {
			continue
		}
		if reason.holds(r, parts) {
			return ""
		}
		known = known || reason.says.String() != "^(?:.*)$"
	}
	if !known {
		return fmt.Sprintf("reason %q is not known", r.verdict.Reason)
	}
	return fmt.Sprintf("reason %q: nothing that happened bears it out", r.verdict.Reason)
}

func code(text string) servicerequests.ResponseCode { return servicerequests.ResponseCode(text) }

// refusedAs: parts are a service and a code.
func refusedAs(r row, parts []string) bool { return r.refused(parts[1], code(parts[2])) }

func inPrepayment(holds func(row, []string) bool) func(row, []string) bool {
	return func(r row, parts []string) bool {
		return r.verdict.End.Mode == servicerequests.Prepayment && holds(r, parts)
	}
}

func off(holds func(row, []string) bool) func(row, []string) bool {
	return func(r row, parts []string) bool {
		return r.verdict.End.Mode == servicerequests.Credit && r.verdict.End.Supply == servicerequests.Disabled && holds(r, parts)
	}
}

// said says whether the device has answered a service with a result in decimal.
func (f Facts) said(srv, result string) bool {
	n, err := strconv.Atoi(result)
	return err == nil && f.negative(srv, n)
}

// marked says whether the provider's own records say something of the meter.
func (r row) marked(history string) bool { return slices.Contains(r.target.History, history) }

// pending says whether a dated switch may be stored on the device: the provider's records
// say so, and no 1.6 has taken its place since.
func (r row) pending() bool {
	return r.marked("pending_future_dated_mode") && !r.succeeded(srvSwitch)
}

// turnedOff: the supply was read in a state, and off later.
func turnedOff(r row, parts []string) bool {
	list := said(r.Meter, srvSupply)
	return slices.ContainsFunc(list, func(a answer) bool {
		return a.State.Supply.String() == parts[1] && slices.ContainsFunc(list, func(b answer) bool {
			return b.Order > a.Order && b.State.Supply == servicerequests.Disabled
		})
	})
}

// manyReads of a supply are enough: then a person decides.
const manyReads = 16

// noneFresh says whether no read since the last command came in time to arm on.
func (r row) noneFresh() bool {
	fresh := history.Instant(r.Fresh.of(r.target.Type))
	last := r.lastCommand()
	reads := said(r.Meter, srvSupply)
	return len(reads) >= manyReads || !slices.ContainsFunc(reads, func(a answer) bool {
		return a.Counter > last && a.State.Supply == servicerequests.Disabled && a.delivered-a.At <= fresh
	})
}
