package journal

import (
	"crypto/sha256"
	"fmt"

	"safemode/servicerequests"
)

// srv is the service's text in the journal.
func srv(s servicerequests.Service) string {
	if s == 0 {
		return ""
	}
	return s.SRV()
}

// parseSRV is the inverse of srv.
func parseSRV(text string) (servicerequests.Service, error) {
	if text == "" {
		return 0, nil
	}
	for _, s := range servicerequests.Services {
		if s.SRV() == text {
			return s, nil
		}
	}
	return 0, fmt.Errorf("SRV %q is not in the permitted set", text)
}

// link is one link of the chain: the hash of a record, over its encoding and the hash of
// the record before.
type link = [sha256.Size]byte

// ChainError names the first record at which the chain does not hold, and the segment
// that it is in. It wraps [ErrDamaged].
type ChainError struct {
	Seq    uint64
	Reason string
}

func (e *ChainError) Error() string { return fmt.Sprintf("record %d: %s", e.Seq, e.Reason) }

// Unwrap returns [ErrDamaged].
func (e *ChainError) Unwrap() error { return ErrDamaged }

// unlinked is the reason if a record's hash does not follow from the record and the one
// before.
const unlinked = "altered, or not the one that followed the record before"
