package sweep

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"safemode/engine/journal"
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
	tries    int // requests opened
	answers  int // requests the device answered
	failures int // in a row, without an answer from the device
	last     Class
	code     string
	next     time.Time // not before
	barred   bool      // asking again can never help
}

// ended is what stays of a request once it has ended: enough to match a late
// or repeated answer.
type ended struct {
	counter uint64
	service servicerequests.Service
	class   Class
}

// meter is the ledger of one planned meter. The dispatcher owns it.
type meter struct {
	device servicerequests.EUI
	target journal.TargetBody

	started time.Time // first request opened
	gpf     servicerequests.EUI

	// The latest readings, and those that show the meter as it was found.
	mode, foundMode       reading[servicerequests.PaymentMode]
	supply, foundSupply   reading[servicerequests.SupplyState]
	balance, foundBalance reading[servicerequests.Millipence]

	// Counters of the latest commands that may have changed mode and supply. A
	// reading is current only if its counter is greater: it was asked for after
	// the command had ended.
	modeCommand, supplyCommand uint64

	tallies        [len(servicerequests.Services) + 1]tally
	creditAccepted bool   // the device answered a 1.6 to Credit with success
	pending        bool   // a future-dated switch may be stored on the device
	person         string // why only a person may arm this supply; empty if none
	excluded       string // why nothing more may be sent; empty if it may

	open  []*request
	ended []ended

	due      time.Time // when to decide again
	position int       // in the agenda; -1 if not there
	verdict  journal.VerdictBody
	done     bool
}

// Marks of the SRP's own records that a portfolio row may carry.
const (
	historyPendingMode = "pending_future_dated_mode"
	historyDisabled    = "disabled_by_supplier"
)

func newMeter(device servicerequests.EUI, target journal.TargetBody) *meter {
	m := &meter{device: device, target: target, position: -1}
	m.pending = slices.Contains(target.History, historyPendingMode)
	if slices.Contains(target.History, historyDisabled) {
		m.person = "disabled by the supplier"
	}
	return m
}

// alerted takes in a device alert. The ones listed say that a supply is off for
// another reason than lack of credit, or that a stored switch has run.
func (m *meter) alerted(a *gbcs.Alert) {
	switch a.Code {
	case 0x81BE:
		m.person = "disabled then locked by the meter (81BE)"
	case 0x81BF, 0x81B4, 0x81B5, 0x81B6:
		m.person = fmt.Sprintf("gas flow fault (%04X)", a.Code)
	case 0x8F66:
		if a.FutureDated != nil && (a.FutureDated.Code == codeECS03 || a.FutureDated.Code == codeGCS03) {
			// Somebody's stored switch to Prepayment has run: what was read before
			// proves nothing any more.
			m.modeCommand = max(m.modeCommand, m.mode.counter)
			m.supplyCommand = max(m.supplyCommand, m.supply.counter)
		}
	}
}

// Message codes of the switch to Prepayment.
const (
	codeECS03 = 0x001B
	codeGCS03 = 0x006D
)

func (m *meter) gas() bool { return m.target.Type == servicerequests.GSME }

func (m *meter) tally(s servicerequests.Service) *tally { return &m.tallies[s] }

// modeCurrent says whether the mode was read after the last command that may
// have changed it.
func (m *meter) modeCurrent() bool { return m.mode.known() && m.mode.counter > m.modeCommand }

// supplyCurrent says the same of the supply state.
func (m *meter) supplyCurrent() bool {
	return m.supply.known() && m.supply.counter > m.supplyCommand
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
		m.started = now
	}
	m.open = append(m.open, r)
	m.tally(r.service).tries++
}

// commit notes that a critical request was signed: from here on the meter may
// have executed it.
func (m *meter) commit(service servicerequests.Service, counter uint64) {
	m.supplyCommand = max(m.supplyCommand, counter)
	if service == servicerequests.SwitchToCredit {
		m.modeCommand = max(m.modeCommand, counter)
	}
}

// observe takes in what a read showed. An answer that is older than what is
// known can still tell how the meter was found.
func (m *meter) observe(o journal.Observation, counter uint64, at time.Time) {
	if o.Mode != servicerequests.UnknownMode {
		r := reading[servicerequests.PaymentMode]{o.Mode, counter, at}
		if !m.foundMode.known() && (m.modeCommand == 0 || counter < m.modeCommand) {
			m.foundMode = r
		}
		if counter > m.mode.counter {
			m.mode = r
		}
	}
	if o.Supply != servicerequests.UnknownSupply {
		r := reading[servicerequests.SupplyState]{o.Supply, counter, at}
		if !m.foundSupply.known() && (m.supplyCommand == 0 || counter < m.supplyCommand) {
			m.foundSupply = r
		}
		if counter > m.supply.counter {
			m.supply = r
		}
	}
	if o.Balance != nil {
		r := reading[servicerequests.Millipence]{*o.Balance, counter, at}
		if !m.foundBalance.known() && (m.modeCommand == 0 || counter < m.modeCommand) {
			m.foundBalance = r
		}
		if counter > m.balance.counter {
			m.balance = r
		}
	}
}

// end takes in how a request ended: the last step of the fold for it. A late
// answer ends a request a second time, with a better class.
func (m *meter) end(p *Policy, service servicerequests.Service, counter uint64, o journal.OutcomeBody, class Class) {
	m.open = slices.DeleteFunc(m.open, func(r *request) bool { return r.service == service && r.id.Counter == counter })
	if i := slices.IndexFunc(m.ended, func(e ended) bool { return e.counter == counter }); i >= 0 {
		m.ended[i].class = class
	} else if counter != 0 {
		m.ended = append(m.ended, ended{counter, service, class})
	}
	t := m.tally(service)
	t.last, t.code = class, o.Code
	switch {
	case class == Withdrawn:
		t.tries--
	case class == Rejected:
		t.barred = true
		if servicerequests.ResponseCode(o.Code).Class() == servicerequests.CodeUnregistered {
			m.excluded = "not registered to the supplier any more (" + o.Code + ")"
		}
	case class.unanswered(), class == Negative && !service.Critical():
		t.failures++
		if ladder := p.Retry.of(m); t.failures > len(ladder) {
			t.barred = true
		} else {
			t.next = o.AnsweredAt.Add(m.vary(ladder[t.failures-1], t.failures))
		}
	default: // the device answered: it can be reached, and has not worn its ladder out
		t.answers++
		t.failures, t.next, t.barred = 0, time.Time{}, false
		if class == Succeeded && service == servicerequests.SwitchToCredit {
			m.creditAccepted, m.pending = true, false
		}
	}
	if o.Observed != nil {
		m.observe(*o.Observed, counter, o.AnsweredAt)
	}
	if o.Proxy != 0 {
		m.gpf = o.Proxy
	}
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
