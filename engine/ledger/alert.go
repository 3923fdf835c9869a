package ledger

import (
	"cmp"
	"fmt"
	"time"

	"safemode/engine/record"
)

// Alert codes that change the ledger of a meter (GBCS alert list).
const (
	AlertLocked       = 0x81BE // disabled, then locked
	AlertUncontrolled = 0x81BF // disabled, then armed: uncontrolled gas flow
	AlertFlowB4       = 0x81B4 // flow faults that turn nothing off by themselves
	AlertFlowB5       = 0x81B5
	AlertFlowB6       = 0x81B6
	AlertFutureDated  = 0x8F66 // a future-dated command has run
	AlertBelow        = 0x8F0F // credit below the disablement threshold
	AlertSuspended    = 0x8F83 // the same, and the non-disablement period keeps the supply on
)

// Message codes of the switch to Prepayment.
const (
	CodeECS03 = 0x001B
	codeGCS03 = 0x006D
)

// Alarm is what a meter's own alerts say about its credit, and about why it may be off.
type Alarm struct {
	Below     bool      // 8F0F: off, below the disablement threshold; until a later read shows that it is not off
	Suspended bool      // 8F83: only the non-disablement period keeps it on
	After     uint64    // the latest counter that had been given out when the alert came
	At        time.Time // when the 8F0F was raised
	Switched  time.Time // 8F66: when a stored switch to Prepayment ran, if that was within alertWindow
}

// Raised says whether the meter has raised an alert about its credit.
func (a Alarm) Raised() bool { return a.Below || a.Suspended }

// subject is what an alert is about.
type subject uint8

const (
	aboutCredit    subject = iota // 8F0F
	aboutSuspended                // 8F83
	aboutFault                    // 81BE, 81BF: the supply is off
	aboutFlow                     // 81B4 to 81B6
	aboutStored                   // 8F66 of a switch to Prepayment
	subjects       = iota
)

// subject says what an alert is about; ok is false if it changes nothing. An alert that
// says less has its own subject, so that it does not replace one that says more.
func (a Alert) subject() (s subject, ok bool) {
	switch a.Code {
	case AlertBelow:
		return aboutCredit, true
	case AlertSuspended:
		return aboutSuspended, true
	case AlertLocked, AlertUncontrolled:
		return aboutFault, true
	case AlertFlowB4, AlertFlowB5, AlertFlowB6:
		return aboutFlow, true
	case AlertFutureDated:
		return aboutStored, a.FutureDated == CodeECS03 || a.FutureDated == codeGCS03
	}
	return 0, false
}

// Taken has the GBCS counter of the latest alert of each subject. A device counts upwards,
// so an alert whose counter is not higher is a repetition, or a later one came first.
type Taken [subjects]uint64

// Alert is a proven alert of a device.
type Alert struct {
	Code        uint16
	Counter     uint64    // of the device's GBCS message; 0: not known
	At          time.Time // when it was raised, by the device's or the DCC's clock
	Heard       time.Time // when it arrived
	FutureDated uint16    // message code of the command that 8F66 reports; 0: none
	Issued      uint64    // requests up to this counter may be older than the alert; 0: see [Meter.Issued]
}

// ApplyAlert takes in an alert. It says whether readings have become invalid: the supply is
// off for another reason than lack of credit, or a stored switch to Prepayment has run. Then
// an answer to an earlier request proves nothing any more about the alert's subject.
//
// An alert counts once, and only if it is later than the read that it would overrule
// (decision 50). An alert that may allow something (8F0F, 8F83) must have a later time. An alert
// that forbids something is dropped only if a read that is later by more than [clockSkew] shows
// otherwise.
func (m *Meter) ApplyAlert(a Alert) (changed bool) {
	about, known := a.subject()
	if !known || a.Counter != 0 && a.Counter <= m.Taken[about] {
		return false
	}
	m.Taken[about] = max(m.Taken[about], a.Counter)
	c, issued := &m.Counters, cmp.Or(a.Issued, m.Issued())
	switch about {
	case aboutFault, aboutFlow:
		if m.Safe() && readAfter(a.At, m.Now.Supply) {
			return false
		}
		m.Bars.Person = faultOf(a.Code)
		if about == aboutFault {
			c.StaleSupply = max(c.StaleSupply, issued)
		}
		return true
	case aboutStored:
		if a.Heard.Sub(a.At) < alertWindow {
			m.Alarm.Switched = later(m.Alarm.Switched, a.At)
		}
		if m.ModeCurrent() && readAfter(a.At, m.Now.Mode) {
			return false
		}
		c.StaleMode, c.StaleSupply = max(c.StaleMode, issued), max(c.StaleSupply, issued)
		return true
	case aboutCredit, aboutSuspended:
		if read := m.Now.Supply; read.Known() && !a.At.After(read.At) || !read.Known() && a.Heard.Sub(a.At) >= alertWindow {
			return false
		}
		m.Alarm.After = issued
		if about == aboutSuspended {
			m.Alarm.Suspended = true
		} else {
			m.Alarm.Below, m.Alarm.At = true, later(m.Alarm.At, a.At)
		}
	}
	return false
}

// alertWindow is how old an alert may be that says why a supply is off now (assumption).
// Before an 8F66 the supply may have been off in Credit, and then lack of credit is not the
// cause. After an 8F0F that came before the first read, it may have been on and off again.
const alertWindow = 24 * time.Hour

// clockSkew is how far the clocks of a device and of the DCC may differ (assumption; GBCS
// wants devices to keep theirs within 10 seconds).
const clockSkew = time.Minute

// readAfter says whether a read was certainly answered after an instant, so that it shows
// what has happened since.
func readAfter[T any](at time.Time, by Reading[T]) bool {
	return !at.IsZero() && by.Known() && by.At.Sub(at) > clockSkew
}

func faultOf(code uint16) string {
	switch code {
	case AlertLocked:
		return "disabled then locked by the meter (81BE)"
	case AlertUncontrolled:
		return "gas flow fault (81BF)"
	}
	return fmt.Sprintf("gas flow fault (%04X)", code)
}

// Reopen withdraws the verdict, because something new is known.
func (m *Meter) Reopen() { m.Done, m.Verdict = false, record.VerdictBody{} }
