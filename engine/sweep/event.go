package sweep

import (
	"time"

	"safemode/engine/exchange"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Event is something that has happened.
type Event interface{ event() }

// The events.
type (
	// Tick gives the real time. It comes several times a second.
	Tick struct{ Real time.Time }

	// Done is a worker's result of a half.
	Done struct {
		Ticket uint64
		exchange.Result
	}

	// Heard is a stored message that is proven.
	Heard struct {
		Seq uint64    // number of its record
		At  time.Time // when it was stored, by the sweep's clock
		proof.Delivery
	}

	// Disbelieved says that a stored message about a request is not proven: for good if Final,
	// else not yet. A better message may come.
	Disbelieved struct {
		Seq     uint64                    // number of its record
		ID      servicerequests.RequestID // that it claims to answer; zero: none
		Reason  string
		Kind    record.OtherKind // what it is, if the DCC has signed it and it answers no request of ours; empty: not known
		FromDCC bool             // a key of the DCC has signed it
		Final   bool
	}

	// Order is a person's order.
	Order struct {
		Ticket uint64
		Body   record.OrderBody
	}

	// Transfers is the list of homes that leave, of planned meters; it replaces the one before.
	Transfers struct{ Homes []record.Transfer }

	// Reserved are originator counters, First to Last, that are durably reserved for this
	// machine alone; or an error, which is final.
	Reserved struct {
		Originator  servicerequests.EUI
		First, Last uint64
		Err         error
	}

	// GateClosed says that nothing may be signed or sent any more.
	GateClosed struct{ Reason error }

	// JournalFailed says that nothing can be made durable any more.
	JournalFailed struct{ Err error }

	// Stop is an operator's interrupt: begin nothing more.
	Stop struct{}
)

func (Tick) event()          {}
func (Done) event()          {}
func (Heard) event()         {}
func (Disbelieved) event()   {}
func (Order) event()         {}
func (Transfers) event()     {}
func (Reserved) event()      {}
func (GateClosed) event()    {}
func (JournalFailed) event() {}
func (Stop) event()          {}

// Action is what the caller of [Machine.Step] must do.
type Action interface{ action() }

// The actions.
type (
	// Send gives a half to a worker, which answers with [Done].
	Send struct {
		Ticket uint64
		exchange.Half
	}

	// Append writes records in order. Nobody waits for the disk.
	Append struct{ Records []record.Record }

	// Reserve asks for [Reserved] originator counters.
	Reserve struct{ Originator servicerequests.EUI }

	// Recall keeps a worker from sending its half.
	Recall struct{ Permit *exchange.Permit }

	// Cut ends the POSTs under way.
	Cut struct{}

	// Answer answers an [Order], once what was appended before is durable.
	Answer struct {
		Ticket uint64
		Err    error
	}

	// Settled says that an appended record marks a stored message as judged.
	Settled struct{ Seq uint64 }

	// Moved says that the supplier's market participant IDs have moved: their gate is
	// closed, whatever its evidence says.
	Moved struct{ Reason error }
)

func (Send) action()    {}
func (Append) action()  {}
func (Reserve) action() {}
func (Recall) action()  {}
func (Cut) action()     {}
func (Answer) action()  {}
func (Settled) action() {}
func (Moved) action()   {}
