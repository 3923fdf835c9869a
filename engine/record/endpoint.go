package record

import "fmt"

// Endpoint is one of the DCC's request services.
type Endpoint uint8

// The endpoints.
const (
	Transform   Endpoint = iota + 1 // critical request in, Pre-Command out
	SendCommand                     // reads and Signed Pre-Commands
	NonDevice                       // answered by the DCC itself
)

// Endpoints lists every endpoint.
var Endpoints = [...]Endpoint{Transform, SendCommand, NonDevice}

func (e Endpoint) String() string {
	switch e {
	case Transform:
		return "transform"
	case SendCommand:
		return "send_command"
	case NonDevice:
		return "non_device"
	}
	return fmt.Sprintf("invalid(%d)", uint8(e))
}
