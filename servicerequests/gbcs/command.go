package gbcs

import (
	"errors"
	"fmt"
	"time"

	"safemode/servicerequests"
)

// ErrPayload marks a payload that is not, to its last byte, one of the use case
// that its message code names, or a message of a form the use case does not have.
var ErrPayload = errors.New("not a payload of its use case")

// When says when a Command takes effect.
type When uint8

// The times of effect.
const (
	Immediate When = iota + 1
	AtTime         // future-dated: at Command.At
	Cancel         // cancels a future-dated Command
)

var whenNames = [...]string{"unknown", "immediate", "at_time", "cancel"}

func (w When) String() string {
	if int(w) < len(whenNames) {
		return whenNames[w]
	}
	return fmt.Sprintf("invalid(%d)", uint8(w))
}

// Command is what a Command, Pre-Command or Signed Pre-Command tells the device.
type Command struct {
	UseCase UseCase
	When    When
	At      time.Time // if AtTime; UTC

	// IssuedAt is the issuer event id of GCS02, GCS03, GCS39 and GCS32: the DCC's
	// clock, UTC.
	IssuedAt time.Time

	// The rest is for 1.6 only.
	Mode                 servicerequests.PaymentMode
	TwinElement          bool // ECS02, ECS03
	SuspendDebtEmergency bool // Prepayment only, as the next two
	SuspendDebtDisabled  bool
	DisablementThreshold servicerequests.Millipence
}

// DecodeCommand reads a Command, Signed Pre-Command or Pre-Command of any use
// case in the table, the forbidden ones too, and accounts for every byte. Errors
// wrap [ErrUnknownUseCase] or [ErrPayload].
func DecodeCommand(m *Message) (Command, error) {
	var c Command
	u, ok := LookupUseCase(m.Code)
	if !ok {
		return c, fmt.Errorf("%w: %04X", ErrUnknownUseCase, m.Code)
	}
	switch {
	case m.CRA != CRACommand:
		return c, fmt.Errorf("%s: %w: it is no Command", u.Name, ErrPayload)
	case m.HasDateTime:
		return c, fmt.Errorf("%s: %w: a Command has no date-time", u.Name, ErrPayload)
	case !u.Critical && m.Kind == KindSignedPreCommand, m.Kind == KindCommand && u.Critical != (m.Signature != nil):
		return c, fmt.Errorf("%s: %w: signature", u.Name, ErrPayload)
	}
	c.UseCase, c.When = u, Immediate
	r := newReader(m.Payload)
	if u.Device == esme {
		r.expect(accessRequest, "access request")
		r.invokeID(m.Counter)
	}
	c.read(&r, m.Header)
	if !r.done() {
		return Command{}, payloadError(&u, &r)
	}
	return c, nil
}

func payloadError(u *UseCase, r *reader) error {
	return fmt.Errorf("%s: %w: offset %d: %s", u.Name, ErrPayload, r.at, r.what)
}

// invokeID reads the low three bytes of the counter.
func (r *reader) invokeID(counter uint64) {
	p := r.take(3, "invoke id")
	if p != nil && uint64(p[0])<<16|uint64(p[1])<<8|uint64(p[2]) != counter&0xFF_FFFF {
		r.fail("invoke id is not the low three bytes of the counter")
	}
}

func (c *Command) read(r *reader, h Header) {
	switch h.Code {
	case codeECS02, codeECS03:
		c.readAccount(r)
	case codeECS42:
		readScript(r, 51)
	case codeECS43:
		readScript(r, 52)
	case codeECS44:
		readScript(r, 54)
	case codeECS19:
		readProtectedRequest(r, h)
	case codeGCS02, codeGCS03:
		c.readChangePaymentMode(r)
	case codeGCS32:
		c.readChangeSupply(r, 0)
	case codeGCS39:
		c.readChangeSupply(r, 1)
	case codeGCS14:
		r.expect(gasPrepayGets, "attributes")
	default:
		t, _ := templateOf(h.Code)
		if t.insert == nothing { // of the others the invoke id has been read
			r.expect(t.head, "command")
		}
		r.expect(t.tail, "command")
	}
}

// readScript reads the script that the ESME is to run: 51 remote enable, 52
// remote disable, 54 remote arm. It is all that tells the three apart.
func readScript(r *reader, want byte) {
	r.expect(runScript, "script")
	r.expectByte(want, "script number")
}

