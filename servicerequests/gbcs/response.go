package gbcs

import (
	"errors"
	"fmt"

	"safemode/servicerequests"
)

// Result codes that a simulator answers with; every code but 0 is a failure.
const (
	ResultHardwareFault   = 0x01 // DLMS
	ResultOtherReason     = 0xFA // DLMS: also of everything after a failed item
	StatusFailure         = 0x01 // ZCL: also of a component not executed
	StatusNotFound        = 0x8B // ZCL: no calendar is set
	StatusHardwareFailure = 0xC0 // ZCL
)

// ErrResponse marks a Response value that has no encoding.
var ErrResponse = errors.New("response cannot be encoded")

// Response is what a device answered. Which fields are set follows from UseCase
// and, item by item, from Results.
type Response struct {
	UseCase UseCase

	// Success: every part of the Command was done. A partly applied ECS02 is no
	// success, and is not known to have changed nothing.
	Success bool

	// Results holds one DLMS result or ZCL status for each item of the request,
	// in its order; 0 is success. See [UseCase.Items]. When encoding, nil stands
	// for success throughout.
	Results []byte

	// Supply is read by 7.4; after success of 7.3 and 7.2 on a GSME it is what the
	// meter says has become of the supply.
	Supply      servicerequests.SupplyState
	BatteryDays uint16 // 7.4, GSME

	// Mode is read by 6.2.9. The suspend debt flags are there for a GSME in
	// Prepayment only.
	Mode                 servicerequests.PaymentMode
	HasSuspendDebt       bool
	SuspendDebtEmergency bool
	SuspendDebtDisabled  bool

	// Balance is read by 4.18; positive is credit. An ESME has one balance for
	// both modes; of a GSME it is the prepayment balance. CreditModeBalance is a
	// GSME's other one: positive is money due, as on the wire.
	HasBalance           bool
	Balance              servicerequests.Millipence
	HasCreditModeBalance bool
	CreditModeBalance    servicerequests.Millipence

	Configuration *PrepaymentConfiguration // 4.13
	Ciphertext    []byte                   // 4.3, see [SealPrepayValues]; aliases the message

	ModeChange   ModeChange   // 1.6, GSME
	SupplyChange SupplyChange // 7.3 and 7.2, GSME
}

// ModeChange is what a GSME's Change Payment Mode Response tells.
type ModeChange struct {
	FriendlyCredit           bool                       `json:"friendly_credit"`
	CalendarID               uint32                     `json:"calendar_id"`
	EmergencyCreditLimit     servicerequests.Millipence `json:"emergency_credit_limit"`
	EmergencyCreditThreshold servicerequests.Millipence `json:"emergency_credit_threshold"`
}

// SupplyChange is what a GSME's Supply Status Response repeats of the Command.
type SupplyChange struct {
	IssuerEventID      uint32 `json:"issuer_event_id"`     // seconds since 2000
	ImplementationTime uint32 `json:"implementation_time"` // seconds since 2000; 0 now
}

// Items returns the number of results that the use case's Response has.
func (u UseCase) Items() int {
	switch u.Code {
	case codeECS02:
		return 3
	case codeECS03:
		return 5
	case codeECS26a:
		return electricityConfigurationItems
	case codeGCS33, codeGCS60, codeGCS60a:
		return 2
	case codeGCS14:
		return 3 // the two clear attributes, then the encrypted ones together
	case codeGCS21b:
		return gasConfigurationItems
	}
	return 1
}

// FirstRead returns how many of the items are attributes of the first Read Attributes of a
// gas meter's use case: they answer each for itself. 1 for all others.
func (u UseCase) FirstRead() int {
	switch u.Code {
	case codeGCS33, codeGCS14:
		return 2
	case codeGCS21b:
		return gasConfigurationAttributes - 1
	}
	return 1
}

// DecodeResponse reads a Response of any use case in the table, in its success
// and error forms, to the last byte. Anything that the use case does not define is
// an error, not a guess: an unknown state, a success without its value, a value with a
// failure, a date-time too many. Errors wrap [ErrUnknownUseCase] or [ErrPayload].
//
// It proves nothing about the sender: check [Expected.MatchResponse] and signature
// or MAC first.
func DecodeResponse(m *Message) (Response, error) {
	u, ok := LookupUseCase(m.Code)
	if !ok {
		return Response{}, fmt.Errorf("%w: %04X", ErrUnknownUseCase, m.Code)
	}
	switch {
	case m.Kind != KindResponse:
		return Response{}, fmt.Errorf("%s: %w: it is no Response", u.Name, ErrPayload)
	case u.Critical != (m.Signature != nil):
		return Response{}, fmt.Errorf("%s: %w: signature and MAC", u.Name, ErrPayload)
	case u.DateTime != m.HasDateTime:
		return Response{}, fmt.Errorf("%s: %w: date-time", u.Name, ErrPayload)
	}
	resp := Response{UseCase: u, Results: make([]byte, u.Items())}
	r := newReader(m.Payload)
	resp.layout(&layout{r: &r}, m.Header)
	if !r.done() {
		return Response{}, payloadError(&u, &r)
	}
	resp.Success = resp.succeeded()
	return resp, nil
}

func (resp *Response) layout(l *layout, h Header) {
	if code := resp.UseCase.Code; resp.Configuration == nil && (code == codeECS26a || code == codeGCS21b) {
		resp.Configuration = new(PrepaymentConfiguration)
	}
	if resp.UseCase.Device == esme {
		resp.dlms(l, h)
	} else {
		resp.gbz(l)
	}
}

func (resp *Response) succeeded() bool {
	for i, code := range resp.Results {
		noCalendar := resp.UseCase.Code == codeGCS21b && i >= gasConfigurationAttributes && code == StatusNotFound
		if code != 0 && !noCalendar {
			return false
		}
	}
	return true
}

// AppendResponsePayload appends the payload of the Response with header h, which
// [Header.Response] makes. Results decides: parts with a code of failure are left out;
// Success is not read. Errors wrap [ErrUnknownUseCase] or [ErrResponse].
func AppendResponsePayload(b []byte, h Header, resp Response) ([]byte, error) {
	u, ok := LookupUseCase(h.Code)
	if !ok {
		return nil, fmt.Errorf("%w: %04X", ErrUnknownUseCase, h.Code)
	}
	var success [maxItems]byte
	if resp.Results == nil {
		resp.Results = success[:u.Items()]
	}
	if len(resp.Results) != u.Items() {
		return nil, fmt.Errorf("%s: %w: %d results, want %d", u.Name, ErrResponse, len(resp.Results), u.Items())
	}
	resp.UseCase = u
	l := layout{out: b}
	if resp.layout(&l, h); l.wrong != nil {
		return nil, fmt.Errorf("%s: %w: %w", u.Name, ErrResponse, l.wrong)
	}
	return l.out, nil
}

const maxItems = electricityConfigurationItems
