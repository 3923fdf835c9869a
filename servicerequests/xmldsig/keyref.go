package xmldsig

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"strings"
)

// ErrKeyRef is wrapped by the error for an issuer name or a serial number that
// cannot be read.
var ErrKeyRef = errors.New("xmldsig: malformed issuer and serial number")

// KeyRef names a signing certificate as KeyInfo does. Make it with NewKeyRef:
// then two of them name the same certificate exactly if they are equal, and a
// KeyRef can be the key of a map.
type KeyRef struct {
	Issuer string // RFC 2253 text without blanks around "," and "=", such as "CN=Z1,OU=07"
	Serial string // decimal without leading zeros
}

func (r KeyRef) String() string { return r.Issuer + " serial " + r.Serial }

// Keys finds pinned keys. It is used by one goroutine for one Verify, by several
// for several. A reference it does not hold is an error that wraps
// ErrUnknownKey.
type Keys interface {
	Key(ref KeyRef) (*ecdsa.PublicKey, error)
}

// The digits of a serial number: room for one of 20 octets (RFC 5280 4.1.2.2), and for
// leading zeros before it.
const (
	maxSerialDigits = 49
	maxSerialText   = 64
)

// NewKeyRef reads an issuer name and a decimal serial number. That is an xs:integer:
// leading zeros do not count. Blanks around ","
// and "=" and the case of attribute types do not count; the order of the parts
// does. DCC writes "CN=Z1,OU=07" in signatures and "CN=U1, OU=07" in templates.
// A name with a quoted or escaped value is refused: no issuer of the SMKI is
// known to need one (assumption).
func NewKeyRef(issuer, serial string) (KeyRef, error) {
	digits := strings.TrimLeft(serial, "0")
	if len(serial) > maxSerialText || len(digits) > maxSerialDigits || strings.Trim(digits, "0123456789") != "" || digits == "" {
		return KeyRef{}, fmt.Errorf("%w: serial number %.60q", ErrKeyRef, serial)
	}
	if strings.ContainsAny(issuer, "\"\\\r\n") {
		return KeyRef{}, fmt.Errorf("%w: issuer %.60q", ErrKeyRef, issuer)
	}
	var b strings.Builder
	b.Grow(len(issuer))
	for part := range strings.SplitSeq(issuer, ",") {
		kind, value, _ := strings.Cut(part, "=")
		kind, value = strings.Trim(kind, " "), strings.Trim(value, " ")
		if kind == "" || value == "" {
			return KeyRef{}, fmt.Errorf("%w: issuer %.60q", ErrKeyRef, issuer)
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.ToUpper(kind))
		b.WriteByte('=')
		b.WriteString(value)
	}
	return KeyRef{Issuer: b.String(), Serial: digits}, nil
}
