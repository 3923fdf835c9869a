package ledger

import (
	"slices"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Policy says what the engine does for a meter. Durations are of the sweep's clock. Every
// default is an assumption: no public source gives figures.
type Policy struct {
	Strategy record.Strategy
	Permits  func(servicerequests.Service, servicerequests.DeviceType) bool // by the direction

	ReadWait             time.Duration              // how long electricity's 1.6 waits for the first reads
	ProofWait            PerFuel[time.Duration]     // how long the 1.6 of a home that may be dark waits for the reads that prove how it was found
	EmergencyCreditBelow servicerequests.Millipence // a balance under this makes 2.5 worth a try
	ArmBalanceAtMost     servicerequests.Millipence // a supply is off for lack of credit only at or under this balance
	ArmFresh             PerFuel[time.Duration]     // how old a read of Disabled may be when 7.3 is signed
	ResponseWait         PerFuel[time.Duration]     // from the last POST until it counts as no answer
	DarkWait             PerFuel[time.Duration]     // the same for a home that may be dark and can be reached; 0: as others
	DarkAgain            time.Duration              // and the wait before each of its retries; 0: by Retry
	Retry                PerFuel[[]time.Duration]   // waits before each retry; after the last one there is no more
	SwitchTries          int                        // how many 1.6 may be answered and leave the meter in Prepayment
	ArmTries             int                        // how many 7.3 may be sent though a read-back still says Disabled
	GasBalanceFromProxy  bool                       // ask the GPF for gas balances, not the sleeping meter

	// A meter that has told nothing new for Patience is in long retries: its wave does not wait
	// for it. After StepDeadline it is stuck. 0: never.
	Patience     time.Duration
	StepDeadline PerFuel[time.Duration]

	// The reads that a verdict rests on are repeated when they are RereadArmedAfter old, for
	// every meter that is armed, and when they are RereadAfter old, for a share of those on
	// supply, chosen by seed. 0: never. The verdict stands until there is an answer.
	RereadArmedAfter time.Duration
	RereadAfter      time.Duration
	RereadShare      float64
	RereadSeed       uint64

	// BalanceAfter has the balance read once more after a confirmed switch, when nothing else
	// needs to be done.
	BalanceAfter bool

	RetriesSpent bool // the sweep's budget of retries is used up

	// For the order of hours at risk, where meters do not say.
	DailySpend   servicerequests.Millipence // what a home uses up in a day, unless its balances show it; 0: credit lasts
	AtRiskWithin time.Duration              // a supply that will be cut off within this goes before one with an unknown state
	ActWithin    time.Duration              // a supply that will be cut off within this goes at once, before its wave

	// Disablement is suspended until WindowEnds and from WindowBegins on, both after midnight,
	// British time, and all Sunday. It never is if WindowBegins is not after WindowEnds.
	WindowEnds   time.Duration
	WindowBegins time.Duration

	// PlanOrder keeps homes in the plan's order, whatever their reads show: for rehearsals that
	// show what the order of hours at risk is worth.
	PlanOrder bool
}

// PerFuel holds a setting for electricity and for gas.
type PerFuel[T any] struct{ Electricity, Gas T }

// of is the setting of a meter's fuel.
func (f PerFuel[T]) of(m *Meter) T {
	if m.Gas() {
		return f.Gas
	}
	return f.Electricity
}

const (
	// emergencyCreditTries bounds 2.5: one more try where the first got no answer.
	emergencyCreditTries = 2
	// freshReads bounds the reads of one meter's supply state: if the answers always come too
	// late to arm, the meter goes to a person.
	freshReads = 16
	// balanceReads bounds the reads of its balance, from proxy and meter.
	balanceReads = 4
)

// Stage is how far the engine may go with a meter. Meters of one fleet share the DCC's
// limits: first every supply is read, then every balance, and the order of commands follows
// from that.
type Stage uint8

// The stages, each with all before it.
const (
	ReadingSupply  Stage = iota // its supply state is read
	ReadingBalance              // and its balance
	Commanding                  // and it may be given commands
)

// Step is what [Policy.Decide] wants done now.
type Step struct {
	Ask     []servicerequests.Service
	Wake    time.Time // decide again then; zero: no need before the next event
	Waiting bool      // something is under way, will be tried again, or waits for its turn
	Next    Stage     // more is to be done at this stage; ReadingSupply: nothing
}

// wakeAt has Decide called again at an instant.
func (s *Step) wakeAt(t time.Time) {
	s.Waiting = true
	if s.Wake.IsZero() || t.Before(s.Wake) {
		s.Wake = t
	}
}

// may says whether a service may be asked for at all, now or later.
func (p *Policy) may(m *Meter, service servicerequests.Service) bool {
	t := m.Tally(service)
	return !t.Barred && p.Permits(service, m.Plan.Type) && !(p.RetriesSpent && t.Failures > 0)
}

// want asks for a service now, or when its retry is due. It does nothing where
// the service is open or asked for already, or barred, or not permitted.
func (p *Policy) want(s *Step, m *Meter, service servicerequests.Service, now time.Time) {
	t := m.Tally(service)
	switch {
	case m.PendingOf(service) != nil || slices.Contains(s.Ask, service):
		s.Waiting = true
	case !p.may(m, service):
	case now.Before(t.Next):
		s.wakeAt(t.Next)
	default:
		s.Waiting = true
		s.Ask = append(s.Ask, service)
	}
}

// Decide says what must be done next for a meter, at an instant and a stage. It is pure.
// When it asks for nothing and waits for nothing, the meter is finished and
// [Policy.Conclude] has the verdict.
func (p *Policy) Decide(m *Meter, now time.Time, turn Stage) Step {
	var s Step
	switch {
	case m.Bars.Excluded != "":
	case m.Started.IsZero() && p.firstReads(&s, m, now, turn):
	case m.probing() && now.Before(m.Started.Add(p.ReadWait)):
		s.wakeAt(m.Started.Add(p.ReadWait))
	case turn < Commanding:
		if turn == ReadingBalance {
			p.secondReads(&s, m, now)
		}
		s.Next, s.Waiting = turn+1, true
	case m.Tally(servicerequests.ReadPaymentMode).Tries == 0 && p.otherReads(&s, m, now):
	default:
		p.balance(&s, m, now)
		p.confirm(&s, m, now)
		p.configuration(&s, m, now)
		if m.openCommand() == nil && !p.command(&s, m, now) {
			// While a command is under way a read would prove nothing about it.
			p.readBack(&s, m, now)
		}
	}
	s.Waiting = s.Waiting || len(m.Open) > 0
	return s
}

// firstReads asks for the reads that show how a meter is found, and says whether the
// direction permits any. The read of the supply goes alone: nothing else is asked until the
// DCC has acknowledged it, or ReadWait has passed. So a meter that now belongs to another
// supplier costs one refusal and nothing more.
func (p *Policy) firstReads(s *Step, m *Meter, now time.Time, turn Stage) bool {
	p.want(s, m, servicerequests.ReadSupplyStatus, now)
	return len(s.Ask) > 0 || turn == Commanding && p.otherReads(s, m, now)
}

// secondReads asks for the reads that show how long a home's credit lasts. For a meter that is
// claimed to be in Credit the mode may show that no command is needed.
func (p *Policy) secondReads(s *Step, m *Meter, now time.Time) {
	if !m.SupplyCurrent() {
		p.want(s, m, servicerequests.ReadSupplyStatus, now)
	}
	if m.Plan.Claimed == servicerequests.Credit && !m.ModeCurrent() {
		p.want(s, m, servicerequests.ReadPaymentMode, now)
	}
	p.balance(s, m, now)
}

// otherReads asks for the other reads that show how a meter is found, and says whether it
// asks for any.
func (p *Policy) otherReads(s *Step, m *Meter, now time.Time) bool {
	p.want(s, m, servicerequests.ReadPaymentMode, now)
	p.balance(s, m, now)
	p.confirm(s, m, now)
	p.configuration(s, m, now)
	return len(s.Ask) > 0
}

// mayBeDark says whether a home may be off for lack of credit without proof yet of how it
// was found. Then 1.6 would destroy the proof that 7.3 needs (decision 20).
func (p *Policy) mayBeDark(m *Meter) bool {
	unproven := !m.foundMode() || !m.Found.Supply.Known() && m.Counters.FirstCommand == 0
	return unproven && m.Counters.FirstSwitch == 0 && p.couldBeOff(m)
}

// readBack asks for what has not been read since the last command.
func (p *Policy) readBack(s *Step, m *Meter, now time.Time) {
	if !m.SupplyCurrent() {
		p.want(s, m, servicerequests.ReadSupplyStatus, now)
	}
	if m.confirming() || m.ProxyClaimed && slices.Contains(s.Ask, servicerequests.ReadInventory) {
		return // the inventory may prove the proxy's answer
	}
	if !m.ModeCurrent() {
		p.want(s, m, servicerequests.ReadPaymentMode, now)
	}
	if p.needsBalance(m) && m.Tally(servicerequests.ReadMeterBalance).Tries < balanceReads {
		p.want(s, m, servicerequests.ReadMeterBalance, now)
	}
}

// balance asks once for the balance, before the first switch. It is best effort: only the
// proof of cause needs it. The gas proxy answers for a sleeping meter; the DCC's inventory
// is asked for the proxy's identifier first, unless the portfolio names it.
func (p *Policy) balance(s *Step, m *Meter, now time.Time) {
	if m.Tally(servicerequests.ReadMeterBalance).Tries > 0 || m.Counters.FirstSwitch != 0 {
		return
	}
	if m.Gas() && p.GasBalanceFromProxy && m.Proxy == 0 {
		if m.Tally(servicerequests.ReadInventory).Tries == 0 {
			p.want(s, m, servicerequests.ReadInventory, now)
		}
		if len(s.Ask) > 0 || m.PendingOf(servicerequests.ReadInventory) != nil {
			return
		}
	}
	p.want(s, m, servicerequests.ReadMeterBalance, now)
}

// configuration asks once, before the first switch, for the prepayment settings: the next
// supplier needs them to set prepayment up again. It is best effort, and no command waits
// for its answer. The gas proxy answers it, too.
func (p *Policy) configuration(s *Step, m *Meter, now time.Time) {
	if m.Tally(servicerequests.ReadPrepaymentConfiguration).Tries > 0 || m.Counters.FirstSwitch != 0 || m.PendingOf(servicerequests.ReadInventory) != nil ||
		slices.Contains(s.Ask, servicerequests.ReadInventory) {
		return
	}
	p.want(s, m, servicerequests.ReadPrepaymentConfiguration, now)
}

// command picks the next critical command and says whether there is one.
func (p *Policy) command(s *Step, m *Meter, now time.Time) bool {
	asked := len(s.Ask)
	emergency := p.wantsEmergencyCredit(m, now)
	if next := m.Tally(servicerequests.ActivateEmergencyCredit).Next; emergency && now.Before(next) {
		s.wakeAt(next) // the next try is not due yet, and nothing waits for it
		emergency = false
	}
	switch {
	case emergency && p.readsDone(s, m, now):
		p.want(s, m, servicerequests.ActivateEmergencyCredit, now)
	case p.wantsSwitch(m, now) && p.readsDone(s, m, now):
		p.want(s, m, servicerequests.SwitchToCredit, now)
	case p.wantsArm(m) && (p.fresh(m, now) || now.Before(m.Tally(servicerequests.ArmSupply).Next)):
		p.want(s, m, servicerequests.ArmSupply, now)
	case p.wantsArm(m) && m.Tally(servicerequests.ReadSupplyStatus).Tries < freshReads:
		p.want(s, m, servicerequests.ReadSupplyStatus, now)
	}
	return len(s.Ask) > asked
}

// wantsEmergencyCredit says whether 2.5 is worth a try: the meter reads Prepayment, and it
// is off, or nearly out of credit, or its switch to Credit failed. Nothing waits for it
// longer than for its own answer, so it cannot block 1.6.
func (p *Policy) wantsEmergencyCredit(m *Meter, now time.Time) bool {
	t := m.Tally(servicerequests.ActivateEmergencyCredit)
	if !m.ModeCurrent() || m.Now.Mode.Value != servicerequests.Prepayment ||
		t.Barred || t.Tries >= emergencyCreditTries || t.Tries > 0 && !t.Last.Unanswered() ||
		!p.Permits(servicerequests.ActivateEmergencyCredit, m.Plan.Type) {
		return false
	}
	if p.Strategy != record.CreditMode {
		return true
	}
	credit := m.Tally(servicerequests.SwitchToCredit)
	if m.Gas() && (credit.Tries == 0 || credit.Last.Unanswered()) && p.wantsSwitch(m, now) {
		// Its 1.6 follows the acknowledgements of the reads, whether the meter has woken or
		// not. Behind a 2.5 it would be one wake later.
		return false
	}
	return m.Now.Supply.Value == servicerequests.Disabled ||
		m.Now.Balance.Known() && m.Now.Balance.Value < p.EmergencyCreditBelow ||
		credit.Tries > 0 && credit.Last != record.ClassSuccess
}

// readsDone says whether the first command may be sent without waiting longer for the first reads.
//
//   - Electricity waits for their answers, for ReadWait at most.
//   - Gas waits for their acknowledgements only, so that the hub has all of them and the
//     meter may do them in one wake.
//   - A home that may be dark waits for the reads that prove how it was found, for ProofWait
//     at most, because a hub may change the order of what it has.
//   - A read that has not been sent yet (a pause, a limit, a restart) delays the command,
//     which could not be sent either.
func (p *Policy) readsDone(s *Step, m *Meter, now time.Time) bool {
	if len(s.Ask) > 0 {
		return false
	}
	dark := p.mayBeDark(m)
	if dark && p.waitsForProof(s, m, now) {
		return false
	}
	for _, r := range m.Open {
		wait := p.ReadWait
		if dark && (r.Service == servicerequests.ReadSupplyStatus || r.Service == servicerequests.ReadPaymentMode || m.confirming() && r.Service == servicerequests.ReadInventory) {
			wait = max(wait, p.ProofWait.of(m))
		} else if m.Gas() && r.Phase >= Sent {
			continue
		}
		if r.Service == servicerequests.ReadPrepaymentConfiguration && !r.unsent() {
			continue
		}
		if r.unsent() && r.Endpoint() == record.SendCommand {
			return false
		}
		since := r.AskedAt
		if since.IsZero() {
			// The inventory cannot be asked for. Another service of the DCC answers it, and no
			// home waits for that one.
			since = m.Started
		}
		if until := since.Add(wait); now.Before(until) {
			s.wakeAt(until)
			return false
		}
	}
	return true
}

// waitsForProof asks again for a read that was lost, if that is due within ProofWait. It
// says whether the first command waits for it.
func (p *Policy) waitsForProof(s *Step, m *Meter, now time.Time) (waits bool) {
	again := func(known bool, service servicerequests.Service) {
		t := m.Tally(service)
		if known || m.PendingOf(service) != nil || !p.may(m, service) || t.Next.Sub(now) > p.ProofWait.of(m) {
			return
		}
		waits = true
		p.want(s, m, service, now)
	}
	again(m.Found.Supply.Known() || m.Counters.FirstCommand != 0, servicerequests.ReadSupplyStatus)
	again(m.foundMode() || m.confirming(), servicerequests.ReadPaymentMode)
	return waits
}

// wantsSwitch says whether 1.6 to Credit must be sent.
func (p *Policy) wantsSwitch(m *Meter, now time.Time) bool {
	t := m.Tally(servicerequests.SwitchToCredit)
	switch {
	case p.Strategy == record.EmergencyCredit || t.Barred || !p.Permits(servicerequests.SwitchToCredit, m.Plan.Type):
		return false
	case m.ModeCurrent():
		return (m.Now.Mode.Value == servicerequests.Prepayment || m.Pending) && int(t.Answers) < p.SwitchTries
	case t.Tries > 0:
		// The last switch has ended and its effect has not been read. It is sent again if it
		// cannot have reached the meter, or if each hour counts: a second one does no harm.
		// Otherwise the read-back decides.
		return t.Undelivered || t.Last.Unanswered() && p.retriesSoon(m, now)
	default:
		// A meter that is claimed to be in Credit is read first; no other home waits for that.
		return m.Plan.Claimed != servicerequests.Credit || m.Pending
	}
}
