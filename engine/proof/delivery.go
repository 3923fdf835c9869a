package proof

import (
	"context"
	"errors"
	"fmt"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// Delivery is a proven asynchronous message. Exactly one of Result, Alert and
// DCCAlert is set, or none: then the DCC says by Code that no answer came.
type Delivery struct {
	ID     servicerequests.RequestID // of the request it answers; zero for alerts
	Device servicerequests.EUI       // that answers or alerts, or was asked; 0 for DCC Alerts
	Code   servicerequests.ResponseCode
	At     time.Time // by the DCC's clock
	Signed bool      // false: it may steer waiting and retries, nothing else
	SRV    string    // like 6.2.9; empty for alerts

	Message  *gbcs.Message // of Result and Alert
	Result   *gbcs.Response
	Alert    *gbcs.Alert
	DCCAlert *duis.DCCAlert
}

// Delivery proves a message that was delivered to the inbox. ctx bounds asking for a
// device's keys.
func (v *Verifier) Delivery(ctx context.Context, raw []byte) (Delivery, error) {
	o, err := v.read(raw)
	if err != nil {
		return Delivery{}, err
	}
	d := Delivery{
		Code: o.Code, At: o.At, Signed: o.signed, SRV: o.SRV,
	}
	if o.Content == nil {
		err = v.noAnswer(o, &d)
	} else if !o.signed {
		err = o.fault(ErrUnverified, errors.New("data without a signature"))
	} else {
		switch c := o.Content.(type) {
		case duis.DeviceResponse:
			err = v.result(ctx, o, c.Payload, &d)
		case duis.DeviceAlert:
			err = v.alert(ctx, o, c.Code, c.Payload, &d)
		case duis.FutureDatedAlert:
			err = v.alert(ctx, o, c.Code, c.Payload, &d)
		case duis.DCCAlert:
			if o.s1sp != nil {
				err = o.other(record.OtherS1SP, o.s1sp)
			}
			d.DCCAlert = &c
		case duis.Other:
			if o.s1sp != nil {
				err = o.other(record.OtherSMETS1, o.s1sp)
			} else {
				err = o.other(record.OtherService, fmt.Errorf("it carries a %s", c.Element))
			}
		default:
			err = o.fault(ErrInvalid, fmt.Errorf("%T is not delivered to an inbox", c))
		}
	}
	if err != nil {
		return Delivery{}, err
	}
	return d, nil
}

// otherIdentity is the error for a message that is for another of the User's identities.
func (o outer) otherIdentity(err error) error {
	if o.signed {
		return o.other(record.OtherIdentity, err)
	}
	return o.fault(ErrUnverified, err)
}

// noAnswer reads a message without data: the DCC could not reach the device or got no answer.
func (v *Verifier) noAnswer(o outer, d *Delivery) error {
	switch o.Code.Class() {
	case servicerequests.CodeSuccess, servicerequests.CodeAcknowledged:
		return o.fault(ErrUnverified, fmt.Errorf("code %s without data", o.Code))
	case servicerequests.CodeUnreachable, servicerequests.CodeNoResponse:
	default:
		if !o.signed {
			return o.fault(ErrUnverified, fmt.Errorf("code %s without a signature", o.Code))
		}
	}
	if o.RequestID == (servicerequests.RequestID{}) {
		return o.fault(ErrInvalid, errors.New("it names no request"))
	}
	if _, ok := v.agreements[o.RequestID.Originator]; !ok {
		return o.otherIdentity(fmt.Errorf("it answers %s, which is none of ours", o.RequestID))
	}
	d.ID, d.Device = o.RequestID, o.RequestID.Target
	return nil
}

// result proves a device's response.
func (v *Verifier) result(ctx context.Context, o outer, payload []byte, d *Delivery) error {
	m, err := gbcs.Parse(payload)
	if err != nil {
		return o.fault(ErrInvalid, err)
	}
	useCase, ok := gbcs.LookupUseCase(m.Code)
	switch {
	case m.Kind != gbcs.KindResponse:
		return o.fault(ErrUnverified, fmt.Errorf("a %v where a response belongs", m.Kind))
	case !ok:
		return o.other(record.OtherUseCase, fmt.Errorf("%w: %04X", gbcs.ErrUnknownUseCase, m.Code))
	case o.Code.Class() != servicerequests.CodeSuccess:
		return o.fault(ErrUnverified, fmt.Errorf("a device's response with code %s", o.Code))
	case m.ID().Reversed() != o.RequestID:
		return o.fault(ErrUnverified, fmt.Errorf("the XML answers %s, the message in it %s", o.RequestID, m.ID().Reversed()))
	case o.ResponseID != servicerequests.RequestID{} && o.ResponseID != m.ID():
		return o.fault(ErrUnverified, fmt.Errorf("its Response ID is %s, the message's %s", o.ResponseID, m.ID()))
	case useCase.SRV != o.SRV:
		return o.fault(ErrUnverified, fmt.Errorf("the XML answers SRV %s, the message in it is %s", o.SRV, useCase))
	case useCase.Critical != (m.Signature != nil):
		return o.fault(ErrUnverified, fmt.Errorf("%s with the wrong protection", useCase))
	}
	if err := v.prove(ctx, o, m, gbcs.ModeResponse); err != nil {
		return err
	}
	result, err := gbcs.DecodeResponse(m)
	if err != nil {
		return o.fault(ErrInvalid, err)
	}
	d.ID, d.Device, d.Message, d.Result = o.RequestID, m.Originator, m, &result
	return nil
}

// alert proves a device's alert.
func (v *Verifier) alert(ctx context.Context, o outer, code uint16, payload []byte, d *Delivery) error {
	m, err := gbcs.Parse(payload)
	if err != nil {
		return o.fault(ErrInvalid, err)
	}
	if !gbcs.Decodes(m.Code) {
		return o.other(record.OtherForm, fmt.Errorf("alert %04X under message code %04X", code, m.Code))
	}
	alert, err := gbcs.DecodeAlert(m)
	if err != nil {
		return o.fault(ErrInvalid, err)
	}
	if alert.Code != code {
		return o.fault(ErrUnverified, fmt.Errorf("the XML says alert %04X, the message in it %04X", code, alert.Code))
	}
	if err := v.prove(ctx, o, m, gbcs.ModeAlert); err != nil {
		return err
	}
	d.Device, d.Message, d.Alert = m.Originator, m, &alert
	return nil
}

// prove checks the device's signature, or the MAC between it and the originator that the
// message is addressed to, under every key of the device that is in use. If all known keys
// fail, they are asked for again, because the device may have new ones.
func (v *Verifier) prove(ctx context.Context, o outer, m *gbcs.Message, mode gbcs.Mode) error {
	if _, ok := v.agreements[m.Target]; !ok {
		return o.otherIdentity(fmt.Errorf("it is addressed to %s, which is none of ours", m.Target))
	}
	keys, err := v.devices.Keys(ctx, m.Originator)
	if err != nil {
		return o.fault(ErrUndecided, err)
	}
	failure := v.check(ctx, m, keys, mode)
	if failure == nil {
		return nil
	}
	if errors.Is(failure, errUnchecked) {
		return o.fault(ErrUndecided, fmt.Errorf("%s: %w", m.Originator, failure))
	}
	if !keys.Fresh {
		keys, err := v.devices.Refresh(ctx, m.Originator)
		if err != nil {
			return o.fault(ErrUndecided, fmt.Errorf("%s: %w, and %w", m.Originator, failure, err))
		}
		if failure = v.check(ctx, m, keys, mode); failure == nil {
			return nil
		}
		if !keys.Fresh { // somebody had asked before: perhaps before the device's keys changed
			return o.fault(ErrUndecided, fmt.Errorf("%s: %w", m.Originator, failure))
		}
	}
	return o.fault(ErrUnverified, fmt.Errorf("%s: %w", m.Originator, failure))
}

// errUnchecked means that our own key could not be used. It says nothing about the message.
var errUnchecked = errors.New("the MAC could not be checked")

// check verifies a message under keys, one after the other. The error is that of the newest
// key.
func (v *Verifier) check(ctx context.Context, m *gbcs.Message, keys DeviceKeys, mode gbcs.Mode) error {
	var failures []error
	if m.Signature != nil {
		for _, key := range keys.DigitalSignature {
			err := m.VerifySignature(key)
			if err == nil {
				return nil
			}
			failures = append(failures, err)
		}
	} else {
		for _, key := range keys.KeyAgreement {
			aes, err := v.agreements[m.Target].DeriveKey(ctx, key, gbcs.KeyInfo{Mode: mode, Originator: m.Originator, Counter: m.Counter, Target: m.Target})
			if err != nil {
				return fmt.Errorf("%w: %w", errUnchecked, err)
			}
			err = m.VerifyMAC(aes)
			if err == nil {
				return nil
			}
			failures = append(failures, err)
		}
	}
	if len(failures) == 0 {
		return errors.New("there is no key for it")
	}
	return failures[0]
}
