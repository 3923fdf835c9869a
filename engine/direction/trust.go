package direction

import (
	"fmt"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests/smki"
)

// Trust is what a person's certificate is checked against, wherever their signature counts.
type Trust struct {
	Chained func(*smki.Certificate) error // it leads to an authority that is trusted; nil: not asked, as where no authorities are at hand
	Revoked func(*smki.Certificate) bool  // a revocation list names it; nil: no list is at hand
}

// Check says whether a certificate stands at each of some instants of real time: when it
// signed, and now. A revocation counts from ever: who holds the key may write any date.
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
