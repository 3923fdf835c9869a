package sweep

import (
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"

	"safemode/engine/journal"
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

// finished says whether every meter has its verdict, and what was asked afterwards is
// answered.
func (s *Sweep) finished() bool { return s.done == s.roll.size && s.afters == 0 }

// lineUp has a meter that has its verdict, and is due, wait until nothing else is to be
// sent.
func (s *Sweep) lineUp(m *meter) {
	m.waits = true
	s.later = append(s.later, m.seat)
}

// takeLater begins what is due of a meter that has its verdict, and says whether there
// was one. It goes where nothing else waits to be sent: no home that has no verdict is
// served a moment later for it. When all meters have theirs, only what was due as this
// run began is begun, or the run would wait for tomorrow.
func (s *Sweep) takeLater(now time.Time) bool {
	if len(s.later) == 0 || s.homesWait() {
		return false
	}
	i := slices.IndexFunc(s.later, func(seat int32) bool {
		h := s.roll.head(seat)
		return !s.holdsMeter(h) && s.lanes[h.region].inFlight < s.o.InFlight
	})
	if i < 0 {
		return false
	}
	m := s.meter(s.later[i])
	due := s.o.Policy.rereadAt(m)
	if m.done && s.done == s.roll.size && due.After(s.started) {
		return false
	}
	if i == 0 {
		s.later = s.later[1:]
	} else {
		s.later = slices.Delete(s.later, i, i+1)
	}
	m.waits = false
	if !m.done || len(m.open) > 0 { // it was opened again meanwhile
		return true
	}
	for _, service := range s.o.Policy.rereads(m, now) {
		s.afters++
		s.ask(m, service, true, now)
	}
	s.look(m, now)
	return true
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
// anything is done about it.
func (s *Sweep) settleAfter(m *meter, now time.Time) {
	if !m.done || len(m.open) > 0 && m.safe() {
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
			s.o.Journal.Append(journal.Record{At: now, Kind: journal.Verdict, Device: m.device, Code: v.Verdict, Body: journal.Encode(v)})
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
	return 1 + slices.Index([]string{journal.VerdictArmed, journal.VerdictOnSupply}, verdict)
}
