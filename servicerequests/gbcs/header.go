package gbcs

import (
	"encoding/binary"

	"safemode/servicerequests"
)

// CRA is the Command, Response or Alert flag of a Grouping Header.
type CRA byte

// The CRA flags.
const (
	CRACommand  CRA = 1
	CRAResponse CRA = 2
	CRAAlert    CRA = 3
)

// Header is the Grouping Header without its lengths. The zero Header is not valid.
type Header struct {
	CRA        CRA
	Counter    uint64              // 1 to servicerequests.MaxCounter; an Alert has the device's own
	Originator servicerequests.EUI // the device, in a Response or an Alert
	Target     servicerequests.EUI
	Code       uint16 // message code

	// HasDateTime says whether the header carries DateTime: Responses of the use
	// cases whose UseCase.DateTime is true, and nothing else.
	HasDateTime bool
	DateTime    DateTime
}

// ID returns originator, target and counter as a Request ID. A Response has its
// Request's ID reversed.
func (h Header) ID() servicerequests.RequestID {
	return servicerequests.RequestID{Originator: h.Originator, Target: h.Target, Counter: h.Counter}
}

// Response returns the header of the Response to a Command with header h. The
// date-time is taken only if the use case's Responses carry one.
func (h Header) Response(at DateTime) Header {
	h.CRA = CRAResponse
	h.Originator, h.Target = h.Target, h.Originator
	h.HasDateTime, h.DateTime = false, DateTime{}
	if u, ok := LookupUseCase(h.Code); ok && u.DateTime {
		h.HasDateTime, h.DateTime = true, at
	}
	return h
}

// AppendMessage appends the message of header and payload without a signature
// field: a Pre-Command if the header is a Command's. The payload may hold up to
// 65535 bytes; [Parse] refuses longer ones.
func AppendMessage(b []byte, h Header, payload []byte) []byte {
	b = appendHeader(b, h)
	b = appendLength(b, len(payload))
	return append(b, payload...)
}

// AppendNull appends the message with a null signature field: what goes into
// [AppendMAC] when the message is not critical.
func AppendNull(b []byte, h Header, payload []byte) []byte {
	return append(AppendMessage(b, h, payload), 0)
}

func appendHeader(b []byte, h Header) []byte {
	b = append(b, 0xDF, 0x09, byte(h.CRA))
	b = binary.BigEndian.AppendUint64(b, h.Counter)
	b = append(b, 8)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Originator))
	b = append(b, 8)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Target))
	if h.HasDateTime {
		b = append(b, byte(len(h.DateTime)))
		b = append(b, h.DateTime[:]...)
	} else {
		b = append(b, 0)
	}
	return append(b, 2, byte(h.Code>>8), byte(h.Code))
}

// appendLength appends n in its shortest form.
func appendLength(b []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(b, byte(n))
	case n <= 0xFF:
		return append(b, 0x81, byte(n))
	case n <= 0xFFFF:
		return append(b, 0x82, byte(n>>8), byte(n))
	default:
		return append(b, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
}
