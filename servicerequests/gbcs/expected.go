package gbcs

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"safemode/servicerequests"
)

// ErrNoPreCommand marks a service that has no Pre-Command for the device: it is
// not critical, or the device cannot do it. Nothing may be signed for it.
var ErrNoPreCommand = errors.New("no Pre-Command is permitted")

// ErrNoRead marks a service that is no read of the device.
var ErrNoRead = errors.New("not a read that this device answers")

// Expected is what was asked for: a permitted service, for one device, under one
// Request ID. It determines every byte of the Pre-Command but the issuer event id.
type Expected struct {
	Service servicerequests.Service
	Device  servicerequests.DeviceType
	ID      servicerequests.RequestID
}

// MismatchError says where a message differs from what was asked for. Field is
// one of: message, kind, message code, originator, target, originator counter,
// length, signature, MAC, or "payload offset N" (bytes, from 0).
type MismatchError struct {
	Field, Want, Got string
	Err              error // the reason, if the message could not be read
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("not what was asked for: %s: want %s, got %s", e.Field, e.Want, e.Got)
}

// Unwrap returns Err.
func (e *MismatchError) Unwrap() error { return e.Err }

// useCase returns the use case that is sent for e.
func (e Expected) useCase() (UseCase, bool) {
	for i := range useCases {
		if u := &useCases[i]; e.Service != 0 && u.Service == e.Service && u.Fits(e.Device) {
			return *u, true
		}
	}
	return UseCase{}, false
}

// request returns use case and template after checking that e can be sent at all.
func (e Expected) request(critical bool, otherwise error) (UseCase, template, error) {
	u, ok := e.useCase()
	if !ok || u.Critical != critical {
		return u, template{}, fmt.Errorf("%w: SRV %s, %s", otherwise, e.Service, e.Device)
	}
	if e.ID.Originator == 0 || e.ID.Target == 0 || e.ID.Counter == 0 || e.ID.Counter > servicerequests.MaxCounter {
		return u, template{}, fmt.Errorf("request ID %s: zero identifier or counter out of range", e.ID)
	}
	t, ok := templateOf(u.Code)
	if !ok {
		return u, template{}, fmt.Errorf("%w: SRV %s, %s", otherwise, e.Service, e.Device)
	}
	return u, t, nil
}

func (e Expected) header(u *UseCase) Header {
	return Header{CRA: CRACommand, Counter: e.ID.Counter, Originator: e.ID.Originator, Target: e.ID.Target, Code: u.Code}
}

// longestPreCommand has room for the longest permitted one: ECS02 for a twin
// element, 157 bytes. It keeps Match and AppendPreCommand off the heap.
const longestPreCommand = 192

// Match says whether preCommand is exactly what may come back from the DCC for
// e, with or without one null signature byte. Every byte is compared; free are
// only the four bytes of the GBZ issuer event id (GCS02, GCS39: payload bytes 15
// to 18), and ECS02 may be of the single or the twin element form. Errors:
// [*MismatchError], or one that wraps [ErrNoPreCommand].
func (e Expected) Match(preCommand []byte) error {
	u, t, err := e.request(true, ErrNoPreCommand)
	if err != nil {
		return err
	}
	var wantBuf, payloadBuf [longestPreCommand]byte
	want := e.appendForm(wantBuf[:0], payloadBuf[:0], &u, &t, t.tail, preCommand)
	if equalButNull(preCommand, want) {
		return nil
	}
	if t.twin != "" {
		twin := e.appendForm(nil, payloadBuf[:0], &u, &t, t.twin, preCommand)
		if equalButNull(preCommand, twin) {
			return nil
		}
		if len(preCommand) >= len(twin) { // explain against the nearer form
			want = twin
		}
	}
	return explain(&u, bytes.Clone(want), preCommand) // the clone lets want stay on the stack
}

// signatureField is the length of 40 and r, s of 32 bytes each, the end of a Signed
// Pre-Command.
const signatureField = 1 + signatureLength

// MatchSigned says whether signed is a Signed Pre-Command that, without its
// signature, is what [Expected.Match] accepts. The signature itself is not proven.
func (e Expected) MatchSigned(signed []byte) error {
	m, err := Parse(signed)
	if err != nil {
		return &MismatchError{Field: "message", Want: "a Signed Pre-Command", Got: err.Error(), Err: err}
	}
	if m.Kind != KindSignedPreCommand {
		return &MismatchError{Field: "kind", Want: KindSignedPreCommand.String(), Got: m.Kind.String()}
	}
	return e.Match(signed[:len(signed)-signatureField])
}

// For returns e for the kind of device that the message's code belongs to. It is
// for checking a message without knowing the device; a message that cannot
// be read, or has a code that is not known, leaves e as it is.
func (e Expected) For(message []byte) Expected {
	if m, err := Parse(message); err == nil {
		if u, ok := LookupUseCase(m.Code); ok {
			e.Device = u.Device
		}
	}
	return e
}

