package ledger

import (
	"slices"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Policy is what the engine does for a meter. Durations run on the sweep's
// clock. Every default is an assumption: no public source gives figures.
type Policy struct {
	Strategy record.Strategy
	Permits  func(servicerequests.Service, servicerequests.DeviceType) bool // by the direction

	ReadWait             time.Duration              // how long electricity's 1.6 waits for the first reads
	ProofWait            PerFuel[time.Duration]     // and that of a home that may be dark, for the reads that prove how it was found
	EmergencyCreditBelow servicerequests.Millipence // a balance under this makes 2.5 worth a try
	ArmBalanceAtMost     servicerequests.Millipence // a supply is off for lack of credit only at or under this balance
	ArmFresh             PerFuel[time.Duration]     // how old a read of Disabled may be when 7.3 is signed
	ResponseWait         PerFuel[time.Duration]     // from the last POST to silence
	DarkWait             PerFuel[time.Duration]     // the same for a home that may be dark and can be reached; 0: as others
	DarkAgain            time.Duration              // and the wait between its tries; 0: by Retry
	Retry                PerFuel[[]time.Duration]   // waits between tries; when it is used up, no more is tried
	SwitchTries          int                        // 1.6 with an answer that left the meter in Prepayment
	ArmTries             int                        // 7.3 with a read-back that still says Disabled
	GasBalanceFromProxy  bool                       // ask the GPF for gas balances, not the sleeping meter

	// When a meter of which nothing is learnt is in long retries, so that its wave does
	// not wait for it (Patience), and stuck (StepDeadline). 0: never.
	Patience     time.Duration
	StepDeadline PerFuel[time.Duration]

	// The reads that a verdict rests on are made again when they are RereadArmedAfter old,
	// of every meter that is armed, and RereadAfter, of a share of those on supply, by seed.
	// 0: never. A read that gets no answer is due again after as long; until then the
	// verdict stands, as of when it was proven.
	RereadArmedAfter time.Duration
	RereadAfter      time.Duration
	RereadShare      float64
	RereadSeed       uint64

	// BalanceAfter has the balance read once more when a switch is confirmed, after the
	// verdict and all else.
	BalanceAfter bool

	RetriesSpent bool // the sweep's budget of retries is used up

	// What the order of hours at risk is reckoned with, where meters do not tell.
	DailySpend   servicerequests.Millipence // what a home uses up in a day, unless its balances tell; 0: credit in hand lasts
	AtRiskWithin time.Duration              // a supply that is cut off within this goes before what is not known
	ActWithin    time.Duration              // and one within this goes at once, before its wave
	WindowEnds   time.Duration              // after midnight, British time, on any day but Sunday: disablement is suspended until then,
	WindowBegins time.Duration              // and again from then on; not after WindowEnds: it never is

	// PlanOrder has homes go in the plan's order, whatever is known of them: for a
	// rehearsal that shows what the order of hours at risk is worth.
	PlanOrder bool
}

// PerFuel holds a setting for electricity and for gas.
type PerFuel[T any] struct{ Electricity, Gas T }

// Of is the setting of a meter's fuel.
func (f PerFuel[T]) Of(m *Meter) T {
	if m.Gas() {
		return f.Gas
	}
	return f.Electricity
}

const (
	// emergencyCreditTries bounds 2.5: one more try where the first got no answer.
	emergencyCreditTries = 2
	// freshReads bounds the reads of one meter's supply state, so that a meter
	// whose answers always come too late to arm on ends with a person.
	freshReads = 16
	// balanceReads bounds those of its balance: the proxy's, and the meter's own.
	balanceReads = 4
)

// Stage is how far a meter's turn lets the engine go with it. Meters of one fleet share
// the DCC's limits: first all are seen, then all are weighed, and the order in which they
// are acted on follows from that.
type Stage uint8

// The stages, each with all before it.
const (
	Seeing   Stage = iota // its supply state is read
	Weighing              // and its balance
	Acting                // and it may be given commands
)

// Step is what [Policy.Decide] wants done now.
type Step struct {
	Ask     []servicerequests.Service
	Wake    time.Time // decide again then; zero: no need before the next event
	Waiting bool      // something is under way, will be tried again, or waits for its turn
	Next    Stage     // more is to be done once its turn has come so far; Seeing: nothing is
}

// wakeAt asks for another look at an instant.
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
	case m.OpenOf(service) != nil || slices.Contains(s.Ask, service):
		s.Waiting = true
	case !p.may(m, service):
	case now.Before(t.Next):
		s.wakeAt(t.Next)
	default:
		s.Waiting = true
		s.Ask = append(s.Ask, service)
	}
}

