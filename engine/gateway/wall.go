package gateway

import (
	"errors"
	"fmt"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// ErrNotPermitted is the wall's refusal: nothing was sent. Errors that wrap it
// say why.
var ErrNotPermitted = errors.New("gateway: held back by the wall")

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
	if err := inspectCommand(service, request); err != nil {
		return fmt.Errorf("%w: Signed Pre-Command: %w", ErrNotPermitted, err)
	}
	return nil
}

// serviceOf returns the service that takes a Command Variant (DUIS 5.4); 0 for
// those that the engine does not use.
func serviceOf(v servicerequests.CommandVariant) Service {
	switch v {
	case servicerequests.TransformRequest:
		return Transform
	case servicerequests.SendCommand, servicerequests.SendSignedCommand:
		return SendCommand
	case servicerequests.DCCOnly:
		return NonDevice
	}
	return 0
}

// signatureField is 40 and r, s of 32 bytes each, the end of a Signed Pre-Command.
const signatureField = 1 + 64

// inspectCommand looks inside: without its signature the message must be, byte
// for byte, a Pre-Command of the service that the XML names under the same ID.
func inspectCommand(service servicerequests.Service, request duis.ReceivedRequest) error {
	m, err := gbcs.Parse(request.SignedPreCommand)
	if err != nil {
		return err
	}
	if m.Kind != gbcs.KindSignedPreCommand {
		return fmt.Errorf("it is a %v", m.Kind)
	}
	useCase, ok := gbcs.LookupUseCase(m.Code)
	if !ok {
		return fmt.Errorf("%w: %04X", gbcs.ErrUnknownUseCase, m.Code)
	}
	expected := gbcs.Expected{Service: service, Device: useCase.Device, ID: request.ID}
	return expected.Match(request.SignedPreCommand[:len(request.SignedPreCommand)-signatureField])
}
