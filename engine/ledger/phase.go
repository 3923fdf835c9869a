package ledger

import (
	"errors"
	"fmt"
)

// Phase is where a request stands. It has one of them at any time, and moves by
// [Request.Move] alone.
type Phase uint8

// The phases. Those of which [Phase.Counted] is true have an originator counter.
const (
	Behind     Phase = iota // waits for room behind its hub; not signed, no counter
	Queued                  // waits for its turn to be signed; no counter
	Signing                 // with a worker: its leg is signed, made durable and goes on to the door
	Ready                   // signed and durable; waits for its turn to be POSTed
	Posting                 // with a worker: its durable bytes are at the door
	Resting                 // signed and durable; a POST failed or is in doubt, and the same bytes go again at a time
	Prepared                // its Pre-Command is proven and waits for its turn to be signed
	Sent                    // the DCC has it; the device's answer is awaited
	Held                    // the DCC's anomaly detection holds it back
	Ended                   // it has its outcome
	PhaseCount = iota
)

var phaseNames = [PhaseCount]string{
	"behind", "queued", "signing", "ready", "posting", "resting", "prepared", "sent", "held", "ended",
}

func (p Phase) String() string { return phaseNames[p] }

// Phases lists all phases.
func Phases() (all []Phase) {
	for p := range Phase(PhaseCount) {
		all = append(all, p)
	}
	return all
}

// Waits says that a request waits in a queue of its region: to be signed or to be POSTed.
func (p Phase) Waits() bool { return p == Queued || p == Ready || p == Prepared }

// Working says that a worker has the request.
func (p Phase) Working() bool { return p == Signing || p == Posting }

// Counted says that the request has an originator counter and has not ended.
func (p Phase) Counted() bool { return p != Behind && p != Queued && p != Ended }

// Signed says that the signed bytes of the present leg are durable, or were.
func (p Phase) Signed() bool {
	return p == Ready || p == Posting || p == Resting || p == Sent || p == Held
}

// Event is what happens to a request.
type Event uint8

// The events.
const (
	Room         Event = iota // there is room behind its hub
	Sign                      // a worker is to sign this leg
	Post                      // a worker is to POST the durable bytes
	Unsigned                  // the worker signed nothing: a check came first
	Denied                    // the door let nothing pass, or the DCC put the POST off; the bytes are durable
	Doubtful                  // the POST failed or its reply was lost: the same bytes go again later
	Correlated                // Transform gave the Pre-Command that was asked for
	Acknowledged              // the DCC has taken the leg that reaches the device, or may have
	Due                       // the time to POST the same bytes again has come
	Quarantine                // the DCC says that its anomaly detection holds the request back
	End                       // it has its outcome
	EventCount   = iota
)

var eventNames = [EventCount]string{
	"room", "sign", "post", "unsigned", "denied", "doubtful", "correlated", "acknowledged", "due", "quarantine", "end",
}

func (e Event) String() string { return eventNames[e] }

// Events lists all events.
func Events() (all []Event) {
	for e := range Event(EventCount) {
		all = append(all, e)
	}
	return all
}

// move is where a request goes; ok is false where the pair cannot be.
type move struct {
	to Phase
	ok bool
}

func to(p Phase) move { return move{p, true} }

// moves is the table of the package comment. An Unsigned leg goes back to where its
// kind of leg waits, which [Request.Move] knows.
var moves = [PhaseCount][EventCount]move{
	Behind:   {Room: to(Queued), End: to(Ended)},
	Queued:   {Sign: to(Signing), End: to(Ended)},
	Signing:  {Unsigned: to(Queued), Denied: to(Ready), Doubtful: to(Resting), Correlated: to(Prepared), Acknowledged: to(Sent), End: to(Ended)},
	Ready:    {Post: to(Posting), Quarantine: to(Held), End: to(Ended)},
	Posting:  {Denied: to(Ready), Doubtful: to(Resting), Correlated: to(Prepared), Acknowledged: to(Sent), End: to(Ended)},
	Resting:  {Due: to(Ready), Quarantine: to(Held), End: to(Ended)},
	Prepared: {Sign: to(Signing), End: to(Ended)},
	Sent:     {Quarantine: to(Held), End: to(Ended)},
	Held:     {End: to(Ended)},
	Ended:    {},
}

// Possible says whether an event can happen to a request in a phase, and why not.
func Possible(p Phase, e Event) (yes bool, why string) {
	if moves[p][e].ok {
		return true, ""
	}
	switch {
	case p == Ended:
		return false, "an ended request is in no queue and with no worker; answers find its outcome"
	case e == Quarantine && p.Working():
		return false, "it is kept until the worker has come back, as an early answer is"
	case e == Quarantine && p == Held:
		return false, "it is held already, and told again"
	case e == Quarantine:
		return false, "no bytes of this leg have reached the DCC"
	case e == Room:
		return false, "it is behind its hub no more"
	case e == Sign || e == Post:
		return false, "it waits for no worker, or for the other kind of work"
	case e == Due:
		return false, "it has no time at which the same bytes go again"
	default:
		return false, "no worker has it"
	}
}

// ErrDefect marks an event that cannot happen in a request's phase: a fault of this
// program. Nothing may be sent after it.
var ErrDefect = errors.New("impossible event")

// Move takes a request to its next phase. The error wraps [ErrDefect] and names both;
// the request then stays where it is.
func (r *Request) Move(e Event) error {
	m := moves[r.Phase][e]
	if !m.ok {
		return fmt.Errorf("%w: %v of a request that is %v (SRV %v, %v)", ErrDefect, e, r.Phase, r.Service, r.ID)
	}
	if e == Unsigned && r.Leg == CommandLeg {
		m.to = Prepared
	}
	r.Phase = m.to
	return nil
}
