package dcc

import (
	"time"

	"safemode/devicesim/forbidden"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"

	"go.uber.org/zap"
)

// gbcsVersion is what Pre-Commands are labelled with (assumption).
const gbcsVersion = "4.3"

// neverFrom is the execution time that cancels a future-dated request; the
// templates have 3000-12-31T00:00:00Z.
var neverFrom = time.Date(3000, 12, 31, 0, 0, 0, 0, time.UTC)

// transform answers a critical request with its Pre-Command, null signature
// byte included.
func (d *DCC) transform(q request, t target) answer {
	preCommand, err := d.preCommand(q, t, d.stamp(d.Clock.Now()))
	if err != nil {
		d.Log.Error("request cannot be transformed", zap.Stringer("request_id", q.ID), zap.Error(err))
		return answer{}
	}
	there, _, ok := d.take(q, preCommand)
	if !ok {
		return d.refuse(q, servicerequests.DuplicateID)
	}
	payload := append(append(make([]byte, 0, len(there.preCommand)+1), there.preCommand...), 0)
	return d.signed(q, there.at, duis.PreCommand{GBCSVersion: gbcsVersion, Payload: payload}, &d.signers.transform)
}

// preCommand builds what the User is to sign; now is the issuer event id of gas.
func (d *DCC) preCommand(q request, t target, now time.Time) ([]byte, error) {
	if service, err := q.Service(); err == nil {
		return gbcs.AppendPreCommand(nil, gbcs.Expected{Service: service, Device: t.kind, ID: q.ID}, now)
	}
	c := forbidden.Command{Device: t.kind, ID: q.ID, Timing: timing(q.ExecutionDateTime)}
	switch {
	case q.SRV == "7.1":
		c.Kind = forbidden.Enable
	case q.SRV == "7.2":
		c.Kind = forbidden.Disable
	case q.Prepayment != nil:
		c.Kind = forbidden.ToPrepayment
		c.Prepayment = forbidden.Prepayment(*q.Prepayment)
	default:
		c.Kind = forbidden.ToCredit
	}
	return c.AppendPreCommand(nil, now)
}

func timing(at time.Time) forbidden.Timing {
	if !at.Before(neverFrom) {
		return forbidden.Timing{Cancel: true}
	}
	return forbidden.Timing{At: at}
}
