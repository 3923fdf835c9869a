package gbcs

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"safemode/servicerequests"
)

// ErrMAC marks a message whose MAC is absent or is not made with the key given.
var ErrMAC = errors.New("MAC does not verify")

// Mode says what a derived key is for. The first three are the CRA flag of the
// message whose MAC it makes.
type Mode byte

// The modes of key derivation.
const (
	ModeCommand    Mode = 1
	ModeResponse   Mode = 2
	ModeAlert      Mode = 3
	ModeEncryption Mode = 4 // of attribute values in a Response (4.3)
)

// SharedSecret computes Z, the static ECDH secret of two parties: the X
// coordinate, 32 bytes. It depends on the parties only and may be kept for all
// messages between them. Both keys must be on P-256.
func SharedSecret(priv *ecdh.PrivateKey, pub *ecdh.PublicKey) (z [32]byte, err error) {
	if priv.Curve() != ecdh.P256() {
		return z, errors.New("key agreement: the private key is not on P-256")
	}
	secret, err := priv.ECDH(pub)
	if err != nil {
		return z, fmt.Errorf("key agreement: %w", err)
	}
	copy(z[:], secret)
	return z, nil
}

// DeriveKeyFromSecret computes the AES key of one message or of its encrypted values from
// the secret of its parties: the first 16 bytes of SHA-256 over 00000001, Z and
// [KeyInfo.OtherInfo]. Parties: for a Command the ACB and the device, though originator is
// the supplier; for a Response or Alert the device and the recipient.
func DeriveKeyFromSecret(z [32]byte, mode Mode, originator servicerequests.EUI, counter uint64, target servicerequests.EUI) [16]byte {
	other := KeyInfo{mode, originator, counter, target}.OtherInfo()
	b := make([]byte, 0, 4+32+33)
	b = append(b, 0, 0, 0, 1)
	b = append(b, z[:]...)
	b = append(b, other[:]...)
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

// MACKey derives the key of the MAC of the message with header h.
func MACKey(z [32]byte, h Header) [16]byte {
	return DeriveKeyFromSecret(z, Mode(h.CRA), h.Originator, h.Counter, h.Target)
}

// EncryptionKey derives the key of the encrypted values in the Response with
// header h.
func EncryptionKey(z [32]byte, h Header) [16]byte {
	return DeriveKeyFromSecret(z, ModeEncryption, h.Originator, h.Counter, h.Target)
}

// AppendMAC appends the MAC Header, the inner message (DF to the end of its
// signature field) and the MAC. A key makes one message only: the same key and
// originator under another message would break AES-GCM.
func AppendMAC(b, inner []byte, originator servicerequests.EUI, key [16]byte) []byte {
	b = appendMACHeader(b, len(inner))
	b = append(b, inner...)
	iv := iv(originator)
	return newGCM(key).Seal(b, iv[:], nil, macAAD(inner))
}

// VerifyMAC checks the MAC with the key of the message, see [MACKey]. The error
// is [ErrMAC].
func (m *Message) VerifyMAC(key [16]byte) error {
	if len(m.MAC) != macLength {
		return fmt.Errorf("%w: the message has none", ErrMAC)
	}
	iv := iv(m.Originator)
	if _, err := newGCM(key).Open(nil, iv[:], m.MAC, macAAD(m.inner)); err != nil {
		return ErrMAC
	}
	return nil
}

func appendMACHeader(b []byte, inner int) []byte {
	b = append(b, macHeaderStart...)
	b = appendLength(b, len(macHeaderEnd)+inner+macLength)
	return append(b, macHeaderEnd...)
}

func macAAD(inner []byte) []byte {
	aad := make([]byte, 0, 6+len(inner))
	// Security control, then the five empty fields of general-ciphering. The
	// invocation counter is not part of it.
	aad = append(aad, 0x11, 0, 0, 0, 0, 0)
	return append(aad, inner...)
}

func iv(originator servicerequests.EUI) (iv [12]byte) {
	binary.BigEndian.PutUint64(iv[:], uint64(originator))
	return iv
}

// newGCM returns AES-128-GCM with a tag of 12 bytes. Neither constructor can
// fail: both lengths are fixed and valid.
func newGCM(key [16]byte) cipher.AEAD {
	block, _ := aes.NewCipher(key[:])
	gcm, _ := cipher.NewGCMWithTagSize(block, macLength)
	return gcm
}
