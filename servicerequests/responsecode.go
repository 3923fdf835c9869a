package servicerequests

// ResponseCode is the code of a DUIS response, like I0, I99 or E20.
type ResponseCode string

// The response codes that this module acts on by name (DUIS 5.4 response code
// list; meanings from public copies of DUIS clause 3.5).
const (
	Success       ResponseCode = "I0"   // a response is here, with the device's answer in it
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

// codeRow is a known response code: what it is for a request, in words, and where
// that is from.
type codeRow struct {
	class   CodeClass
	meaning string
	source  string
}

const (
	clause35   = "DUIS clause 3.5, public copies"
	schemaOnly = "DUIS schema 5.4 has it, without a meaning; assumption"
	assumption = "assumption"
)

// codes is the table of known response codes. It is data: when the meaning of a code
// becomes known, it gets a new row. A request with a code that is not here waits for
// a person.
var codes = map[ResponseCode]codeRow{
	Success:       {CodeSuccess, "a response is here", clause35},
	Acknowledged:  {CodeAcknowledged, "accepted and queued", clause35},
	NotAUser:      {CodeHalt, "the User or its role is not valid", clause35},
	NotInRole:     {CodeHalt, "the role may not send this service", clause35},
	UserStatus:    {CodeHalt, "the User's status does not allow it", clause35},
	NotRegistered: {CodeUnregistered, "the role is not authorised for this device now", clause35},
	DeviceStatus:  {CodeInvalid, "the device's status does not allow it", clause35},
	TypeMismatch:  {CodeInvalid, "the service does not fit the device type", clause35},
	WrongVariant:  {CodeInvalid, "the Command Variant is not applicable", clause35},
	WrongService:  {CodeInvalid, "the wrong request type for the URL", clause35},
	NoSuchDevice:  {CodeInvalid, "the device does not exist", clause35},
	Unreachable:   {CodeUnreachable, "the DCC cannot reach the device", clause35},
	NoResponse:    {CodeNoResponse, "the device did not answer", clause35},
	TimedOut:      {CodeNoResponse, "time-out", clause35},
	"E31":         {CodeNoResponse, "as E30", schemaOnly},
	InvalidFormat: {CodeInvalid, "malformed, or its signature fails", assumption},
	OutOfOrder:    {CodeInvalid, "a Signed Pre-Command without its Pre-Command", assumption},
}

// Class returns what the code means for the request that got it.
func (c ResponseCode) Class() CodeClass { return codes[c].class }

// Meaning returns the code's meaning in words and the source of it; both are empty
// for a code that is held for a person.
func (c ResponseCode) Meaning() (meaning, source string) {
	row := codes[c]
	return row.meaning, row.source
}
