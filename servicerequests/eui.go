package servicerequests

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// EUI is an EUI-64: the identifier of a device, a hub, a supplier or the DCC.
// The zero EUI is not a valid identifier and stands for "none".
type EUI uint64

// ParseEUI reads 16 hexadecimal digits of any case, either joined in pairs by
// hyphens (90-B3-D5-1F-30-01-00-00) or without any separator.
func ParseEUI(text string) (EUI, error) {
	var digits [16]byte
	switch len(text) {
	case 16:
		copy(digits[:], text)
	case 23:
		for i := range 8 {
			if i > 0 && text[i*3-1] != '-' {
				return 0, fmt.Errorf("EUI %q: want 8 octets joined by hyphens, like 90-B3-D5-1F-30-01-00-00", text)
			}
			copy(digits[i*2:], text[i*3:i*3+2])
		}
	default:
		return 0, fmt.Errorf("EUI %q: want 8 octets, like 90-B3-D5-1F-30-01-00-00", text)
	}
	var octets [8]byte
	if _, err := hex.Decode(octets[:], digits[:]); err != nil {
		return 0, fmt.Errorf("EUI %q: not hexadecimal", text)
	}
	eui := euiFromBytes(octets)
	if eui == 0 {
		return 0, fmt.Errorf("EUI %q: all zero is no identifier", text)
	}
	return eui, nil
}

// euiFromBytes reads the eight octets as they stand on the wire, big-endian.
func euiFromBytes(b [8]byte) EUI { return EUI(binary.BigEndian.Uint64(b[:])) }

// Bytes returns the eight octets as they stand on the wire, big-endian.
func (e EUI) Bytes() (b [8]byte) {
	binary.BigEndian.PutUint64(b[:], uint64(e))
	return b
}

// AppendText appends the hyphenated upper-case form, 23 bytes.
func (e EUI) AppendText(b []byte) ([]byte, error) {
	const digits = "0123456789ABCDEF"
	for i, octet := range e.Bytes() {
		if i > 0 {
			b = append(b, '-')
		}
		b = append(b, digits[octet>>4], digits[octet&15])
	}
	return b, nil
}

// String returns the hyphenated upper-case form.
func (e EUI) String() string {
	b, _ := e.AppendText(make([]byte, 0, 23))
	return string(b)
}

// MarshalText returns the hyphenated upper-case form.
func (e EUI) MarshalText() ([]byte, error) { return e.AppendText(nil) }

// UnmarshalText reads what [ParseEUI] reads.
func (e *EUI) UnmarshalText(text []byte) error {
	parsed, err := ParseEUI(string(text))
	if err != nil {
		return err
	}
	*e = parsed
	return nil
}