// Decide is the policy: from a meter's ledger, the time and how far its turn has come to
// the next step. It is pure. When nothing is asked and nothing awaited, the meter is
// finished and [Policy.Conclude] has the verdict.
func (p *Policy) Decide(m *Meter, now time.Time, turn Stage) Step {
	var s Step
	switch {
	case m.Bars.Excluded != "":
	case m.Started.IsZero() && p.firstReads(&s, m, now, turn):
	case m.probing() && now.Before(m.Started.Add(p.ReadWait)):
		s.wakeAt(m.Started.Add(p.ReadWait))
	case turn < Acting:
		if turn == Weighing {
			p.weigh(&s, m, now)
		}
		s.Next, s.Waiting = turn+1, true
	case m.Tally(servicerequests.ReadPaymentMode).Tries == 0 && p.otherReads(&s, m, now):
	default:
		p.balance(&s, m, now)
		p.confirm(&s, m, now)
		p.configuration(&s, m, now)
		if m.OpenCommand() == nil && !p.command(&s, m, now) {
			// While a command is under way a read would prove nothing about it.
			p.readBack(&s, m, now)
		}
	}
	s.Waiting = s.Waiting || len(m.Open) > 0
	return s
}

// firstReads asks for what shows a meter as it is found, and says whether the
// direction permits any of it. The supply status goes alone: until the DCC has taken
// it, or a read's wait has passed, nothing else is asked. So a meter that is another
// supplier's by now costs one refusal and nothing more.
func (p *Policy) firstReads(s *Step, m *Meter, now time.Time, turn Stage) bool {
	p.want(s, m, servicerequests.ReadSupplyStatus, now)
	return len(s.Ask) > 0 || turn == Acting && p.otherReads(s, m, now)
}

// weigh asks for what tells how long a home's credit lasts. Of a meter that is claimed to
// be in Credit the mode says that: if it is so, no command is needed.
func (p *Policy) weigh(s *Step, m *Meter, now time.Time) {
	if !m.SupplyCurrent() {
		p.want(s, m, servicerequests.ReadSupplyStatus, now)
	}
	if m.Plan.Claimed == servicerequests.Credit && !m.ModeCurrent() {
		p.want(s, m, servicerequests.ReadPaymentMode, now)
	}
	p.balance(s, m, now)
}

// otherReads asks for the rest of what shows a meter as it is found.
func (p *Policy) otherReads(s *Step, m *Meter, now time.Time) bool {
	p.want(s, m, servicerequests.ReadPaymentMode, now)
	p.balance(s, m, now)
	p.confirm(s, m, now)
	p.configuration(s, m, now)
	return len(s.Ask) > 0
}

// suspect says whether a home may be off for lack of credit, and how it was found is not
// proven yet: then 1.6 would take the proof away that 7.3 needs (decision 20).
func (p *Policy) suspect(m *Meter) bool {
	unproven := !m.foundMode() || !m.Found.Supply.Known() && m.Counters.FirstCommand == 0
	return unproven && m.Counters.FirstSwitch == 0 && p.mayBeDark(m)
}

// readBack asks for what is not known since the last command.
func (p *Policy) readBack(s *Step, m *Meter, now time.Time) {
	if !m.SupplyCurrent() {
		p.want(s, m, servicerequests.ReadSupplyStatus, now)
	}
	if m.confirming() || m.ProxyClaimed && slices.Contains(s.Ask, servicerequests.ReadInventory) {
		return // the inventory may prove what its proxy has said
	}
	if !m.ModeCurrent() {
		p.want(s, m, servicerequests.ReadPaymentMode, now)
	}
	if p.doubtful(m) && m.Tally(servicerequests.ReadMeterBalance).Tries < balanceReads {
		p.want(s, m, servicerequests.ReadMeterBalance, now)
	}
}

// balance asks once for the balance, before the first switch. It is best effort:
// only the proof of cause needs it. The gas proxy answers for a sleeping meter;
// its identifier is asked of the DCC's inventory first, unless the portfolio names it.
func (p *Policy) balance(s *Step, m *Meter, now time.Time) {
	if m.Tally(servicerequests.ReadMeterBalance).Tries > 0 || m.Counters.FirstSwitch != 0 {
		return
	}
	if m.Gas() && p.GasBalanceFromProxy && m.Proxy == 0 {
		if m.Tally(servicerequests.ReadInventory).Tries == 0 {
			p.want(s, m, servicerequests.ReadInventory, now)
		}
		if len(s.Ask) > 0 || m.OpenOf(servicerequests.ReadInventory) != nil {
			return
		}
	}
	p.want(s, m, servicerequests.ReadMeterBalance, now)
}

// configuration asks once, before the first switch, for the settings that prepayment
// needs to be set up again: the next supplier's, where the direction has it read. It is
// best effort, and no command waits for its answer. The gas proxy answers it, too.
func (p *Policy) configuration(s *Step, m *Meter, now time.Time) {
	if m.Tally(servicerequests.ReadPrepaymentConfiguration).Tries > 0 || m.Counters.FirstSwitch != 0 || m.OpenOf(servicerequests.ReadInventory) != nil ||
		slices.Contains(s.Ask, servicerequests.ReadInventory) {
		return
	}
	p.want(s, m, servicerequests.ReadPrepaymentConfiguration, now)
}

