package meter

import (
	"fmt"
	"time"

	"safemode/servicerequests/gbcs"
)

// Dated is a 1.6 that a device keeps until its time comes.
type Dated struct {
	gbcs.Command
	Counter uint64 // originator counter of the Command
}

// Outcome is an Alert that tells what became of a part of a dated 1.6.
type Outcome struct {
	Code    uint16 // gbcs.AlertFutureDatedDone or gbcs.AlertFutureDatedNotDone
	Message []byte
}

// Message codes of the use cases of 1.6.
const (
	codeECS02 = 0x001A
	codeECS03 = 0x001B
)

// parts names what the Alerts of a dated 1.6 tell of, an Alert for each (read off
// the DCC's test data): the attribute with the activation time, of the threshold
// and of the account; the ZCL command of a gas meter.
func (c Dated) parts() []gbcs.FutureDated {
	account := gbcs.FutureDated{Class: 111, OBIS: [6]byte{0, 1, 19, 0, 0, 255}, Attribute: 13}
	threshold := gbcs.FutureDated{Class: 9000, OBIS: [6]byte{0, 0, 94, 44, 128, 22}, Attribute: 6}
	switch c.UseCase.Code {
	case codeECS02:
		return []gbcs.FutureDated{account}
	case codeECS03:
		return []gbcs.FutureDated{threshold, account}
	}
	return []gbcs.FutureDated{{Cluster: 0x0705, FrameControl: 1, Command: 6}}
}

// CarryOut carries out a kept Command at time now of the device's clock. It returns
// the Alerts that report the outcome, in order, and those that the change itself
// raises. A supplier that the device does not know gets none. The error is a fault
// of the simulator itself.
func (d *Devices) CarryOut(t Target, c Dated, now time.Time, f Fault) (outcome []Outcome, alerts []AlertCode, err error) {
	failed := f.HardwareFailure || f.PartialModeChange
	if !failed || f.Applied {
		_, alerts = change(t.Meter, c.Command, now, d.Behaviour)
	}
	if _, known := d.Suppliers[t.Meter.Supplier]; !known {
		return nil, nil, nil
	}
	parts := c.parts()
	for i, part := range parts {
		code := uint16(gbcs.AlertFutureDatedDone)
		// As when it fails at once: the last part is the one that takes effect.
		if f.HardwareFailure || f.PartialModeChange && i == len(parts)-1 {
			code = gbcs.AlertFutureDatedNotDone
		}
		part.Code, part.Counter = c.UseCase.Code, c.Counter
		message, err := d.alert(t, gbcs.Alert{Code: code, At: now, FutureDated: &part})
		if err != nil {
			return nil, nil, err
		}
		outcome = append(outcome, Outcome{code, message})
	}
	return outcome, alerts, nil
}

// alert makes an Alert to the meter's supplier under the device's next own counter.
func (d *Devices) alert(t Target, a gbcs.Alert) ([]byte, error) {
	a.Gas = t.gas()
	t.Meter.AlertCounter++
	h := gbcs.Header{
		CRA: gbcs.CRAAlert, Counter: uint64(t.Meter.AlertCounter),
		Originator: t.eui(), Target: t.Meter.Supplier, Code: a.MessageCode(),
	}
	payload, err := gbcs.AppendAlertPayload(nil, h.Counter, a)
	if err != nil {
		return nil, fmt.Errorf("%v raises alert %04X: %w", t.eui(), a.Code, err)
	}
	return d.seal(t, h, payload, a.Critical())
}
