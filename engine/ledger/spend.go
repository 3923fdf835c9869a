package ledger

import (
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Bounds for computing a rate from two balances (assumptions).
const (
	minimumSpan = 24 * time.Hour // over a shorter time the hour of the day counts more than the home
	minimumPart = 10             // a tenth of DailySpend: below it a top-up between is likelier than a home that uses so little
)

// Spend is what a home uses up in a day by two dated balances of its meter: two reads before
// the first switch, or the portfolio's balance and a read. It is nil if they do not show it,
// as after a top-up between; then [Policy.DailySpend] is assumed.
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

// rate is what a home uses up in a day by an earlier balance and a later one; 0: not known.
func (p *Policy) rate(was Estimate, is Reading[servicerequests.Millipence]) servicerequests.Millipence {
	span := is.At.Sub(was.At)
	if was.At.IsZero() || !is.Known() || span < minimumSpan {
		return 0
	}
	perDay := servicerequests.Millipence(float64(was.Balance-is.Value) * float64(24*time.Hour) / float64(span))
	if perDay <= p.DailySpend/minimumPart {
		return 0
	}
	return perDay
}

// spend is what a home is assumed to use up in a day; 0: its credit lasts.
func (p *Policy) spend(m *Meter) servicerequests.Millipence {
	if s := p.Spend(m); s != nil && p.DailySpend > 0 {
		return s.PerDay
	}
	return p.DailySpend
}

// mayBeOffAt is the highest balance at which a supply may be off for lack of credit. It is
// an hour's spend higher for gas, because a proxy's balance is late.
func (p *Policy) mayBeOffAt(m *Meter) servicerequests.Millipence {
	if m.Gas() {
		return p.ArmBalanceAtMost + p.spend(m)/24
	}
	return p.ArmBalanceAtMost
}