// toPrepayment is an ECS03 payload from after the invoke id up to the threshold.
const toPrepayment = "\x00\x05" +
	set + passiveAccount + "\x02" +
	set + disablementSetting + "\x04" +
	set + passiveAccount + "\x0B" +
	set + disablementSetting + "\x06" +
	set + passiveAccount + "\x0D" +
	"\x05\x02\x02\x16\x02\x16\x01\x05"

const disablementSetting = "\x23\x28\x00\x00\x5E\x2C\x80\x16" // 9000 0-0:94.44.128.22

func (c *Command) readAccount(r *reader) {
	c.Mode = servicerequests.Credit
	if c.UseCase.Code == codeECS03 {
		c.Mode = servicerequests.Prepayment
		r.expect(toPrepayment, "account settings")
		c.DisablementThreshold = servicerequests.Millipence(int32(r.u32("disablement threshold")))
	} else {
		r.expect(toCredit, "account settings")
	}
	a := readAccountConfiguration(r)
	if a.Mode != c.Mode {
		r.fail("credit and charge pairs are not those of the payment mode")
	}
	c.TwinElement = a.TwinElement
	c.SuspendDebtEmergency, c.SuspendDebtDisabled = a.SuspendDebtEmergency, a.SuspendDebtDisabled
	c.When, c.At = readActivation(r)
	if c.Mode == servicerequests.Prepayment {
		// The threshold and the account each have a time of their own.
		if when, at := readActivation(r); when != c.When || !at.Equal(c.At) {
			r.fail("activation times differ")
		}
	}
}

func readActivation(r *reader) (When, time.Time) {
	r.expect(dateTime, "activation time")
	p := r.take(12, "activation time")
	switch {
	case p == nil:
		return 0, time.Time{}
	case string(p) == immediately:
		return Immediate, time.Time{}
	case string(p) == never:
		return Cancel, time.Time{}
	}
	d := DateTime(p)
	t, ok := d.Time()
	if !ok || d[8] != 0 || d.ClockStatus() != ClockUnspecified {
		r.fail("activation time is no instant")
	}
	return AtTime, t
}

func (c *Command) readChangePaymentMode(r *reader) {
	r.expect(changePaymentMode, "Change Payment Mode")
	c.IssuedAt = zigbeeTime(r.le32("issuer event id"))
	switch t := r.le32("implementation time"); t {
	case 0:
	case 0xFFFF_FFFF:
		c.When = Cancel
	default:
		c.When, c.At = AtTime, zigbeeTime(t)
	}
	control, known := paymentControls[r.le16("payment control configuration")]
	if !known {
		r.fail(unknownControl)
	}
	c.Mode, c.SuspendDebtEmergency, c.SuspendDebtDisabled = control.mode, control.emergency, control.disabled
	if (c.UseCase.Code == codeGCS02) != (c.Mode == servicerequests.Credit) {
		r.fail("payment mode does not agree with the message code")
	}
	if c.Mode == servicerequests.Credit {
		r.expect(gasLeaveCutOff, "cut-off value")
	} else {
		c.DisablementThreshold = servicerequests.Millipence(int32(r.le32("cut-off value")))
	}
}

// paymentControl is what a payment control configuration says. Five exist; bits of credit and
// prepayment overlap, so the whole value is compared.
type paymentControl struct {
	mode                servicerequests.PaymentMode
	emergency, disabled bool // debt is suspended
}

var paymentControls = map[uint16]paymentControl{
	0x0C94: {mode: servicerequests.Credit},
	0x0497: {servicerequests.Prepayment, true, true},
	0x0097: {servicerequests.Prepayment, true, false},
	0x0C97: {servicerequests.Prepayment, false, true},
	0x0897: {servicerequests.Prepayment, false, false},
}

const unknownControl = "payment control configuration is none of the five known"

func (c paymentControl) number() (uint16, bool) {
	if c.mode == servicerequests.Credit {
		c.emergency, c.disabled = false, false
	}
	for number, is := range paymentControls {
		if is == c {
			return number, true
		}
	}
	return 0, false
}

// readChangeSupply reads a Change Supply. The proposed status, 00 close or 01
// arm, is all that tells GCS32 and GCS39 apart.
func (c *Command) readChangeSupply(r *reader, status byte) {
	r.expect(changeSupply, "Change Supply")
	c.IssuedAt = zigbeeTime(r.le32("issuer event id"))
	r.expect(changeSupplyNow, "times")
	r.expectByte(status, "proposed supply status")
	r.expect(gasAcknowledge, "control bits")
}
