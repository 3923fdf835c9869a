package xmldsig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"math/big"
)

const (
	scalarSize    = 32 // bytes of r and of s on P-256
	signatureSize = 2 * scalarSize
)

var errDER = errors.New("the key's signature is not the DER of two 32-byte integers")

// verify reports whether signature, r then s, is the key's over digest. It
// refuses an r or s that is not between 1 and the order of the curve less 1.
func verify(key *ecdsa.PublicKey, digest, signature []byte) bool {
	r := new(big.Int).SetBytes(signature[:scalarSize])
	s := new(big.Int).SetBytes(signature[scalarSize:])
	order := elliptic.P256().Params().N
	if r.Sign() == 0 || s.Sign() == 0 || r.Cmp(order) >= 0 || s.Cmp(order) >= 0 {
		return false
	}
	return ecdsa.Verify(key, digest, r, s)
}

// rawSignature turns the DER that a crypto.Signer returns, SEQUENCE { r INTEGER,
// s INTEGER }, into r then s.
func rawSignature(der []byte) (raw [signatureSize]byte, err error) {
	if len(der) < 2 || der[0] != 0x30 || int(der[1]) != len(der)-2 {
		return raw, errDER
	}
	rest := der[2:]
	for _, scalar := range [][]byte{raw[:scalarSize], raw[scalarSize:]} {
		if len(rest) < 2 || rest[0] != 0x02 || len(rest)-2 < int(rest[1]) {
			return raw, errDER
		}
		value := rest[2 : 2+int(rest[1])]
		rest = rest[2+len(value):]
		if len(value) > 1 && value[0] == 0 {
			value = value[1:] // it keeps the integer positive
		}
		if len(value) == 0 || len(value) > scalarSize {
			return raw, errDER
		}
		copy(scalar[scalarSize-len(value):], value)
	}
	if len(rest) != 0 {
		return raw, errDER
	}
	return raw, nil
}
