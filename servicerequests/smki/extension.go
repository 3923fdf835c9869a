package smki

import (
	"crypto/sha1" // RFC 5280's key identifier; nothing rests on it
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"safemode/servicerequests"
)

var (
	oidSubjectKeyID       = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidKeyUsage           = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectAltName     = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints   = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidPolicies           = asn1.ObjectIdentifier{2, 5, 29, 32}
	oidAuthorityKeyID     = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidHardwareModuleName = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 4}
	oidDeviceHardware     = asn1.ObjectIdentifier{1, 2, 826, 0, 1, 8641679, 1, 2, 2, 1}
	oidOrganisationPolicy = asn1.ObjectIdentifier{1, 2, 826, 0, 1, 8641679, 1, 2, 1, 4}
	oidDevicePolicy       = asn1.ObjectIdentifier{1, 2, 826, 0, 1, 1800000, 1, 2, 1, 4}
)

// extensions is what this package reads out of a certificate's extensions.
type extensions struct {
	usage          Usage
	authority      bool
	device         servicerequests.EUI // 0 when there is no HardwareModuleName
	subjectKeyID   []byte
	authorityKeyID []byte
}

type authorityKeyIDDER struct {
	KeyID []byte `asn1:"optional,tag:0"`
}

type basicConstraintsDER struct {
	Authority bool `asn1:"optional"`
	PathLen   int  `asn1:"optional,default:-1"`
}

type policyDER struct {
	OID        asn1.ObjectIdentifier
	Qualifiers asn1.RawValue `asn1:"optional"`
}

type otherNameDER struct {
	Type  asn1.ObjectIdentifier
	Value hardwareModuleDER `asn1:"explicit,tag:0"`
}

// hardwareModuleDER is the HardwareModuleName of RFC 4108 section 5.
type hardwareModuleDER struct {
	Type   asn1.ObjectIdentifier
	Serial []byte
}

func parseExtensions(list []pkix.Extension) (extensions, error) {
	var e extensions
	for i, extension := range list {
		if slices.ContainsFunc(list[:i], func(x pkix.Extension) bool { return x.Id.Equal(extension.Id) }) {
			return e, fmt.Errorf("extension %s stands twice", extension.Id)
		}
		if err := e.read(extension); err != nil {
			return e, fmt.Errorf("extension %s: %w", extension.Id, err)
		}
	}
	if e.usage == 0 {
		return e, errors.New("no keyUsage")
	}
	return e, nil
}

func (e *extensions) read(x pkix.Extension) error {
	switch {
	case x.Id.Equal(oidKeyUsage):
		var bits asn1.BitString
		if err := unmarshal(x.Value, &bits); err != nil {
			return err
		}
		return e.readUsage(bits, x.Critical)
	case x.Id.Equal(oidBasicConstraints):
		var constraints basicConstraintsDER
		if err := unmarshal(x.Value, &constraints); err != nil {
			return err
		}
		e.authority = constraints.Authority
		if e.authority && !x.Critical {
			return errors.New("cA is not critical")
		}
	case x.Id.Equal(oidSubjectAltName):
		return e.readDevice(x.Value, x.Critical)
	case x.Id.Equal(oidPolicies):
		return unmarshal(x.Value, new([]policyDER))
	case x.Id.Equal(oidSubjectKeyID):
		return unmarshal(x.Value, &e.subjectKeyID)
	case x.Id.Equal(oidAuthorityKeyID):
		var id authorityKeyIDDER
		if err := unmarshal(x.Value, &id); err != nil {
			return err
		}
		e.authorityKeyID = id.KeyID
	case x.Critical:
		return errors.New("critical and not known")
	}
	return nil
}

// The first octet of a keyUsage's bits; bit 0 of X.509 is the highest.
const (
	bitDigitalSignature = 0x80
	bitKeyAgreement     = 0x08
	bitCertSign         = 0x04
	bitCRLSign          = 0x02
)

func (e *extensions) readUsage(bits asn1.BitString, critical bool) error {
	if !critical || len(bits.Bytes) != 1 {
		return errors.New("not critical, or not one octet")
	}
	switch bits.Bytes[0] {
	case bitDigitalSignature:
		e.usage = DigitalSignature
	case bitKeyAgreement:
		e.usage = KeyAgreement
	case bitCertSign, bitCertSign | bitCRLSign:
		e.usage = CertSign
	default:
		return fmt.Errorf("bits %02x are not one of SMKI's usages", bits.Bytes[0])
	}
	return nil
}

func (e *extensions) readDevice(value []byte, critical bool) error {
	var names []asn1.RawValue
	if err := unmarshal(value, &names); err != nil {
		return err
	}
	if len(names) != 1 || !critical {
		return errors.New("want one critical name")
	}
	var other otherNameDER
	rest, err := asn1.UnmarshalWithParams(names[0].FullBytes, &other, "tag:0")
	if err != nil {
		return err
	}
	module := other.Value
	if len(rest) > 0 || !other.Type.Equal(oidHardwareModuleName) || len(module.Serial) != 8 {
		return errors.New("not the HardwareModuleName of a device")
	}
	if e.device = servicerequests.EUI(binary.BigEndian.Uint64(module.Serial)); e.device == 0 {
		return errors.New("device EUI is all zero")
	}
	return nil
}

func unmarshal(der []byte, into any) error {
	rest, err := asn1.Unmarshal(der, into)
	if err == nil && len(rest) > 0 {
		err = errors.New("bytes after the value")
	}
	return err
}

// keyID is RFC 5280's second method (4.2.1.2) over the octets of the public
// point: 0100 and the low 60 bits of the SHA-1.
func keyID(point []byte) []byte {
	sum := sha1.Sum(point)
	id := sum[len(sum)-8:]
	id[0] = id[0]&0x0F | 0x40
	return id
}
