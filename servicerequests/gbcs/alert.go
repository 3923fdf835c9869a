package gbcs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Message codes of Alerts.
const (
	codeFutureDatedDLMS = 0x00CC
	codeFutureDatedGBZ  = 0x00CD
	codeCriticalAlert   = 0x1000
	codeAlert           = 0x1001
)

// The alert codes of a future-dated Command's outcome.
const (
	AlertFutureDatedDone    = 0x8F66
	AlertFutureDatedNotDone = 0x8F67
)

// Alert is what a device tells unasked. Codes 8Fxx are critical and signed by the
// device; all others carry a MAC.
type Alert struct {
	Code uint16
	Gas  bool      // GBZ form, by a GSME or GPF; else DLMS form, by an ESME
	At   time.Time // the device's clock, UTC, to the second; zero if the device left parts open

	// FutureDated is set in the outcome of a future-dated Command: Code is
	// AlertFutureDatedDone or AlertFutureDatedNotDone, and only then.
	FutureDated *FutureDated
}

// FutureDated names the Command whose time has come, and the part of it that was
// or was not done. ECS03 gives two Alerts, the other use cases one.
type FutureDated struct {
	Code    uint16 // the Command's message code
	Counter uint64 // the Command's originator counter

	// ESME: the attribute that was set.
	Class     uint16
	OBIS      [6]byte
	Attribute byte

	// GSME: the ZCL command that was executed.
	Cluster      uint16
	FrameControl byte
	Command      byte
}

// MessageCode returns the message code that the Alert goes under.
func (a Alert) MessageCode() uint16 {
	switch {
	case a.FutureDated != nil && a.Gas:
		return codeFutureDatedGBZ
	case a.FutureDated != nil:
		return codeFutureDatedDLMS
	case a.Critical():
		return codeCriticalAlert
	default:
		return codeAlert
	}
}

// Critical says whether the Alert is signed by the device.
func (a Alert) Critical() bool { return a.Code>>8 == 0x8F }

// Alert payloads. DLMS data-notification: 0F, 20 and the low three bytes of the
// Alert's own counter, date-time 00, structure of two or three: 12 alert code,
// 090C timestamp, 0913 what was future-dated. GBZ: 0109, number of components 00
// (01 if future-dated), alert code, timestamp (seconds since 2000, big-endian
// here alone), 0E and what was future-dated.
const (
	dataNotification = "\x0F\x20"
	gasAlert         = "\x01\x09\x00"
	gasDatedAlert    = "\x01\x09\x01"
)

// DecodeAlert reads the generic and future-dated Alerts, in both forms, to the
// last byte. Errors wrap [ErrPayload], or [ErrUnknownUseCase] for another
// message code.
func DecodeAlert(m *Message) (Alert, error) {
	var a Alert
	if m.Kind != KindAlert || m.HasDateTime {
		return a, fmt.Errorf("%w: not the form of an Alert", ErrPayload)
	}
	r := newReader(m.Payload)
	switch m.Code {
	case codeFutureDatedDLMS:
		a.readDLMS(&r, m.Counter, true)
	case codeFutureDatedGBZ:
		a.readGBZ(&r, true)
	case codeCriticalAlert, codeAlert:
		if len(m.Payload) > 0 && m.Payload[0] == dataNotification[0] {
			a.readDLMS(&r, m.Counter, false)
		} else {
			a.readGBZ(&r, false)
		}
	default:
		return a, fmt.Errorf("%w: %04X is no Alert", ErrUnknownUseCase, m.Code)
	}
	if a.FutureDated != nil && a.Code != AlertFutureDatedDone && a.Code != AlertFutureDatedNotDone {
		r.fail("alert code is no outcome of a future-dated Command")
	}
	if m.Code != a.MessageCode() || a.Critical() != (m.Signature != nil) {
		r.fail("alert code, message code and signature do not agree")
	}
	if !r.done() {
		return Alert{}, fmt.Errorf("alert %04X: %w: offset %d: %s", m.Code, ErrPayload, r.at, r.what)
	}
	return a, nil
}

func (a *Alert) readDLMS(r *reader, counter uint64, futureDated bool) {
	fields := byte(2)
	if futureDated {
		fields = 3
	}
	r.expect(dataNotification, "data-notification")
	r.invokeID(counter)
	r.expect("\x00\x02", "structure")
	r.expectByte(fields, "number of fields")
	r.expect("\x12", "alert code")
	a.Code = r.u16("alert code")
	r.expect(dateTime, "timestamp")
	if p := r.take(12, "timestamp"); p != nil {
		a.At, _ = DateTime(p).Time()
	}
	if !futureDated {
		return
	}
	r.expect("\x09\x13", "future-dated Command")
	a.FutureDated = &FutureDated{Code: r.u16("message code"), Counter: r.u64("counter"), Class: r.u16("class")}
	copy(a.FutureDated.OBIS[:], r.take(6, "OBIS"))
	a.FutureDated.Attribute = r.u8("attribute")
}

func (a *Alert) readGBZ(r *reader, futureDated bool) {
	a.Gas = true
	if futureDated {
		r.expect(gasDatedAlert, "GBZ alert")
	} else {
		r.expect(gasAlert, "GBZ alert")
	}
	a.Code = r.u16("alert code")
	a.At = zigbeeTime(r.u32("timestamp"))
	if !futureDated {
		return
	}
	r.expect("\x0E", "future-dated Command")
	a.FutureDated = &FutureDated{
		Code: r.u16("message code"), Counter: r.u64("counter"),
		Cluster: r.u16("cluster"), FrameControl: r.u8("frame control"), Command: r.u8("command"),
	}
}

// AppendAlertPayload appends the payload of an Alert that goes out under the
// device's counter and [Alert.MessageCode]. A zero At is refused.
func AppendAlertPayload(b []byte, counter uint64, a Alert) ([]byte, error) {
	if a.At.IsZero() {
		return nil, errors.New("alert without a time")
	}
	f := a.FutureDated
	if !a.Gas {
		fields := byte(2)
		if f != nil {
			fields = 3
		}
		b = append(b, dataNotification...)
		b = append(b, byte(counter>>16), byte(counter>>8), byte(counter), 0, 2, fields, 0x12, byte(a.Code>>8), byte(a.Code))
		b = append(b, dateTime...)
		at := NewDateTime(a.At, ClockUnspecified)
		b = append(b, at[:]...)
		if f != nil {
			b = append(b, 0x09, 0x13)
			b = binary.BigEndian.AppendUint16(b, f.Code)
			b = binary.BigEndian.AppendUint64(b, f.Counter)
			b = binary.BigEndian.AppendUint16(b, f.Class)
			b = append(b, f.OBIS[:]...)
			b = append(b, f.Attribute)
		}
		return b, nil
	}
	seconds, err := zigbeeSeconds(a.At)
	if err != nil {
		return nil, err
	}
	if f != nil {
		b = append(b, gasDatedAlert...)
	} else {
		b = append(b, gasAlert...)
	}
	b = binary.BigEndian.AppendUint16(b, a.Code)
	b = binary.BigEndian.AppendUint32(b, seconds)
	if f != nil {
		b = append(b, 0x0E)
		b = binary.BigEndian.AppendUint16(b, f.Code)
		b = binary.BigEndian.AppendUint64(b, f.Counter)
		b = binary.BigEndian.AppendUint16(b, f.Cluster)
		b = append(b, f.FrameControl, f.Command)
	}
	return b, nil
}
