package sweep

// ledger wakes the meter at a place in the plan.
func (s *Sweep) ledger(seat int) *meter { return s.meter(int32(seat)) }

// ledgers wakes all.
func (s *Sweep) ledgers() []*meter {
	var all []*meter
	for seat := range s.roll.size {
		all = append(all, s.ledger(seat))
	}
	return all
}
