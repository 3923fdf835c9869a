// Package devicepki owns the keys and certificates of simulated devices. Both
// follow from the fleet's seed and the device's EUI, so that nothing needs to
// be stored and two runs agree. Everybody who knows the seed has the keys.
//
// It refuses to make keys that could belong to a real device: certificates
// come from a test authority alone, either the device authority of the PKI
// folder or, where the folder has no key for one (as DCC's ZAZ1 set), one of
// its own that also derives from the seed.
package devicepki

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/recent"
	"safemode/servicerequests/smki"
)

// ErrNotTest marks a device authority that is not one of a test hierarchy.
var ErrNotTest = errors.New("device authority is not of a test PKI")

// Keys are a device's two private keys.
type Keys struct {
	Signing   *ecdsa.PrivateKey // signs critical Responses and Alerts
	Agreement *ecdh.PrivateKey  // the device's side of every MAC
}

// PKI makes keys and certificates on demand. All methods may be called from
// any goroutine.
type PKI struct {
	seed   []byte
	issuer *smki.Authority

	// Renewed says whether a device has its second keys by now. Nil: none has. It is set
	// before anything is asked, and called from any goroutine.
	Renewed func(device servicerequests.EUI) bool

	// Twin says whether a device has two certificates of each of its keys. Nil: none has.
	// It is set and called as Renewed is.
	Twin func(device servicerequests.EUI) bool

	keys         *recent.Map[holder, *Keys]
	certificates *recent.Map[holder, []*smki.Certificate]
}

// holder is a device with its first keys, or with its second.
type holder struct {
	device  servicerequests.EUI
	renewed bool
}

// How many devices' keys, and how many devices' certificates, are kept in memory, some
// 50 MB at most: keys as long as a device's requests are under way, certificates from
// a search until they are retrieved. Forgotten ones are made again. Kept ones cost time
// at each garbage collection.
const (
	rememberedKeys         = 16384
	rememberedCertificates = 1024
)

// notBefore is when device certificates begin; they never end.
var notBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// New returns the PKI of the fleet with this seed. Certificates are issued by
// deviceIssuing when it has a key, else by an authority that derives from the
// seed. An authority that is not of a test PKI wraps [ErrNotTest].
func New(seed uint64, deviceIssuing smki.SigningIdentity) (*PKI, error) {
	p := &PKI{
		seed:         binary.BigEndian.AppendUint64(nil, seed),
		keys:         recent.New[holder, *Keys](rememberedKeys),
		certificates: recent.New[holder, []*smki.Certificate](rememberedCertificates),
	}
	if deviceIssuing.Key != nil {
		if c := deviceIssuing.Certificate; !c.IsTest() {
			return nil, fmt.Errorf("%q: %w", c.Subject, ErrNotTest)
		}
		p.issuer = &smki.Authority{Certificate: deviceIssuing.Certificate, Key: deviceIssuing.Key}
		return p, nil
	}
	key, err := smki.DeriveTestKey(p.seed, "device authority")
	if err != nil {
		return nil, err
	}
	p.issuer, err = smki.NewRoot(smki.Template{
		Role: smki.NoRole, CommonName: smki.TestMarker + " DEVICES",
		NotBefore: notBefore, NotAfter: smki.DeviceNotAfter,
	}, key)
	if err != nil {
		return nil, fmt.Errorf("device authority: %w", err)
	}
	return p, nil
}

// Issuer returns the certificate of the authority that issues to devices.
func (p *PKI) Issuer() *smki.Certificate { return p.issuer.Certificate }

// Keys returns the private keys that a device has now, whether or not a fleet has it.
func (p *PKI) Keys(device servicerequests.EUI) (*Keys, error) { return p.keysOf(p.holder(device)) }

// Former returns the keys that a device had before it got others; nil: it has its first.
func (p *PKI) Former(device servicerequests.EUI) (*Keys, error) {
	if !p.holder(device).renewed {
		return nil, nil
	}
	return p.keysOf(holder{device: device})
}

func (p *PKI) holder(device servicerequests.EUI) holder {
	return holder{device, p.Renewed != nil && p.Renewed(device)}
}

func (p *PKI) keysOf(h holder) (*Keys, error) {
	if keys, ok := p.keys.Get(h); ok {
		return keys, nil
	}
	signing, err := smki.DeriveTestKey(p.seed, h.label(smki.DigitalSignature))
	if err != nil {
		return nil, fmt.Errorf("keys of %v: %w", h.device, err)
	}
	agreement, err := smki.DeriveTestAgreementKey(p.seed, h.label(smki.KeyAgreement))
	if err != nil {
		return nil, fmt.Errorf("keys of %v: %w", h.device, err)
	}
	keys, _ := p.keys.PutNew(h, &Keys{Signing: signing, Agreement: agreement})
	return keys, nil
}

// label keeps the keys of a device apart.
func (h holder) label(usage smki.Usage) string {
	if h.renewed {
		return fmt.Sprintf("device %v %v renewed", h.device, usage)
	}
	return fmt.Sprintf("device %v %v", h.device, usage)
}

// Certificates returns a device's certificates for signing and for key agreement, in
// this order; twins of them, and those of keys that it has replaced, come after. Asked again it returns the
// same bytes.
func (p *PKI) Certificates(device servicerequests.EUI) ([]*smki.Certificate, error) {
	first, err := p.certificatesOf(holder{device: device})
	if h := p.holder(device); err == nil && h.renewed {
		second, err := p.certificatesOf(h)
		return slices.Concat(second, first), err
	}
	return first, err
}

func (p *PKI) certificatesOf(h holder) ([]*smki.Certificate, error) {
	if pair, ok := p.certificates.Get(h); ok {
		return pair, nil
	}
	device := h.device
	keys, err := p.keysOf(h)
	if err != nil {
		return nil, err
	}
	agreeing, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), keys.Agreement.PublicKey().Bytes())
	if err != nil {
		return nil, fmt.Errorf("certificates of %v: %w", device, err)
	}
	begin := []time.Time{notBefore}
	if p.Twin != nil && p.Twin(device) {
		begin = append(begin, notBefore.AddDate(0, 1, 0))
	}
	var all []*smki.Certificate
	for _, from := range begin {
		for _, of := range [...]struct {
			usage smki.Usage
			key   *ecdsa.PublicKey
		}{{smki.DigitalSignature, &keys.Signing.PublicKey}, {smki.KeyAgreement, agreeing}} {
			c, err := p.issuer.Issue(smki.Template{Device: true, EUI: device, Usage: of.usage, NotBefore: from}, of.key)
			if err != nil {
				return nil, fmt.Errorf("certificates of %v: %w", device, err)
			}
			all = append(all, c)
		}
	}
	all, _ = p.certificates.PutNew(h, all)
	return all, nil
}
