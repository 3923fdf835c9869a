package signing

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// digestOf is the SHA-256 of a document to be signed, as the log holds it: of a request
// without its signature, of what the signature of a Pre-Command is over.
func digestOf(document []byte) []byte {
	sum := sha256.Sum256(document)
	return sum[:]
}

// KnownOf is the signature in a record of the engine's journal: of a request or of a Signed
// Pre-Command.
func KnownOf(r record.Record) (Known, error) {
	k := Known{Meter: r.Device, ID: r.ID, Service: SRV(r.Service), Command: r.Kind == record.SignedCommand}
	got, err := duis.Inspect(r.Body)
	if err != nil {
		return k, fmt.Errorf("record %d: %w", r.Seq, err)
	}
	var unsigned []byte
	switch {
	case k.Command:
		unsigned, err = gbcs.ToBeSigned(got.SignedPreCommand)
	case got.SignedPreCommand != nil:
		err = errors.New("a request that carries a Signed Pre-Command")
	default:
		var service servicerequests.Service
		if service, err = got.Service(); err == nil {
			unsigned, err = duis.AppendRequest(nil, duis.Request{ID: got.ID, Service: service, InventoryDevice: got.Inventory.Device})
		}
	}
	if err != nil {
		return k, fmt.Errorf("record %d: %w", r.Seq, err)
	}
	k.Digest = digestOf(unsigned)[:len(digest{})]
	return k, nil
}
