package plan

import (
	"cmp"
	"math"
	"slices"

	"safemode/engine/portfolio"
	"safemode/servicerequests"
)

// Columns of a portfolio that the order goes by where they are carried. What they
// say is a claim; a value that cannot be read counts as not there.
const (
	ColumnSupply  = "supply_state" // last known: disabled, enabled, armed
	ColumnBalance = "balance"      // last known, in pounds
	ColumnModel   = "model"        // the canary holds several
)

// rank is how soon a home must be reached: lower first. What it cannot tell apart
// takes turns by region.
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
	supply, err := servicerequests.ParseSupplyState(t.Carried[ColumnSupply])
	if err == nil && supply == servicerequests.Disabled && !slices.Contains(t.History, portfolio.DisabledBySupplier) {
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
	if balance, err := servicerequests.ParsePounds(t.Carried[ColumnBalance]); err == nil {
		return balance
	}
	return math.MaxInt32
}

// home is what hangs on one hub, and what decides its turn.
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
