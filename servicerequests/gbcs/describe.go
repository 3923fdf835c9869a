package gbcs

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"safemode/servicerequests"
)

// Description is a message laid open for people and scripts: text for codes and
// states, hexadecimal for bytes, null for what is absent.
type Description struct {
	Kind          string              `json:"kind"`
	UseCase       string              `json:"use_case"` // of an Alert: its form, or the use case of the future-dated Command; "unknown"
	Title         string              `json:"title,omitempty"`
	SRV           string              `json:"srv,omitempty"`
	MessageCode   string              `json:"message_code"` // four hexadecimal digits
	Originator    servicerequests.EUI `json:"originator"`
	Target        servicerequests.EUI `json:"target"`
	Counter       uint64              `json:"counter"`
	DateTime      *string             `json:"date_time"`
	Payload       string              `json:"payload"`
	NullSignature bool                `json:"null_signature"`
	Signature     *string             `json:"signature"`
	MACHeader     *string             `json:"mac_header"`
	MAC           *string             `json:"mac"`
	Supplementary []string            `json:"supplementary,omitempty"` // of other-information, 8 bytes each

	Command  *CommandDescription  `json:"command,omitempty"`
	Response *ResponseDescription `json:"response,omitempty"`
	Alert    *AlertDescription    `json:"alert,omitempty"`

	// Note says that the payload is carried as bytes: its use case is none of those that
	// are decoded.
	Note string `json:"note,omitempty"`
	// Error says why the payload could not be decoded.
	Error string `json:"error,omitempty"`
}

// CommandDescription is a [Command] in text.
type CommandDescription struct {
	Permitted            bool   `json:"permitted"` // a service of the permitted set, taking effect at once
	When                 string `json:"when"`
	At                   string `json:"at,omitempty"`
	IssuedAt             string `json:"issued_at,omitempty"`
	PaymentMode          string `json:"payment_mode,omitempty"`
	TwinElement          *bool  `json:"twin_element,omitempty"`
	SuspendDebtEmergency *bool  `json:"suspend_debt_emergency,omitempty"`
	SuspendDebtDisabled  *bool  `json:"suspend_debt_disabled,omitempty"`
	DisablementThreshold *int64 `json:"disablement_threshold_millipence,omitempty"`
}

// ResponseDescription is a [Response] in text.
type ResponseDescription struct {
	Success              bool                     `json:"success"`
	Results              string                   `json:"results"` // two hexadecimal digits each
	SupplyState          string                   `json:"supply_state,omitempty"`
	BatteryDays          *uint16                  `json:"battery_days,omitempty"`
	PaymentMode          string                   `json:"payment_mode,omitempty"`
	SuspendDebtEmergency *bool                    `json:"suspend_debt_emergency,omitempty"`
	SuspendDebtDisabled  *bool                    `json:"suspend_debt_disabled,omitempty"`
	Balance              *int64                   `json:"balance_millipence,omitempty"`
	CreditModeBalance    *int64                   `json:"credit_mode_balance_due_millipence,omitempty"`
	ModeChange           *ModeChange              `json:"mode_change,omitempty"`
	SupplyChange         *SupplyChange            `json:"supply_change,omitempty"`
	Configuration        *PrepaymentConfiguration `json:"prepayment_configuration,omitempty"`
	Encrypted            string                   `json:"encrypted_values,omitempty"`
}

// AlertDescription is an [Alert] in text.
type AlertDescription struct {
	Code        string                  `json:"alert_code"`
	At          string                  `json:"at,omitempty"`
	FutureDated *FutureDatedDescription `json:"future_dated,omitempty"`
}

// FutureDatedDescription is a [FutureDated] in text.
type FutureDatedDescription struct {
	Done        bool   `json:"done"`
	UseCase     string `json:"use_case"`
	MessageCode string `json:"message_code"`
	Counter     uint64 `json:"counter"`
	Object      string `json:"object"` // ESME: class, OBIS, attribute; GSME: cluster, frame control, command
}

