package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"time"

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

// onTheWay is how long what the door has let pass may be on its way to the DCC, in real time
// (assumption: on a machine that has much else to do).
const onTheWay = 5 * time.Second

// hold holds the report against the simulator and notes the result in it.
func (r *rehearsal) hold(ctx context.Context, io stdio, folded *report.Report, o *engine.Options, finished bool) error {
	r.sim.Settle()
	j := judge(claimsOf(folded, o), r.facts, r.terms(folded, o, finished))
	truth := &report.Truth{
		Checked: j.checked, Mismatches: j.mismatches, ByKind: j.kinds(),
		MissedWithExcuse: j.excused, CouldAnswer: j.could, ShareSafe: j.safeShare.of(),
	}
	folded.Summary.Truth = truth
	others, err := otherTraffic(ctx, o.Journal, r.sim.OtherTraffic())
	if err != nil {
		return err
	}
	if truth.OtherTraffic = others; others.Lost+others.Mistaken > 0 {
		truth.Mismatches += others.Lost + others.Mistaken
		if truth.ByKind == nil {
			truth.ByKind = map[string]int{}
		}
		truth.ByKind[wrongOther] = others.Lost + others.Mistaken
	}
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
	ordered, left := map[servicerequests.EUI]bool{}, map[servicerequests.EUI]history.Instant{}
	for device := range o.Suppressed {
		ordered[device] = true
	}
	for _, e := range folded.Events {
		if e.What != record.OrderExclude && e.What != record.OrderSuppress {
			continue
		}
		for _, device := range e.Devices {
			if e.By != record.BySweep {
				ordered[device] = true
			} else if left[device] == 0 {
				left[device] = history.At(e.At)
			}
		}
	}
	claims := make([]claim, len(folded.Meters))
	for i, m := range folded.Meters {
		claims[i] = claim{m.Device, m.Target, m.Verdict, ordered[m.Device], left[m.Device]}
	}
	return claims
}

// facts returns the truth about a meter.
func (r *rehearsal) facts(device servicerequests.EUI) (p facts) {
	i, ok := r.fleet.Find(device)
	if !ok {
		return p
	}
	p.began = r.fleet.Meter(i)
	p.ended, _ = r.sim.Device(device)
	p.registered, p.listed = p.ended.Supplier == r.supplier, r.listed[device]
	p.meter = r.sim.History(device)
	if proxy := p.began.GPF(); proxy != 0 {
		p.proxy = r.sim.History(proxy)
	}
	return p
}

// terms are those of this rehearsal.
func (r *rehearsal) terms(folded *report.Report, o *engine.Options, finished bool) terms {
	now, policy := r.clock.Now(), o.Policy
	backlog := backlogOf(o.Limits, len(folded.Meters))
	return terms{
		finished: finished && folded.Ended == record.ClosedFinished,
		held:     heldIn(folded.Events),
		switches: o.Plan.Strategy != record.EmergencyCredit,
		atLeast:  finished && r.faults.Name == calmProfile,
		permits: func(s servicerequests.Service, t servicerequests.DeviceType) bool {
			return o.Plan.Direction.Permits(s, t, now) == nil
		},
		armBalanceAtMost: policy.ArmBalanceAtMost,
		now:              history.At(now),
		margin:           o.Transfers.Margin,
		onTheWay:         time.Duration(float64(onTheWay) * r.clock.Speed),
		fresh:            eachFuel[time.Duration]{policy.ArmFresh.Electricity, policy.ArmFresh.Gas},
		armWithin: eachFuel[time.Duration]{
			policy.ArmFresh.Electricity + backlog + armMarginElectricity,
			policy.ArmFresh.Gas + backlog + armMarginGas,
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
	if budget, ok := l.SRV[srvArm]; ok && budget.Count > 0 {
		backlog += budget.Per * time.Duration(meters/budget.Count)
	}
	return backlog
}

// heldIn lists when something was paused or stopped: from each such order to the next
// that takes one back.
func heldIn(events []report.Event) (spans []span) {
	for _, e := range events {
		switch at := history.At(e.At); {
		case strings.HasPrefix(e.What, record.OrderPause), strings.HasPrefix(e.What, record.OrderStop):
			spans = append(spans, span{at, math.MaxInt64})
		case e.What == record.OrderResume:
			for i := range spans {
				spans[i].to = min(spans[i].to, at)
			}
		}
	}
	return spans
}
