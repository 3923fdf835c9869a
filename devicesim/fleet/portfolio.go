package fleet

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"

	"safemode/servicerequests"
)

// WritePortfolio writes the claims that a Shared Resource Provider would hold
// of the fleet, in the portfolio format of the engine. Every row is well
// formed; a few claims, chosen by the seed, are stale or wrong: the mode (of
// meters in Prepayment 1 % are claimed as credit and 4 % as unknown, of meters
// in Credit half as prepayment) and the region (1 %). That a meter was
// transferred, or does not answer, the provider does not know.
func (f *Fleet) WritePortfolio(w io.Writer) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"device_id", "device_type", "chf_id", "mpxn", "csp_region", "claimed_mode", "priority", "source", "history"})
	for i := range f.Len() {
		m := f.Meter(i)
		s := newStream(f.Seed, m.Device, "claim")
		_ = out.Write([]string{
			m.Device.String(), m.Type.String(), m.Hub.String(), m.MPxN.String(),
			claimedRegion(&m, s).String(), claimedMode(&m, s).String(),
			strconv.FormatUint(claimedPriority(s), 10), claimSource(s), history(&m),
		})
	}
	out.Flush()
	return out.Error()
}

func claimedRegion(m *Meter, s stream) servicerequests.Region {
	if s.below(100) == 0 {
		return servicerequests.Regions[s.below(uint64(len(servicerequests.Regions)))]
	}
	return m.Region
}

func claimedMode(m *Meter, s stream) servicerequests.PaymentMode {
	chance := s.below(100)
	switch {
	case m.Mode == servicerequests.Credit && chance < 50, m.Mode == servicerequests.Prepayment && chance >= 5:
		return servicerequests.Prepayment
	case m.Mode == servicerequests.Credit || chance < 1:
		return servicerequests.Credit
	}
	return servicerequests.UnknownMode
}

// claimedPriority is 0 for 3 % of the meters (a coarse flag of need), else 3 to 7.
func claimedPriority(s stream) uint64 {
	if s.below(100) < 3 {
		return 0
	}
	return 3 + s.below(5)
}

func claimSource(s stream) string {
	return [...]string{"request history", "inventory", "registration data"}[s.below(3)]
}

// history is what the provider's own records say: it sent the 7.2 itself.
func history(m *Meter) string {
	if m.Mode == servicerequests.Prepayment && m.Supply == servicerequests.Disabled && !m.Locked &&
		m.Balance > m.Model.Configuration().DisablementThreshold {
		return "disabled_by_supplier"
	}
	return ""
}

// Claim is one row of a provider's portfolio, as far as a fleet can be grown
// from it.
type Claim struct {
	Device   servicerequests.EUI
	Type     servicerequests.DeviceType // ESME or GSME
	Hub      servicerequests.EUI
	MPxN     string
	Region   servicerequests.Region
	Mode     servicerequests.PaymentMode // claimed
	Supplier servicerequests.EUI         // 0 means Options.Supplier
}

// FromPortfolio grows a fleet with the devices of a portfolio, for a dry run.
// The shares of special meters are those of [Generate]; beyond them, nine in
// ten of the meters that are claimed to be in Credit and are on supply are so.
// Options.Meters is not used. Two claims of one device wrap
// [ErrDuplicateDevice].
func FromPortfolio(claims []Claim, o Options) (*Fleet, error) {
	o.Meters = len(claims)
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("fleet from portfolio: %w", err)
	}
	meters := make([]Meter, len(claims))
	for i, c := range claims {
		if c.Type != servicerequests.ESME && c.Type != servicerequests.GSME {
			return nil, fmt.Errorf("fleet from portfolio: %v: %s is no meter", c.Device, c.Type)
		}
		mpxn, err := ParseMPxN(c.MPxN, c.Type)
		if err != nil {
			return nil, fmt.Errorf("fleet from portfolio: %v: %w", c.Device, err)
		}
		meters[i] = Meter{
			Device: c.Device, Type: c.Type, Hub: c.Hub, MPxN: mpxn, Region: c.Region,
			Supplier: cmp.Or(c.Supplier, o.Supplier),
		}
	}
	l, err := newList(meters)
	if err != nil {
		return nil, fmt.Errorf("fleet from portfolio: %w", err)
	}
	c, reach := newCensus(o), l.ranks(o.Seed, "reachable")
	for i, rank := range l.ranks(o.Seed, "kind") {
		c.settle(&l.meters[i], int(rank), int(reach[i]))
	}
	for _, c := range claims {
		i, _ := l.Find(c.Device)
		s := newStream(o.Seed, c.Device, "claimed credit")
		if m := &l.meters[i]; c.Mode == servicerequests.Credit && m.Supply == servicerequests.Enabled && s.below(10) > 0 {
			inCredit(m, o, s)
		}
	}
	return &Fleet{Seed: o.Seed, source: l}, nil
}

// ranks returns for each meter its rank in an order that hash of seed and EUI
// decides.
func (l *list) ranks(seed uint64, label string) []uint32 {
	hashes := make([]uint64, len(l.meters))
	order := make([]uint32, len(l.meters))
	for i := range l.meters {
		hashes[i], order[i] = newStream(seed, l.meters[i].Device, label).Uint64(), uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(hashes[a], hashes[b]), cmp.Compare(a, b))
	})
	ranks := make([]uint32, len(order))
	for rank, i := range order {
		ranks[i] = uint32(rank)
	}
	return ranks
}