// appendForm appends the Pre-Command of one form, with the issuer event id that
// got has.
func (e Expected) appendForm(b, payload []byte, u *UseCase, t *template, tail string, got []byte) []byte {
	payload = t.appendPayload(payload, tail, e.ID.Counter, 0)
	b = AppendMessage(b, e.header(u), payload)
	if t.insert == eventTime && len(got) >= len(b) {
		at := len(b) - len(payload) + len(t.head)
		copy(b[at:at+4], got[at:at+4])
	}
	return b
}

// equalButNull compares, and lets got have one null byte more.
func equalButNull(got, want []byte) bool {
	if len(got) == len(want)+1 && got[len(want)] == 0 {
		got = got[:len(want)]
	}
	return string(got) == string(want)
}

// explain finds the field in which got differs from want, a Pre-Command. The
// most telling field comes first.
func explain(u *UseCase, want, got []byte) error {
	w, err := Parse(want)
	if err != nil {
		return err
	}
	g, err := Parse(got)
	if err != nil {
		return &MismatchError{Field: "message", Want: "one Pre-Command of " + u.String(), Got: err.Error(), Err: err}
	}
	switch {
	case g.Kind != KindPreCommand:
		return mismatch("kind", KindPreCommand, g.Kind)
	case g.Code != w.Code:
		return mismatch("message code", codeName(w.Code), codeName(g.Code))
	}
	if err := mismatchedIDs(w.ID(), g.ID()); err != nil {
		return err
	}
	if len(g.Payload) != len(w.Payload) {
		return mismatch("length", fmt.Sprintf("%d payload bytes", len(w.Payload)), len(g.Payload))
	}
	for i := range w.Payload {
		if w.Payload[i] != g.Payload[i] {
			return mismatch(fmt.Sprintf("payload offset %d", i), hex.EncodeToString(w.Payload[i:i+1]), hex.EncodeToString(g.Payload[i:i+1]))
		}
	}
	return mismatch("message", hex.EncodeToString(want), hex.EncodeToString(got)) // the date-time
}

func mismatchedIDs(want, got servicerequests.RequestID) error {
	switch {
	case got.Originator != want.Originator:
		return mismatch("originator", want.Originator, got.Originator)
	case got.Target != want.Target:
		return mismatch("target", want.Target, got.Target)
	case got.Counter != want.Counter:
		return mismatch("originator counter", want.Counter, got.Counter)
	}
	return nil
}

func mismatch(field string, want, got any) error {
	return &MismatchError{Field: field, Want: fmt.Sprint(want), Got: fmt.Sprint(got)}
}

// codeName returns code and use case, like "0050 ECS43 Disable Supply".
func codeName(code uint16) string {
	if u, ok := LookupUseCase(code); ok {
		return fmt.Sprintf("%04X %s", code, u)
	}
	return fmt.Sprintf("%04X", code)
}

// MatchResponse says whether m answers the request: a Response from the device
// to the originator under the request's counter, with a message code of the
// service for this device, signed if critical and with a MAC if not. It proves
// neither signature nor MAC and does not read the payload. The error is a
// [*MismatchError].
func (e Expected) MatchResponse(m *Message) error {
	if m.Kind != KindResponse {
		return mismatch("kind", KindResponse, m.Kind)
	}
	u, ok := LookupUseCase(m.Code)
	if !ok || e.Service == 0 || u.Service != e.Service || !u.Fits(e.Device) {
		want := fmt.Sprintf("a code of SRV %s for %s", e.Service, e.Device)
		return mismatch("message code", want, codeName(m.Code))
	}
	if err := mismatchedIDs(e.ID.Reversed(), m.ID()); err != nil {
		return err
	}
	if hasSignature := m.Signature != nil; hasSignature != u.Critical {
		return mismatch("signature", u.Critical, hasSignature)
	}
	if hasMAC := m.MAC != nil; hasMAC == u.Critical {
		return mismatch("MAC", !u.Critical, hasMAC)
	}
	return nil
}

// AppendPreCommand appends the Pre-Command for e without a null signature byte,
// in the single element form of ECS02. issuerEventTime is the DCC's clock, used
// by GCS02 and GCS39 only; it must be from 2000 to 2136. Errors wrap
// [ErrNoPreCommand] if e is no permitted critical service of the device.
func AppendPreCommand(b []byte, e Expected, issuerEventTime time.Time) ([]byte, error) {
	u, t, err := e.request(true, ErrNoPreCommand)
	if err != nil {
		return nil, err
	}
	var event uint32
	if t.insert == eventTime {
		if event, err = zigbeeSeconds(issuerEventTime); err != nil {
			return nil, err
		}
	}
	var payload [longestPreCommand]byte
	return AppendMessage(b, e.header(&u), t.appendPayload(payload[:0], t.tail, e.ID.Counter, event)), nil
}

// AppendRead appends the message of a permitted read with its null signature
// field, as the ACB forms it and gives it to [AppendMAC]. Gas 4.18 is GCS60
// (assumption). Errors wrap [ErrNoRead] if e is no permitted read of the device.
func AppendRead(b []byte, e Expected) ([]byte, error) {
	u, t, err := e.request(false, ErrNoRead)
	if err != nil {
		return nil, err
	}
	payload := t.appendPayload(make([]byte, 0, 256), t.tail, e.ID.Counter, 0)
	return AppendNull(b, e.header(&u), payload), nil
}
