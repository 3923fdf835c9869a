package gbcs

import (
	"errors"
	"fmt"

	"safemode/servicerequests"
)

// ErrMalformed marks bytes that are no GBCS message of the accepted forms.
var ErrMalformed = errors.New("malformed GBCS message")

// Kind is the form of a message: what it is and what protects it.
type Kind uint8

// The kinds of messages.
const (
	KindPreCommand       Kind = iota + 1 // unsigned, with or without a null signature byte
	KindSignedPreCommand                 // signed, no MAC
	KindCommand                          // as the device gets it: MAC, signed if critical
	KindResponse
	KindAlert
)

var kindNames = [...]string{"unknown", "pre_command", "signed_pre_command", "command", "response", "alert"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("invalid(%d)", uint8(k))
}

const (
	macLength       = 12
	signatureLength = 64
	macHeaderStart  = "\xDD\x00\x00\x00\x00\x00\x00"
	macHeaderEnd    = "\x11\x00\x00\x00\x00" // authentication only, suite 1; invocation counter 0
)

// Message is a parsed message. It aliases the bytes it was parsed from: they must
// not be changed while it is in use. Parsing proves nothing about the sender;
// see [Message.VerifySignature] and [Message.VerifyMAC].
type Message struct {
	Header
	Kind          Kind
	Payload       []byte
	Signature     []byte // r and s, 64 bytes, or nil
	MAC           []byte // 12 bytes, or nil
	NullSignature bool   // the signature field is there and is 00

	// Supplementary is what other-information holds after the message code: a remote
	// party's EUI, its counter, an originator counter, 8 bytes each. Only messages of
	// codes that this package does not decode have any.
	Supplementary []byte

	macHeader []byte // from DD to the invocation counter; nil without a MAC

	inner  []byte // from DF to the end of the signature field
	signed []byte // what a signature covers: inner from offset 1 to the end of the payload
}

// Inner returns the message from DF to the end of its signature field, without
// MAC Header and MAC. Of a critical Command that is the Signed Pre-Command.
func (m *Message) Inner() []byte { return m.inner }

// Signed returns the bytes that a signature covers: from offset 1 of the Grouping
// Header to the end of the payload.
func (m *Message) Signed() []byte { return m.signed }

// The bytes of other-information: the message code, and up to three supplementary
// values after it.
const (
	codeLength            = 2
	supplementaryLength   = 8
	maxSupplementaryItems = 3
)

// Decodes says whether the payloads of a message code are decoded here: those of the
// use cases in the table, and of Alerts. For any other message header, signature and MAC
// are read, and the payload is kept as bytes.
func Decodes(code uint16) bool {
	switch code {
	case codeFutureDatedDLMS, codeFutureDatedGBZ, codeCriticalAlert, codeAlert:
		return true
	}
	_, known := LookupUseCase(code)
	return known
}

// Parse reads exactly one message and accepts one encoding of it only: lengths in
// shortest form, date-time absent or of 12 bytes, the fixed MAC Header, and nothing left
// over. The message code may be any. Of a code that is decoded here (see [Decodes]) it
// also wants other-information of length 02, a counter from 1 to 2^63-1 and a signature
// field that its kind may have (see the package comment). The result aliases b. Errors
// wrap [ErrMalformed].
func Parse(b []byte) (*Message, error) {
	r := newReader(b)
	m := new(Message)
	if len(b) > 0 && b[0] == macHeaderStart[0] {
		r.expect(macHeaderStart, "MAC Header")
		if n := r.length("length in MAC Header"); n != r.left() {
			r.fail("length in MAC Header is not that of the message")
		}
		r.expect(macHeaderEnd, "MAC Header")
		if r.left() < macLength {
			r.fail("MAC is cut short")
		} else {
			r.end -= macLength
			m.MAC = b[r.end:]
		}
	}
	start := r.off
	if m.MAC != nil {
		m.macHeader = b[:start:start]
	}
	r.expect("\xDF\x09", "Grouping Header")
	m.CRA = CRA(r.u8("CRA flag"))
	m.Counter = r.u64("originator counter")
	m.Originator = r.eui("Business Originator ID")
	m.Target = r.eui("Business Target ID")
	switch r.u8("date-time length") {
	case 0:
	case byte(len(m.DateTime)):
		m.HasDateTime = true
		copy(m.DateTime[:], r.take(len(m.DateTime), "date-time"))
	default:
		r.fail("date-time length is neither 00 nor 0C")
	}
	m.readOtherInformation(&r)
	decodes := Decodes(m.Code)
	if decodes && (m.Counter == 0 || m.Counter > servicerequests.MaxCounter) {
		r.fail("originator counter is not from 1 to 2^63-1")
	}
	m.Payload = r.take(r.length("payload length"), "payload")
	if r.what == "" {
		m.signed = b[start+1 : r.off : r.off]
		m.readSignatureField(&r, decodes)
		m.inner = b[start:r.off:r.off]
	}
	if !r.done() {
		return nil, fmt.Errorf("%w: offset %d: %s", ErrMalformed, r.at, r.what)
	}
	return m, nil
}

// readOtherInformation reads the message code and the supplementary bytes after it.
func (m *Message) readOtherInformation(r *reader) {
	n := int(r.u8("other-information length"))
	more := n - codeLength
	if more < 0 || more%supplementaryLength != 0 || more > maxSupplementaryItems*supplementaryLength {
		r.fail("other-information length is none of 02, 0A, 12, 1A")
	}
	m.Code = r.u16("message code")
	if more > 0 {
		if Decodes(m.Code) {
			r.fail("other-information length is not 02")
		}
		m.Supplementary = r.take(more, "other-information")
	}
}

// readSignatureField reads the signature field, which decides the kind. If the message's code is
// decoded here, its signature and MAC must be those of its kind.
func (m *Message) readSignatureField(r *reader, decodes bool) {
	absent := r.left() == 0
	if !absent {
		switch r.u8("signature length") {
		case 0:
			m.NullSignature = true
		case signatureLength:
			m.Signature = r.take(signatureLength, "signature")
		default:
			r.fail("signature length is neither 00 nor 40")
		}
	}
	hasMAC, signed := m.MAC != nil, m.Signature != nil
	switch {
	case m.CRA == CRACommand && hasMAC && !absent:
		m.Kind = KindCommand
	case m.CRA == CRACommand && !hasMAC && signed:
		m.Kind = KindSignedPreCommand
	case m.CRA == CRACommand && !hasMAC:
		m.Kind = KindPreCommand
	case m.CRA == CRAResponse && (!absent && hasMAC != signed || !decodes):
		m.Kind = KindResponse
	case m.CRA == CRAAlert && (!absent && hasMAC != signed || !decodes):
		m.Kind = KindAlert
	case m.CRA < CRACommand || m.CRA > CRAAlert:
		r.fail("CRA flag is none of 01, 02, 03")
	default:
		r.fail("signature and MAC do not fit the CRA flag")
	}
}

// eui reads an identifier with its length byte.
func (r *reader) eui(what string) servicerequests.EUI {
	r.expect("\x08", what)
	e := servicerequests.EUI(r.u64(what))
	if e == 0 {
		r.fail(what + " is zero")
	}
	return e
}
