package ledger

import (
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Bounds of a rate that follows from two balances (assumptions).
const (
	leastSpan = 24 * time.Hour // less says more of the hour than of the home
	leastPart = 10             // of the assumption: below that part a top-up between is likelier than a home that uses nothing
)

// Spend is what a home uses up in a day, where two dated balances of its meter tell it: two
// reads before the first switch, or the portfolio's balance and a read. Nil: they do not,
// and [Policy.DailySpend] is assumed. A meter that was topped up between tells nothing.
func (p *Policy) Spend(m *Meter) *record.Spend {
	last := m.Now.Balance
	if !last.Known() || m.Counters.FirstSwitch != 0 && last.Counter > m.Counters.FirstSwitch {
		last = m.Found.Balance
	}
	if first := m.Found.Balance; first.Known() {
		if perDay := p.rate(Estimate{first.Value, first.At}, last); perDay > 0 {
			return &record.Spend{PerDay: perDay, By: record.ByReads}
		}
	}
	if perDay := p.rate(m.Estimate, last); perDay > 0 {
		return &record.Spend{PerDay: perDay, By: record.ByPortfolio}
	}
	return nil
}

// rate is what a home uses up in a day by a balance and a later read; 0: not known.
func (p *Policy) rate(was Estimate, is Reading[servicerequests.Millipence]) servicerequests.Millipence {
	span := is.At.Sub(was.At)
	if was.At.IsZero() || !is.Known() || span < leastSpan {
		return 0
	}
	perDay := servicerequests.Millipence(float64(was.Balance-is.Value) * float64(24*time.Hour) / float64(span))
	if perDay <= p.DailySpend/leastPart {
		return 0
	}
	return perDay
}

// spend is what a home is taken to use up in a day; 0: credit in hand lasts.
func (p *Policy) spend(m *Meter) servicerequests.Millipence {
	if s := p.Spend(m); s != nil && p.DailySpend > 0 {
		return s.PerDay
	}
	return p.DailySpend
}

// hardly is a balance at which a supply may be off for lack of credit: a gas proxy tells what
// was half an hour ago.
func (p *Policy) hardly(m *Meter) servicerequests.Millipence {
	if m.Gas() {
		return p.ArmBalanceAtMost + p.spend(m)/24
	}
	return p.ArmBalanceAtMost
}
