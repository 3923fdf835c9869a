package smki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"safemode/servicerequests"
)

// ErrTemplate marks a [Template] that describes no SMKI certificate.
var ErrTemplate = errors.New("certificate template")

// DeviceNotAfter is the end of every device certificate: never.
var DeviceNotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// Template describes a certificate to be issued.
type Template struct {
	Device     bool                // for a device: EUI counts, Role and CommonName must be unset
	Role       Role                // of an organisation or authority; NoRole for an authority over devices
	EUI        servicerequests.EUI // unset for an authority
	CommonName string              // optional for an organisation, required for an authority
	Usage      Usage

	NotBefore time.Time
	NotAfter  time.Time // zero for a device: DeviceNotAfter

	// Serial is positive and at most 128 bits. Left nil, it is derived from
	// everything else, so that the same certificate issued twice is the same.
	Serial *big.Int
}

// Authority issues certificates.
type Authority struct {
	Certificate *Certificate

	// Key signs what is issued. It is asked without a source of randomness:
	// an [ecdsa.PrivateKey] then signs deterministically (RFC 6979), so that a
	// certificate issued again is the same to the byte.
	Key crypto.Signer
}

// NewRoot makes a self-signed authority.
func NewRoot(t Template, key crypto.Signer) (*Authority, error) {
	public, ok := key.Public().(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: key of a root is a %T", ErrTemplate, key.Public())
	}
	t.Usage = CertSign
	certificate, err := issue(t, public, nil, key)
	if err != nil {
		return nil, err
	}
	return &Authority{Certificate: certificate, Key: key}, nil
}

// Issue makes and signs a certificate for public in SMKI's profile. Errors of
// the template wrap [ErrTemplate].
func (a *Authority) Issue(t Template, public *ecdsa.PublicKey) (*Certificate, error) {
	if a.Key == nil {
		return nil, fmt.Errorf("authority %q has no key", a.Certificate.Subject)
	}
	return issue(t, public, a.Certificate, a.Key)
}

// issue signs with key in the name of issuer, or of the subject itself when
// issuer is nil.
func issue(t Template, public *ecdsa.PublicKey, issuer *Certificate, key crypto.Signer) (*Certificate, error) {
	if t.Device && t.NotAfter.IsZero() {
		t.NotAfter = DeviceNotAfter
	}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	point, err := public.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	subject, err := t.subject()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	issuerDER, authorityKeyID := subject, []byte(nil)
	if issuer != nil {
		issuerDER, authorityKeyID = issuer.subjectDER, issuer.SubjectKeyID
	}
	extensions, err := t.extensions(keyID(point), authorityKeyID)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	tbs := tbsDER{
		Version:    2,
		Serial:     t.Serial,
		Algorithm:  algorithmDER{oidECDSAWithSHA256},
		Issuer:     asn1.RawValue{FullBytes: issuerDER},
		Validity:   validityDER{t.NotBefore.UTC(), t.NotAfter.UTC()},
		Subject:    asn1.RawValue{FullBytes: subject},
		PublicKey:  asn1.RawValue{FullBytes: publicDER},
		Extensions: extensions,
	}
	if tbs.Serial == nil {
		if tbs.Serial, err = deriveSerial(tbs); err != nil {
			return nil, err
		}
	}
	return sign(tbs, key)
}

// deriveSerial takes 127 bits, like ZAZ1's serials, from a hash of the
// certificate as it would be with serial 0.
func deriveSerial(tbs tbsDER) (*big.Int, error) {
	tbs.Serial = new(big.Int)
	der, err := asn1.Marshal(tbs)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	sum[0] = sum[0]&0x3F | 0x40
	return new(big.Int).SetBytes(sum[:16]), nil
}

func sign(tbs tbsDER, key crypto.Signer) (*Certificate, error) {
	der, err := asn1.Marshal(tbs)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(der)
	signature, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	tbs.Raw = der
	der, err = asn1.Marshal(certificateDER{tbs, tbs.Algorithm, asn1.BitString{Bytes: signature, BitLength: len(signature) * 8}})
	if err != nil {
		return nil, err
	}
	return ParseCertificate(der)
}

