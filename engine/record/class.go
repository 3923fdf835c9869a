package record

import (
	"fmt"

	"safemode/servicerequests"
)

// Class is how one request ended, and the code of its [Outcome] record. The classes of
// the requests that were sent add up to their number; withdrawn requests were never sent
// to a device and are counted apart.
type Class uint8

// The classes.
const (
	ClassOpen       Class = iota // not ended
	ClassSuccess                 // the device did it, or the read gave values
	ClassNegative                // the device said no
	ClassNoResponse              // E20, E21, E30, or silence past the deadline
	ClassRejected                // the DCC refused it with an E code
	ClassInDoubt                 // written, and never acknowledged nor answered
	ClassUnverified              // an answer came that could not be proven, and no better one
	ClassWithdrawn               // never sent to a device: its reason had gone, or it was refused

	Classes = iota // how many there are
)

var classNames = [Classes]string{
	"open", "success", "negative", "no_response", "rejected", "in_doubt", "unverified", "withdrawn",
}

// The names of classes that have something in common.
var (
	EndedClasses = classNames[ClassSuccess:]                // of requests that have ended
	AbortClasses = classNames[ClassNegative:ClassWithdrawn] // those that an [AbortRule] may watch
)

func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("invalid(%d)", uint8(c))
}

// MarshalText implements [encoding.TextMarshaler].
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. A class that is not known is an error.
func (c *Class) UnmarshalText(text []byte) error {
	for known, name := range classNames {
		if name == string(text) {
			*c = Class(known)
			return nil
		}
	}
	return fmt.Errorf("class %q is not known", text)
}

// ParseClass is the inverse of [Class.String].
func ParseClass(text string) (c Class, err error) { return c, c.UnmarshalText([]byte(text)) }

// Unanswered says that no answer of the device came through, so that asking again may help.
func (c Class) Unanswered() bool {
	return c == ClassNoResponse || c == ClassInDoubt || c == ClassUnverified
}

// ClassOf maps the code of a DUIS response without device data to the class of its
// request. An acknowledgement ends no request: [ClassOpen].
func ClassOf(code servicerequests.ResponseCode) Class {
	switch code.Class() {
	case servicerequests.CodeAcknowledged:
		return ClassOpen
	case servicerequests.CodeUnreachable, servicerequests.CodeNoResponse:
		return ClassNoResponse
	default:
		return ClassRejected
	}
}

// Codes of outcomes that are no DUIS code and no device's result.
const (
	CodeHTTP    = "HTTP"     // the DCC refused a POST without a code: HTTP status 4xx
	CodeNoValue = "no value" // a device answered a read with success and without the value
	CodeDeleted = "deleted"  // the DCC deleted a quarantined request on the User's word
)
