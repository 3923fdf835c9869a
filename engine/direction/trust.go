package direction

import (
	"fmt"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests/smki"
)

// Trust is what a person's certificate is checked against, wherever their signature counts.
type Trust struct {
	Chained func(*smki.Certificate) error // it chains to a trusted authority; nil: not checked, because no authorities are given
	Revoked func(*smki.Certificate) bool  // a revocation list names it; nil: no list is given
}

// Check checks that a certificate is valid at some instants of real time: when it signed, and
// now. A revocation counts for all time, because a thief of the key may write any date.
func (t Trust) Check(c *smki.Certificate, at ...time.Time) error {
	for _, instant := range at {
		if err := c.CheckValidAt(instant); err != nil {
			return fmt.Errorf("%s: %w", c.CommonName, err)
		}
	}
	if t.Chained != nil {
		if err := t.Chained(c); err != nil {
			return fmt.Errorf("%s: %w", c.CommonName, err)
		}
	}
	if t.Revoked != nil && t.Revoked(c) {
		return fmt.Errorf("%s: %w: a revocation list names serial %s", c.CommonName, smki.ErrRevoked, c.SerialText())
	}
	return nil
}

// Same says whether two signatories are one person: by name, by key, or by both.
func (s Signatory) Same(other Signatory) bool {
	return record.SameName(s.Name, other.Name) || s.Key != "" && s.Key == other.Key
}
