package dcc

import (
	"crypto/sha256"
	"time"

	"safemode/servicerequests"
)

// half is what a Request ID can be used for once: a request, and the Signed
// Pre-Command that follows it.
type half struct {
	id     servicerequests.RequestID
	signed bool
}

// accepted is what the DCC remembers of a request.
type accepted struct {
	digest     [sha256.Size]byte // of the request as received
	at         time.Time         // of its acknowledgement
	preCommand []byte            // Transform only; without null signature byte
}

// take remembers an accepted request. first is false when the same bytes were
// accepted before: then the answer of that time is due and nothing else. ok is
// false when other bytes have used the Request ID.
func (d *DCC) take(q request, preCommand []byte) (a accepted, first, ok bool) {
	key := half{id: q.ID, signed: q.CommandVariant == servicerequests.SendSignedCommand}
	now := accepted{digest: sha256.Sum256(q.raw), at: d.Clock.Now(), preCommand: preCommand}
	there, first := d.taken.PutNew(key, now)
	return there, first, there.digest == now.digest
}
