package ledger

import (
	"errors"
	"fmt"
)

// Phase is where a request is. It is in one phase at any time, and only [Request.Move]
// changes that.
type Phase uint8

// The phases. Those of which [Phase.Counted] is true have an originator counter.
const (
	Behind      Phase = iota // waits for room behind its hub; not signed, no counter
	Queued                   // waits for its turn to be signed; no counter
	Signing                  // a worker signs this half, makes it durable and POSTs it
	Ready                    // signed and durable; waits for its turn to be POSTed
	Posting                  // a worker POSTs its durable bytes
	Resting                  // signed and durable; a POST failed or is in doubt, and the same bytes are POSTed again later
	Prepared                 // its Pre-Command is proven and waits for its turn to be signed
	Sent                     // the DCC has it; the device's answer is awaited
	Quarantined              // the DCC's anomaly detection has quarantined it
	Ended                    // it has its outcome
	PhaseCount  = iota
)

var phaseNames = [PhaseCount]string{
	"behind", "queued", "signing", "ready", "posting", "resting", "prepared", "sent", "held", "ended",
}

func (p Phase) String() string { return phaseNames[p] }

// Waits says whether a request waits in its region's queue: to be signed or to be POSTed.
func (p Phase) Waits() bool { return p == Queued || p == Ready || p == Prepared }

// Working says whether a worker has the request.
func (p Phase) Working() bool { return p == Signing || p == Posting }

// Counted says whether the request has an originator counter and has not ended.
func (p Phase) Counted() bool { return p != Behind && p != Queued && p != Ended }

// signed says whether the signed bytes of the present half are durable, or were.
func (p Phase) signed() bool {
	return p == Ready || p == Posting || p == Resting || p == Sent || p == Quarantined
}

// Event is what happens to a request.
type Event uint8

// The events.
const (
	Room         Event = iota // there is room behind its hub
	Sign                      // a worker is to sign this half
	Post                      // a worker is to POST the durable bytes
	Unsigned                  // the worker signed nothing: a check failed before
	Denied                    // the bytes are durable, and a check or the DCC's throttling stopped the POST
	Doubtful                  // the POST failed or its reply was lost: the same bytes are POSTed again later
	Correlated                // Transform gave the Pre-Command that was asked for
	Acknowledged              // the DCC has accepted the half that reaches the device, or may have
	Due                       // the time to POST the same bytes again has come
	Quarantine                // the DCC says that its anomaly detection has quarantined the request
	End                       // it has its outcome
	EventCount   = iota
)

var eventNames = [EventCount]string{
	"room", "sign", "post", "unsigned", "denied", "doubtful", "correlated", "acknowledged", "due", "quarantine", "end",
}

func (e Event) String() string { return eventNames[e] }

// transition is the phase that an event leads to; ok is false where the event cannot happen.
type transition struct {
	to Phase
	ok bool
}

func to(p Phase) transition { return transition{p, true} }

// transitions is the table of the package comment. What Unsigned leads to depends on the
// half: see [Request.Move].
var transitions = [PhaseCount][EventCount]transition{
	Behind:      {Room: to(Queued), End: to(Ended)},
	Queued:      {Sign: to(Signing), End: to(Ended)},
	Signing:     {Unsigned: to(Queued), Denied: to(Ready), Doubtful: to(Resting), Correlated: to(Prepared), Acknowledged: to(Sent), End: to(Ended)},
	Ready:       {Post: to(Posting), Quarantine: to(Quarantined), End: to(Ended)},
	Posting:     {Denied: to(Ready), Doubtful: to(Resting), Correlated: to(Prepared), Acknowledged: to(Sent), End: to(Ended)},
	Resting:     {Due: to(Ready), Quarantine: to(Quarantined), End: to(Ended)},
	Prepared:    {Sign: to(Signing), End: to(Ended)},
	Sent:        {Quarantine: to(Quarantined), End: to(Ended)},
	Quarantined: {End: to(Ended)},
	Ended:       {},
}

// Possible says whether an event can happen to a request in a phase, and why not.
func Possible(p Phase, e Event) (yes bool, why string) {
	if transitions[p][e].ok {
		return true, ""
	}
	switch {
	case p == Ended:
		return false, "an ended request is in no queue and with no worker; a late answer finds its outcome"
	case e == Quarantine && p.Working():
		return false, "the event is kept until the worker is done, like an early answer"
	case e == Quarantine && p == Quarantined:
		return false, "it is quarantined already"
	case e == Quarantine:
		return false, "no bytes of this half have reached the DCC"
	case e == Room:
		return false, "it does not wait for room behind its hub any more"
	case e == Sign || e == Post:
		return false, "it waits for no worker, or for the other kind of work"
	case e == Due:
		return false, "no time is set at which the same bytes are POSTed again"
	default:
		return false, "no worker has it"
	}
}

// errDefect is the error for an event that cannot happen in a request's phase. It is a fault
// of this program, and nothing may be sent after it.
var errDefect = errors.New("impossible event")

// Move brings a request to the phase that follows from an event. An error wraps [errDefect]
// and names phase and event; the request then stays in its phase.
func (r *Request) Move(e Event) error {
	m := transitions[r.Phase][e]
	if !m.ok {
		return fmt.Errorf("%w: %v of a request that is %v (SRV %v, %v)", errDefect, e, r.Phase, r.Service, r.ID)
	}
	if e == Unsigned && r.Half == SecondHalf {
		m.to = Prepared
	}
	r.Phase = m.to
	return nil
}
