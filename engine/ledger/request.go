package ledger

import (
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Half is one of the two halves of a request, each with its own POST. Reads and inventories
// have only the first half.
type Half uint8

// The halves.
const (
	FirstHalf  Half = iota // the Service Request: a read, an inventory, or the Transform of a command
	SecondHalf             // the Signed Pre-Command of a critical request
)

// Request is one open Service Request to a meter.
type Request struct {
	Service servicerequests.Service
	ID      servicerequests.RequestID // Counter is 0 while it waits to be signed for the first time
	Attempt int                       // from 1, of this service on this meter
	Phase   Phase
	Half    Half

	Body     []byte // the signed bytes of this half while they may be POSTed (again); else nil
	Asked    []byte // those of the first half while the second is not signed
	Reached  bool   // the DCC may have this half's bytes
	Unproven bool   // an answer came that could not be proven
	Retry    bool   // its service was asked of this meter before, and not answered
	After    bool   // made for a meter that has its verdict
	Event    string // the DCC's event reference while it is Quarantined

	AskedAt  time.Time // when its first half was signed
	PostedAt time.Time // when this half was signed
	SentAt   time.Time // of Sent: since when an answer is awaited
	Deadline time.Time // of Sent: when it ends without an answer
	RetryAt  time.Time // of Resting: when the same bytes are POSTed again

	Tag any // the caller's data; the ledger does not read it
}

// Endpoint is the DCC's service that the present half is POSTed to.
func (r *Request) Endpoint() record.Endpoint {
	switch {
	case r.Service == servicerequests.ReadInventory:
		return record.NonDevice
	case r.Service.Critical() && r.Half == FirstHalf:
		return record.Transform
	default:
		return record.SendCommand
	}
}

// unsent says whether the present half has not been sent yet: it waits for its turn, or a
// worker has it.
func (r *Request) unsent() bool { return r.Phase == Behind || r.Phase.Waits() || r.Phase.Working() }

// Command says whether the present half is a command that a meter carries out.
func (r *Request) Command() bool { return r.Half == SecondHalf }

// Answerable says whether a device may have answered it: the half that reaches the device is
// signed.
func (r *Request) Answerable() bool {
	return r.Phase.signed() && (!r.Service.Critical() || r.Half == SecondHalf)
}
