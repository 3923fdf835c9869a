package gateway

import (
	"errors"
	"fmt"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// ErrNotPermitted is the wall's refusal: nothing was sent. Errors that wrap it
// say why.
var ErrNotPermitted = errors.New("gateway: refused by the wall")

// inspect is the wall. It trusts nothing but the bytes that would leave.
func inspect(p Post) error {
	request, err := duis.Inspect(p.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotPermitted, err)
	}
	service, err := request.Service()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotPermitted, err)
	case request.ID != p.ID:
		return fmt.Errorf("%w: the body's Request ID is %s, not %s", ErrNotPermitted, request.ID, p.ID)
	case p.Service != serviceOf(request.CommandVariant):
		return fmt.Errorf("%w: Command Variant %d does not go to %s", ErrNotPermitted, request.CommandVariant, p.Service)
	case request.SignedPreCommand == nil:
		return nil
	}
	// Without its signature the message must be, byte for byte, a Pre-Command of the
	// service that the XML names, under the same ID.
	expected := gbcs.Expected{Service: service, Device: servicerequests.ESME, ID: request.ID}
	if err := expected.For(request.SignedPreCommand).MatchSigned(request.SignedPreCommand); err != nil {
		return fmt.Errorf("%w: Signed Pre-Command: %w", ErrNotPermitted, err)
	}
	return nil
}

// serviceOf returns the service that takes a Command Variant (DUIS 5.4); 0 for
// those that the engine does not use.
func serviceOf(v servicerequests.CommandVariant) record.Endpoint {
	switch v {
	case servicerequests.TransformRequest:
		return record.Transform
	case servicerequests.SendCommand, servicerequests.SendSignedCommand:
		return record.SendCommand
	case servicerequests.DCCOnly:
		return record.NonDevice
	}
	return 0
}
