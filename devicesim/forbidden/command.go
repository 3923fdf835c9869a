package forbidden

import (
	"errors"
	"fmt"
	"math"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// ErrNotForbidden marks a [Command] that this package has no encoding for: the
// device type does not know it, or it belongs to the permitted set.
var ErrNotForbidden = errors.New("no forbidden command")

// Kind is what a forbidden command does.
type Kind uint8

// The kinds.
const (
	Enable       Kind = iota + 1 // 7.1, ESME only: closes the load switch at once
	Disable                      // 7.2
	ToPrepayment                 // 1.6, immediate, future-dated or cancelling
	ToCredit                     // 1.6, future-dated or cancelling only
)

// Timing is when a 1.6 takes effect. The zero Timing is at once.
type Timing struct {
	At     time.Time // to the second; zero: at once
	Cancel bool      // withdraws what was future-dated
}

// Prepayment holds the settings that a switch to Prepayment carries.
type Prepayment struct {
	SuspendDebtDisabled  bool
	SuspendDebtEmergency bool
	DisablementThreshold int32 // millipence
}

// Command is one forbidden command.
type Command struct {
	Kind       Kind
	Device     servicerequests.DeviceType // ESME or GSME
	ID         servicerequests.RequestID
	Timing     Timing     // of the two kinds of 1.6
	Prepayment Prepayment // of ToPrepayment
}

// AppendPreCommand appends the whole Pre-Command without a null signature
// byte. eventTime is the DCC's clock, for the issuer event id of gas. Errors
// wrap [ErrNotForbidden].
func (c Command) AppendPreCommand(b []byte, eventTime time.Time) ([]byte, error) {
	service := services[c.Kind]
	row, _ := servicerequests.FindVariant(func(v *servicerequests.Variant) bool { return v.SRV == service.srv && v.Mode == service.mode })
	cases := row.UseCases[c.Device]
	if len(cases) == 0 {
		return b, fmt.Errorf("%w: kind %d on %s", ErrNotForbidden, c.Kind, c.Device)
	}
	if c.Kind == ToCredit && c.Timing == (Timing{}) {
		return b, fmt.Errorf("%w: 1.6 to Credit at once is permitted", ErrNotForbidden)
	}
	header := gbcs.Header{
		CRA: gbcs.CRACommand, Counter: c.ID.Counter,
		Originator: c.ID.Originator, Target: c.ID.Target, Code: cases[0].Code,
	}
	var payload []byte
	if c.Device == servicerequests.ESME {
		payload = c.electricity()
	} else {
		payload = c.gas(eventTime)
	}
	return gbcs.AppendMessage(b, header, payload), nil
}

// services are the Service Requests of the kinds, as the catalogue has them.
var services = map[Kind]struct {
	srv  string
	mode servicerequests.PaymentMode
}{
	Enable:       {"7.1", servicerequests.UnknownMode},
	Disable:      {"7.2", servicerequests.UnknownMode},
	ToPrepayment: {"1.6", servicerequests.Prepayment},
	ToCredit:     {"1.6", servicerequests.Credit},
}

// seconds is an instant as ZigBee has it: seconds since 2000, UTC.
func seconds(t time.Time) uint32 {
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	return uint32(min(max(t.Unix()-epoch.Unix(), 0), math.MaxUint32-1)) // held in range; MaxUint32 would cancel
}
