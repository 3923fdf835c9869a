package sweep

import (
	"time"

	"safemode/engine/gateway"
	"safemode/engine/proof"
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
	asked        []byte        // of the first leg, until the second one's exist
	body         []byte        // the signed bytes of this leg from when they exist until they are acknowledged; only these are POSTed again
	resends      int
	reached      bool            // the DCC may have this leg's bytes
	acknowledged bool            // the DCC has taken the leg that reaches the device
	unproven     bool            // an answer came that could not be proven
	queued       bool            // in a queue, behind its hub, or with a worker
	rank         rank            // in its lane
	place        int             // in the lane's queue; nowhere if it is in none
	retry        bool            // its service was asked of this meter before, and not answered
	after        bool            // asked of a meter that has its verdict
	working      bool            // with a worker
	from         uint64          // the last record that was queued when the worker got it
	quarantine   string          // event reference under which the DCC holds it back; empty if it does not
	early        *proof.Delivery // an answer that came while a worker had it
	closed       bool            // ended while it was in a queue

	askedAt  time.Time // its first dispatch by this process
	postedAt time.Time // this leg's first dispatch
	deadline time.Time // when silence ends it; zero while nothing has reached the DCC
	retryAt  time.Time // when the same bytes are POSTed again; zero if not
}

// sent says whether the current leg's bytes were ever handed to the gateway.
func (r *request) sent() bool { return r.body != nil || r.acknowledged }

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

// leave is what the pacer is asked for the current leg.
func (r *request) leave() Leave {
	return Leave{
		Originator: r.id.Originator, Region: r.meter.target.Region, Endpoint: r.endpoint(),
		Service: r.service, Signed: r.leg == commandLeg,
	}
}

// urgent says whether a leg goes before others: what has begun, and 7.3, whose
// read must not grow old. What is asked after a verdict never does.
func (r *request) urgent() bool {
	return !r.after && (r.leg == commandLeg || r.body != nil || r.service == servicerequests.ArmSupply)
}
