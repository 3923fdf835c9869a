package plan

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"safemode/engine/portfolio"
	"safemode/servicerequests"
)

// ErrNotInPortfolio refuses a plan with a target that is no row of the portfolio.
var ErrNotInPortfolio = errors.New("not in the portfolio")

// Within says whether every target is a row of a portfolio, as it stands there: the
// same device, hub, meter point, region and originator. Rows that are no targets, and
// those that a portfolio may not have, say nothing against a plan. The error wraps
// [ErrNotInPortfolio], or is the portfolio's own.
func (p *Plan) Within(rows iter.Seq2[portfolio.Row, error]) error {
	missing := make(map[servicerequests.EUI]Target, p.Counts.Targets)
	// A plan from Open has its targets in the file.
	err := p.Each(func(t *Target) error { missing[t.Device] = *t; return nil }, func(*Rejected) error { return nil })
	if err != nil {
		return err
	}
	all := len(missing)
	for row, err := range rows {
		if _, rejected := errors.AsType[*portfolio.RowError](err); rejected {
			continue
		}
		if err != nil {
			return err
		}
		t, ok := missing[row.Device]
		if !ok {
			continue
		}
		if t.Type != row.Type || t.Hub != row.Hub || t.MPxN != row.MPxN || t.Region != row.Region || t.Originator != cmp.Or(row.Originator, p.Originators[0]) {
			return fmt.Errorf("target %d: %v stands otherwise in line %d: %w", t.Order, t.Device, row.Line, ErrNotInPortfolio)
		}
		delete(missing, row.Device)
	}
	if len(missing) == 0 {
		return nil
	}
	first := slices.MinFunc(slices.Collect(maps.Values(missing)), func(a, b Target) int { return cmp.Compare(a.Order, b.Order) })
	return fmt.Errorf("target %d: %v is %w, one of %d such of %d", first.Order, first.Device, ErrNotInPortfolio, len(missing), all)
}
