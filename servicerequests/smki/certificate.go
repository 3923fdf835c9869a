package smki

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"safemode/servicerequests"
)

// ErrCertificate marks bytes that are not a certificate in one of SMKI's shapes.
var ErrCertificate = errors.New("not an SMKI certificate")

// TestMarker starts the CN of every authority that [TestFolder] makes, and so
// the issuer's CN of every certificate of such a hierarchy.
const TestMarker = "SAFEMODE TEST"

// Certificate is one certificate that has been read to the last byte. Its
// signature has not been checked: see [Certificate.VerifyChain].
type Certificate struct {
	Raw                 []byte // DER
	Serial              *big.Int
	Issuer, Subject     string              // RFC 2253 as Java writes it, like CN=Z1,OU=07
	EUI                 servicerequests.EUI // 0 in an authority's certificate that has none
	CommonName          string              // of the subject; empty when it has none
	Role                Role                // NoRole for devices
	Device              bool                // issued to a device
	Usage               Usage
	NotBefore, NotAfter time.Time // both inclusive
	PublicKey           *ecdsa.PublicKey
	SubjectKeyID        []byte
	AuthorityKeyID      []byte // nil when absent

	issuer     name
	subjectDER []byte
	tbs        []byte // the signed part
	signature  []byte // DER of r and s
}

type certificateDER struct {
	TBS       tbsDER
	Algorithm algorithmDER
	Signature asn1.BitString
}

type tbsDER struct {
	Raw        asn1.RawContent
	Version    int `asn1:"explicit,tag:0"`
	Serial     *big.Int
	Algorithm  algorithmDER
	Issuer     asn1.RawValue
	Validity   validityDER
	Subject    asn1.RawValue
	PublicKey  asn1.RawValue
	Extensions []pkix.Extension `asn1:"explicit,tag:3"`
}

// algorithmDER has no parameters: RFC 5758 3.2 leaves them out for ECDSA.
type algorithmDER struct{ OID asn1.ObjectIdentifier }

type validityDER struct{ NotBefore, NotAfter time.Time }

var oidECDSAWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}

// ParseCertificate reads one certificate in DER with nothing after it. Errors
// wrap [ErrCertificate].
func ParseCertificate(der []byte) (*Certificate, error) {
	c, err := parseCertificate(bytes.Clone(der))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return c, nil
}

func parseCertificate(der []byte) (*Certificate, error) {
	var outer certificateDER
	if rest, err := asn1.Unmarshal(der, &outer); err != nil {
		return nil, err
	} else if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes after it", len(rest))
	}
	tbs := &outer.TBS
	switch {
	case tbs.Version != 2:
		return nil, fmt.Errorf("version %d, want 3", tbs.Version+1)
	case !tbs.Algorithm.OID.Equal(oidECDSAWithSHA256) || !outer.Algorithm.OID.Equal(oidECDSAWithSHA256):
		return nil, errors.New("signature algorithm is not ecdsa-with-SHA256")
	case outer.Signature.BitLength%8 != 0:
		return nil, errors.New("signature is not whole octets")
	case tbs.Serial.Sign() <= 0:
		return nil, errors.New("serial number is not positive")
	case tbs.Validity.NotAfter.Before(tbs.Validity.NotBefore):
		return nil, errors.New("ends before it begins")
	}
	key, err := parsePublicKey(tbs.PublicKey.FullBytes)
	if err != nil {
		return nil, err
	}
	issuer, err := parseName(tbs.Issuer.FullBytes)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	subject, err := parseName(tbs.Subject.FullBytes)
	if err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	extensions, err := parseExtensions(tbs.Extensions)
	if err != nil {
		return nil, err
	}
	c := &Certificate{
		Raw: der, Serial: tbs.Serial,
		Issuer: issuer.text, Subject: subject.text, CommonName: subject.commonName,
		Usage:     extensions.usage,
		NotBefore: tbs.Validity.NotBefore.UTC(), NotAfter: tbs.Validity.NotAfter.UTC(),
		PublicKey: key, SubjectKeyID: extensions.subjectKeyID, AuthorityKeyID: extensions.authorityKeyID,
		issuer: issuer, subjectDER: tbs.Subject.FullBytes, tbs: tbs.Raw, signature: outer.Signature.Bytes,
	}
	return c, c.readHolder(subject, extensions)
}

// readHolder works out which of SMKI's shapes the certificate has.
func (c *Certificate) readHolder(subject name, extensions extensions) (err error) {
	c.EUI, c.Role = subject.eui, NoRole
	if subject.unit != "" {
		if c.Role, err = parseRole(subject.unit); err != nil {
			return err
		}
	}
	device := extensions.device != 0
	switch {
	case extensions.authority != (c.Usage == CertSign):
		return errors.New("keyCertSign and cA do not go together")
	case c.Usage == CertSign && (device || subject.commonName == ""):
		return errors.New("an authority needs a CN and no device name")
	case c.Usage == CertSign:
		return nil
	case subject.text == "" && device:
		c.Device, c.EUI = true, extensions.device
		return nil
	case device:
		return errors.New("names both an organisation and a device")
	case subject.unit == "" || subject.eui == 0:
		return errors.New("an organisation needs an OU and a uniqueIdentifier")
	}
	return nil
}

