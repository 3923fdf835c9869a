package sweep

import (
	"time"

	"safemode/engine/gateway"
	"safemode/engine/signer"
	"safemode/servicerequests"
)

// leg is one of the two POSTs a request may need.
type leg uint8

const (
	askLeg     leg = iota // the Service Request: a read, an inventory, or the Transform of a command
	commandLeg            // the Signed Pre-Command of a critical request
)

// request is an open Service Request. The dispatcher owns it; a worker gets a
// [job] with what one leg needs.
type request struct {
	meter   *meter
	service servicerequests.Service
	id      servicerequests.RequestID // Counter is 0 until the first leg is dispatched
	attempt int

	leg          leg
	token        *signer.Token // between the legs
	body         []byte        // the signed bytes of this leg once they exist; only these are POSTed again
	resends      int
	acknowledged bool // the DCC has taken the leg that reaches the device
	unproven     bool // an answer came that could not be proven
	queued       bool // in a queue or with a worker
	closed       bool // ended while a worker still had it

	openedAt time.Time
	postedAt time.Time // the last leg's first dispatch
	deadline time.Time // when silence ends it; zero while nothing has reached the DCC
	retryAt  time.Time // when the same bytes are POSTed again; zero if not
}

// endpoint is the DCC service that the current leg goes to.
func (r *request) endpoint() gateway.Service {
	switch {
	case r.service == servicerequests.ReadInventory:
		return gateway.NonDevice
	case r.service.Critical() && r.leg == askLeg:
		return gateway.Transform
	default:
		return gateway.SendCommand
	}
}

// urgent says whether a leg goes before others: what has begun, and 7.3, whose
// read must not grow old.
func (r *request) urgent() bool {
	return r.leg == commandLeg || r.body != nil || r.service == servicerequests.ArmSupply
}
