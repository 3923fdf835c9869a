package servicerequests

// ResponseCode is the code of a DUIS response, like I0, I99 or E20.
type ResponseCode string

// The response codes that this module acts on by name (DUIS 5.4 response code
// list; meanings from public copies of DUIS clause 3.5).
const (
	Success       ResponseCode = "I0"   // a response is here; what the device said stands inside it
	Acknowledged  ResponseCode = "I99"  // accepted and queued
	NotAUser      ResponseCode = "E1"   // User or role not valid
	NotInRole     ResponseCode = "E2"   // role may not send this service
	UserStatus    ResponseCode = "E3"   // User's status does not allow it
	NotRegistered ResponseCode = "E4"   // role not authorised for this device now: registration
	DeviceStatus  ResponseCode = "E5"   // device's status does not allow it
	TypeMismatch  ResponseCode = "E11"  // service does not fit the device type
	WrongVariant  ResponseCode = "E12"  // Command Variant not applicable
	WrongService  ResponseCode = "E13"  // wrong request type for the URL
	NotLocal      ResponseCode = "E17"  // not available for local command services
	NoSuchDevice  ResponseCode = "E19"  // device does not exist
	Unreachable   ResponseCode = "E20"  // the DCC cannot reach the device
	NoResponse    ResponseCode = "E21"  // the device did not answer: the outcome is unknown
	TimedOut      ResponseCode = "E30"  // time-out
	InvalidFormat ResponseCode = "E48"  // assumption: the request is malformed or its signature fails
	DuplicateID   ResponseCode = "E49"  // assumption: another request has used this Request ID
	OutOfOrder    ResponseCode = "E100" // assumption: Signed Pre-Command without a matching Pre-Command
)

// CodeClass is what a response code means for the request that got it.
type CodeClass uint8

// The classes of response codes.
const (
	CodeHeld         CodeClass = iota // not known: not retried, held for a person
	CodeSuccess                       // I0
	CodeAcknowledged                  // I99
	CodeInvalid                       // this request can never succeed
	CodeUnregistered                  // this meter is not the supplier's any more
	CodeUnreachable                   // not delivered: may be asked again with a new counter
	CodeNoResponse                    // outcome unknown: read back first
	CodeHalt                          // the User itself is refused: stop everywhere
)

// codes is the table of known response codes. It is data so that a code whose
// meaning becomes known is a new row and nothing else. A code that is not here
// is held for a person.
var codes = map[ResponseCode]CodeClass{
	Success:       CodeSuccess,
	Acknowledged:  CodeAcknowledged,
	NotAUser:      CodeHalt,
	NotInRole:     CodeHalt,
	UserStatus:    CodeHalt,
	NotRegistered: CodeUnregistered,
	DeviceStatus:  CodeInvalid,
	TypeMismatch:  CodeInvalid,
	WrongVariant:  CodeInvalid,
	WrongService:  CodeInvalid,
	NotLocal:      CodeInvalid,
	NoSuchDevice:  CodeInvalid,
	Unreachable:   CodeUnreachable,
	NoResponse:    CodeNoResponse,
	TimedOut:      CodeNoResponse,
	"E31":         CodeNoResponse, // assumption: as E30
	InvalidFormat: CodeInvalid,
	OutOfOrder:    CodeInvalid,
}

// Class returns the meaning of the code.
func (c ResponseCode) Class() CodeClass { return codes[c] }