func (t *Template) check() error {
	endEntity := t.Usage == DigitalSignature || t.Usage == KeyAgreement
	switch {
	case t.Serial != nil && (t.Serial.Sign() <= 0 || t.Serial.BitLen() > 128):
		return errors.New("serial is not positive or has more than 128 bits")
	case t.NotBefore.IsZero() || t.NotAfter.Before(t.NotBefore):
		return errors.New("validity is missing or ends before it begins")
	case t.Device && (!endEntity || t.EUI == 0 || t.CommonName != "" || t.Role != 0):
		return errors.New("a device needs an EUI and a usage and nothing else")
	case t.Device, t.Usage == CertSign && t.CommonName != "" && t.EUI == 0:
		return nil
	case t.Usage == CertSign:
		return errors.New("an authority needs a common name and no EUI")
	case !endEntity || t.EUI == 0 || t.Role == NoRole:
		return errors.New("an organisation needs an EUI, a role and a usage")
	}
	return nil
}

func (t *Template) subject() ([]byte, error) {
	var attributes []attribute
	switch {
	case t.Device: // the EUI stands in the subjectAltName
	case t.Usage == CertSign:
		if t.Role != NoRole {
			attributes = append(attributes, textAttribute(oidUnit, t.Role.ou()))
		}
		attributes = append(attributes, textAttribute(oidCommonName, t.CommonName))
	default:
		if t.CommonName != "" {
			attributes = append(attributes, textAttribute(oidCommonName, t.CommonName))
		}
		attributes = append(attributes, textAttribute(oidUnit, t.Role.ou()), euiAttribute(t.EUI))
	}
	return marshalName(attributes...)
}

// extensions are in the order in which the ZAZ1 certificates have them.
func (t *Template) extensions(subjectKeyID, authorityKeyID []byte) ([]pkix.Extension, error) {
	var list []pkix.Extension
	var firstErr error
	add := func(oid asn1.ObjectIdentifier, critical bool, value any) {
		der, err := asn1.Marshal(value)
		if err != nil && firstErr == nil {
			firstErr = err
		}
		list = append(list, pkix.Extension{Id: oid, Critical: critical, Value: der})
	}

	policy := oidOrganisationPolicy
	switch t.Usage {
	case DigitalSignature:
		add(oidKeyUsage, true, asn1.BitString{Bytes: []byte{bitDigitalSignature}, BitLength: 1})
	case KeyAgreement:
		add(oidKeyUsage, true, asn1.BitString{Bytes: []byte{bitKeyAgreement}, BitLength: 5})
	case CertSign:
		add(oidKeyUsage, true, asn1.BitString{Bytes: []byte{bitCertSign | bitCRLSign}, BitLength: 7})
		add(oidBasicConstraints, true, basicConstraintsDER{Authority: true, PathLen: -1})
	}
	add(oidSubjectKeyID, false, subjectKeyID)
	if t.Device {
		policy = oidDevicePolicy
		octets := t.EUI.Bytes()
		other, err := asn1.MarshalWithParams(otherNameDER{oidHardwareModuleName, hardwareModuleDER{oidDeviceHardware, octets[:]}}, "tag:0")
		if err != nil {
			return nil, err
		}
		add(oidSubjectAltName, true, []asn1.RawValue{{FullBytes: other}})
	}
	if t.Usage == CertSign && t.Role != IssuingAuthority { // a root is over both, an authority without OU over devices
		add(oidPolicies, true, []policyDER{{OID: oidOrganisationPolicy}, {OID: oidDevicePolicy}})
	} else {
		add(oidPolicies, true, []policyDER{{OID: policy}})
	}
	if authorityKeyID != nil {
		add(oidAuthorityKeyID, false, authorityKeyIDDER{authorityKeyID})
	}
	return list, firstErr
}
