package duis

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"safemode/servicerequests"
	"safemode/servicerequests/xmltree"
)

// ErrEncode marks a message that has no form on the wire: a field is missing,
// out of range, or does not go with the others.
var ErrEncode = errors.New("message cannot be written as DUIS XML")

// length is the number of characters that the schema allows for a text.
type length struct{ min, max int }

func (l length) holds(text string) bool {
	n := utf8.RuneCountInString(text)
	return n >= l.min && n <= l.max
}

// encoder appends elements; its first fault sticks.
type encoder struct {
	b   []byte
	err error
}

func (e *encoder) fail(local, format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("%w: %s: %s", ErrEncode, local, fmt.Sprintf(format, args...))
	}
}

// finish returns what was written, or b as it was before.
func (e *encoder) finish(b []byte) ([]byte, error) {
	if e.err != nil {
		return b, e.err
	}
	return e.b, nil
}

func (e *encoder) root(local string) {
	e.b = append(e.b, "<sr:"...)
	e.b = append(e.b, local...)
	e.b = append(e.b, ` xmlns:sr="`+namespace+`" schemaVersion="5.4">`...)
}

func (e *encoder) open(local string) {
	e.b = append(e.b, "<sr:"...)
	e.b = append(e.b, local...)
	e.b = append(e.b, '>')
}

func (e *encoder) close(local string) {
	e.b = append(e.b, "</sr:"...)
	e.b = append(e.b, local...)
	e.b = append(e.b, '>')
}

func (e *encoder) text(local, text string, limit length) {
	if !limit.holds(text) {
		e.fail(local, "%q has not %d to %d characters", text, limit.min, limit.max)
	}
	for _, r := range text {
		if r < ' ' || r == utf8.RuneError || r == '\uFFFE' || r == '\uFFFF' {
			e.fail(local, "%q holds a character that does not belong in XML", text)
		}
	}
	e.open(local)
	e.b = xmltree.AppendText(e.b, text)
	e.close(local)
}

// word writes text in which nothing has to be escaped.
func (e *encoder) word(local, text string) {
	e.open(local)
	e.b = append(e.b, text...)
	e.close(local)
}

func (e *encoder) eui(local string, eui servicerequests.EUI) {
	if eui == 0 {
		e.fail(local, "is missing")
	}
	e.open(local)
	e.b, _ = eui.AppendText(e.b)
	e.close(local)
}

func (e *encoder) requestID(local string, id servicerequests.RequestID) {
	if id.Originator == 0 || id.Target == 0 || id.Counter == 0 || id.Counter > servicerequests.MaxCounter {
		e.fail(local, "%s is not whole", id)
	}
	e.open(local)
	e.b, _ = id.AppendText(e.b)
	e.close(local)
}

func (e *encoder) uint(local string, n uint64) {
	e.open(local)
	e.b = strconv.AppendUint(e.b, n, 10)
	e.close(local)
}

func (e *encoder) time(local string, t time.Time) {
	if t.IsZero() || t.UTC().Year() > 9999 {
		e.fail(local, "%v is no time", t)
	}
	e.open(local)
	e.b = t.UTC().AppendFormat(e.b, "2006-01-02T15:04:05.000Z")
	e.close(local)
}

func (e *encoder) alertCode(local string, code uint16) {
	e.open(local)
	const digits = "0123456789ABCDEF"
	e.b = append(e.b, digits[code>>12], digits[code>>8&15], digits[code>>4&15], digits[code&15])
	e.close(local)
}

func (e *encoder) payload(local string, octets []byte) {
	if len(octets) == 0 {
		e.fail(local, "is empty")
	}
	e.open(local)
	e.b = base64.StdEncoding.AppendEncode(e.b, octets)
	e.close(local)
}

func (e *encoder) serviceReferences(reference, variant string) {
	if !serviceMatches(reference, variant) {
		e.fail("ServiceReferenceVariant", "%q is no variant of service %q", variant, reference)
	}
	e.word("ServiceReference", reference)
	e.word("ServiceReferenceVariant", variant)
}
