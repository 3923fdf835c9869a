package sweep

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// reading is one proven answer of a device. The zero reading knows nothing.
type reading[T any] struct {
	value   T
	counter uint64    // originator counter of the request that was answered; 0: none
	at      time.Time // when the answer was taken in
}

func (r reading[T]) known() bool { return r.counter != 0 }

// tally is what became of a meter's requests of one service.
type tally struct {
	tries       int16 // requests opened that were not withdrawn
	answers     int16 // requests the device answered
	failures    int16 // in a row, without an answer from the device
	last        Class
	undelivered bool // the last one cannot have reached the device
	barred      bool // asking again can never help
	code        string
	next        time.Time // not before
}

// ended is what stays of a request once it has ended: enough to match a late
// or repeated answer.
type ended struct {
	counter uint64
	service servicerequests.Service
	class   Class
	proxied bool // asked of the gas proxy
	sampled bool // counted in the sample of its wave
}

// meter is the ledger of one planned meter. The dispatcher owns it.
type meter struct {
	device servicerequests.EUI
	target record.TargetBody

	started time.Time // first request opened
	gpf     servicerequests.EUI
	issued  uint64 // the latest counter of a request to this meter

	// The latest readings, and those that show the meter as it was found.
	mode, foundMode       reading[servicerequests.PaymentMode]
	supply, foundSupply   reading[servicerequests.SupplyState]
	balance, foundBalance reading[servicerequests.Millipence]

	// Counters of the first 1.6 and the first command of any kind that were signed,
	// and of the latest one; 0: none. Only what was asked before the first tells how
	// the meter was found.
	firstSwitch, firstCommand, lastCommand uint64

	// Up to these counters a reading proves nothing any more: a command was signed,
	// or an alert says that something has changed. A reading is current only if its
	// counter is greater: then it was asked for afterwards.
	staleMode, staleSupply uint64

	tallies        [len(servicerequests.Services) + 1]tally
	creditAccepted bool      // the device answered a 1.6 to Credit with success
	pending        bool      // a future-dated switch may be stored on the device
	alarm          alarm     // of its credit
	held           string    // why a person must look at it; empty if none must
	moved          bool      // excluded on the word of an E4
	heard          time.Time // since when nothing has been learnt of it, though it could be asked
	reread         time.Time // when the reads that its verdict rests on were last asked for again, and not answered
	person         string    // why only a person may arm this supply; empty if none
	excluded       string    // why nothing more may be sent; empty if it may

	open  []*request
	ended []ended

	waits, ahead bool  // in an intake, or for what is due after its verdict; moved up in the intake
	seat         int32 // place in the plan, from 0
	legs         int   // of its requests, with workers
	stirred      bool  // may have changed since the roll was settled
	wave         int   // number of its wave, from 1
	sampled      bool  // a read of it is in its wave's sample
	settled      bool  // has had its verdict, or is in long retries: its wave does not wait for it
	plight       plight

	due      time.Time // when to decide again
	position int       // in the agenda; nowhere if not there
	verdict  record.VerdictBody
	done     bool
}

// Marks of the SRP's own records that a portfolio row may carry.
const (
	historyPendingMode = "pending_future_dated_mode"
	historyDisabled    = "disabled_by_supplier"
)

func newMeter(device servicerequests.EUI, target record.TargetBody) *meter {
	m := &meter{device: device, target: target, position: nowhere}
	m.pending = slices.Contains(target.History, historyPendingMode)
	if slices.Contains(target.History, historyDisabled) {
		m.person = "disabled by the supplier"
	}
	return m
}

// Alert codes that change what is known of a meter (GBCS alert list).
const (
	alertLocked       = 0x81BE // disabled, then locked
	alertUncontrolled = 0x81BF // disabled, then armed: uncontrolled gas flow
	alertFlowB4       = 0x81B4 // flow faults that turn nothing off by themselves
	alertFlowB5       = 0x81B5
	alertFlowB6       = 0x81B6
	alertFutureDated  = 0x8F66 // a future-dated command has run
	alertBelow        = 0x8F0F // credit below the disablement threshold
	alertSuspended    = 0x8F83 // so it is, and the non-disablement period keeps the supply on
)

// Message codes of the switch to Prepayment.
const (
	codeECS03 = 0x001B
	codeGCS03 = 0x006D
)

