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
	"safemode/servicerequests"
)

// Options is what a plan is made under. All fields are required but Limits.
type Options struct {
	Environment string // simulator or live
	Direction   direction.Direction
	Strategy    Strategy
	Originators []servicerequests.EUI // configured identities; the first stands in where a row names none
	Limits      Limits
	CreatedAt   time.Time
}

// Build makes the plan of a portfolio. A [*portfolio.RowError] in rows becomes a
// rejected row, as does a meter that the direction does not cover; any other
// error ends the making, because half a portfolio is none. Errors that say the
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
			Originator: cmp.Or(row.Originator, p.Originators[0]),
		}
		if reason := p.refusal(&t); reason != "" {
			p.Rejected = append(p.Rejected, Rejected{row.Line, row.Device.String(), reason})
			continue
		}
		p.Targets = append(p.Targets, t)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	arrange(p.Targets)
	slices.SortStableFunc(p.Rejected, func(a, b Rejected) int { return cmp.Compare(a.Line, b.Line) })
	p.Counts = p.count()
	p.Estimate = p.estimate()
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
	return Rejected{e.Line, e.Device, reason}
}

// home is what decides the turn of the meters on one hub.
type home struct {
	hub      servicerequests.EUI
	priority int                    // of its most urgent meter
	region   servicerequests.Region // of its first meter
	turn     int                    // among the homes of its priority and region
	targets  []Target
}

// arrange puts targets in order and numbers them. The order follows from the
// targets alone.
func arrange(targets []Target) {
	slices.SortFunc(targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.Hub, b.Hub), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Device, b.Device))
	})
	type queue struct {
		priority int
		region   servicerequests.Region
	}
	var homes []home
	turns := map[queue]int{}
	for first := 0; first < len(targets); {
		h := home{hub: targets[first].Hub, priority: targets[first].Priority, region: targets[first].Region}
		end := first
		for ; end < len(targets) && targets[end].Hub == h.hub; end++ {
			h.priority = min(h.priority, targets[end].Priority)
		}
		q := queue{h.priority, h.region}
		h.turn, h.targets = turns[q], slices.Clone(targets[first:end])
		turns[q]++
		homes = append(homes, h)
		first = end
	}
	slices.SortFunc(homes, func(a, b home) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.turn, b.turn), cmp.Compare(a.region, b.region))
	})
	next := targets[:0]
	for _, h := range homes {
		next = append(next, h.targets...)
	}
	for i := range targets {
		targets[i].Order = i + 1
	}
}
