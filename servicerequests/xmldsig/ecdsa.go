package xmldsig

import (
	"crypto/ecdsa"
	"errors"
)

const (
	scalarSize    = 32 // bytes of r and of s on P-256
	signatureSize = 2 * scalarSize
)

var errDER = errors.New("the key's signature is not the DER of two 32-byte integers")

// verify reports whether signature, r then s, is the key's over digest. It
// refuses an r or s that is not between 1 and the order of the curve less 1.
func verify(key *ecdsa.PublicKey, digest []byte, signature [signatureSize]byte) bool {
	var der [2 + 2*(3+scalarSize)]byte
	return ecdsa.VerifyASN1(key, digest, appendDER(der[:0], signature)) // checks the ranges
}

// appendDER appends the DER of r then s, SEQUENCE { r INTEGER, s INTEGER }.
func appendDER(b []byte, signature [signatureSize]byte) []byte {
	start := len(b)
	b = append(b, 0x30, 0)
	for _, scalar := range [...][]byte{signature[:scalarSize], signature[scalarSize:]} {
		for len(scalar) > 1 && scalar[0] == 0 {
			scalar = scalar[1:]
		}
		if scalar[0] >= 0x80 { // or the integer would be negative
			b = append(b, 0x02, byte(len(scalar)+1), 0)
		} else {
			b = append(b, 0x02, byte(len(scalar)))
		}
		b = append(b, scalar...)
	}
	b[start+1] = byte(len(b) - start - 2)
	return b
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
