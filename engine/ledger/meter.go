package ledger

import (
	"hash/fnv"
	"slices"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Reading is one proven answer of a device. The zero Reading is none.
type Reading[T any] struct {
	Value   T
	Counter uint64    // originator counter of the request that was answered; 0: none
	At      time.Time // when the answer was given
}

// Known says whether there is a reading.
func (r Reading[T]) Known() bool { return r.Counter != 0 }

// Readings are a meter's mode, supply and balance as they were read.
type Readings struct {
	Mode    Reading[servicerequests.PaymentMode]
	Supply  Reading[servicerequests.SupplyState]
	Balance Reading[servicerequests.Millipence]
}

// Counters are the originator counters that decide what a reading proves; 0: none.
type Counters struct {
	// The counters of the first 1.6 and of the first and the latest command of any kind that
	// were signed, and when the first ones were. Only an answer that came before that shows
	// how the meter was found, because a hub may change the order of its Commands.
	FirstSwitch, FirstCommand, LastCommand uint64
	FirstSwitchAt, FirstCommandAt          time.Time

	// Readings under these counters or lower ones are no proof any more: a command was
	// signed, or an alert says that something has changed.
	StaleMode, StaleSupply uint64
}

// Tally counts a meter's requests of one service, by their ends.
type Tally struct {
	Tries       int16 // requests opened that were not withdrawn
	Answers     int16 // requests the device answered
	Failures    int16 // in a row, without an answer from the device
	Last        record.Class
	Undelivered bool // the last one cannot have reached the device
	Barred      bool // it is not asked again, because that can never help
	Code        string
	Next        time.Time // not before
}

// Past is kept of a request after its end: enough to match a late or repeated answer.
type Past struct {
	Counter uint64
	Service servicerequests.Service
	Class   record.Class
	Proxied bool // asked of the gas proxy
	Sampled bool // counted in the sample of its wave
}

// Bars are reasons not to do something to a meter, in words. An empty one bars nothing.
type Bars struct {
	Excluded      string // nothing more may be sent
	Person        string // only a person may arm this supply
	HeldForPerson string // a person must look at it
	Moved         bool   // excluded because of an E4: it is another supplier's
}

// Plan is what the plan says of a meter.
type Plan struct {
	Type       servicerequests.DeviceType
	Hub        servicerequests.EUI
	Region     servicerequests.Region
	Claimed    servicerequests.PaymentMode
	Priority   int // 0 first, to 9
	Originator servicerequests.EUI
}

// Meter is the ledger of one planned meter. One goroutine at a time may use it.
type Meter struct {
	Device servicerequests.EUI
	Plan   Plan
	Proxy  servicerequests.EUI // the gas proxy; 0: not known

	ProxyClaimed bool     // only the portfolio names it
	Estimate     Estimate // of the portfolio

	Started time.Time // first request opened; zero: not begun
	Heard   time.Time // when something was last learnt of it, or it could first be asked
	Reread  time.Time // when the reads that its verdict rests on were last repeated without an answer

	Found    Readings // of before the first command; At is when the answer arrived
	Now      Readings // the latest
	Counters Counters
	Tallies  [len(servicerequests.Services) + 1]Tally

	CreditAccepted bool // the device answered a 1.6 to Credit with success
	Pending        bool // a future-dated switch may be stored on the device
	Sampled        bool // a read of it is in its wave's sample
	Alarm          Alarm
	Taken          Taken
	Bars           Bars

	Open []*Request
	Past []Past

	Verdict record.VerdictBody
	Done    bool // it has its verdict; only requests of after the verdict may be open
}

// Marks of the SRP's own records that a portfolio row may carry.
const (
	HistoryPendingMode = "pending_future_dated_mode"
	HistoryDisabled    = "disabled_by_supplier"
)

// New makes the ledger of a meter that a plan names.
func New(device servicerequests.EUI, t record.TargetBody) *Meter {
	m := &Meter{Device: device, Plan: Plan{t.Type, t.Hub, t.Region, t.Claimed, t.Priority, t.Originator}}
	m.Pending = slices.Contains(t.History, HistoryPendingMode)
	if slices.Contains(t.History, HistoryDisabled) {
		m.Bars.Person = "disabled by the supplier"
	}
	m.claims(&t)
	return m
}

// Gas says whether it is a gas meter, which sleeps between its wakes.
func (m *Meter) Gas() bool { return m.Plan.Type == servicerequests.GSME }

// Tally is that of one service.
func (m *Meter) Tally(s servicerequests.Service) *Tally { return &m.Tallies[s] }

// ModeCurrent says whether the mode was read after everything that may have changed it.
func (m *Meter) ModeCurrent() bool {
	return m.Now.Mode.Known() && m.Now.Mode.Counter > m.Counters.StaleMode && !m.fromUnprovenProxy(m.Now.Mode.Counter)
}

// SupplyCurrent says the same of the supply state.
func (m *Meter) SupplyCurrent() bool {
	return m.Now.Supply.Known() && m.Now.Supply.Counter > m.Counters.StaleSupply
}

// Safe says whether the meter is proven to be in Credit, with its supply on or armed.
func (m *Meter) Safe() bool {
	return m.ModeCurrent() && m.Now.Mode.Value == servicerequests.Credit &&
		m.SupplyCurrent() && m.Now.Supply.Value != servicerequests.Disabled
}

// AsOf is when the older of the two reads that a verdict rests on was answered.
func (m *Meter) AsOf() time.Time {
	if m.Now.Supply.At.Before(m.Now.Mode.At) {
		return m.Now.Supply.At
	}
	return m.Now.Mode.At
}

// probing says whether the meter has had its first request only, and the DCC has not
// acknowledged that one.
func (m *Meter) probing() bool {
	return len(m.Open) == 1 && len(m.Past) == 0 && m.Open[0].Service == servicerequests.ReadSupplyStatus &&
		m.Open[0].Attempt == 1 && m.Open[0].Phase < Sent
}

// PendingOf returns the open request of a service, nil if there is none.
func (m *Meter) PendingOf(s servicerequests.Service) *Request {
	for _, r := range m.Open {
		if r.Service == s {
			return r
		}
	}
	return nil
}

// Stage is the stage that the meter had reached, by the requests made for it.
func (m *Meter) Stage() (turn Stage) {
	see := func(s servicerequests.Service) {
		switch {
		case s.Critical():
			turn = Commanding
		case s == servicerequests.ReadMeterBalance, s == servicerequests.ReadInventory:
			turn = max(turn, ReadingBalance)
		}
	}
	for _, p := range m.Past {
		see(p.Service)
	}
	for _, r := range m.Open {
		see(r.Service)
	}
	return turn
}

// PendingWith returns the open request with this ID, nil if there is none.
func (m *Meter) PendingWith(id servicerequests.RequestID) *Request {
	for _, r := range m.Open {
		if r.ID == id && id.Counter != 0 {
			return r
		}
	}
	return nil
}

// openCommand returns the open critical request, of which there is at most one.
func (m *Meter) openCommand() *Request {
	for _, r := range m.Open {
		if r.Service.Critical() {
			return r
		}
	}
	return nil
}

// PastWith finds a request that has ended; nil if there is none with this ID.
func (m *Meter) PastWith(id servicerequests.RequestID) *Past {
	for i := range m.Past {
		p := &m.Past[i]
		if p.Counter == id.Counter && id.Counter != 0 && id.Originator == m.Plan.Originator && p.Proxied == (id.Target != m.Device) {
			return p
		}
	}
	return nil
}

// Issued is the latest counter of the meter's requests; 0: there was none.
func (m *Meter) Issued() (latest uint64) {
	for _, r := range m.Open {
		latest = max(latest, r.ID.Counter)
	}
	return max(latest, m.journalled())
}

// journalled is the latest counter of a request that the journal has.
func (m *Meter) journalled() (latest uint64) {
	for _, p := range m.Past {
		latest = max(latest, p.Counter)
	}
	for _, r := range m.Open {
		if r.journalled() {
			latest = max(latest, r.ID.Counter)
		}
	}
	return latest
}

// Kind is the device type of a request's target: the meter's, or else the gas proxy's. An
// inventory, which the DCC answers itself, counts as the meter's.
func (m *Meter) Kind(service servicerequests.Service, target servicerequests.EUI) servicerequests.DeviceType {
	if target != m.Device && service != servicerequests.ReadInventory {
		return servicerequests.GPF
	}
	return m.Plan.Type
}

// Ask opens a request of a service in phase Behind. dcc is the target of requests that the
// DCC answers itself; after says that the meter has its verdict.
func (m *Meter) Ask(p *Policy, service servicerequests.Service, dcc servicerequests.EUI, after bool, now time.Time) *Request {
	t := m.Tally(service)
	r := &Request{Service: service, Attempt: int(t.Tries) + 1, Retry: t.Failures > 0, After: after}
	r.ID.Originator, r.ID.Target = m.Plan.Originator, m.Device
	switch {
	case service == servicerequests.ReadInventory:
		r.ID.Target = dcc
	case m.Proxy == 0:
	case service == servicerequests.ReadPrepaymentConfiguration,
		service == servicerequests.ReadPaymentMode && t.Tries == 0 && m.Counters.FirstCommand == 0 && m.Plan.Claimed != servicerequests.Credit,
		service == servicerequests.ReadMeterBalance && p.asksProxy(m, after):
		r.ID.Target = m.Proxy // which need not be woken
	}
	m.addRequest(r, now)
	return r
}

// addRequest takes in that a request was opened.
func (m *Meter) addRequest(r *Request, now time.Time) {
	if m.Started.IsZero() {
		m.Started, m.Heard = now, later(m.Heard, now)
	}
	m.Open = append(m.Open, r)
	m.Tally(r.Service).Tries++
}

// UndoStart takes back that a meter has begun, if none of its requests became durable. It
// says whether it did.
func (m *Meter) UndoStart() bool {
	if m.Started.IsZero() || m.Done || len(m.Open) > 0 || len(m.Past) > 0 {
		return false
	}
	m.Started, m.Heard = time.Time{}, time.Time{}
	return true
}

// commandSigned takes in that a command was signed: from now on the meter may have carried
// it out.
func (m *Meter) commandSigned(service servicerequests.Service, counter uint64, at time.Time) {
	c := &m.Counters
	c.LastCommand = counter
	// It may have been signed before an answer arrived whose record comes first.
	if c.FirstCommand == 0 {
		c.FirstCommand, c.FirstCommandAt = counter, at
		if m.Found.Supply.At.After(at) {
			m.Found.Supply = Reading[servicerequests.SupplyState]{}
		}
	}
	if service == servicerequests.SwitchToCredit && c.FirstSwitch == 0 {
		c.FirstSwitch, c.FirstSwitchAt = counter, at
		if m.Found.Mode.At.After(at) && m.Found.Mode.Value != servicerequests.Prepayment {
			m.Found.Mode = Reading[servicerequests.PaymentMode]{}
		}
		if m.Found.Balance.At.After(at) {
			m.Found.Balance = Reading[servicerequests.Millipence]{}
		}
	}
	m.invalidate(service, counter)
}

// commandLost takes in that a command cannot have reached the meter (E20): reads can still
// show how it was found.
func (m *Meter) commandLost(counter uint64) {
	c := &m.Counters
	if c.FirstCommand == counter {
		c.FirstCommand, c.FirstCommandAt = 0, time.Time{}
	}
	if c.FirstSwitch == counter {
		c.FirstSwitch, c.FirstSwitchAt = 0, time.Time{}
	}
}

// commandReached takes in that a command has reached the meter after all: reads that were
// asked for after it do not show how the meter was found.
func (m *Meter) commandReached(service servicerequests.Service, counter uint64) {
	c := &m.Counters
	if c.FirstCommand == 0 || counter < c.FirstCommand {
		c.FirstCommand, c.FirstCommandAt = counter, time.Time{}
		if m.Found.Supply.Counter > counter {
			m.Found.Supply = Reading[servicerequests.SupplyState]{}
		}
	}
	if service == servicerequests.SwitchToCredit && (c.FirstSwitch == 0 || counter < c.FirstSwitch) {
		c.FirstSwitch, c.FirstSwitchAt = counter, time.Time{}
		if m.Found.Mode.Counter > counter && m.Found.Mode.Value != servicerequests.Prepayment {
			m.Found.Mode = Reading[servicerequests.PaymentMode]{}
		}
		if m.Found.Balance.Counter > counter {
			m.Found.Balance = Reading[servicerequests.Millipence]{}
		}
	}
}

// invalidate takes in that readings up to a counter are no proof any more of what a command
// changes.
func (m *Meter) invalidate(command servicerequests.Service, counter uint64) {
	m.Counters.StaleSupply = max(m.Counters.StaleSupply, counter)
	if command == servicerequests.SwitchToCredit {
		m.Counters.StaleMode = max(m.Counters.StaleMode, counter)
	}
}

// Doubt takes in that an answer to a request could not be proven. The device has answered,
// so a better answer is not awaited for as long as a sleeping meter's would be. It says
// whether the deadline has become earlier.
func (p *Policy) Doubt(r *Request, at time.Time) (shorter bool) {
	r.Unproven = true
	soon := at.Add(p.ResponseWait.Electricity)
	if r.Phase != Sent || !soon.Before(r.Deadline) {
		return false
	}
	r.Deadline = soon
	return true
}

// arrivedBefore says whether an answer that arrived at an instant shows a meter as it was
// before its first command, by that command's counter (0: there was none) and when it was
// signed.
func arrivedBefore(arrived time.Time, first uint64, signed time.Time) bool {
	return first == 0 || !arrived.After(signed)
}

// observe takes in what a read showed: o was answered at one instant and arrived at
// another. An answer that is older than what is known can still show how the meter was
// found.
func (m *Meter) observe(o record.Observation, counter uint64, at, arrived time.Time) {
	c := &m.Counters
	if o.Mode != servicerequests.UnknownMode {
		r := Reading[servicerequests.PaymentMode]{o.Mode, counter, at}
		// No command of the engine sets Prepayment, so the meter was found in it.
		if (!m.Found.Mode.Known() || !m.foundMode() && !m.fromUnprovenProxy(counter)) && (arrivedBefore(arrived, c.FirstSwitch, c.FirstSwitchAt) || o.Mode == servicerequests.Prepayment && counter < c.FirstSwitch) {
			m.Found.Mode = Reading[servicerequests.PaymentMode]{o.Mode, counter, arrived}
		}
		if counter > m.Now.Mode.Counter {
			m.Now.Mode = r
		}
	}
	if o.Supply != servicerequests.UnknownSupply {
		r := Reading[servicerequests.SupplyState]{o.Supply, counter, at}
		if !m.Found.Supply.Known() && arrivedBefore(arrived, c.FirstCommand, c.FirstCommandAt) {
			m.Found.Supply = Reading[servicerequests.SupplyState]{o.Supply, counter, arrived}
		}
		if counter > m.Now.Supply.Counter {
			if was := m.Now.Supply; o.Supply == servicerequests.Disabled && m.Bars.Person == "" && was.Counter > c.LastCommand && was.Known() && was.Value != servicerequests.Disabled &&
				(m.CreditAccepted || m.Found.Mode.Value == servicerequests.Credit) {
				// It was on in Credit after all commands, and in Credit lack of credit turns
				// nothing off. A rerun or an alert does not change that.
				m.Bars.Person = "turned off after it was read as " + m.Now.Supply.Value.String()
			}
			m.Now.Supply = r
		}
		if o.Supply != servicerequests.Disabled && (counter > m.Alarm.After || !m.Alarm.At.After(at)) {
			m.Alarm.Below = false // it is on: the next time it is off has a cause of its own
		}
	}
	if o.Balance != nil {
		r := Reading[servicerequests.Millipence]{*o.Balance, counter, at}
		if (!m.Found.Balance.Known() || m.fromUnprovenProxy(m.Found.Balance.Counter) && !m.fromUnprovenProxy(counter)) && arrivedBefore(arrived, c.FirstSwitch, c.FirstSwitchAt) {
			m.Found.Balance = Reading[servicerequests.Millipence]{*o.Balance, counter, arrived}
		}
		if counter > m.Now.Balance.Counter {
			m.Now.Balance = r
		}
	}
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Earliest returns the earliest of some times. Zero times do not count.
func Earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// jitter changes a waiting time by up to a tenth either way, so that many meters are not
// retried at once. It depends on meter and try alone, so that a rehearsal can be repeated.
func (m *Meter) jitter(d time.Duration, try int) time.Duration {
	b := m.Device.Bytes()
	h := fnv.New32a()
	_, _ = h.Write(append(b[:], byte(try)))
	return d + time.Duration(float64(d)*(float64(h.Sum32()%2001)-1000)/10_000)
}

// Forget takes in that nobody knows what was done to a meter lately: no reading is proof any
// more.
func (m *Meter) Forget() {
	m.Counters.StaleMode, m.Counters.StaleSupply = m.journalled(), m.journalled()
	m.Verdict = record.VerdictBody{}
}

// Exclude takes in that nothing more may be sent to a meter. Its verdict stays as history.
func (m *Meter) Exclude(reason string) {
	if m.Bars.Excluded == "" || m.Bars.Moved {
		m.Bars.Excluded, m.Bars.Moved = reason, false
	}
}

// LiftExclusion lifts the exclusion of a meter that an E4 excluded, and has it asked again: the
// E4 was one of a run of them.
func (m *Meter) LiftExclusion() {
	if !m.Bars.Moved {
		return
	}
	m.Bars.Excluded, m.Bars.Moved, m.Verdict = "", false, record.VerdictBody{}
	for i := range m.Tallies {
		t := &m.Tallies[i]
		if t.Last == record.ClassRejected && servicerequests.ResponseCode(t.Code).Class() == servicerequests.CodeUnregistered {
			t.Tries--
			t.Barred = false
		}
	}
}

// Rerun has a meter asked again from its first reads on. How it was found stays. So does an
// exclusion, unless an E4 was its reason.
func (m *Meter) Rerun(at time.Time) {
	m.LiftExclusion()
	m.Verdict = record.VerdictBody{}
	if m.Started.IsZero() {
		return
	}
	c := &m.Counters
	m.Heard, m.Bars.HeldForPerson = at, ""
	c.StaleMode, c.StaleSupply = max(c.StaleMode, m.Now.Mode.Counter), max(c.StaleSupply, m.Now.Supply.Counter)
	for i := range m.Tallies {
		m.Tallies[i] = Tally{Last: m.Tallies[i].Last, Code: m.Tallies[i].Code}
	}
	for _, r := range m.Open { // they count among the new tries
		t := m.Tally(r.Service)
		t.Tries++
		if r.Phase == Behind || r.Phase == Queued { // in the journal it will come after this
			r.Attempt, r.Retry = int(t.Tries), false
		}
	}
}
