package report

import (
	"fmt"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// inspect holds the bytes of a signed request or command against the permitted
// set. It believes neither the record's columns nor the wall at the socket:
// their work is what it checks.
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
		return fmt.Errorf("the body is SRV %v, %v", service, sent.ID)
	case (rec.Kind == record.SignedCommand) != (sent.CommandVariant == servicerequests.SendSignedCommand):
		return fmt.Errorf("a %v of Command Variant %d", rec.Kind, sent.CommandVariant)
	case sent.SignedPreCommand == nil:
		return nil
	}
	expected := gbcs.Expected{Service: service, Device: servicerequests.ESME, ID: sent.ID}
	return expected.For(sent.SignedPreCommand).MatchSigned(sent.SignedPreCommand)
}
