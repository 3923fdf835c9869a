package meter

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"safemode/devicesim/fleet"
	"safemode/servicerequests"
)

// Life is what happens to meters while time passes: energy is used, credit runs
// out, consumers take emergency credit, top up and press the button. All of it is
// assumption; the zero Life is a fleet in which nothing happens by itself, and
// [Lived] has the defaults.
//
// A meter costs nothing while nobody looks at it: its condition at any instant
// follows from the one before it in a few steps. What a home uses, and what its
// consumer does and when, depends on seed, EUI and how often the consumer has thought
// of doing that. So it does not matter when or how often a meter is looked at. For each
// press the consumer decides again whether and when, and what goes wrong at the n-th
// press depends on the meter: so two sweeps of one fleet differ only by what they did.
type Life struct {
	// The use of a home in a day, without the standing charge: the median, and
	// how many times as much one home in six exceeds. No use: no charge at all.
	ElectricityUse, GasUse servicerequests.Millipence
	Spread                 float64

	// The charge for each day, whatever is used. If the meter's configuration suspends
	// it while the supply is off, or while emergency credit is in use, it adds to the
	// debt instead of reducing the balance.
	StandingCharge servicerequests.Millipence

	// Habits of consumers: which share acts at all when there is cause, and after
	// how long half of those have acted.
	Press, EmergencyCredit, TopUp Habit

	// A top-up is of so much, evenly between.
	TopUpLeast, TopUpMost servicerequests.Millipence

	Seed      uint64
	Began     time.Time // when the fleet's conditions held
	Behaviour Behaviour

	// PressFaults says what goes wrong at the number-th press of a meter's button,
	// from 0. Nil: nothing.
	PressFaults func(device servicerequests.EUI, number uint64) PressFault

	// BelowInSuspension says whether a meter raises 8F0F when its credit runs out in a
	// non-disablement period, and none when the supply then goes off. Nil, and the
	// default: it raises it when the supply goes off.
	BelowInSuspension func(device servicerequests.EUI) bool
}

// Habit is whether and when consumers do something.
type Habit struct {
	Share float64       // of those with cause, 0 to 1
	After time.Duration // the median
}

// Lived returns the default Life of a fleet. Use and charges are near what a
// home in Great Britain pays; habits are simulator choices.
func Lived() Life {
	return Life{
		ElectricityUse: 190_000, GasUse: 170_000, Spread: 1.7, StandingCharge: 45_000,
		Press:           Habit{0.9, 40 * time.Minute},
		EmergencyCredit: Habit{0.75, 90 * time.Minute},
		TopUp:           Habit{0.8, 9 * time.Hour},
		TopUpLeast:      5 * servicerequests.Pound, TopUpMost: 30 * servicerequests.Pound,
	}
}

// Winter returns [Lived] for cold weeks: a third more electricity, and two and a
// half times the gas (assumption).
func Winter() Life {
	l := Lived()
	l.ElectricityUse += l.ElectricityUse / 3
	l.GasUse += l.GasUse * 3 / 2
	return l
}

// Passes says whether anything happens by itself.
func (l *Life) Passes() bool { return l.ElectricityUse > 0 || l.GasUse > 0 }

// Raised is an alert and when the device raised it.
type Raised struct {
	Code AlertCode
	At   time.Time
}

// Never is no instant of [Life.Next].
const Never int64 = math.MaxInt64

// Causes for a consumer to act.
const (
	noNeed   uint8 = iota
	toPress        // an Armed supply that a press would enable
	cutOffBy       // a supply that lack of credit keeps off
	lowOn          // a supply that is on, with little credit left
)

func need(m *fleet.Meter) uint8 {
	switch {
	case m.Locked:
		return noNeed
	case m.Supply == servicerequests.Armed && !exhausted(m):
		return toPress
	case m.Mode != servicerequests.Prepayment:
		return noNeed
	case m.Supply != servicerequests.Enabled && exhausted(m):
		return cutOffBy
	case m.Supply == servicerequests.Enabled && (exhausted(m) || m.EmergencyCredit != fleet.Unavailable):
		return lowOn
	}
	return noNeed
}

// Pass lets time pass for a meter up to now. It returns the alerts that it raised,
// in order, and for how long of that time its supply was not Enabled. An instant
// that lies behind does nothing.
func (l *Life) Pass(m *fleet.Meter, now time.Time) (raised []Raised, dark time.Duration) {
	to := now.UnixMilli()
	for {
		at := min(l.Next(m), to+1)
		if m.Supply != servicerequests.Enabled { // until something happens it stays so
			dark += time.Duration(max(0, min(at, to)-m.AsOf)) * time.Millisecond
		}
		if at > to {
			l.charge(m, to, &raised)
			return raised, dark
		}
		l.charge(m, at, &raised)
		switch {
		case m.ActAt != 0 && m.ActAt <= at:
			l.act(m, &raised)
		case offers(m) || cutsOff(m) && !m.Model.Configuration().NonDisablement.Suspends(instant(at)):
			out := exhausted(m)
			l.tell(&raised, m, out, Check(m, instant(at)))
		}
	}
}

