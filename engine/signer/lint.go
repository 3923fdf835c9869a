package signer

import (
	"bytes"
	"fmt"

	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// CheckCommand compares the signed request that carries a Signed Pre-Command with the one that
// was asked for.
func CheckCommand(e gbcs.Expected, signed []byte) error {
	got, err := duis.Inspect(signed)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errLint, e.ID, err)
	}
	if err := lintMessage(e, got.SignedPreCommand); err != nil {
		return err
	}
	return CheckRequest(duis.Request{ID: e.ID, Service: e.Service, SignedPreCommand: got.SignedPreCommand}, signed)
}

// lintMessage reads a Signed Pre-Command again: a message of that kind which,
// without its signature, is what was asked for.
func lintMessage(e gbcs.Expected, message []byte) error {
	if err := e.MatchSigned(message); err != nil {
		return fmt.Errorf("%w: %s: %w", errLint, e.ID, err)
	}
	return nil
}

// CheckRequest reads a signed request again: the permitted service, under the
// Request ID, with the payload it was given.
func CheckRequest(r duis.Request, signed []byte) error {
	got, err := duis.Inspect(signed)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errLint, r.ID, err)
	}
	service, err := got.Service()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %s: %w", errLint, r.ID, err)
	case got.ID != r.ID, service != r.Service, got.CommandVariant != r.CommandVariant(),
		!bytes.Equal(got.SignedPreCommand, r.SignedPreCommand), got.Inventory.Device != r.InventoryDevice:
		return fmt.Errorf("%w: %s", errLint, r.ID)
	}
	return nil
}