// alerted takes in a device alert and says whether it changes what is known: that
// a supply is off for another reason than lack of credit, or that somebody's
// stored switch to Prepayment has run. What was asked for until now, answered or
// not, then proves nothing any more of what it concerns.
func (m *meter) alerted(a *gbcs.Alert) bool {
	switch a.Code {
	case alertLocked:
		m.person = "disabled then locked by the meter (81BE)"
		m.staleSupply = max(m.staleSupply, m.issued)
	case alertUncontrolled:
		m.person = "gas flow fault (81BF)"
		m.staleSupply = max(m.staleSupply, m.issued)
	case alertFlowB4, alertFlowB5, alertFlowB6:
		m.person = fmt.Sprintf("gas flow fault (%04X)", a.Code)
	case alertBelow:
		m.alarm = alarm{below: true, suspended: m.alarm.suspended, after: m.issued}
		return false
	case alertSuspended:
		m.alarm.suspended, m.alarm.after = true, m.issued
		return false
	case alertFutureDated:
		if a.FutureDated == nil || a.FutureDated.Code != codeECS03 && a.FutureDated.Code != codeGCS03 {
			return false
		}
		m.staleMode = max(m.staleMode, m.issued)
		m.staleSupply = max(m.staleSupply, m.issued)
	default:
		return false
	}
	return true
}

func (m *meter) gas() bool { return m.target.Type == servicerequests.GSME }

func (m *meter) tally(s servicerequests.Service) *tally { return &m.tallies[s] }

// modeCurrent says whether the mode was read after all that may have changed it.
func (m *meter) modeCurrent() bool { return m.mode.known() && m.mode.counter > m.staleMode }

// supplyCurrent says the same of the supply state.
func (m *meter) supplyCurrent() bool {
	return m.supply.known() && m.supply.counter > m.staleSupply
}

// probing says whether the first request to this meter is the only one there has
// been, and the DCC has not said that it takes it.
func (m *meter) probing() bool {
	return len(m.open) == 1 && len(m.ended) == 0 && m.open[0].service == servicerequests.ReadSupplyStatus &&
		m.open[0].attempt == 1 && !m.open[0].acknowledged
}

// openRequest returns the open request of a service, nil if there is none.
func (m *meter) openRequest(s servicerequests.Service) *request {
	for _, r := range m.open {
		if r.service == s {
			return r
		}
	}
	return nil
}

// openAs returns the open request with this ID, nil if there is none.
func (m *meter) openAs(id servicerequests.RequestID) *request {
	for _, r := range m.open {
		if r.id == id {
			return r
		}
	}
	return nil
}

// openCommand returns the open critical request, of which there is at most one.
func (m *meter) openCommand() *request {
	for _, r := range m.open {
		if r.service.Critical() {
			return r
		}
	}
	return nil
}

// begin notes that a request was opened.
func (m *meter) begin(r *request, now time.Time) {
	if m.started.IsZero() {
		m.started, m.heard = now, now
	}
	m.open = append(m.open, r)
	m.issued = max(m.issued, r.id.Counter)
	m.tally(r.service).tries++
}

// commit notes that a critical request was signed: from here on the meter may
// have executed it.
func (m *meter) commit(service servicerequests.Service, counter uint64) {
	m.lastCommand = counter
	if m.firstCommand == 0 {
		m.firstCommand = counter
	}
	if service == servicerequests.SwitchToCredit && m.firstSwitch == 0 {
		m.firstSwitch = counter
	}
	m.outdate(service, counter)
}

// outdate notes that readings up to a counter prove nothing any more of what a
// command changes.
func (m *meter) outdate(command servicerequests.Service, counter uint64) {
	m.staleSupply = max(m.staleSupply, counter)
	if command == servicerequests.SwitchToCredit {
		m.staleMode = max(m.staleMode, counter)
	}
}

// before says whether what was asked under a counter shows a meter as it was
// before a first command.
func before(counter, first uint64) bool { return first == 0 || counter < first }

// observe takes in what a read showed. An answer that is older than what is
// known can still tell how the meter was found.
func (m *meter) observe(o record.Observation, counter uint64, at time.Time) {
	if o.Mode != servicerequests.UnknownMode {
		r := reading[servicerequests.PaymentMode]{o.Mode, counter, at}
		if !m.foundMode.known() && before(counter, m.firstSwitch) {
			m.foundMode = r
		}
		if counter > m.mode.counter {
			m.mode = r
		}
	}
	if o.Supply != servicerequests.UnknownSupply {
		r := reading[servicerequests.SupplyState]{o.Supply, counter, at}
		if !m.foundSupply.known() && before(counter, m.firstCommand) {
			m.foundSupply = r
		}
		if counter > m.supply.counter {
			if o.Supply == servicerequests.Disabled && m.person == "" && m.supplyCurrent() && m.supply.value != servicerequests.Disabled &&
				(m.creditAccepted || m.foundMode.value == servicerequests.Credit) {
				// It was on in Credit, where lack of credit turns nothing off.
				m.person = "turned off after it was read as " + m.supply.value.String()
			}
			m.supply = r
		}
		if counter > m.alarm.after && o.Supply != servicerequests.Disabled {
			m.alarm.below = false // whatever turns it off from now on is another matter
		}
	}
	if o.Balance != nil {
		r := reading[servicerequests.Millipence]{*o.Balance, counter, at}
		if !m.foundBalance.known() && before(counter, m.firstSwitch) {
			m.foundBalance = r
		}
		if counter > m.balance.counter {
			m.balance = r
		}
	}
}

