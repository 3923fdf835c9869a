package sweep

import (
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// safe says whether a meter is proven to be in Credit, with its supply on or armed.
func (m *meter) safe() bool {
	return m.modeCurrent() && m.mode.value == servicerequests.Credit &&
		m.supplyCurrent() && m.supply.value != servicerequests.Disabled
}

// asOf is when the older of the two reads that a verdict rests on was answered.
func (m *meter) asOf() time.Time {
	if m.supply.at.Before(m.mode.at) {
		return m.supply.at
	}
	return m.mode.at
}

// rereadAt is when the reads of a meter that is safe are due again; zero: never. Where
// they were asked for again and not answered, they are due as long after that.
func (p *Policy) rereadAt(m *meter) time.Time {
	if p.RereadAfter <= 0 || m.excluded != "" || !m.safe() || m.supply.value != servicerequests.Armed && !p.inSample(m.device) {
		return never
	}
	for _, service := range [...]servicerequests.Service{servicerequests.ReadSupplyStatus, servicerequests.ReadPaymentMode} {
		if m.tally(service).barred || !p.Permits(service, m.target.Type) {
			return never
		}
	}
	return later(m.asOf(), m.reread).Add(p.RereadAfter)
}

// inSample says whether a meter that is on supply is of the share that is read again.
func (p *Policy) inSample(device servicerequests.EUI) bool {
	return rand.New(rand.NewPCG(p.RereadSeed, uint64(device))).Float64() < p.RereadShare
}

// rereads lists the reads that are due again. Both go together, but one that was
// answered not long ago.
func (p *Policy) rereads(m *meter, now time.Time) (services []servicerequests.Service) {
	if at := p.rereadAt(m); at.IsZero() || now.Before(at) {
		return nil
	}
	if now.Sub(m.supply.at) >= p.RereadAfter/2 {
		services = append(services, servicerequests.ReadSupplyStatus)
	}
	if now.Sub(m.mode.at) >= p.RereadAfter/2 {
		services = append(services, servicerequests.ReadPaymentMode)
	}
	return services
}

// wantsBalance says whether the balance is to be read once more: the meter was switched,
// a read-back says so, and nothing has been asked of its balance since.
func (p *Policy) wantsBalance(m *meter) bool {
	t := m.tally(servicerequests.ReadMeterBalance)
	return p.BalanceAfter && m.firstSwitch != 0 && m.excluded == "" && m.modeCurrent() && m.mode.value == servicerequests.Credit &&
		!t.barred && (t.failures == 0 || !p.retriesSpent) && p.Permits(servicerequests.ReadMeterBalance, m.target.Type) &&
		!slices.ContainsFunc(m.ended, func(e ended) bool {
			return e.service == servicerequests.ReadMeterBalance && e.counter > m.staleMode && e.class != Withdrawn
		})
}

// afterAt is when something is due of a meter that has its verdict; zero: never.
func (p *Policy) afterAt(m *meter) time.Time {
	if p.wantsBalance(m) {
		return m.mode.at // at once
	}
	return p.rereadAt(m)
}

// finished says whether every meter has its verdict, and what was asked afterwards is
// answered.
func (s *Sweep) finished() bool { return s.done == s.roll.size && s.afters == 0 }

// afterwards are meters, by their places in the plan, that wait until nothing else is to be
// sent: for each region, those that were due first before the others.
type afterwards [len(servicerequests.Regions) + 1][]int32

func (l *afterwards) empty() bool {
	return !slices.ContainsFunc(l[:], func(seats []int32) bool { return len(seats) > 0 })
}

// lineUp has a meter that has its verdict, and is due, wait until nothing else is to be
// sent.
func (s *Sweep) lineUp(m *meter) {
	m.waits = true
	to := &s.old
	if s.o.Policy.wantsBalance(m) {
		to = &s.balances
	}
	to[m.target.Region] = append(to[m.target.Region], m.seat)
}

// takeLater begins what is due of a meter that has its verdict, and says whether there
// was one. It goes where nothing else waits to be sent: no home that has no verdict is
// served a moment later for it. When all meters have theirs, only what was due as this
// run began is begun, or the run would wait for tomorrow.
func (s *Sweep) takeLater(now time.Time) bool {
	if s.balances.empty() && s.old.empty() || s.homesWait() {
		return false
	}
	if m := s.firstLater(&s.balances, func(*meter) bool { return true }); m != nil {
		s.askAfter(m, []servicerequests.Service{servicerequests.ReadMeterBalance}, now)
		return true
	}
	if m := s.firstLater(&s.old, func(m *meter) bool {
		return s.done < s.roll.size || !s.o.Policy.rereadAt(m).After(s.started)
	}); m != nil {
		s.askAfter(m, s.o.Policy.rereads(m, now), now)
		return true
	}
	return false
}

// firstLater takes out the first meter of the region in which most wait, of those where
// it may begin; nil if there is none. What is held holds up those behind it.
func (s *Sweep) firstLater(from *afterwards, mayBegin func(*meter) bool) *meter {
	var first *meter
	for region, seats := range from {
		if len(seats) == 0 || s.lanes[region].inFlight >= s.o.InFlight || s.holdsMeter(s.roll.head(seats[0])) {
			continue
		}
		if first != nil && len(seats) <= len(from[first.target.Region]) {
			continue
		}
		if m := s.meter(seats[0]); mayBegin(m) {
			first = m
		}
	}
	if first != nil {
		from[first.target.Region] = from[first.target.Region][1:]
		first.waits = false
	}
	return first
}

// askAfter asks for what is due of a meter that has its verdict, if it still has it.
func (s *Sweep) askAfter(m *meter, services []servicerequests.Service, now time.Time) {
	if !m.done || len(m.open) > 0 {
		return
	}
	for _, service := range services {
		s.afters++
		s.ask(m, service, true, now)
	}
	s.look(m, now)
}

// homesWait says whether anything waits for its turn, or for a limit or a hold.
func (s *Sweep) homesWait() bool {
	if len(s.parked) > 0 {
		return true
	}
	for i := range s.intake {
		if s.lanes[i].len() > 0 || s.firstOf(&s.intake[i]) != nil {
			return true
		}
	}
	return false
}

// settleAfter acts on the end of what was asked of a meter that had its verdict. The
// verdict stands until all of it has ended; then it is given anew, as of what is known.
// A meter that is not safe any more is opened again at once, and that is told before
// anything is done about it. A balance changes no verdict, unless it is the proof that an
// arming has lacked.
func (s *Sweep) settleAfter(m *meter, service servicerequests.Service, now time.Time) {
	switch {
	case !m.done, len(m.open) > 0 && m.safe():
		return
	case service == servicerequests.ReadMeterBalance && !s.o.Policy.decide(m, now).waiting:
		return
	}
	was := m.verdict.Verdict
	s.reopen(m)
	if rankOf(was) == 0 {
		return
	}
	v := s.o.Policy.conclude(m)
	result := "same"
	switch {
	case m.excluded != "":
		result = "excluded"
	case rankOf(v.Verdict) < rankOf(was):
		result = "worse"
		s.log.Warn("read again and found worse", zap.Stringer("device_id", m.device), zap.String("was", was), zap.String("is", v.Verdict))
		if s.o.Policy.decide(m, now).waiting {
			if v.Reason = "read again and found off"; v.End.Mode != servicerequests.Credit {
				v.Reason = "read again and found in " + v.End.Mode.String()
			}
			s.o.Journal.Append(record.Record{At: now, Kind: record.Verdict, Device: m.device, Code: v.Verdict, Body: record.Encode(v)})
		}
	case rankOf(v.Verdict) > rankOf(was):
		result = "better"
	case m.reread.After(m.asOf()):
		result = "unanswered"
	}
	s.metrics.rereads.WithLabelValues(result).Inc()
}

// rankOf orders verdicts by how well a home is off; 0 is of those that are not safe.
func rankOf(verdict string) int {
	return 1 + slices.Index([]string{record.VerdictArmed, record.VerdictOnSupply}, verdict)
}