// Describe lays a parsed message open. It never fails: what cannot be decoded is
// described as far as it goes, with the reason.
func Describe(m *Message) Description {
	d := Description{
		Kind: m.Kind.String(), UseCase: "unknown", MessageCode: hexCode(m.Code),
		Originator: m.Originator, Target: m.Target, Counter: m.Counter,
		Payload: hex.EncodeToString(m.Payload), NullSignature: m.NullSignature,
		Signature: optionalHex(m.Signature), MAC: optionalHex(m.MAC),
	}
	if m.MAC != nil {
		d.MACHeader = optionalHex(m.macHeader)
	}
	for value := range slices.Chunk(m.Supplementary, supplementaryLength) {
		d.Supplementary = append(d.Supplementary, hex.EncodeToString(value))
	}
	if m.HasDateTime {
		d.DateTime = optionalHex(m.DateTime[:])
	}
	if u, ok := LookupUseCase(m.Code); ok {
		d.UseCase, d.Title, d.SRV = u.Name, u.Title, u.SRV
	}
	if !Decodes(m.Code) {
		d.Note = "message code " + d.MessageCode + " is none of those that are decoded: the payload is shown as bytes"
		return d
	}
	var err error
	switch m.CRA {
	case CRACommand:
		var c Command
		if c, err = DecodeCommand(m); err == nil {
			d.Command = c.describe()
		}
	case CRAResponse:
		var resp Response
		if resp, err = DecodeResponse(m); err == nil {
			d.Response = resp.describe()
		}
	case CRAAlert:
		var a Alert
		if a, err = DecodeAlert(m); err == nil {
			d.UseCase, d.Alert = a.form(), a.describe()
		}
	}
	if err != nil {
		d.Error = err.Error()
	}
	return d
}

func (c *Command) describe() *CommandDescription {
	d := &CommandDescription{
		Permitted: c.UseCase.Service != 0 && c.When == Immediate,
		When:      c.When.String(), At: timeText(c.At), IssuedAt: timeText(c.IssuedAt),
	}
	if c.Mode == servicerequests.UnknownMode {
		return d
	}
	d.PaymentMode = c.Mode.String()
	if c.UseCase.Device == esme {
		d.TwinElement = &c.TwinElement
	}
	if c.Mode == servicerequests.Prepayment {
		d.SuspendDebtEmergency, d.SuspendDebtDisabled = &c.SuspendDebtEmergency, &c.SuspendDebtDisabled
		d.DisablementThreshold = (*int64)(&c.DisablementThreshold)
	}
	return d
}

func (resp *Response) describe() *ResponseDescription {
	d := &ResponseDescription{
		Success: resp.Success, Results: hex.EncodeToString(resp.Results),
		Configuration: resp.Configuration, Encrypted: hex.EncodeToString(resp.Ciphertext),
	}
	if resp.Supply != servicerequests.UnknownSupply {
		d.SupplyState = resp.Supply.String()
	}
	if resp.Mode != servicerequests.UnknownMode {
		d.PaymentMode = resp.Mode.String()
	}
	if resp.HasSuspendDebt {
		d.SuspendDebtEmergency, d.SuspendDebtDisabled = &resp.SuspendDebtEmergency, &resp.SuspendDebtDisabled
	}
	if resp.HasBalance {
		d.Balance = (*int64)(&resp.Balance)
	}
	if resp.HasCreditModeBalance {
		d.CreditModeBalance = (*int64)(&resp.CreditModeBalance)
	}
	if resp.Results[0] != 0 {
		return d
	}
	switch resp.UseCase.Code {
	case codeGCS33:
		d.BatteryDays = &resp.BatteryDays
	case codeGCS02, codeGCS03:
		d.ModeChange = &resp.ModeChange
	case codeGCS39, codeGCS32:
		d.SupplyChange = &resp.SupplyChange
	}
	return d
}

// form names the Alert as the test data does.
func (a *Alert) form() string {
	name := "GNCA"
	if a.Critical() {
		name = "GCA"
	}
	switch {
	case a.FutureDated != nil:
		return useCaseName(a.FutureDated.Code)
	case a.Gas:
		return name + "-ZigBee"
	default:
		return name + "-DLMS"
	}
}

func (a *Alert) describe() *AlertDescription {
	d := &AlertDescription{Code: hexCode(a.Code), At: timeText(a.At)}
	if f := a.FutureDated; f != nil {
		object := fmt.Sprintf("class %d, %s, attribute %d", f.Class, obisText(f.OBIS), f.Attribute)
		if a.Gas {
			object = fmt.Sprintf("cluster %04X, frame control %02X, command %02X", f.Cluster, f.FrameControl, f.Command)
		}
		d.FutureDated = &FutureDatedDescription{
			Done: a.Code == AlertFutureDatedDone, UseCase: useCaseName(f.Code),
			MessageCode: hexCode(f.Code), Counter: f.Counter, Object: object,
		}
	}
	return d
}

func useCaseName(code uint16) string {
	if u, ok := LookupUseCase(code); ok {
		return u.Name
	}
	return "unknown"
}

func hexCode(code uint16) string { return fmt.Sprintf("%04X", code) }

func optionalHex(b []byte) *string {
	if b == nil {
		return nil
	}
	text := hex.EncodeToString(b)
	return &text
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

func obisText(o [6]byte) string {
	return fmt.Sprintf("%d-%d:%d.%d.%d.%d", o[0], o[1], o[2], o[3], o[4], o[5])
}
