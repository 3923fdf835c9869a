package gbcs_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"safemode/servicerequests/gbcs"
)

func TestParseVectors(t *testing.T) {
	for _, v := range loadVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			raw := unhex(t, v.Hex)
			m := parse(t, raw)
			p := v.Parsed
			dateTime := ""
			if m.HasDateTime {
				dateTime = hex.EncodeToString(m.DateTime[:])
			}
			field := map[bool]string{true: "64 bytes", false: "absent"}[m.Signature != nil]
			if m.NullSignature {
				field = "null (00)"
			}
			for _, f := range []struct{ what, got, want string }{
				{"kind", strings.ReplaceAll(m.Kind.String(), "_", ""), v.Kind},
				{"CRA", fmt.Sprint(m.CRA), fmt.Sprint(p.CRA)},
				{"counter", fmt.Sprint(m.Counter), fmt.Sprint(p.OriginatorCounter)},
				{"originator", fmt.Sprintf("%016x", uint64(m.Originator)), p.BusinessOriginatorID},
				{"target", fmt.Sprintf("%016x", uint64(m.Target)), p.BusinessTargetID},
				{"date-time", dateTime, p.DateTime},
				{"code", fmt.Sprintf("%04X", m.Code), p.MessageCode},
				{"payload", hex.EncodeToString(m.Payload), p.Payload},
				{"signature", hex.EncodeToString(m.Signature), p.Signature},
				{"signature field", field, p.SignatureField},
				{"MAC", hex.EncodeToString(m.MAC), p.MAC},
			} {
				if f.got != f.want {
					t.Errorf("%s = %s, want %s", f.what, f.got, f.want)
				}
			}
			if again := encode(m); !bytes.Equal(again, raw) {
				t.Errorf("encoded again: %x\nwant %x", again, raw)
			}
			for n := range raw {
				if _, err := gbcs.Parse(raw[:n]); !errors.Is(err, gbcs.ErrMalformed) && !cutAtSignature(m, n) {
					t.Errorf("first %d bytes: %v, want ErrMalformed", n, err)
				}
			}
			if _, err := gbcs.Parse(append(bytes.Clone(raw), 1)); !errors.Is(err, gbcs.ErrMalformed) {
				t.Errorf("one byte more: %v, want ErrMalformed", err)
			}
		})
	}
}

// cutAtSignature: a Signed Pre-Command without its signature field is a Pre-Command.
func cutAtSignature(m *gbcs.Message, n int) bool {
	return m.Kind == gbcs.KindSignedPreCommand && n == len(m.Inner())-65
}

// encode puts a parsed message together again from its fields.
func encode(m *gbcs.Message) []byte {
	inner := gbcs.AppendMessage(nil, m.Header, m.Payload)
	if n := len(m.Supplementary); n > 0 {
		at := 29 + 1 // the date-time
		if m.HasDateTime {
			at += len(m.DateTime)
		}
		inner[at] += byte(n)
		inner = slices.Insert(inner, at+3, m.Supplementary...)
	}
	switch {
	case m.NullSignature:
		inner = append(inner, 0)
	case m.Signature != nil:
		inner = append(append(inner, 64), m.Signature...)
	}
	if m.MAC == nil {
		return inner
	}
	b := gbcs.AppendMAC(nil, inner, m.Originator, [16]byte{})
	return append(b[:len(b)-len(m.MAC)], m.MAC...)
}

func TestParseRefuses(t *testing.T) {
	good := gbcs.AppendMessage(nil, gbcs.Header{CRA: gbcs.CRACommand, Counter: 1, Originator: 2, Target: 3, Code: 0x20}, []byte{1, 2, 3})
	parse(t, good)
	change := func(at int, to ...byte) []byte {
		return append(append(bytes.Clone(good[:at]), to...), good[at+len(to):]...)
	}
	response := change(2, 2)
	for name, b := range map[string][]byte{
		"empty":                     nil,
		"tag":                       change(0, 0xDE),
		"transaction id length":     change(1, 8),
		"CRA 0":                     change(2, 0),
		"CRA 4":                     change(2, 4),
		"counter 0":                 change(3, 0, 0, 0, 0, 0, 0, 0, 0),
		"counter 2^63":              change(3, 0x80, 0, 0, 0, 0, 0, 0, 0),
		"originator length":         change(11, 7),
		"originator 0":              change(12, 0, 0, 0, 0, 0, 0, 0, 0),
		"target 0":                  change(21, 0, 0, 0, 0, 0, 0, 0, 0),
		"date-time of 1":            change(29, 1),
		"other information 0A":      change(30, 0x0A),
		"length 81 03":              append(append(bytes.Clone(good[:33]), 0x81, 3), 1, 2, 3),
		"length 82 0003":            append(append(bytes.Clone(good[:33]), 0x82, 0, 3), 1, 2, 3),
		"length 80":                 append(append(bytes.Clone(good[:33]), 0x80), 1, 2, 3),
		"length 83":                 append(append(bytes.Clone(good[:33]), 0x83, 0, 0, 3), 1, 2, 3),
		"two null bytes":            append(bytes.Clone(good), 0, 0),
		"signature of 63":           append(append(bytes.Clone(good), 63), make([]byte, 63)...),
		"signature of 65":           append(append(bytes.Clone(good), 64), make([]byte, 65)...),
		"response without field":    response,
		"response null, no MAC":     append(bytes.Clone(response), 0),
		"response signed and MAC":   gbcs.AppendMAC(nil, append(append(bytes.Clone(response), 64), make([]byte, 64)...), 2, [16]byte{}),
		"command without field":     gbcs.AppendMAC(nil, good, 2, [16]byte{}),
		"MAC header alone":          gbcs.AppendMAC(nil, nil, 2, [16]byte{}),
		"MAC header within another": gbcs.AppendMAC(nil, gbcs.AppendMAC(nil, append(bytes.Clone(good), 0), 2, [16]byte{}), 2, [16]byte{}),
	} {
		if m, err := gbcs.Parse(b); !errors.Is(err, gbcs.ErrMalformed) {
			t.Errorf("%s: got %+v, %v; want ErrMalformed", name, m, err)
		}
	}
}

func TestParseMACHeaderExact(t *testing.T) {
	v := find(t, "ECS45_7.4_SUCCESS_COMMAND")
	for at := range 13 { // up to DF
		b := unhex(t, v.Hex)
		for bit := range 8 {
			b[at] ^= 1 << bit
			if _, err := gbcs.Parse(b); !errors.Is(err, gbcs.ErrMalformed) {
				t.Errorf("byte %d bit %d of the MAC Header flipped: %v, want ErrMalformed", at, bit, err)
			}
			b[at] ^= 1 << bit
		}
	}
}
