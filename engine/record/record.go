// Package record holds the names and values that the rooms of the engine share: the
// kinds of records and their typed bodies, verdicts, classes, orders, status. It does
// nothing with them. The package journal specifies how they are written.
package record

import (
	"errors"
	"fmt"
	"math"
	"time"

	"safemode/servicerequests"
)

// Kind says what a record is about, and with it what Code and Body hold.
type Kind uint8

// The kinds of records. Names in the file are those of [Kind.String].
const (
	Opened        Kind = iota + 1 // the sweep's identity: Body = [Opening]
	Planned                       // header of the frozen plan: Body = JSON as in the plan file
	Target                        // one per planned meter: Body = [TargetBody]
	Rejected                      // one per portfolio row not covered: Body = [RejectedBody]
	Request                       // a signed request (Command Variant 1, 4 or 8), durable before it is POSTed: Body = signed XML
	PreCommand                    // proven answer of Transform: Body = XML as received
	SignedCommand                 // Signed Pre-Command (Command Variant 5), durable before it is POSTed: Body = signed XML
	Reply                         // synchronous acknowledgement, error or inventory: Code = DUIS code, Body = as received
	Response                      // asynchronous response of an authenticated peer, stored before it was judged: Code = DUIS code, Body = as received
	Alert                         // device alert or DCC Alert, likewise: Code = alert code, Body = as received
	Unmatched                     // a proven message answers no request of ours: Body = [JudgedBody], empty in older journals
	Outcome                       // the end of one request: Code = class, Body = [OutcomeBody]
	Refused                       // something was not signed or not proven: Code = why, Body = [RefusedBody]
	Verdict                       // where a meter stands, the last one of a device counts: Code = verdict, Body = [VerdictBody]
	Operator                      // a person's order, or one the sweep gave itself: Code = action, Body = [OrderBody]
	Closed                        // the sweep ended: Code = finished, halted, interrupted or ceased, Body = [ClosedBody]
	Wave                          // how far a wave of the plan has come: Code = opened, soaking or passed, Body = [WaveBody]
	Tripwire                      // what answers together mean halted the sweep: Code = which, Body = [TripwireBody]
	State                         // the table state holds what follows from the records so far: Body = [StateBody]
	Received                      // message of an authenticated peer that cannot be read as a response or alert: Body = as received
	Proven                        // an alert was proven and taken in: Code = alert code, Body = [ProvenBody]
	Repeated                      // a proven message that changes nothing, because it was heard before: Body = [JudgedBody]
	Halted                        // the sweep stopped itself, written at that moment: Body = [HaltedBody]
)

// Response, Alert and Received are messages as they came in over an authenticated
// connection, or signed by the DCC. Nobody had judged them when they were written:
// Device, Service, ID and Code are what the message claims. A later record says how one was
// judged, and gives its number in Of: an [Outcome], a [Refused], a [Proven],
// an [Unmatched] or a [Repeated]. In older journals Response and Alert were proven before they were
// written, and no record gives their numbers.

// Made is the kind of record 0.
const Made Kind = 0

var kindNames = [...]string{
	"journal", "opened", "planned", "target", "rejected", "request", "pre_command", "signed_command",
	"reply", "response", "alert", "unmatched", "outcome", "refused", "verdict", "operator", "closed",
	"wave", "tripwire", "state", "received", "proven", "repeated", "halted",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("invalid(%d)", uint8(k))
}

// ParseKind is the inverse of [Kind.String].
func ParseKind(name string) (Kind, error) {
	for k, known := range kindNames {
		if known == name {
			return Kind(k), nil
		}
	}
	return 0, fmt.Errorf("kind %q is not known", name)
}

// typed says whether records of this kind carry a body of body.go, which is
// never empty.
func (k Kind) typed() bool {
	switch k {
	case Opened, Target, Rejected, Outcome, Refused, Verdict, Closed, Operator, Wave, Tripwire, State, Proven, Repeated, Halted:
		return true
	}
	return false
}

// Record is one event of a sweep.
type Record struct {
	Seq     uint64                    // position, from 1; given by the journal when it writes
	At      time.Time                 // the sweep's clock; kept in nanoseconds, UTC
	Kind    Kind                      // decides what Code and Body hold
	Device  servicerequests.EUI       // the planned meter this belongs to; 0 if none
	Service servicerequests.Service   // 0 if none
	ID      servicerequests.RequestID // zero if none; ID.Target may differ from Device (GPF, DCC)
	Code    string
	Body    []byte // empty comes back as nil
}

// ErrHeld says that another program holds a file of the engine's: a viewer, a backup tool.
var ErrHeld = errors.New("another program has locked the file")

// Errors of a journal in a database after which its writer is the writer no more.
var (
	// ErrTaken says that another engine has gone on with the journal.
	ErrTaken = errors.New("another has gone on with this journal")
	// ErrLapsed says that the lease on the journal could not be renewed in time.
	ErrLapsed = errors.New("the lease on this journal could not be renewed")
	// ErrLacking says that the database has not what it had acknowledged.
	ErrLacking = errors.New("the database lacks what it had acknowledged")
)

// Fenced says whether another engine has gone on with the journal, or may have.
func Fenced(err error) bool { return errors.Is(err, ErrTaken) || errors.Is(err, ErrLapsed) }

// ErrInvalid marks a record that cannot be written: a kind that is not known, a
// time outside the years 1678 to 2262, a service outside the permitted set, a
// counter over 63 bits, or a typed kind without a body.
var ErrInvalid = errors.New("record cannot be written")

// Check refuses what could not be read back as it is, with [ErrInvalid].
func (r Record) Check() error {
	switch {
	case r.Kind == Made || int(r.Kind) >= len(kindNames):
		return fmt.Errorf("%w: kind %v", ErrInvalid, r.Kind)
	case r.At.Before(earliest) || r.At.After(latest):
		return fmt.Errorf("%w: %v: time %v", ErrInvalid, r.Kind, r.At)
	case r.Service != 0 && !knownService(r.Service):
		return fmt.Errorf("%w: %v: service %v", ErrInvalid, r.Kind, r.Service)
	case r.ID.Counter > servicerequests.MaxCounter:
		return fmt.Errorf("%w: %v: counter %d", ErrInvalid, r.Kind, r.ID.Counter)
	case r.Kind.typed() && len(r.Body) == 0:
		return fmt.Errorf("%w: %v without a body", ErrInvalid, r.Kind)
	}
	return nil
}

var (
	earliest = time.Unix(0, math.MinInt64)
	latest   = time.Unix(0, math.MaxInt64)
)

func knownService(s servicerequests.Service) bool {
	_, ok := s.Variant()
	return ok
}
