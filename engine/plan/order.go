package plan

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"safemode/engine/portfolio"
	"safemode/servicerequests"
)

// Columns of a portfolio that count for the order, if the plan carries them. Their values are
// claims; one that cannot be read counts as absent.
const (
	ColumnSupply  = "supply_state" // of plans from before the portfolio named it: see [Target]
	ColumnBalance = "balance"      // last known, in pounds: for want of a balance_estimate
	ColumnModel   = "model"        // the canary holds several
)

// rank is how soon a home must be reached: lower first. Among homes of equal rank the regions
// take turns.
type rank struct {
	off      int // 0: claimed to be Disabled, and not by the supplier
	priority int // of its most urgent meter
	mode     int // 0 prepayment, 1 unknown, 2 credit
}

func (r rank) compare(other rank) int {
	return cmp.Or(cmp.Compare(r.off, other.off), cmp.Compare(r.priority, other.priority), cmp.Compare(r.mode, other.mode))
}

// rankOf is the rank of one meter.
func rankOf(t *Target) rank {
	r := rank{off: 1, priority: t.Priority, mode: 1}
	supply := t.Supply
	if carried, err := servicerequests.ParseSupplyState(t.Carried[ColumnSupply]); err == nil && supply == servicerequests.UnknownSupply {
		supply = carried
	}
	if supply == servicerequests.Disabled && !slices.Contains(t.History, portfolio.DisabledBySupplier) {
		r.off = 0
	}
	switch {
	case slices.Contains(t.History, portfolio.PendingFutureDatedMode), t.Claimed == servicerequests.Prepayment:
		r.mode = 0
	case t.Claimed == servicerequests.Credit:
		r.mode = 2
	}
	return r
}

// credit is what a meter is claimed to have left; without a claim the most.
func credit(t *Target) servicerequests.Millipence {
	if t.BalanceEstimate != nil {
		return *t.BalanceEstimate
	}
	if balance, err := servicerequests.ParsePounds(t.Carried[ColumnBalance]); err == nil {
		return balance
	}
	return math.MaxInt32
}

// home is the targets behind one hub, and what decides their place.
type home struct {
	hub     servicerequests.EUI
	rank    rank                       // of its most urgent meter
	credit  servicerequests.Millipence // of the meter with the least
	region  servicerequests.Region     // of its first meter
	turn    int                        // among the homes of its rank and region
	targets []Target
}

// homes groups targets by hub, electricity first, and puts the homes in order. The
// order follows from the targets alone.
func homes(targets []Target) []home {
	slices.SortFunc(targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.Hub, b.Hub), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Device, b.Device))
	})
	var all []home
	for first := 0; first < len(targets); {
		h := home{hub: targets[first].Hub, rank: rankOf(&targets[first]), credit: credit(&targets[first]), region: targets[first].Region}
		end := first
		for ; end < len(targets) && targets[end].Hub == h.hub; end++ {
			if r := rankOf(&targets[end]); r.compare(h.rank) < 0 {
				h.rank = r
			}
			h.credit = min(h.credit, credit(&targets[end]))
		}
		h.targets = slices.Clone(targets[first:end])
		all = append(all, h)
		first = end
	}
	slices.SortFunc(all, func(a, b home) int {
		return cmp.Or(a.rank.compare(b.rank), cmp.Compare(a.credit, b.credit), cmp.Compare(a.hub, b.hub))
	})
	type queue struct {
		rank   rank
		region servicerequests.Region
	}
	turns := map[queue]int{}
	for i := range all {
		q := queue{all[i].rank, all[i].region}
		all[i].turn = turns[q]
		turns[q]++
	}
	slices.SortFunc(all, func(a, b home) int {
		return cmp.Or(a.rank.compare(b.rank), cmp.Compare(a.turn, b.turn), cmp.Compare(a.region, b.region))
	})
	return all
}

// InOrderOf is a plan of the same targets in the order of a portfolio's rows: each home at the
// place of its first meter, in waves as large as the plan's. It is for rehearsals that show
// what the plan's order is worth. It cannot be approved, because it has the hash of the other
// plan. A target that no row names is an error; rows that are no targets are skipped.
func (p *Plan) InOrderOf(rows []servicerequests.EUI) (*Plan, error) {
	row := make(map[servicerequests.EUI]int, len(rows))
	for i, device := range rows {
		if _, twice := row[device]; !twice {
			row[device] = i
		}
	}
	first := map[servicerequests.EUI]int{} // row by hub
	for i := range p.Targets {
		t := &p.Targets[i]
		at, known := row[t.Device]
		if !known {
			return nil, fmt.Errorf("the plan's meter %v is not in the portfolio", t.Device)
		}
		if before, known := first[t.Hub]; !known || at < before {
			first[t.Hub] = at
		}
	}
	q := *p
	q.Targets, q.Waves = slices.Clone(p.Targets), nil
	slices.SortFunc(q.Targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(first[a.Hub], first[b.Hub]), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Device, b.Device))
	})
	for i := range q.Targets {
		q.Targets[i].Order = i + 1
	}
	next := 0
	for i, w := range p.Waves {
		end := min(next+w.Count, len(q.Targets))
		for end > 0 && end < len(q.Targets) && q.Targets[end].Hub == q.Targets[end-1].Hub {
			end++ // waves end where a home ends
		}
		if i == len(p.Waves)-1 {
			end = len(q.Targets)
		}
		if w.First, w.Count = next+1, end-next; w.Count > 0 {
			q.Waves = append(q.Waves, w)
		}
		next = end
	}
	q.sum()
	return &q, q.checkWaves(len(q.Targets))
}
