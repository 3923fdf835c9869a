package plan

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"safemode/engine/direction"
	"safemode/engine/portfolio"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Options is what a plan is made under. Fields are required unless they say
// otherwise.
type Options struct {
	Environment string // simulator or live
	Direction   direction.Direction
	Record      *direction.Record // the signed file behind Direction; nil: it was not signed, and only a rehearsal may use the plan
	Strategy    record.Strategy
	Originators []servicerequests.EUI // configured identities; the first stands in where a row names none
	Limits      Limits                // the zero value is closed
	Bounds      Bounds
	Waves       WaveOptions // the zero value makes one wave
	CreatedAt   time.Time
	PreparedBy  direction.Signatory
	Journal     string   // ID of the journal to be made for it, 32 hexadecimal digits; empty: it can only be rehearsed
	Custody     *Custody // nil: it can only be rehearsed
	// Suppressed are meters that must not be touched. The plan keeps which of its own are.
	Suppressed map[servicerequests.EUI]struct{}

	// StartsAt is when the sweep is meant to begin. Zero: CreatedAt.
	StartsAt time.Time
	// WindowEnds are when the non-disablement window ends for homes of which no
	// better is known: the earliest and the latest. At that time meters without
	// credit turn off. Empty: no deadlines are forecast.
	WindowEnds []time.Time
}

// Build makes the plan of a portfolio. A [*portfolio.RowError] in rows becomes a
// rejected row, as does a meter that the direction does not cover. Any other
// error ends Build, because a plan must not cover half a portfolio. Errors that say the
// direction forbids the plan as a whole wrap [direction.ErrOutside].
func Build(rows iter.Seq2[portfolio.Row, error], o Options) (*Plan, error) {
	p := &Plan{Header: o.header()}
	if err := p.Header.check(); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	for row, err := range rows {
		if refused, ok := errors.AsType[*portfolio.RowError](err); ok {
			p.Rejected = append(p.Rejected, rejectedRow(refused))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("plan: %w", err)
		}
		t := Target{
			Device: row.Device, Type: row.Type, Hub: row.Hub, MPxN: row.MPxN, Region: row.Region,
			Claimed: row.Claimed, Priority: row.Priority, Source: row.Source, History: row.History, Carried: row.Carried,
			Originator: cmp.Or(row.Originator, p.Originators[0]), Proxy: row.Proxy,
			BalanceEstimate: row.BalanceEstimate, BalanceAt: row.BalanceAt, LastTopUp: row.LastTopUp, Supply: row.Supply,
		}
		_, t.Suppressed = o.Suppressed[t.Device]
		if reason := p.refusal(&t); reason != "" {
			p.Rejected = append(p.Rejected, Rejected{Line: row.Line, Device: row.Device.String(), Reason: reason})
			continue
		}
		p.Targets = append(p.Targets, t)
	}
	if err := p.checkTargets(); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	p.arrange(o.Waves)
	if err := p.checkWaves(len(p.Targets)); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	slices.SortStableFunc(p.Rejected, func(a, b Rejected) int { return cmp.Compare(a.Line, b.Line) })
	p.Counts = p.count()
	schedule := p.Schedule()
	p.Estimate = schedule.Estimate
	p.sum()
	if err := p.overThreshold(); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if err := p.Write(io.Discard); err != nil { // for the hash
		return nil, fmt.Errorf("plan: %w", err)
	}
	return p, nil
}

func rejectedRow(e *portfolio.RowError) Rejected {
	reason := e.Reason
	if e.Column != "" {
		reason = e.Column + ": " + reason
	}
	r := Rejected{Line: e.Line, Device: e.Device, Reason: reason}
	if e.SMETS1 != nil {
		r.SMETS1, r.MPxN, r.Hub, r.Claimed = true, e.SMETS1.MPxN, e.SMETS1.Hub, e.SMETS1.Claimed
	}
	return r
}
