package smki

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// Role is the role of an organisation, as the OU of its certificate states it.
type Role uint8

// The roles of GBCS (RemotePartyRole) and of DUIS XML signing. The comment is
// the OU that carries the role.
const (
	Root                Role = 0x00 // 00
	Recovery            Role = 0x01 // 01
	Supplier            Role = 0x02 // 02
	NetworkOperator     Role = 0x03 // 03
	AccessControlBroker Role = 0x04 // 04
	TransitionalCoS     Role = 0x05 // 05
	WANProvider         Role = 0x06 // 06
	IssuingAuthority    Role = 0x07 // 07
	Other               Role = 0x7F // 7F
	UserXMLSigning      Role = 0x87 // 87: signs Service Requests
	DSPXMLSigning       Role = 0x89 // 89: signs the DCC's responses
	NoRole              Role = 0xFF // no OU: devices, and authorities for devices
)

var roleNames = map[Role]string{
	Root: "root", Recovery: "recovery", Supplier: "supplier", NetworkOperator: "network operator",
	AccessControlBroker: "access control broker", TransitionalCoS: "transitional CoS", WANProvider: "WAN provider",
	IssuingAuthority: "issuing authority", Other: "other", UserXMLSigning: "User XML signing",
	DSPXMLSigning: "DSP XML signing", NoRole: "no role",
}

// String returns the OU and the role's name, like "02 (supplier)".
func (r Role) String() string {
	if r == NoRole {
		return roleNames[r]
	}
	if name, ok := roleNames[r]; ok {
		return fmt.Sprintf("%s (%s)", r.ou(), name)
	}
	return r.ou()
}

// ou is the role as two upper-case hexadecimal digits.
func (r Role) ou() string { return fmt.Sprintf("%02X", uint8(r)) }

// oddOUs are spellings of a role that are not its two hexadecimal digits.
var oddOUs = map[string]Role{
	"137": DSPXMLSigning, // decimal of 0x89, in DCC's older test certificate
}

func parseRole(ou string) (Role, error) {
	if role, ok := oddOUs[ou]; ok {
		return role, nil
	}
	b, err := hex.DecodeString(ou)
	if err != nil || len(b) != 1 || Role(b[0]) == NoRole {
		return NoRole, fmt.Errorf("OU %q: want a role as two hexadecimal digits", ou)
	}
	return Role(b[0]), nil
}

// Usage is the one purpose that a certificate's keyUsage allows.
type Usage uint8

// The usages.
const (
	DigitalSignature Usage = iota + 1
	KeyAgreement
	CertSign
)

func (u Usage) String() string {
	switch u {
	case DigitalSignature:
		return "digitalSignature"
	case KeyAgreement:
		return "keyAgreement"
	case CertSign:
		return "keyCertSign"
	}
	return fmt.Sprintf("invalid(%d)", uint8(u))
}

// ErrPurpose marks a certificate whose role or usage does not fit what it is
// to be used for.
var ErrPurpose = errors.New("certificate does not serve this purpose")

// Purpose is a job that a certificate can have in this module.
type Purpose uint8

// The purposes.
const (
	SignsRequests      Purpose = iota + 1 // the User's signature on DUIS XML
	SignsPreCommands                      // the supplier's signature on a Pre-Command
	SupplierAgrees                        // the supplier's side of the MAC on a response
	SignsResponses                        // the DCC's signature on DUIS XML
	BrokerAgrees                          // the access control broker's side of the MAC on a Command
	IssuesCertificates                    // an authority
	Approves                              // a person's signature over a plan
)

// purposes says which roles and which usage serve a purpose. DCC's test set
// has no XML signing certificate for its second supplier and signs that one's
// XML with OU 02; by analogy OU 04 serves for the DCC (assumption). Outside a
// test PKI neither is accepted.
var purposes = map[Purpose]struct {
	name      string
	roles     []Role
	testRoles []Role
	usage     Usage
}{
	SignsRequests:      {"signing Service Requests", []Role{UserXMLSigning}, []Role{Supplier}, DigitalSignature},
	SignsPreCommands:   {"signing Pre-Commands", []Role{Supplier}, nil, DigitalSignature},
	SupplierAgrees:     {"checking MACs of responses", []Role{Supplier}, nil, KeyAgreement},
	SignsResponses:     {"signing the DCC's responses", []Role{DSPXMLSigning}, []Role{AccessControlBroker}, DigitalSignature},
	BrokerAgrees:       {"MACs of Commands", []Role{AccessControlBroker}, nil, KeyAgreement},
	IssuesCertificates: {"issuing certificates", []Role{Root, IssuingAuthority, NoRole}, nil, CertSign},
	Approves:           {"approving a plan", []Role{Other}, nil, DigitalSignature},
}

func (p Purpose) String() string { return purposes[p].name }

// CheckPurpose says whether role and usage of the certificate fit the purpose.
// The error wraps [ErrPurpose].
func (c *Certificate) CheckPurpose(p Purpose) error {
	want, ok := purposes[p]
	if !ok {
		return fmt.Errorf("purpose %d: %w", uint8(p), ErrPurpose)
	}
	if c.Usage != want.usage {
		return fmt.Errorf("keyUsage is %s, %s needs %s: %w", c.Usage, want.name, want.usage, ErrPurpose)
	}
	if slices.Contains(want.roles, c.Role) && !c.Device {
		return nil
	}
	if slices.Contains(want.testRoles, c.Role) && c.IsTest() {
		return nil
	}
	return fmt.Errorf("role is %s, %s needs %v: %w", c.Role, want.name, want.roles, ErrPurpose)
}
