package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"safemode/engine"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
)

// calmProfile is the fault profile in which decision 24's share is demanded.
const calmProfile = "calm"

// How much later a 7.3 may be accepted than it could have been, by the simulator's clock,
// beyond the age at which a read must be made again and the time that the sweep's POSTs
// take at its limits. A gas meter that must be read again wakes for it. Assumptions.
const (
	armMarginElectricity = time.Hour
	armMarginGas         = 2 * time.Hour
)

// postsPerMeter is what a sweep POSTs for a meter, about: eight reads, and three commands
// of two POSTs.
const postsPerMeter = 14

// hold holds the report against the simulator and notes the result in it.
func (r *rehearsal) hold(io stdio, folded *report.Report, o *engine.Options, finished bool) error {
	r.sim.Settle()
	j := judge(claimsOf(folded, o), r.happened, r.terms(folded, o, finished))
	truth := &report.Truth{
		Checked: j.checked, Mismatches: j.mismatches, ByKind: j.kinds(),
		MissedWithExcuse: j.excused, CouldAnswer: j.could, ShareSafe: j.safeShare.of(),
	}
	folded.Summary.Truth = truth
	// What meters saw counts as well as what the journal shows to have been sent.
	folded.Summary.ForbiddenCommands = max(folded.Summary.ForbiddenCommands, int(r.sim.Summary().ForbiddenCommands))
	for i, m := range j.wrong {
		if i == 10 {
			fmt.Fprintf(io.err, "and %d more\n", len(j.wrong)-i)
			break
		}
		fmt.Fprintf(io.err, "mismatch (%s): %v called %s: %s\n", m.Kind, m.Device, m.Verdict, m.Reason)
	}
	if len(j.wrong) == 0 {
		return nil
	}
	return r.writeMismatches(j.wrong)
}

func (r *rehearsal) writeMismatches(wrong []mismatch) error {
	return writeFile(filepath.Join(r.dir, "mismatches.json"), 0o600, func(w io.Writer) error {
		return json.NewEncoder(w).Encode(wrong)
	})
}

// claimsOf lists the rows of a report.
func claimsOf(folded *report.Report, o *engine.Options) []claim {
	ordered := map[servicerequests.EUI]bool{}
	for device := range o.Suppressed {
		ordered[device] = true
	}
	for _, e := range folded.Events {
		if e.What == record.OrderExclude || e.What == record.OrderSuppress {
			for _, device := range e.Devices {
				ordered[device] = true
			}
		}
	}
	claims := make([]claim, len(folded.Meters))
	for i, m := range folded.Meters {
		claims[i] = claim{m.Device, m.Target, m.Verdict, ordered[m.Device]}
	}
	return claims
}

// happened is what is so of a meter.
func (r *rehearsal) happened(device servicerequests.EUI) (p happened) {
	i, ok := r.fleet.Find(device)
	if !ok {
		return p
	}
	p.began = r.fleet.Meter(i)
	p.ended, _ = r.sim.Device(device)
	p.registered = p.ended.Supplier == r.supplier
	p.meter = r.sim.History(device)
	if proxy := p.began.GPF(); proxy != 0 {
		p.proxy = r.sim.History(proxy)
	}
	return p
}

// terms are those of this rehearsal.
func (r *rehearsal) terms(folded *report.Report, o *engine.Options, finished bool) terms {
	now, policy := r.clock.Now(), o.Policy
	backlog := time.Duration(0)
	if rate := o.Limits.User.PerSecond; rate > 0 {
		backlog = time.Duration(float64(postsPerMeter*len(folded.Meters)) / rate * float64(time.Second))
	}
	return terms{
		finished: finished && folded.Ended == record.ClosedFinished,
		held: slices.ContainsFunc(folded.Events, func(e report.Event) bool {
			return strings.HasPrefix(e.What, record.OrderPause) || strings.HasPrefix(e.What, record.OrderStop)
		}),
		switches: o.Plan.Strategy != record.EmergencyCredit,
		atLeast:  finished && r.faults.Name == calmProfile,
		permits: func(s servicerequests.Service, t servicerequests.DeviceType) bool {
			return o.Plan.Direction.Permits(s, t, now) == nil
		},
		armBalanceAtMost: policy.ArmBalanceAtMost,
		fresh:            eachFuel[time.Duration]{policy.ArmFresh.Electricity, policy.ArmFresh.Gas},
		armWithin: eachFuel[time.Duration]{
			policy.ArmFresh.Electricity + backlog + armMarginElectricity,
			policy.ArmFresh.Gas + backlog + armMarginGas,
		},
	}
}