// Next returns when something happens to the meter by itself, in Unix
// milliseconds and not before what it was last charged for; [Never] if nothing
// does. It has the consumer make up his mind if what was done to the meter gives
// him cause.
func (l *Life) Next(m *fleet.Meter) int64 {
	if m.AsOf == 0 {
		m.AsOf = l.Began.UnixMilli()
		Check(m, l.Began) // changes from before the beginning raise no alerts
	}
	if n := need(m); n != m.Need {
		m.Need = n
		l.decide(m)
	}
	at := l.crossing(m)
	if offers(m) {
		at = m.AsOf
	}
	if cutsOff(m) {
		if end, ok := m.Model.Configuration().NonDisablement.Ends(instant(m.AsOf)); ok {
			at = min(at, end.UnixMilli())
		}
	}
	if m.ActAt != 0 {
		at = min(at, m.ActAt)
	}
	return max(at, m.AsOf)
}

// offers says whether emergency credit is to be offered (E1).
func offers(m *fleet.Meter) bool {
	c := m.Model.Configuration()
	return m.Mode == servicerequests.Prepayment && m.EmergencyCredit == fleet.Unavailable &&
		c.EmergencyCreditLimit > 0 && m.Balance < c.EmergencyCreditThreshold
}

// cutsOff says whether the supply goes off as soon as nothing suspends that.
func cutsOff(m *fleet.Meter) bool { return m.Supply == servicerequests.Enabled && exhausted(m) }

// crossing returns when the balance next passes a threshold.
func (l *Life) crossing(m *fleet.Meter) int64 {
	rate := l.rate(m)
	if m.Mode != servicerequests.Prepayment || rate <= 0 {
		return Never
	}
	c := m.Model.Configuration()
	left := servicerequests.Millipence(math.MaxInt64)
	if m.EmergencyCredit == fleet.Unavailable && c.EmergencyCreditLimit > 0 && m.Balance >= c.EmergencyCreditThreshold {
		left = m.Balance - c.EmergencyCreditThreshold + 1
	}
	if combined := combinedCredit(m); combined >= c.LowCreditThreshold {
		left = min(left, combined-c.LowCreditThreshold+1)
	}
	if !exhausted(m) {
		until := m.Balance - c.DisablementThreshold
		if m.EmergencyCredit == fleet.Active {
			until = max(0, until) + m.EmergencyBalance
		}
		left = min(left, until)
	}
	if left == math.MaxInt64 {
		return Never
	}
	// The first instant at which the charge since the epoch has grown by left.
	return divide(charged(rate, m.AsOf)+int64(left), day*1000, rate)
}

// rate is what a day costs the balance, in millipence.
func (l *Life) rate(m *fleet.Meter) (rate int64) {
	if m.Supply == servicerequests.Enabled {
		rate = l.use(m)
	}
	if !l.standingIsDebt(m) {
		rate += int64(l.StandingCharge)
	}
	return rate
}

// standingIsDebt says whether the standing charge is owed and not collected: Suspend
// Debt Disabled holds while the supply is off, Suspend Debt Emergency while emergency
// credit is in use.
func (l *Life) standingIsDebt(m *fleet.Meter) bool {
	c := m.Model.Configuration()
	return m.Mode == servicerequests.Prepayment &&
		(c.SuspendDebtDisabled && m.Supply != servicerequests.Enabled || c.SuspendDebtEmergency && m.EmergencyCredit == fleet.Active)
}

// use is what a home uses in a day, in millipence.
func (l *Life) use(m *fleet.Meter) int64 {
	median := l.ElectricityUse
	if m.Type == servicerequests.GSME {
		median = l.GasUse
	}
	const most = 15 * servicerequests.Pound
	return int64(min(float64(most), float64(median)*math.Pow(max(1, l.Spread), l.deviation(m, "use", 0))))
}

// charge has the meter pay for what was used up to an instant.
func (l *Life) charge(m *fleet.Meter, to int64, raised *[]Raised) {
	from := m.AsOf
	if to <= from {
		return
	}
	rate := l.rate(m)
	amount := servicerequests.Millipence(charged(rate, to) - charged(rate, from))
	m.AsOf = to
	if l.standingIsDebt(m) {
		standing := int64(l.StandingCharge)
		m.Debt = capped(m.Debt + servicerequests.Millipence(charged(standing, to)-charged(standing, from)))
	}
	switch {
	case m.Supply == servicerequests.Enabled:
		out := exhausted(m)
		l.tell(raised, m, out, Consume(m, amount, instant(to)))
	case m.Mode == servicerequests.Credit:
		owe(m, amount)
	case amount > 0:
		raise(raised, m, spend(m, amount, instant(to)))
	}
}

// Decisions of a consumer.
const (
	nothing uint8 = iota
	press
	takeEmergencyCredit
	topUp
)

