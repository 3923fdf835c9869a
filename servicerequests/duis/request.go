package duis

import (
	"fmt"

	"safemode/servicerequests"
)

// Request is a Service Request or Signed Pre-Command of the permitted set.
type Request struct {
	// ID names the request. Its target is the device, and for 8.2 the DCC. A
	// Signed Pre-Command has the ID of the request that it was transformed from.
	ID      servicerequests.RequestID
	Service servicerequests.Service

	// SignedPreCommand is the second half of a critical request: the signed GBCS
	// message. Nil: the first half, which asks for the Pre-Command.
	SignedPreCommand []byte

	// InventoryDevice is the device that 8.2 asks for; otherwise zero.
	InventoryDevice servicerequests.EUI
}

// CommandVariant follows from the service and the half.
func (r Request) CommandVariant() servicerequests.CommandVariant {
	switch {
	case r.Service == servicerequests.ReadInventory:
		return servicerequests.DCCOnly
	case !r.Service.Critical():
		return servicerequests.SendCommand
	case r.SignedPreCommand == nil:
		return servicerequests.TransformRequest
	}
	return servicerequests.SendSignedCommand
}

// AppendRequest appends the request in canonical form, ready to be signed. On
// an error, which wraps [ErrEncode] or [servicerequests.ErrNotPermitted], b
// comes back as it was.
func AppendRequest(b []byte, r Request) ([]byte, error) {
	variant, ok := r.Service.Variant()
	switch {
	case !ok:
		return b, fmt.Errorf("service %s: %w", r.Service, servicerequests.ErrNotPermitted)
	case r.SignedPreCommand != nil && !variant.Critical:
		return b, fmt.Errorf("%w: SRV %s has no Signed Pre-Command", ErrEncode, variant.SRV)
	case (r.InventoryDevice != 0) != (r.Service == servicerequests.ReadInventory):
		return b, fmt.Errorf("%w: an inventory device goes with SRV 8.2 and only with it", ErrEncode)
	}
	e := encoder{b: b}
	e.root("Request")
	e.open("Header")
	e.requestID("RequestID", r.ID)
	e.uint("CommandVariant", uint64(r.CommandVariant()))
	e.serviceReferences(variant.ServiceReference, variant.SRV)
	e.close("Header")
	e.open("Body")
	if r.SignedPreCommand != nil {
		e.open("SignedPreCommand")
		e.payload("GBCSPayload", r.SignedPreCommand)
		e.close("SignedPreCommand")
	} else {
		e.open(variant.Element)
		switch r.Service {
		case servicerequests.SwitchToCredit:
			e.word("Credit", "")
		case servicerequests.ReadInventory:
			e.eui("DeviceID", r.InventoryDevice)
		}
		e.close(variant.Element)
	}
	e.close("Body")
	e.close("Request")
	return e.finish(b)
}
