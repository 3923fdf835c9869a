package sweep

import (
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Class is how one request ended. The classes of the requests that were sent
// sum to their number; withdrawn requests were never sent to a device and are
// counted apart.
type Class uint8

// The classes.
const (
	Open       Class = iota // not ended
	Succeeded               // the device did it, or answered the read
	Negative                // the device said no
	NoResponse              // E20, E21 or silence past the deadline
	Rejected                // the DCC refused it
	InDoubt                 // written, and never acknowledged nor answered
	Unverified              // an answer came that could not be proven, and no better one
	Withdrawn               // never sent to a device: its reason had gone, or it was refused
)

// codeHTTP stands in an outcome for a DUIS code where the DCC refused a POST
// without one: HTTP status 4xx.
const codeHTTP = "HTTP"

// codeNoValue stands there for the result of a device that answered a read with
// success and without the value that was asked for.
const codeNoValue = "no value"

var classNames = [...]string{
	"open", record.ClassSuccess, record.ClassNegative, record.ClassNoResponse, record.ClassRejected,
	record.ClassInDoubt, record.ClassUnverified, record.ClassWithdrawn,
}

func (c Class) String() string { return classNames[c] }

func parseClass(text string) (Class, bool) {
	for c, name := range classNames {
		if name == text {
			return Class(c), true
		}
	}
	return Open, false
}

// codeDeleted stands there where the DCC deleted a quarantined request on the User's
// word.
const codeDeleted = "deleted"

// unanswered says whether asking again may help: no answer of the device came
// through.
func (c Class) unanswered() bool {
	return c == NoResponse || c == InDoubt || c == Unverified
}

// classOf maps the code of a DUIS response without device data to the class
// of its request. Acknowledgements do not end a request.
func classOf(code servicerequests.ResponseCode) Class {
	switch code.Class() {
	case servicerequests.CodeAcknowledged:
		return Open
	case servicerequests.CodeUnreachable, servicerequests.CodeNoResponse:
		return NoResponse
	default:
		return Rejected
	}
}
