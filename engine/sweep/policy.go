package sweep

import (
	"slices"
	"time"

	"safemode/engine/gateway"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Strategy is which commands a sweep leans on.
type Strategy string

// The strategies.
const (
	// CreditMode switches every prepayment meter to Credit and activates
	// emergency credit where that buys time.
	CreditMode Strategy = "credit_mode"
	// Full activates emergency credit on every meter found in Prepayment, too.
	Full Strategy = "full"
	// EmergencyCredit never switches the mode: for a direction without 1.6. No
	// meter becomes safe by it; it buys time.
	EmergencyCredit Strategy = "emergency_credit"
)

// Policy is what the engine does for a meter. Durations run on the sweep's
// clock. Every default is an assumption: no public source gives figures.
type Policy struct {
	Strategy Strategy
	Permits  func(servicerequests.Service, servicerequests.DeviceType) bool // by the direction

	ReadWait             time.Duration              // how long electricity's 1.6 waits for the first reads
	EmergencyCreditBelow servicerequests.Millipence // a balance under this makes 2.5 worth a try
	ArmBalanceAtMost     servicerequests.Millipence // a supply is off for lack of credit only at or under this balance
	ArmFresh             PerFuel[time.Duration]     // how old a read of Disabled may be when 7.3 is signed
	ResponseWait         PerFuel[time.Duration]     // from the last POST to silence
	Retry                PerFuel[[]time.Duration]   // waits between tries; when it is used up, no more is tried
	SwitchTries          int                        // 1.6 with an answer that left the meter in Prepayment
	ArmTries             int                        // 7.3 with a read-back that still says Disabled
	GasBalanceFromProxy  bool                       // ask the GPF for gas balances, not the sleeping meter

	// When a meter of which nothing is learnt is in long retries, so that its wave does
	// not wait for it (Patience), and stuck (StepDeadline). 0: never.
	Patience     time.Duration
	StepDeadline PerFuel[time.Duration]

	// The reads that a verdict rests on are made again when they are RereadAfter old, of
	// every meter that is armed and of a share of those on supply, by seed. 0: never. A
	// read that gets no answer is due again after as long; until then the verdict stands,
	// as of when it was proven.
	RereadAfter time.Duration
	RereadShare float64
	RereadSeed  uint64

	// BalanceAfter has the balance read once more when a switch is confirmed, after the
	// verdict and all else.
	BalanceAfter bool

	retriesSpent bool // the sweep's budget of retries is used up

	// What the order of hours at risk is reckoned with, where meters do not tell.
	DailySpend   servicerequests.Millipence // what a home uses up in a day; 0: credit in hand lasts
	AtRiskWithin time.Duration              // a supply that is cut off within this goes before what is not known
	WindowEnds   time.Duration              // after midnight, British time, on working days: disablement is suspended until then,
	WindowBegins time.Duration              // and again from then on; not after WindowEnds: it never is

	// PlanOrder has homes go in the plan's order, whatever is known of them: for a
	// rehearsal that shows what the order of hours at risk is worth.
	PlanOrder bool
}

// PerFuel holds a setting for electricity and for gas.
type PerFuel[T any] struct{ Electricity, Gas T }

func (f PerFuel[T]) of(m *meter) T {
	if m.gas() {
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

// step is what [Policy.decide] wants done now.
type step struct {
	ask     []servicerequests.Service
	wake    time.Time // decide again then; zero: no need before the next event
	waiting bool      // something is under way or will be tried again
}

// wakeAt asks for another look at an instant.
func (s *step) wakeAt(t time.Time) {
	s.waiting = true
	if s.wake.IsZero() || t.Before(s.wake) {
		s.wake = t
	}
}

// want asks for a service now, or when its retry is due. It does nothing where
// the service is open already, or barred, or not permitted.
func (p *Policy) want(s *step, m *meter, service servicerequests.Service, now time.Time) {
	t := m.tally(service)
	switch {
	case m.openRequest(service) != nil:
		s.waiting = true
	case t.barred || !p.Permits(service, m.target.Type):
	case p.retriesSpent && t.failures > 0:
	case now.Before(t.next):
		s.wakeAt(t.next)
	default:
		s.waiting = true
		s.ask = append(s.ask, service)
	}
}

// decide is the policy: from a meter's ledger and the time to the next step. It
// is pure. When nothing is asked and nothing awaited, the meter is finished
// and [Policy.conclude] has the verdict.
func (p *Policy) decide(m *meter, now time.Time) step {
	var s step
	switch {
	case m.excluded != "":
	case m.started.IsZero() && p.firstReads(&s, m, now):
	case m.probing() && now.Before(m.started.Add(p.ReadWait)):
		s.wakeAt(m.started.Add(p.ReadWait))
	case m.tally(servicerequests.ReadPaymentMode).tries == 0 && p.otherReads(&s, m, now):
	default:
		p.balance(&s, m, now)
		p.configuration(&s, m, now)
		if m.openCommand() == nil && !p.command(&s, m, now) {
			// While a command is under way a read would prove nothing about it.
			p.readBack(&s, m, now)
		}
	}
	s.waiting = s.waiting || len(m.open) > 0
	return s
}

// firstReads asks for what shows a meter as it is found, and says whether the
// direction permits any of it. The supply status goes alone: until the DCC has taken
// it, or a read's wait has passed, nothing else is asked. So a meter that is another
// supplier's by now costs one refusal and nothing more.
func (p *Policy) firstReads(s *step, m *meter, now time.Time) bool {
	p.want(s, m, servicerequests.ReadSupplyStatus, now)
	return len(s.ask) > 0 || p.otherReads(s, m, now)
}

// otherReads asks for the rest of what shows a meter as it is found.
func (p *Policy) otherReads(s *step, m *meter, now time.Time) bool {
	p.want(s, m, servicerequests.ReadPaymentMode, now)
	p.balance(s, m, now)
	p.configuration(s, m, now)
	return len(s.ask) > 0
}

// readBack asks for what is not known since the last command.
func (p *Policy) readBack(s *step, m *meter, now time.Time) {
	if !m.supplyCurrent() {
		p.want(s, m, servicerequests.ReadSupplyStatus, now)
	}
	if !m.modeCurrent() {
		p.want(s, m, servicerequests.ReadPaymentMode, now)
	}
	if p.doubtful(m) && m.tally(servicerequests.ReadMeterBalance).tries < balanceReads {
		p.want(s, m, servicerequests.ReadMeterBalance, now)
	}
}

// balance asks once for the balance, before the first switch. It is best effort:
// only the proof of cause needs it. The gas proxy answers for a sleeping meter;
// its identifier is asked of the DCC's inventory first.
func (p *Policy) balance(s *step, m *meter, now time.Time) {
	if m.tally(servicerequests.ReadMeterBalance).tries > 0 || m.firstSwitch != 0 {
		return
	}
	if m.gas() && p.GasBalanceFromProxy && m.gpf == 0 {
		if m.tally(servicerequests.ReadInventory).tries == 0 {
			p.want(s, m, servicerequests.ReadInventory, now)
		}
		if len(s.ask) > 0 || m.openRequest(servicerequests.ReadInventory) != nil {
			return
		}
	}
	p.want(s, m, servicerequests.ReadMeterBalance, now)
}

// configuration asks once, before the first switch, for the settings that prepayment
// needs to be set up again: the next supplier's, where the direction has it read. It is
// best effort, and no command waits for its answer. The gas proxy answers it, too.
func (p *Policy) configuration(s *step, m *meter, now time.Time) {
	if m.tally(servicerequests.ReadPrepaymentConfiguration).tries > 0 || m.firstSwitch != 0 || m.openRequest(servicerequests.ReadInventory) != nil ||
		slices.Contains(s.ask, servicerequests.ReadInventory) {
		return
	}
	p.want(s, m, servicerequests.ReadPrepaymentConfiguration, now)
}

// command picks the next critical command and says whether there is one.
func (p *Policy) command(s *step, m *meter, now time.Time) bool {
	asked := len(s.ask)
	buysTime := p.buysTime(m)
	if next := m.tally(servicerequests.ActivateEmergencyCredit).next; buysTime && now.Before(next) {
		s.wakeAt(next) // the next try is not due yet; nothing waits for it
		buysTime = false
	}
	switch {
	case buysTime && p.readsIn(s, m, now):
		p.want(s, m, servicerequests.ActivateEmergencyCredit, now)
	case p.switches(m) && p.readsIn(s, m, now):
		p.want(s, m, servicerequests.SwitchToCredit, now)
	case p.arms(m) && (p.fresh(m, now) || now.Before(m.tally(servicerequests.ArmSupply).next)):
		p.want(s, m, servicerequests.ArmSupply, now)
	case p.arms(m) && m.tally(servicerequests.ReadSupplyStatus).tries < freshReads:
		p.want(s, m, servicerequests.ReadSupplyStatus, now)
	}
	return len(s.ask) > asked
}

// buysTime says whether 2.5 is worth a try: the meter reads Prepayment, and it
// is off, or nearly out of credit, or its switch to Credit failed. It is
// never waited for beyond its own answer, so it cannot block 1.6.
func (p *Policy) buysTime(m *meter) bool {
	t := m.tally(servicerequests.ActivateEmergencyCredit)
	if !m.modeCurrent() || m.mode.value != servicerequests.Prepayment ||
		t.barred || t.tries >= emergencyCreditTries || t.tries > 0 && !t.last.unanswered() ||
		!p.Permits(servicerequests.ActivateEmergencyCredit, m.target.Type) {
		return false
	}
	if p.Strategy != CreditMode {
		return true
	}
	credit := m.tally(servicerequests.SwitchToCredit)
	if m.gas() && credit.tries == 0 && p.switches(m) {
		// Its 1.6 follows the reads' acknowledgements, whether or not the meter has woken
		// meanwhile: behind a 2.5 it would come a whole wake later.
		return false
	}
	return m.supply.value == servicerequests.Disabled ||
		m.balance.known() && m.balance.value < p.EmergencyCreditBelow ||
		credit.tries > 0 && credit.last != Succeeded
}

// readsIn says whether the first reads have done their part in timing the first
// command. Electricity waits for their answers, but no longer than ReadWait; gas
// waits for their acknowledgement only, so that the hub holds all of them in
// order and the meter does them in one wake. A read that has not left yet (a pause,
// a limit, a restart) holds up the command, which could not leave either.
func (p *Policy) readsIn(s *step, m *meter, now time.Time) bool {
	if len(s.ask) > 0 {
		return false
	}
	for _, r := range m.open {
		if m.gas() && r.acknowledged || r.service == servicerequests.ReadPrepaymentConfiguration && !r.queued {
			continue
		}
		if r.queued && r.endpoint() == gateway.SendCommand {
			return false
		}
		since := r.askedAt
		if since.IsZero() {
			// An inventory that cannot be asked for: the DCC answers it by another
			// service, and that one holds up no home.
			since = m.started
		}
		if until := since.Add(p.ReadWait); now.Before(until) {
			s.wakeAt(until)
			return false
		}
	}
	return true
}

// switches says whether 1.6 to Credit is called for.
func (p *Policy) switches(m *meter) bool {
	t := m.tally(servicerequests.SwitchToCredit)
	switch {
	case p.Strategy == EmergencyCredit || t.barred || !p.Permits(servicerequests.SwitchToCredit, m.target.Type):
		return false
	case m.modeCurrent():
		return (m.mode.value == servicerequests.Prepayment || m.pending) && int(t.answers) < p.SwitchTries
	case t.tries > 0:
		// The last switch has ended and its effect has not been read. Where it cannot
		// have reached the meter, it is asked for again; else the read-back decides.
		return t.undelivered
	default:
		// Only a read may prove a claim of Credit wrong; no other home waits for it.
		return m.target.Claimed != servicerequests.Credit || m.pending
	}
}

// arms says whether 7.3 is called for: the meter reads Credit and Disabled since
// the last command, and this sweep has proof that it was off for lack of credit.
func (p *Policy) arms(m *meter) bool {
	t := m.tally(servicerequests.ArmSupply)
	return m.modeCurrent() && m.mode.value == servicerequests.Credit &&
		m.supplyCurrent() && m.supply.value == servicerequests.Disabled &&
		p.refusal(m) == "" && !t.barred && t.last != Negative && int(t.tries) < p.ArmTries
}

// fresh says whether the read of the supply is young enough to arm on.
func (p *Policy) fresh(m *meter, now time.Time) bool { return !now.After(p.freshUntil(m)) }

// freshUntil is the last instant at which a 7.3 may rest on the read of the supply.
func (p *Policy) freshUntil(m *meter) time.Time { return m.supply.at.Add(p.ArmFresh.of(m)) }

// refusal says why a supply that is off must not be armed without a person; it
// is empty where the cause is proven.
func (p *Policy) refusal(m *meter) string {
	switch {
	case m.person != "":
		return m.person
	case !p.Permits(servicerequests.ArmSupply, m.target.Type):
		return "arming is not permitted by the direction"
	case !m.foundMode.known() || !m.foundSupply.known():
		return "found state was not read before the switch"
	case m.foundMode.value == servicerequests.Credit:
		return "found in credit and disabled"
	case m.foundSupply.value != servicerequests.Disabled && !m.ranOut():
		return "turned off after it was found " + m.foundSupply.value.String()
	case !m.foundBalance.known() && !p.spent(m):
		return "disabled, balance not known"
	case !p.spent(m):
		return "disabled with credit left"
	}
	return ""
}

// ranOut says whether the meter itself has told that its supply went off for lack of
// credit (8F0F), which it does in Prepayment only.
func (m *meter) ranOut() bool { return m.alarm.below }

// spent says whether a balance proves that there was no credit left: the one that was
// read first, or where that may be out of date the one that was read later. A later one
// is proof although the meter is in credit mode by then: a gas meter's prepayment
// balance stays as it was, and an electricity meter that is off uses nothing.
func (p *Policy) spent(m *meter) bool {
	if m.foundBalance.known() && m.foundBalance.value <= p.ArmBalanceAtMost {
		return true
	}
	return p.outdated(m) && m.balance.counter > m.foundBalance.counter && m.balance.value <= p.ArmBalanceAtMost
}

// outdated says whether the balance that was read first may say less than is so: a
// proxy tells what its meter held up to half an hour before, and a meter that has told
// since that it went off had some left when it was read.
func (p *Policy) outdated(m *meter) bool {
	return m.ranOut() || m.gas() && m.gpf != 0 && m.foundBalance.known()
}

// doubtful says whether the balance must be read again to prove why a supply that is
// to be armed is off.
func (p *Policy) doubtful(m *meter) bool {
	return m.person == "" && p.Permits(servicerequests.ArmSupply, m.target.Type) &&
		m.foundMode.value == servicerequests.Prepayment && (m.foundSupply.value == servicerequests.Disabled || m.ranOut()) &&
		!p.spent(m) && p.outdated(m) && m.balance.counter == m.foundBalance.counter
}

// mayArm is the last check, made when a 7.3 is about to be signed or POSTed.
// signed is its counter if it has been signed, else 0: then it is itself the
// command that came after the read.
func (p *Policy) mayArm(m *meter, signed uint64, now time.Time) bool {
	return m.modeCurrent() && m.mode.value == servicerequests.Credit &&
		(m.supplyCurrent() || signed != 0 && m.staleSupply == signed) && m.supply.value == servicerequests.Disabled &&
		p.refusal(m) == "" && p.fresh(m, now)
}

// conclude gives the verdict on a meter that [Policy.decide] has finished with.
func (p *Policy) conclude(m *meter) record.VerdictBody {
	v := record.VerdictBody{
		Found: record.Observation{Mode: m.foundMode.value, Supply: m.foundSupply.value},
	}
	if m.foundBalance.known() {
		v.Found.Balance = &m.foundBalance.value
	}
	if m.modeCurrent() && m.supplyCurrent() {
		v.End = record.Observation{Mode: m.mode.value, Supply: m.supply.value}
		v.ModeCounter, v.SupplyCounter = m.mode.counter, m.supply.counter
		v.AsOf = m.asOf()
	}
	if m.balance.known() {
		v.End.Balance = &m.balance.value
	}
	switch {
	case m.excluded != "":
		v.Verdict, v.Reason = record.VerdictExcluded, m.excluded
	case v.ModeCounter == 0:
		v.Verdict, v.Reason = record.VerdictUnknown, p.silence(m)
	case v.End.Mode != servicerequests.Credit:
		v.Verdict, v.Reason = record.VerdictNotSafe, p.unswitched(m)
	case v.End.Supply == servicerequests.Enabled:
		v.Verdict = record.VerdictOnSupply
	case v.End.Supply == servicerequests.Armed:
		v.Verdict, v.Reason = record.VerdictArmed, "safe once the consumer presses the button"
	default:
		v.Verdict, v.Reason = record.VerdictNotSafe, p.unarmed(m)
	}
	if v.Reason == "" && m.pending {
		v.Reason = "a future-dated switch may still be stored on the meter"
	}
	return v
}

// silence says why nothing current is known of a meter.
func (p *Policy) silence(m *meter) string {
	if m.held != "" {
		return "held for a person: " + m.held
	}
	for _, s := range [...]servicerequests.Service{servicerequests.ReadPaymentMode, servicerequests.ReadSupplyStatus} {
		t := m.tally(s)
		switch {
		case t.last == Rejected:
			return "SRV " + s.SRV() + " rejected: " + spelled(t.code)
		case t.last == Unverified:
			return "SRV " + s.SRV() + ": no answer that could be proven"
		case t.last.unanswered():
			return p.unanswered(t)
		case t.last == Negative:
			return "SRV " + s.SRV() + " refused by the meter: " + t.code
		}
	}
	return "not read back"
}

// spelled is a response code with its meaning, where that is known.
func spelled(code string) string {
	if meaning, _ := servicerequests.ResponseCode(code).Meaning(); meaning != "" {
		return code + " (" + meaning + ")"
	}
	return code
}

// unanswered says that there was no answer, and why no more is tried.
func (p *Policy) unanswered(t *tally) string {
	text := "no answer"
	if t.code != "" {
		text += ": " + t.code
	}
	if p.retriesSpent && !t.barred {
		text += "; the sweep's retries are used up"
	}
	return text
}

// unswitched says why a meter that could be read is still in Prepayment.
func (p *Policy) unswitched(m *meter) string {
	t := m.tally(servicerequests.SwitchToCredit)
	switch {
	case p.Strategy == EmergencyCredit || !p.Permits(servicerequests.SwitchToCredit, m.target.Type):
		if m.tally(servicerequests.ActivateEmergencyCredit).last == Succeeded {
			return "time bought: emergency credit is active until it is spent"
		}
		return "in prepayment: switching is not part of this sweep"
	case t.last == Negative:
		return "switch refused by the meter: " + t.code
	case t.last == Rejected && m.held != "":
		return "held for a person: " + m.held
	case t.last == Rejected:
		return "switch rejected: " + spelled(t.code)
	case t.last == Succeeded:
		return "meter reads prepayment after it accepted the switch"
	default:
		return "switch got no answer"
	}
}

// unarmed says why a supply that is off in Credit was left off.
func (p *Policy) unarmed(m *meter) string {
	t := m.tally(servicerequests.ArmSupply)
	switch {
	case t.last == Negative:
		return "arm refused"
	case t.last == Rejected && t.tries > 0:
		return "arm rejected: " + spelled(t.code)
	case t.last == Unverified:
		return "arm: no answer that could be proven"
	case t.tries > 0 && m.person == "":
		return "disabled after arm"
	}
	if reason := p.refusal(m); reason != "" {
		return reason
	}
	return "no read was fresh enough to arm on"
}