// command picks the next critical command and says whether there is one.
func (p *Policy) command(s *Step, m *Meter, now time.Time) bool {
	asked := len(s.Ask)
	buysTime := p.buysTime(m, now)
	if next := m.Tally(servicerequests.ActivateEmergencyCredit).Next; buysTime && now.Before(next) {
		s.wakeAt(next) // the next try is not due yet; nothing waits for it
		buysTime = false
	}
	switch {
	case buysTime && p.readsIn(s, m, now):
		p.want(s, m, servicerequests.ActivateEmergencyCredit, now)
	case p.switches(m, now) && p.readsIn(s, m, now):
		p.want(s, m, servicerequests.SwitchToCredit, now)
	case p.arms(m) && (p.fresh(m, now) || now.Before(m.Tally(servicerequests.ArmSupply).Next)):
		p.want(s, m, servicerequests.ArmSupply, now)
	case p.arms(m) && m.Tally(servicerequests.ReadSupplyStatus).Tries < freshReads:
		p.want(s, m, servicerequests.ReadSupplyStatus, now)
	}
	return len(s.Ask) > asked
}

// buysTime says whether 2.5 is worth a try: the meter reads Prepayment, and it
// is off, or nearly out of credit, or its switch to Credit failed. It is
// never waited for beyond its own answer, so it cannot block 1.6.
func (p *Policy) buysTime(m *Meter, now time.Time) bool {
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
	if m.Gas() && (credit.Tries == 0 || credit.Last.Unanswered()) && p.switches(m, now) {
		// Its 1.6 follows the reads' acknowledgements, whether or not the meter has woken
		// meanwhile: behind a 2.5 it would come a whole wake later.
		return false
	}
	return m.Now.Supply.Value == servicerequests.Disabled ||
		m.Now.Balance.Known() && m.Now.Balance.Value < p.EmergencyCreditBelow ||
		credit.Tries > 0 && credit.Last != record.ClassSuccess
}

// readsIn says whether the first reads have done their part in timing the first
// command. Electricity waits for their answers, but no longer than ReadWait; gas
// waits for their acknowledgement only, so that the hub holds all of them and the meter may
// do them in one wake. A home that may be dark waits for what proves how it was found, for
// ProofWait: nothing promises that a hub keeps the order of what it holds. A read that has
// not left yet (a pause, a limit, a restart) holds up the command, which could not leave
// either.
func (p *Policy) readsIn(s *Step, m *Meter, now time.Time) bool {
	if len(s.Ask) > 0 {
		return false
	}
	suspect := p.suspect(m)
	if suspect && p.provesLater(s, m, now) {
		return false
	}
	for _, r := range m.Open {
		wait := p.ReadWait
		if suspect && (r.Service == servicerequests.ReadSupplyStatus || r.Service == servicerequests.ReadPaymentMode || m.confirming() && r.Service == servicerequests.ReadInventory) {
			wait = max(wait, p.ProofWait.Of(m))
		} else if m.Gas() && r.Phase >= Sent {
			continue
		}
		if r.Service == servicerequests.ReadPrepaymentConfiguration && !r.underWay() {
			continue
		}
		if r.underWay() && r.Endpoint() == record.SendCommand {
			return false
		}
		since := r.AskedAt
		if since.IsZero() {
			// An inventory that cannot be asked for: the DCC answers it by another
			// service, and that one holds up no home.
			since = m.Started
		}
		if until := since.Add(wait); now.Before(until) {
			s.wakeAt(until)
			return false
		}
	}
	return true
}

// provesLater has a read that was lost made again if that is due within ProofWait, and says
// whether it is waited for.
func (p *Policy) provesLater(s *Step, m *Meter, now time.Time) (waits bool) {
	again := func(known bool, service servicerequests.Service) {
		t := m.Tally(service)
		if known || m.OpenOf(service) != nil || !p.may(m, service) || t.Next.Sub(now) > p.ProofWait.Of(m) {
			return
		}
		waits = true
		p.want(s, m, service, now)
	}
	again(m.Found.Supply.Known() || m.Counters.FirstCommand != 0, servicerequests.ReadSupplyStatus)
	again(m.foundMode() || m.confirming(), servicerequests.ReadPaymentMode)
	return waits
}

// switches says whether 1.6 to Credit is called for.
func (p *Policy) switches(m *Meter, now time.Time) bool {
	t := m.Tally(servicerequests.SwitchToCredit)
	switch {
	case p.Strategy == record.EmergencyCredit || t.Barred || !p.Permits(servicerequests.SwitchToCredit, m.Plan.Type):
		return false
	case m.ModeCurrent():
		return (m.Now.Mode.Value == servicerequests.Prepayment || m.Pending) && int(t.Answers) < p.SwitchTries
	case t.Tries > 0:
		// The last switch has ended and its effect has not been read. Where it cannot
		// have reached the meter, it is asked for again, and where time is short: a second
		// one does no harm. Else the read-back decides.
		return t.Undelivered || t.Last.Unanswered() && p.hurries(m, now)
	default:
		// Only a read may prove a claim of Credit wrong; no other home waits for it.
		return m.Plan.Claimed != servicerequests.Credit || m.Pending
	}
}
