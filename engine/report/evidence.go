package report

import (
	"errors"
	"fmt"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// errForbidden marks evidence of something sent that is not what the record
// says, or not permitted.
var errForbidden = errors.New("forbidden")

// inspect compares the bytes of a signed request or command with the permitted
// set. It trusts neither the record's columns nor the wall at the socket,
// because it checks their work.
func inspect(rec record.Record) error {
	sent, err := duis.Inspect(rec.Body)
	if err != nil {
		return err
	}
	service, err := sent.Service()
	switch {
	case err != nil:
		return err
	case service != rec.Service || sent.ID != rec.ID:
		return fmt.Errorf("%w: the body is SRV %v, %v", errForbidden, service, sent.ID)
	case (rec.Kind == record.SignedCommand) != (sent.CommandVariant == servicerequests.SendSignedCommand):
		return fmt.Errorf("%w: a %v of Command Variant %d", errForbidden, rec.Kind, sent.CommandVariant)
	case sent.SignedPreCommand == nil:
		return nil
	}
	expected := gbcs.Expected{Service: service, Device: servicerequests.ESME, ID: sent.ID}
	return expected.For(sent.SignedPreCommand).MatchSigned(sent.SignedPreCommand)
}
