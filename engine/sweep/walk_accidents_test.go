package sweep_test

import (
	"fmt"
	"slices"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

// accident is something that may befall the world between two steps. It says whether it
// could.
type accident struct {
	name string
	do   func(*world) bool
}

func order(o record.OrderBody) func(*world) bool {
	return func(w *world) bool { return w.order(o) }
}

func orderFor(action string, number int) func(*world) bool {
	return func(w *world) bool {
		h := w.homes[number%len(w.homes)]
		return w.order(record.OrderBody{Action: action, Devices: []servicerequests.EUI{h.eui}, Reason: "because"})
	}
}

func alert(code uint16, old time.Duration) func(*world) bool {
	return func(w *world) bool {
		h := w.homes[len(w.log)%len(w.homes)]
		if old == 0 && (code == ledger.AlertLocked || code == ledger.AlertUncontrolled || code == ledger.AlertFlowB5) {
			if code != ledger.AlertFlowB5 && h.supply > servicerequests.Disabled {
				h.supply, h.lacks = servicerequests.Disabled, false
			}
			h.person = true
		}
		if old == 0 && code == ledger.AlertBelow && !h.lacks {
			return false
		}
		if old == 0 && code == ledger.AlertFutureDated {
			if !h.stored {
				return false
			}
			h.stored, h.mode, h.touched = false, servicerequests.Prepayment, true
		}
		h.raise(code, w.now.Add(-old))
		w.inbox = append(w.inbox, h.alert(len(h.told)-1, w.now))
		return true
	}
}

// accidents are what may go wrong, or be done by people, at any time. What is in no list
// here and below is impossible: a second process finds the journal's file locked. In a
// database it may take over from one that has not died.
var accidents = []accident{
	{"kill", (*world).kill},
	{"another takes over", (*world).takeOver},
	{"the one before wakes", func(w *world) bool { return len(w.fenced) > 0 && w.wake() }},
	{"keep the state", (*world).keep},
	{"the disk stalls", func(w *world) bool { w.stalled = !w.stalled; return true }},
	{"the disk fails", func(w *world) bool { w.failed = true; w.happen(sweep.JournalFailed{Err: errDisk}); return true }},
	{"the gate closes", func(w *world) bool { w.gate = errClosed; return true }},
	{"the gate closes and is seen", func(w *world) bool { w.gate = errClosed; w.happen(sweep.GateClosed{Reason: errClosed}); return true }},
	{"interrupt", func(w *world) bool { w.people = true; w.happen(sweep.Stop{}); return true }},
	{"pause", order(record.OrderBody{Action: record.OrderPause})},
	{"pause North", order(record.OrderBody{Action: record.OrderPause, Region: servicerequests.North})},
	{"pause 7.4", order(record.OrderBody{Action: record.OrderPause, SRV: "7.4"})},
	{"pause 1.6", order(record.OrderBody{Action: record.OrderPause, SRV: "1.6"})},
	{"pause wave 1", order(record.OrderBody{Action: record.OrderPause, Wave: 1})},
	{"resume", order(record.OrderBody{Action: record.OrderResume})},
	{"stop", order(record.OrderBody{Action: record.OrderStop})},
	{"stop now", order(record.OrderBody{Action: record.OrderStop, Now: true})},
	{"stop North now", order(record.OrderBody{Action: record.OrderStop, Now: true, Region: servicerequests.North})},
	{"stop 7.3", order(record.OrderBody{Action: record.OrderStop, SRV: "7.3"})},
	{"renew", order(record.OrderBody{Action: record.OrderRenew})},
	{"cease", order(record.OrderBody{Action: record.OrderCease, Reference: "notice"})},
	{"go on", order(record.OrderBody{Action: record.OrderGoOn, Reference: "notice", Reason: "homes are not transferred yet"})},
	{"exclude the first", orderFor(record.OrderExclude, 0)},
	{"exclude the second", orderFor(record.OrderExclude, 1)},
	{"suppress the first", orderFor(record.OrderSuppress, 0)},
	{"rerun the first", orderFor(record.OrderRerun, 0)},
	{"the first is to leave in an hour", func(w *world) bool { return w.leaves(0, time.Hour) }},
	{"the first has left", func(w *world) bool { return w.leaves(0, -time.Hour) }},
	{"the last is to leave in three hours", func(w *world) bool { return w.leaves(len(w.homes)-1, 3*time.Hour) }},
	{"the list of transfers is empty", func(w *world) bool { return w.transfers(nil) }},
	{"a change of supplier", func(w *world) bool {
		w.inbox = append(w.inbox, proof.Delivery{Signed: true, At: w.now, DCCAlert: &duis.DCCAlert{Code: "N27", Event: duis.ChangeOfSupplier{Device: w.homes[0].eui}}})
		return true
	}},
	{"a stranger's counter", func(w *world) bool {
		id := servicerequests.RequestID{Originator: ourEUI, Target: w.homes[0].eui, Counter: w.counter + 5000}
		w.inbox = append(w.inbox, proof.Delivery{Device: id.Target, ID: id, Code: servicerequests.NoResponse, At: w.now, Signed: true})
		return true
	}},
	{"8F0F", alert(ledger.AlertBelow, 0)},
	{"8F0F of a month ago", alert(ledger.AlertBelow, 30*24*time.Hour)},
	{"8F83", alert(ledger.AlertSuspended, 0)},
	{"8F66", alert(ledger.AlertFutureDated, 0)},
	{"8F66 of a month ago", alert(ledger.AlertFutureDated, 30*24*time.Hour)},
	{"81BE", alert(ledger.AlertLocked, 0)},
	{"81BE of a month ago", alert(ledger.AlertLocked, 30*24*time.Hour)},
	{"81BF", alert(ledger.AlertUncontrolled, 0)},
	{"81B5", alert(ledger.AlertFlowB5, 0)},
	{"8F32", alert(0x8F32, 0)},
	{"an alert again", (*world).alertAgain},
	{"AD1", (*world).quarantine},
	{"AD1 of what has ended", (*world).quarantineEnded},
	{"somebody else's message", func(w *world) bool {
		w.inbox = append(w.inbox, proof.Delivery{Device: 7, ID: servicerequests.RequestID{Originator: ourEUI, Target: 7, Counter: 9}, Code: "I0", At: w.now, Signed: true})
		return true
	}},
	{"credit runs out", (*world).runOut},
	{"somebody turns it off", (*world).turnOff},
	{"somebody turns off what was found on, and an 8F0F of a month ago comes", (*world).turnOffAndOldAlert},
	{"the button is pressed", (*world).press},
	{"a top-up", (*world).topUp},
	{"an hour passes", func(w *world) bool { w.pass(time.Hour); return true }},
	{"thirty hours pass", func(w *world) bool { w.pass(30 * time.Hour); return true }},
	{"a step is told an hour back", func(w *world) bool { w.skew = -time.Hour; return true }},
	{"another half first", func(w *world) bool {
		return w.rotate(len(w.halves) > 1, func() { w.halves = append(w.halves[1:], w.halves[0]) })
	}},
	{"another message first", func(w *world) bool {
		return w.rotate(len(w.inbox) > 1, func() { w.inbox = append(w.inbox[1:], w.inbox[0]) })
	}},
	{"another result first", func(w *world) bool {
		return w.rotate(len(w.done) > 1, func() { w.done = append(w.done[1:], w.done[0]) })
	}},
	{"messages are heard late", func(w *world) bool { return w.rotate(len(w.stored) > 0, func() { w.deaf = 40 }) }},
	{"results are heard late", func(w *world) bool { return w.rotate(len(w.done) > 0, func() { w.slow = 40 }) }},
	{"devices are slow", func(w *world) bool { return w.rotate(len(w.flights) > 0, func() { w.asleep = 40 }) }},
}

// leaves adds a home to the list of transfers.
func (w *world) leaves(number int, in time.Duration) bool {
	list := slices.DeleteFunc(slices.Clone(w.options.Transfers), func(t record.Transfer) bool { return t.Device == w.homes[number].eui })
	at := w.now.Add(in)
	return w.transfers(append(list, record.Transfer{Device: w.homes[number].eui, MPxN: "1", Effective: at, Leave: at.Add(-10 * time.Minute), Incoming: "SOLR"}))
}

// transfers gives the machine another list, which a start is given, too.
func (w *world) transfers(list []record.Transfer) bool {
	w.people = true
	w.options.Transfers = list
	w.happen(sweep.Transfers{Homes: list})
	return true
}

func (w *world) rotate(can bool, do func()) bool {
	if can {
		do()
	}
	return can
}

func (w *world) order(o record.OrderBody) bool {
	w.people = true
	o.By = "Ada"
	w.tickets++
	w.refused = nil
	w.happen(sweep.Order{Ticket: w.tickets, Body: o})
	return w.refused == nil
}

// kill ends the process without a word: of what is queued some is durable.
func (w *world) kill() bool {
	w.people = true
	if n := len(w.queued); n > 0 {
		keep := w.choose("queued records that are durable", n+1)
		w.durable = append(w.durable, w.queued[:keep]...)
	}
	w.queued, w.keeping = nil, nil
	w.last = uint64(len(w.durable))
	w.boot()
	return true
}

// takeOver has another engine go on with the journal. This one has not died: its workers
// stand where they stand, and may go on at any time. What it had queued is lost.
func (w *world) takeOver() bool {
	w.people = true
	for _, l := range w.halves {
		l.fenced = true
	}
	w.fenced, w.halves = append(w.fenced, w.halves...), nil
	w.queued, w.keeping = nil, nil
	w.last = uint64(len(w.durable))
	w.boot()
	return true
}

// keep keeps the state: durable with the next commit.
func (w *world) keep() bool {
	if w.failed || w.stalled {
		return false
	}
	from := w.last
	for _, l := range w.halves {
		from = min(from, l.from)
	}
	for _, d := range w.done {
		from = min(from, w.given[d.Ticket])
	}
	unjudged := slices.Clone(w.stored)
	for _, e := range w.waiting {
		if h, ok := e.(sweep.Heard); ok {
			unjudged = append(unjudged, h.Seq)
		}
	}
	unjudged = append(unjudged, w.machine.Early()...)
	slices.Sort(unjudged)
	rows, err := w.machine.Keep(w.last, from, unjudged)
	if err != nil {
		w.broken(oneStory, "%v", err)
	}
	w.keeping = append(w.keeping, rows)
	w.sync()
	return true
}

// alertAgain delivers an alert once more.
func (w *world) alertAgain() bool {
	for _, h := range w.homes {
		if n := len(h.told); n > 0 {
			w.inbox = append(w.inbox, h.alert(w.choose("which", n), w.now))
			return true
		}
	}
	return false
}

// quarantine has the DCC hold a request back that has not arrived, and say so.
func (w *world) quarantine() bool {
	for _, f := range w.flights {
		if _, held := w.heldBack[f.id]; !held && f.fate == "" {
			w.tellHeld(f.id)
			return true
		}
	}
	return false
}

// quarantineEnded has it say so of a request that the sweep has given up.
func (w *world) quarantineEnded() bool {
	for _, f := range w.flights {
		if _, held := w.heldBack[f.id]; !held && w.ended[f.id] {
			w.tellHeld(f.id)
			return true
		}
	}
	return false
}

func (w *world) tellHeld(id servicerequests.RequestID) {
	w.events++
	w.heldBack[id] = fmt.Sprint(w.events)
	w.inbox = append(w.inbox, proof.Delivery{Signed: true, At: w.now, Code: "I0", DCCAlert: &duis.DCCAlert{
		Code: "AD1", Event: duis.QuarantinedRequest{Breach: duis.UserThreshold, Request: id, EventRef: w.heldBack[id]},
	}})
}

// runOut has a home run out of credit.
func (w *world) runOut() bool {
	for _, h := range w.homes {
		if h.mode == servicerequests.Prepayment && h.supply == servicerequests.Enabled && !h.person {
			h.balance, h.supply, h.lacks, h.touched = -servicerequests.Pound, servicerequests.Disabled, true, true
			h.emergency = spent
			h.raise(ledger.AlertBelow, w.now)
			w.inbox = append(w.inbox, h.alert(len(h.told)-1, w.now))
			return true
		}
	}
	return false
}

// turnOff has somebody turn a supply off that the sweep has seen on: only a person may arm it.
func (w *world) turnOff() bool {
	for i, m := range w.machine.Ledgers() {
		h := w.homes[i]
		if m.SupplyCurrent() && m.Now.Supply.Value != servicerequests.Disabled && h.supply != servicerequests.Disabled &&
			m.ModeCurrent() && m.Now.Mode.Value == servicerequests.Credit && h.mode == servicerequests.Credit {
			h.supply, h.lacks, h.person, h.known, h.touched = servicerequests.Disabled, false, true, true, true
			return true
		}
	}
	return false
}

// turnOffAndOldAlert has somebody turn a supply off that was on in Prepayment and is in
// Credit by now, and an alert come late that would say why, were it not so old.
func (w *world) turnOffAndOldAlert() bool {
	for _, h := range w.homes {
		if h.mode == servicerequests.Credit && h.found == (seen{servicerequests.Prepayment, servicerequests.Enabled}) &&
			h.supply == servicerequests.Enabled && !h.lacks && !h.touched {
			h.supply, h.person, h.touched = servicerequests.Disabled, true, true
			h.raise(ledger.AlertBelow, w.now.Add(-30*24*time.Hour))
			w.inbox = append(w.inbox, h.alert(len(h.told)-1, w.now))
			return true
		}
	}
	return false
}

func (w *world) press() bool {
	for _, h := range w.homes {
		if h.supply == servicerequests.Armed {
			h.supply, h.touched = servicerequests.Enabled, true
			return true
		}
	}
	return false
}

func (w *world) topUp() bool {
	h := w.homes[0]
	h.balance += 10 * servicerequests.Pound
	h.touched = true
	if h.mode == servicerequests.Prepayment && h.lacks && !h.locked {
		h.supply, h.lacks = servicerequests.Armed, false
	}
	return true
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	w.happen(sweep.Tick{Real: w.now})
}
