package dcc

import (
	"bytes"
	"crypto/ecdsa"
	"fmt"
	"time"

	"safemode/devicesim/fault"
	"safemode/devicesim/history"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"

	"go.uber.org/zap"
)

// sendRead accepts a read and sends it to its device.
func (d *DCC) sendRead(q request, t target) answer {
	if q.SRV == readPrepayValues {
		return d.accept(q, t, appendPrepayRead(nil, q, t.kind), nil)
	}
	service, err := q.Service()
	if err != nil {
		return d.refuse(q, servicerequests.WrongVariant)
	}
	inner, err := gbcs.AppendRead(nil, gbcs.Expected{Service: service, Device: t.kind, ID: q.ID})
	if err != nil {
		return d.refuse(q, servicerequests.TypeMismatch)
	}
	return d.accept(q, t, inner, nil)
}

// sendSigned accepts a Signed Pre-Command if it is what Transform gave under
// the Request ID and the User has signed it.
func (d *DCC) sendSigned(q request, t target) answer {
	m, err := gbcs.Parse(q.SignedPreCommand)
	if err != nil || m.Kind != gbcs.KindSignedPreCommand {
		return d.refuse(q, servicerequests.InvalidFormat)
	}
	transformed, ok := d.taken.Get(half{id: q.ID})
	unsigned := q.SignedPreCommand[:len(q.SignedPreCommand)-signatureField]
	if !ok || transformed.preCommand == nil || !bytes.Equal(unsigned, transformed.preCommand) {
		return d.refuse(q, servicerequests.OutOfOrder)
	}
	if err := m.VerifySignature(q.user.DigitalSigning.PublicKey); err != nil {
		return d.refuse(q, servicerequests.InvalidFormat)
	}
	return d.accept(q, t, m.Inner(), q.user.DigitalSigning.PublicKey)
}

// signatureField is the length of a signature with its length byte.
const signatureField = 1 + 64

// accept acknowledges a message for a device and sends it on, unless it is under
// way already. signedBy is the key of its verified signature, if it has one.
func (d *DCC) accept(q request, t target, inner []byte, signedBy *ecdsa.PublicKey) answer {
	message, err := d.addMAC(q.ID, inner)
	if err != nil {
		d.Log.Error("command has no MAC", zap.Stringer("request_id", q.ID), zap.Error(err))
		return answer{}
	}
	there, first, ok := d.take(q, nil)
	if !ok {
		return d.refuse(q, servicerequests.DuplicateID)
	}
	acknowledged := d.unsigned(q, servicerequests.Acknowledged, there.at)
	if !first {
		d.metrics.duplicates.Add(1)
		return acknowledged
	}
	d.History.Accept(q.ID.Target, history.Accepted{Counter: q.ID.Counter, SRV: q.Variant.SRV, At: history.At(there.at)})
	e := &exchange{request: q, target: t, message: message, signedBy: signedBy, accepted: there.at, taken: time.Now()}
	e.raw = nil // not needed any more, and held for as long as a gas meter sleeps
	if d.holdBack(e) {
		return acknowledged
	}
	e.fate = d.Line.Fate(q.ID, q.SRV)
	if e.fate.Lie == fault.LateAcknowledgement {
		e.gone = make(chan struct{})
		acknowledged.after = e.gone
	}
	d.dispatch(e)
	acknowledged.broken = e.fate.AcknowledgementLost
	return acknowledged
}

// addMAC turns a message into the Command that the device gets, as the Access
// Control Broker does.
func (d *DCC) addMAC(id servicerequests.RequestID, inner []byte) ([]byte, error) {
	secret, err := d.Meters.BrokerSecret(id.Target)
	if err != nil {
		return nil, fmt.Errorf("secret with %s: %w", id.Target, err)
	}
	key := gbcs.DeriveKeyFromSecret(secret, gbcs.ModeCommand, id.Originator, id.Counter, id.Target)
	return gbcs.AppendMAC(make([]byte, 0, len(inner)+32), inner, id.Originator, key), nil
}
