package ledger

import (
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Leg is one of the two POSTs that a request may need.
type Leg uint8

// The legs.
const (
	AskLeg     Leg = iota // the Service Request: a read, an inventory, or the Transform of a command
	CommandLeg            // the Signed Pre-Command of a critical request
)

// Request is one open Service Request to a meter.
type Request struct {
	Service servicerequests.Service
	ID      servicerequests.RequestID // Counter is 0 while it waits to be signed for the first time
	Attempt int                       // from 1, of this service on this meter
	Phase   Phase
	Leg     Leg

	Body     []byte // the signed bytes of this leg while they may be POSTed (again); else nil
	Asked    []byte // those of the first leg while the second is not signed
	Reached  bool   // the DCC may have this leg's bytes
	Unproven bool   // an answer came that could not be proven
	Retry    bool   // its service was asked of this meter before, and not answered
	After    bool   // asked of a meter that has its verdict
	Event    string // the DCC's event reference while it is Held

	AskedAt  time.Time // its first leg was signed
	PostedAt time.Time // this leg's bytes were signed
	Deadline time.Time // of Sent: when silence ends it
	RetryAt  time.Time // of Resting: when the same bytes go again

	Tag any // whoever drives the ledger keeps its own here; the ledger does not look at it
}

// Endpoint is the DCC's service that the present leg goes to.
func (r *Request) Endpoint() record.Endpoint {
	switch {
	case r.Service == servicerequests.ReadInventory:
		return record.NonDevice
	case r.Service.Critical() && r.Leg == AskLeg:
		return record.Transform
	default:
		return record.SendCommand
	}
}

// underWay says whether the present leg is on its way to the DCC: it waits for its turn,
// or a worker has it.
func (r *Request) underWay() bool { return r.Phase == Behind || r.Phase.Waits() || r.Phase.Working() }

// Command says that the bytes of the present leg are a command that a meter carries out.
func (r *Request) Command() bool { return r.Leg == CommandLeg }

// Answerable says whether a device's answer to it can be: the leg that reaches the device
// is signed.
func (r *Request) Answerable() bool {
	return r.Phase.Signed() && (!r.Service.Critical() || r.Leg == CommandLeg)
}
