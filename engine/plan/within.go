package plan

import (
	"cmp"
	"errors"
	"fmt"
	"iter"

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
	missing := make(map[servicerequests.EUI]*Target, len(p.Targets))
	for i := range p.Targets {
		missing[p.Targets[i].Device] = &p.Targets[i]
	}
	for row, err := range rows {
		if _, rejected := errors.AsType[*portfolio.RowError](err); rejected {
			continue
		}
		if err != nil {
			return err
		}
		t := missing[row.Device]
		if t == nil {
			continue
		}
		if t.Type != row.Type || t.Hub != row.Hub || t.MPxN != row.MPxN || t.Region != row.Region || t.Originator != cmp.Or(row.Originator, p.Originators[0]) {
			return fmt.Errorf("target %d: %v stands otherwise in line %d: %w", t.Order, t.Device, row.Line, ErrNotInPortfolio)
		}
		delete(missing, row.Device)
	}
	for i := range p.Targets {
		if t := &p.Targets[i]; missing[t.Device] != nil {
			return fmt.Errorf("target %d: %v is %w, one of %d such of %d", t.Order, t.Device, ErrNotInPortfolio, len(missing), len(p.Targets))
		}
	}
	return nil
}
