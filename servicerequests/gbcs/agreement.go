package gbcs

import (
	"context"
	"crypto/ecdh"
	"encoding/binary"
	"errors"

	"safemode/servicerequests"
	"safemode/servicerequests/recent"
)

// ErrNotCheckable says that a MAC can be neither made nor checked: the private key is
// where no key of GBCS can be derived from it.
var ErrNotCheckable = errors.New("key agreement: the module gives neither the secret nor the derived key, so MACs cannot be checked")

// KeyInfo names one of the keys that two parties share: that of one message, or of
// the encrypted values in it.
type KeyInfo struct {
	Mode       Mode
	Originator servicerequests.EUI // of the message
	Counter    uint64
	Target     servicerequests.EUI
}

// OtherInfo is the input of the KDF that is not the secret, 33 bytes (GBCS 4.3.3.3): the
// algorithm's identifier 60857406080300, originator, 09, mode, counter, target.
func (i KeyInfo) OtherInfo() [33]byte {
	b := make([]byte, 0, 33)
	b = append(b, "\x60\x85\x74\x06\x08\x03\x00"...)
	b = binary.BigEndian.AppendUint64(b, uint64(i.Originator))
	b = append(b, 9, byte(i.Mode))
	b = binary.BigEndian.AppendUint64(b, i.Counter)
	b = binary.BigEndian.AppendUint64(b, uint64(i.Target))
	return [33]byte(b)
}

// Agreement is the private half of the key agreement between one identity and devices. It
// may be a key in memory, in a module, or behind a signer in a process of its own. It may
// be used from many goroutines.
type Agreement interface {
	// DeriveKey derives the AES key that info names, between the identity and the device
	// that has this public key. The error is [ErrNotCheckable] where no attempt can help.
	DeriveKey(ctx context.Context, device *ecdh.PublicKey, info KeyInfo) ([16]byte, error)
}

// Secret is the ECDH of a private key with a device's public key, as [SharedSecret] has
// it, wherever the private key is.
type Secret func(device *ecdh.PublicKey) ([32]byte, error)

// rememberedSecrets bounds how many secrets are kept; a meter's answers come within
// minutes of each other.
const rememberedSecrets = 1 << 13

type agreement struct {
	secret  Secret
	secrets *recent.Map[[65]byte, [32]byte] // by the device's point
}

// NewAgreement makes an Agreement of what computes the secret. It keeps the secrets of
// the devices that were last asked for.
func NewAgreement(s Secret) Agreement {
	return &agreement{s, recent.New[[65]byte, [32]byte](rememberedSecrets)}
}

// AgreementOf makes an Agreement of a private key in memory, on P-256.
func AgreementOf(key *ecdh.PrivateKey) Agreement {
	return NewAgreement(func(device *ecdh.PublicKey) ([32]byte, error) { return SharedSecret(key, device) })
}

// DeriveKey implements [Agreement].
func (a *agreement) DeriveKey(_ context.Context, device *ecdh.PublicKey, info KeyInfo) (key [16]byte, err error) {
	if device == nil || device.Curve() != ecdh.P256() {
		return key, errors.New("key agreement: the device's key is not on P-256")
	}
	point := [65]byte(device.Bytes()) // uncompressed, on P-256
	z, known := a.secrets.Get(point)
	if !known {
		if z, err = a.secret(device); err != nil {
			return key, err
		}
		a.secrets.Put(point, z)
	}
	return DeriveKeyFromSecret(z, info.Mode, info.Originator, info.Counter, info.Target), nil
}
