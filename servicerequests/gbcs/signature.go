package gbcs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// ErrSignature marks a message whose signature is absent or is not by the key given.
var ErrSignature = errors.New("signature does not verify")

// VerifySignature checks the signature with the signer's public key (P-256). r
// and s must be from 1 to n-1; high s is valid (27 of 65 vectors have one). The
// error wraps [ErrSignature].
func (m *Message) VerifySignature(pub *ecdsa.PublicKey) error {
	if len(m.Signature) != signatureLength {
		return fmt.Errorf("%w: the message has none", ErrSignature)
	}
	if pub.Curve != elliptic.P256() {
		return fmt.Errorf("%w: the key is not on P-256", ErrSignature)
	}
	digest := sha256.Sum256(m.signed)
	r := new(big.Int).SetBytes(m.Signature[:32])
	s := new(big.Int).SetBytes(m.Signature[32:])
	if !ecdsa.Verify(pub, digest[:], r, s) { // checks the range of r and s
		return ErrSignature
	}
	return nil
}

// Sign turns a permitted Pre-Command into a Signed Pre-Command: it drops one
// null signature byte if there is one, signs from offset 1 and appends 40 and the
// signature. The signer must hold a P-256 key and give ASN.1 signatures, as
// crypto.Signer has it for ECDSA.
//
// It refuses everything that is not exactly a permitted Pre-Command: the message
// is compared with the template for its own header. The caller must check, with
// [Expected.Match], that it is the one that was asked for.
func Sign(preCommand []byte, signer crypto.Signer) ([]byte, error) {
	m, err := Parse(preCommand)
	if err != nil {
		return nil, err
	}
	use, _ := LookupUseCase(m.Code)
	if use.Service == 0 {
		return nil, fmt.Errorf("sign: %w: %s", ErrNoPreCommand, codeName(m.Code))
	}
	e := Expected{Service: use.Service, Device: use.Device, ID: m.ID()}
	if err := e.Match(preCommand); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	b := make([]byte, 0, len(preCommand)+1+signatureLength)
	b = append(b, preCommand[:1+len(m.signed)]...)
	return appendSignature(b, 0, signer)
}

// ToBeSigned is what the signature of a message is over, or would be: the same bytes for a
// Pre-Command and for the Signed Pre-Command that it becomes.
func ToBeSigned(message []byte) ([]byte, error) {
	m, err := Parse(message)
	if err != nil {
		return nil, err
	}
	return m.signed, nil
}

// AppendSigned appends a signed Response or Alert of a device. Commands are
// signed by [Sign] alone, and refused here.
func AppendSigned(b []byte, h Header, payload []byte, signer crypto.Signer) ([]byte, error) {
	if h.CRA != CRAResponse && h.CRA != CRAAlert {
		return nil, errors.New("only Responses and Alerts are signed here")
	}
	start := len(b)
	return appendSignature(AppendMessage(b, h, payload), start, signer)
}

// appendSignature signs the message that stands in b from start to the end.
func appendSignature(b []byte, start int, signer crypto.Signer) ([]byte, error) {
	pub, ok := signer.Public().(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, errors.New("sign: the key is not ECDSA on P-256")
	}
	digest := sha256.Sum256(b[start+1:])
	der, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	b = append(b, signatureLength)
	b, ok = appendRawSignature(b, der)
	if !ok {
		return nil, errors.New("sign: the signer's answer is no ASN.1 signature of P-256")
	}
	return b, nil
}

// appendRawSignature appends r and s, 32 bytes each, of a DER SEQUENCE of two INTEGERs.
func appendRawSignature(b, der []byte) ([]byte, bool) {
	var signature struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &signature)
	if err != nil || len(rest) > 0 {
		return nil, false
	}
	for _, n := range [...]*big.Int{signature.R, signature.S} {
		if n.Sign() < 0 || n.BitLen() > 8*signatureLength/2 {
			return nil, false
		}
		b = append(b, n.FillBytes(make([]byte, signatureLength/2))...)
	}
	return b, true
}