// end takes in how a request ended: the last step of the fold for it. A late
// answer ends a request a second time, with a better class. It returns what it ended
// as before, and whether it counts in the sample of its wave.
func (m *meter) end(p *Policy, service servicerequests.Service, id servicerequests.RequestID, o record.OutcomeBody, class Class) (was Class, sampled bool) {
	i := slices.IndexFunc(m.open, func(r *request) bool { return r.service == service && r.id == id })
	opened := i >= 0
	if opened {
		m.open = slices.Delete(m.open, i, i+1)
	}
	if i := m.endedAs(id); i >= 0 {
		was, sampled = m.ended[i].class, m.ended[i].sampled
		m.ended[i].class = class
	} else if id.Counter != 0 {
		sampled = m.samples(service, o.Attempt, class)
		m.ended = append(m.ended, ended{id.Counter, service, class, id.Target != m.device, sampled})
	}
	t := m.tally(service)
	code := servicerequests.ResponseCode(o.Code).Class()
	t.last, t.code = class, o.Code
	t.undelivered = service.Critical() && id.Counter > m.lastCommand || code == servicerequests.CodeUnreachable
	if service.Critical() && id.Counter != 0 && id.Counter <= m.lastCommand {
		// Reads that were sent while it was open may have been done before it.
		m.outdate(service, m.issued)
	}
	switch {
	case class == Withdrawn || class == Rejected && (code == servicerequests.CodeHalt || o.Tripped):
		// It was no try at this meter: never sent, or the User itself was refused.
		if opened {
			t.tries--
		}
		t.barred = t.barred || o.Code == record.RefusedUnpermitted
	case class == Rejected && o.Code != codeHTTP:
		t.barred = true
		switch code {
		case servicerequests.CodeUnregistered:
			m.moved = m.moved || m.excluded == ""
			m.excluded = record.ReasonTransferred + " (" + o.Code + ")"
		case servicerequests.CodeHeld:
			m.held = "SRV " + service.SRV() + " answered " + o.Code + ", whose meaning is not known"
		}
	case o.After && class != Succeeded: // the verdict stands, and no ladder is worn out
		if service != servicerequests.ReadMeterBalance {
			m.reread = later(m.reread, o.AnsweredAt)
		}
	case class.unanswered(), class == Rejected, class == Negative && !service.Critical():
		t.failures++
		if ladder := p.Retry.of(m); int(t.failures) > len(ladder) {
			t.barred = true
		} else {
			t.next = o.AnsweredAt.Add(m.vary(ladder[t.failures-1], int(t.failures)))
		}
	default: // the device answered: it can be reached, and has not worn its ladder out
		t.answers++
		m.heard = later(m.heard, o.AnsweredAt)
		t.failures, t.next, t.barred = 0, time.Time{}, false
		if class == Succeeded && service == servicerequests.SwitchToCredit {
			m.creditAccepted, m.pending = true, false
		}
	}
	if o.Observed != nil {
		m.observe(*o.Observed, id.Counter, o.AnsweredAt)
	}
	if o.Proxy != 0 {
		m.gpf = o.Proxy
	}
	return was, sampled
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// endedAs finds a request that has ended; -1 if there is none with this ID.
func (m *meter) endedAs(id servicerequests.RequestID) int {
	return slices.IndexFunc(m.ended, func(e ended) bool {
		return e.counter == id.Counter && id.Originator == m.target.Originator && e.proxied == (id.Target != m.device)
	})
}

// vary moves a waiting time by up to a tenth either way, always the same for
// one meter and try, so that retries of many meters do not fall together and
// a rehearsal can be repeated.
func (m *meter) vary(d time.Duration, try int) time.Duration {
	b := m.device.Bytes()
	h := fnv.New32a()
	_, _ = h.Write(append(b[:], byte(try)))
	return d + time.Duration(float64(d)*(float64(h.Sum32()%2001)-1000)/10_000)
}
