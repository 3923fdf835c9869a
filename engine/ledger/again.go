package ledger

import (
	"math/rand/v2"
	"slices"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// RereadAt is when the reads of a meter that is safe are due again; zero: never. If they
// were repeated without an answer, the same wait begins again.
func (p *Policy) RereadAt(m *Meter) time.Time {
	after := p.rereadAfter(m)
	if after <= 0 || m.Bars.Excluded != "" || !m.Safe() {
		return time.Time{}
	}
	for _, service := range [...]servicerequests.Service{servicerequests.ReadSupplyStatus, servicerequests.ReadPaymentMode} {
		if m.Tally(service).Barred || !p.Permits(service, m.Plan.Type) {
			return time.Time{}
		}
	}
	return later(m.AsOf(), m.Reread).Add(after)
}

// rereadAfter is how old the reads of a meter that is safe may become; 0: there is no limit.
func (p *Policy) rereadAfter(m *Meter) time.Duration {
	switch {
	case m.Now.Supply.Value == servicerequests.Armed:
		return p.RereadArmedAfter
	case p.inSample(m.Device):
		return p.RereadAfter
	}
	return 0
}

// inSample says whether a meter that is on supply is in the share that is read again.
func (p *Policy) inSample(device servicerequests.EUI) bool {
	return rand.New(rand.NewPCG(p.RereadSeed, uint64(device))).Float64() < p.RereadShare
}

// Rereads lists the reads that are due again. Both go together, except one that was answered
// within half the wait.
func (p *Policy) Rereads(m *Meter, now time.Time) (services []servicerequests.Service) {
	if at := p.RereadAt(m); at.IsZero() || now.Before(at) {
		return nil
	}
	recent := p.rereadAfter(m) / 2
	if now.Sub(m.Now.Supply.At) >= recent {
		services = append(services, servicerequests.ReadSupplyStatus)
	}
	if now.Sub(m.Now.Mode.At) >= recent {
		services = append(services, servicerequests.ReadPaymentMode)
	}
	return services
}

// WantsBalance says whether the balance must be read once more: a read-back has confirmed
// the switch, and the balance has not been asked for since.
func (p *Policy) WantsBalance(m *Meter) bool {
	t := m.Tally(servicerequests.ReadMeterBalance)
	return p.BalanceAfter && m.Counters.FirstSwitch != 0 && m.Bars.Excluded == "" && m.ModeCurrent() && m.Now.Mode.Value == servicerequests.Credit &&
		!t.Barred && (t.Failures == 0 || !p.RetriesSpent) && p.Permits(servicerequests.ReadMeterBalance, m.Plan.Type) &&
		!slices.ContainsFunc(m.Past, func(e Past) bool {
			return e.Service == servicerequests.ReadMeterBalance && e.Counter > m.Counters.StaleMode && e.Class != record.ClassWithdrawn
		})
}

// AfterAt is when a meter that has its verdict must be read again; zero: never.
func (p *Policy) AfterAt(m *Meter) time.Time {
	if p.WantsBalance(m) {
		return m.Now.Mode.At // at once
	}
	return p.RereadAt(m)
}