// tell raises what a supply that was on has to say; out says whether its credit was
// gone before.
func (l *Life) tell(to *[]Raised, m *fleet.Meter, out bool, codes []AlertCode) {
	told := slices.IndexFunc(codes, func(c AlertCode) bool { return c == BelowDisablement || c == DisablementSuspended })
	if told >= 0 && l.BelowInSuspension != nil && l.BelowInSuspension(m.Device) {
		switch {
		case !out && codes[told] == DisablementSuspended:
			codes = append(codes, BelowDisablement)
		case out && codes[told] == BelowDisablement:
			codes = slices.Delete(codes, told, told+1)
		}
	}
	raise(to, m, codes)
}

// decide is a consumer's decision to act later, or not.
func (l *Life) decide(m *fleet.Meter) {
	m.Plan, m.ActAt = nothing, 0
	var habit Habit
	var after string
	var number uint64
	switch {
	case m.Need == noNeed:
		return
	case m.Need == toPress:
		if unit(l.draw(m, "press", 0)) >= l.Press.Share {
			return
		}
		m.Plan, habit, after = press, l.Press, "after"
	case l.thinks(m, "emergency credit", l.EmergencyCredit, m.EmergencyCredit == fleet.Available, &m.Takes):
		m.Plan, habit, after, number = takeEmergencyCredit, l.EmergencyCredit, "emergency credit after", uint64(m.Takes)
	case l.thinks(m, "top up", l.TopUp, true, &m.TopUps):
		m.Plan, habit, after, number = topUp, l.TopUp, "top up after", uint64(m.TopUps)
	default:
		return
	}
	delay := float64(habit.After.Milliseconds()) * math.Exp(l.deviation(m, after, number))
	if m.AsOf == l.Began.UnixMilli() {
		delay *= slowness
	}
	m.ActAt = m.AsOf + int64(max(60_000, min(delay, 30*day*1000)))
}

// thinks says whether the consumer decides to do something that he can do. It counts
// how often he has thought of it: whether he does it, and when, hangs on that count
// alone, so that the first time is the same whatever happened to the meter before.
func (l *Life) thinks(m *fleet.Meter, label string, h Habit, can bool, times *uint8) bool {
	if !can {
		return false
	}
	*times++
	return unit(l.draw(m, label, uint64(*times))) < h.Share
}

// slowness is how many times longer those take who had cause before it all began:
// the quick ones have acted.
const slowness = 10

// act is the consumer doing what he had decided, if there is still cause.
func (l *Life) act(m *fleet.Meter, raised *[]Raised) {
	did := m.Plan
	m.Need, m.Plan, m.ActAt = noNeed, nothing, 0 // he looks again afterwards
	switch {
	case did == press:
		_, alerts := l.PressButton(m)
		raise(raised, m, alerts)
	case did == takeEmergencyCredit && m.EmergencyCredit == fleet.Available:
		_, alerts := ActivateEmergencyCredit(m, l.Behaviour)
		raise(raised, m, alerts)
	case did == topUp:
		span := uint64(max(0, l.TopUpMost-l.TopUpLeast)) + 1
		TopUp(m, l.TopUpLeast+servicerequests.Millipence(l.draw(m, "amount", uint64(m.TopUps))%span))
	}
}

// PressButton is [Press] with the fault of this meter's next press.
func (l *Life) PressButton(m *fleet.Meter) (enabled bool, alerts []AlertCode) {
	var f PressFault
	if l.PressFaults != nil {
		f = l.PressFaults(m.Device, uint64(m.Presses))
	}
	m.Presses++
	return Press(m, f)
}

func (l *Life) draw(m *fleet.Meter, label string, number uint64) uint64 {
	return fleet.Draw(l.Seed, m.Device, label, number)
}

// deviation is a draw from the normal distribution.
func (l *Life) deviation(m *fleet.Meter, label string, number uint64) float64 {
	return math.Sqrt2 * math.Erfinv(2*unit(l.draw(m, label, number))-1)
}

// unit makes a number from over 0 to under 1 of a draw.
func unit(x uint64) float64 { return (float64(x>>11) + 0.5) / (1 << 53) }

func raise(to *[]Raised, m *fleet.Meter, codes []AlertCode) {
	for _, code := range codes {
		*to = append(*to, Raised{code, instant(m.AsOf)})
	}
}

func instant(at int64) time.Time { return time.UnixMilli(at).UTC() }

// charged is what a day's rate comes to from the epoch to an instant, rounded
// down: the charge of any span is a difference of two, so that spans add up.
func charged(rate, at int64) int64 {
	high, low := bits.Mul64(uint64(max(0, rate)), uint64(max(0, at)))
	quotient, _ := bits.Div64(high, low, day*1000)
	return int64(quotient)
}

// divide is a times b over c, rounded up.
func divide(a, b, c int64) int64 {
	high, low := bits.Mul64(uint64(max(0, a)), uint64(b))
	low, carry := bits.Add64(low, uint64(c-1), 0)
	quotient, _ := bits.Div64(high+carry, low, uint64(c))
	return int64(quotient)
}
