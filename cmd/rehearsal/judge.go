package rehearsal

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"safemode/cmd/cli"
	"safemode/cmd/truth"
	"safemode/devicesim/history"
	"safemode/engine"
	"safemode/engine/pacer"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
)

// calmProfile is the fault profile in which decision 24's share is demanded.
const calmProfile = "calm"

// How much later a 7.3 may be accepted than it could have been, by the simulator's clock,
// beyond the age at which a read must be made again and the time that what may go before
// it takes at the sweep's limits. A gas meter that must be read again wakes for it.
// Assumptions: seen on a calm day were 6 minutes.
const (
	armMarginElectricity = time.Hour
	armMarginGas         = 2 * time.Hour
)

// postsAhead is how many POSTs for each meter of the sweep may go before a 7.3: of some
// 14 that there are (assumption).
const postsAhead = 4

// onTheWay is how long a half that was allowed at the socket may take to the DCC, in real time
// (assumption: on a machine that has much else to do).
const onTheWay = 5 * time.Second

// Judge has the report compared with the truth, notes the result in it, and tells of what is
// wrong. Finished says that the sweep came to its end.
func (r *Rehearsal) Judge(ctx context.Context, talk io.Writer, rep *report.Report, o *engine.Options, finished bool) error {
	r.Sim.Settle()
	others, err := truth.OtherTraffic(ctx, o.Journal, r.Sim.OtherTraffic())
	if err != nil {
		return err
	}
	j := truth.Judge(rep, o.Suppressed, r.facts, r.terms(rep, o, finished))
	rep.Summary.Truth = j.Truth(others)
	// Commands that meters received count, as do those that the journal has as sent.
	rep.Summary.ForbiddenCommands = max(rep.Summary.ForbiddenCommands, int(r.Sim.Summary().ForbiddenCommands))
	for i, m := range j.Wrong {
		if i == 10 {
			fmt.Fprintf(talk, "and %d more\n", len(j.Wrong)-i)
			break
		}
		fmt.Fprintf(talk, "mismatch (%s): %v called %s: %s\n", m.Kind, m.Device, m.Verdict, m.Reason)
	}
	if len(j.Wrong) == 0 {
		return nil
	}
	return r.writeMismatches(j.Wrong)
}

func (r *Rehearsal) writeMismatches(wrong []truth.Mismatch) error {
	return cli.WriteFile(filepath.Join(r.Dir, "mismatches.json"), 0o600, func(w io.Writer) error {
		return json.NewEncoder(w).Encode(wrong)
	})
}

// facts returns the truth about a meter.
func (r *Rehearsal) facts(device servicerequests.EUI) (p truth.Facts) {
	i, ok := r.Fleet.Find(device)
	if !ok {
		return p
	}
	p.Began = r.Fleet.Meter(i)
	p.Ended, _ = r.Sim.Device(device)
	p.Registered, p.Listed = p.Ended.Supplier == r.Supplier, r.listed[device]
	p.Meter = r.Sim.History(device)
	if proxy := p.Began.GPF(); proxy != 0 {
		p.Proxy = r.Sim.History(proxy)
	}
	return p
}

// terms are those of this rehearsal.
func (r *Rehearsal) terms(rep *report.Report, o *engine.Options, finished bool) truth.Terms {
	now, policy := r.Clock.Now(), o.Policy
	backlog := backlogOf(o.Limits, len(rep.Meters))
	return truth.Terms{
		Finished: finished && rep.Ended == record.ClosedFinished,
		Switches: o.Plan.Strategy != record.EmergencyCredit,
		AtLeast:  finished && r.Faults.Name == calmProfile,
		Permits: func(s servicerequests.Service, t servicerequests.DeviceType) bool {
			return o.Plan.Direction.Permits(s, t, now) == nil
		},
		ArmBalanceAtMost: policy.ArmBalanceAtMost,
		Now:              history.At(now),
		Margin:           o.Transfers.Margin,
		OnTheWay:         time.Duration(float64(onTheWay) * r.Clock.Speed),
		Fresh:            truth.ByFuel[time.Duration]{Electricity: policy.ArmFresh.Electricity, Gas: policy.ArmFresh.Gas},
		ArmWithin: truth.ByFuel[time.Duration]{
			Electricity: policy.ArmFresh.Electricity + backlog + armMarginElectricity,
			Gas:         policy.ArmFresh.Gas + backlog + armMarginGas,
		},
	}
}

// backlogOf is how long what may go before a 7.3 takes at the sweep's limits, and the days
// that a budget of 7.3 spreads it over.
func backlogOf(l pacer.Limits, meters int) time.Duration {
	slowest := l.User.PerSecond
	for _, region := range l.Region {
		slowest = min(slowest, region.PerSecond)
	}
	var backlog time.Duration
	if slowest > 0 {
		backlog = time.Duration(float64(postsAhead*meters) / slowest * float64(time.Second))
	}
	if budget, ok := l.SRV[servicerequests.ArmSupply.SRV()]; ok && budget.Count > 0 {
		backlog += budget.Per * time.Duration(meters/budget.Count)
	}
	return backlog
}
