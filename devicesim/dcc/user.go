package dcc

import (
	"crypto/ecdsa"
	"fmt"
	"slices"

	"safemode/servicerequests"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
)

// User is a party that may send Service Requests.
type User struct {
	XMLSigning     *smki.Certificate // signs its requests; its EUI is the User's
	DigitalSigning *smki.Certificate // signs its Pre-Commands
	KeyAgreement   *smki.Certificate // its side of the MAC on responses

	// Roles are the User Roles it has of those that the catalogue knows. Nil: Import
	// Supplier and Gas Supplier. Empty: none, and it may send nothing here.
	Roles []servicerequests.Role
}

func (u *User) eui() servicerequests.EUI { return u.XMLSigning.EUI }

func (u *User) has(role servicerequests.Role) bool {
	if u.Roles == nil {
		return role == servicerequests.ImportSupplier || role == servicerequests.GasSupplier
	}
	return slices.Contains(u.Roles, role)
}

// Key finds the pinned key of a User. It makes a DCC the [xmldsig.Keys] of its
// own Users.
func (d *DCC) Key(ref xmldsig.KeyRef) (*ecdsa.PublicKey, error) {
	u, ok := d.users[ref]
	if !ok {
		return nil, fmt.Errorf("%s: %w", ref, xmldsig.ErrUnknownKey)
	}
	return u.XMLSigning.PublicKey, nil
}