// p256Info is what comes before the point in the SubjectPublicKeyInfo of a P-256 key
// (RFC 5480): DER has no other way to write one that is not compressed.
const p256Info = "\x30\x59\x30\x13\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07\x03\x42\x00"

func parsePublicKey(der []byte) (*ecdsa.PublicKey, error) {
	point, ok := bytes.CutPrefix(der, []byte(p256Info))
	if !ok {
		return nil, errors.New("public key is not on P-256")
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return key, nil
}

// ParseCertificatePEM reads a PEM file that holds exactly one certificate.
func ParseCertificatePEM(text []byte) (*Certificate, error) {
	der, err := onePEMBlock(text, "CERTIFICATE")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return ParseCertificate(der)
}

// onePEMBlock returns the content of the only block in text, whose type must
// be one of types.
//
// openssl ecparam -genkey writes the curve's name before the key: that block is skipped.
func onePEMBlock(text []byte, types ...string) ([]byte, error) {
	block, rest := pem.Decode(text)
	if block != nil && block.Type == "EC PARAMETERS" && slices.Contains(types, "EC PRIVATE KEY") {
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, notPEM(text)
	}
	if second, _ := pem.Decode(rest); second != nil {
		return nil, fmt.Errorf("more than one PEM block (the second is %q)", second.Type)
	}
	if slices.Contains(types, block.Type) && len(block.Headers) == 0 {
		return block.Bytes, nil
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errors.New("the key is encrypted: openssl pkey -in FILE -out FILE.pem asks for the password and writes it as it is wanted here")
	}
	if block.Type == "OPENSSH PRIVATE KEY" {
		return nil, errors.New("an OpenSSH key: ssh-keygen -p -m PKCS8 -f FILE turns it into one that is read here")
	}
	return nil, fmt.Errorf("PEM block is %q, want %s", block.Type, strings.Join(types, " or "))
}

// notPEM says what a file without a PEM block is, by its first bytes.
func notPEM(text []byte) error {
	switch {
	case bytes.HasPrefix(text, []byte("\ufeff")):
		return errors.New("a byte order mark stands before the PEM block: tail -c +4 FILE > FILE.pem takes it off")
	case bytes.HasPrefix(text, []byte{0xff, 0xfe}), bytes.HasPrefix(text, []byte{0xfe, 0xff}):
		return errors.New("UTF-16 text: iconv -f UTF-16 -t UTF-8 FILE > FILE.pem turns it into what is read here")
	case bytes.Contains(text, []byte("-----BEGIN")) && !bytes.Contains(text, []byte("\n")) && bytes.Contains(text, []byte("\r")):
		return errors.New("lines end with CR only: tr '\\r' '\\n' < FILE > FILE.pem mends it")
	case len(text) > 1 && text[0] == 0x30 && text[1] > 2: // a SEQUENCE
		return errors.New("DER, not PEM: openssl pkey -inform DER -in FILE -out FILE.pem turns a key into PEM, openssl x509 -inform DER -in FILE -out FILE.pem a certificate, openssl pkcs12 -nodes -in FILE a PKCS#12 file")
	}
	return errors.New("no PEM block")
}

// PEM returns the certificate as one PEM block.
func (c *Certificate) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// SerialText is the serial number in decimal, as XML signatures and the SMKI
// service write it.
func (c *Certificate) SerialText() string { return c.Serial.String() }

// ECDH returns the public key for key agreement.
func (c *Certificate) ECDH() (*ecdh.PublicKey, error) { return c.PublicKey.ECDH() }

// IsTest says whether the certificate comes from a test PKI: one that
// [TestFolder] made, or DCC's public ZAZ1 set (see [Certificate.IsPublished]). It
// goes by the issuer's name and by that set's keys. It verifies no signature: use
// [Certificate.VerifyChain] for that.
func (c *Certificate) IsTest() bool {
	return strings.HasPrefix(c.issuer.commonName, TestMarker) || c.IsPublished()
}

// ErrNotValidNow marks a certificate that has not begun or has run out.
var ErrNotValidNow = errors.New("certificate is not valid at this time")

// CheckValidAt says whether the certificate is valid at t.
func (c *Certificate) CheckValidAt(t time.Time) error {
	if t.Before(c.NotBefore) || t.After(c.NotAfter) {
		return fmt.Errorf("%w: %s is outside %s to %s", ErrNotValidNow,
			t.UTC().Format(time.RFC3339), c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))
	}
	return nil
}
