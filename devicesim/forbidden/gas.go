package forbidden

import (
	"encoding/binary"
	"math"
	"time"
)

// GBZ payloads up to the issuer event id: profile, one component, cluster,
// length, ZCL frame, provider 0.
const (
	changePaymentMode = "\x01\x09\x01\x01\x07\x05\x00\x15\x01\x00\x06\x00\x00\x00\x00"
	changeSupply      = "\x01\x09\x01\x01\x07\x02\x00\x15\x01\x00\x0B\x00\x00\x00\x00"

	supplyOff       = 0x00
	askForAnswer    = 0x01
	creditControl   = 0x0C94
	leaveCutOff     = math.MaxUint32
	cancelsWhatIsIn = math.MaxUint32
)

func (c Command) gas(eventTime time.Time) []byte {
	if c.Kind == Disable {
		b := binary.LittleEndian.AppendUint32([]byte(changeSupply), seconds(eventTime))
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // asked for at, implemented at: now
		return append(b, supplyOff, askForAnswer)
	}
	control, cutOff := uint16(creditControl), uint32(leaveCutOff)
	if c.Kind == ToPrepayment {
		control, cutOff = c.Prepayment.control(), uint32(c.Prepayment.DisablementThreshold)
	}
	b := binary.LittleEndian.AppendUint32([]byte(changePaymentMode), seconds(eventTime))
	b = binary.LittleEndian.AppendUint32(b, c.Timing.implementation())
	b = binary.LittleEndian.AppendUint16(b, control)
	return binary.LittleEndian.AppendUint32(b, cutOff)
}

// control is the payment control configuration of prepayment (GBCS use case
// table; checked against the GCS03 templates).
func (p Prepayment) control() uint16 {
	switch {
	case p.SuspendDebtEmergency && p.SuspendDebtDisabled:
		return 0x0497
	case p.SuspendDebtEmergency:
		return 0x0097
	case p.SuspendDebtDisabled:
		return 0x0C97
	default:
		return 0x0897
	}
}

func (t Timing) implementation() uint32 {
	switch {
	case t.Cancel:
		return cancelsWhatIsIn
	case t.At.IsZero():
		return 0
	}
	return seconds(t.At)
}
