package gbcs

import (
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
	case codeFutureDatedDLMS, codeFutureDatedGBZ:
		a.Gas, a.FutureDated = m.Code == codeFutureDatedGBZ, &FutureDated{}
	case codeCriticalAlert, codeAlert:
		a.Gas = len(m.Payload) == 0 || m.Payload[0] != dataNotification[0]
	default:
		return a, fmt.Errorf("%w: %04X is no Alert", ErrUnknownUseCase, m.Code)
	}
	a.layout(&layout{r: &r}, m.Counter)
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

func (a *Alert) dlms(l *layout, counter uint64) {
	fields, f := byte(2), a.FutureDated
	if f != nil {
		fields = 3
	}
	l.fixed(dataNotification, "data-notification")
	l.invokeID(counter)
	l.fixed("\x00\x02", "structure")
	l.one(fields, "number of fields")
	l.fixed("\x12", "alert code")
	l.u16(&a.Code, "alert code")
	l.fixed(dateTime, "timestamp")
	at := NewDateTime(a.At, ClockUnspecified)
	if l.bytes(at[:], "timestamp"); !l.writes() {
		a.At, _ = at.Time()
	}
	if f != nil {
		l.fixed("\x09\x13", "future-dated Command")
		l.u16(&f.Code, "message code")
		l.u64(&f.Counter, "counter")
		l.u16(&f.Class, "class")
		l.bytes(f.OBIS[:], "OBIS")
		l.u8(&f.Attribute, "attribute")
	}
}

func (a *Alert) gbz(l *layout) {
	head, f := gasAlert, a.FutureDated
	if f != nil {
		head = gasDatedAlert
	}
	l.fixed(head, "GBZ alert")
	l.u16(&a.Code, "alert code")
	var seconds uint32
	if l.writes() {
		var err error
		if seconds, err = zigbeeSeconds(a.At); err != nil {
			l.fail("%w", err)
		}
	}
	if l.u32(&seconds, "timestamp"); !l.writes() {
		a.At = zigbeeTime(seconds)
	}
	if f != nil {
		l.fixed("\x0E", "future-dated Command")
		l.u16(&f.Code, "message code")
		l.u64(&f.Counter, "counter")
		l.u16(&f.Cluster, "cluster")
		l.u8(&f.FrameControl, "frame control")
		l.u8(&f.Command, "command")
	}
}

// AppendAlertPayload appends the payload of an Alert that goes out under the
// device's counter and [Alert.MessageCode]. A zero At is refused.
func AppendAlertPayload(b []byte, counter uint64, a Alert) ([]byte, error) {
	if a.At.IsZero() {
		return nil, errors.New("alert without a time")
	}
	l := layout{out: b}
	if a.layout(&l, counter); l.wrong != nil {
		return nil, l.wrong
	}
	return l.out, nil
}

func (a *Alert) layout(l *layout, counter uint64) {
	if a.Gas {
		a.gbz(l)
	} else {
		a.dlms(l, counter)
	}
}
