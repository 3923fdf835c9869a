package direction

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"safemode/servicerequests/smki"
)

// SignatureSuffix is what the name of a detached signature adds to the name of the
// file that it is over.
const SignatureSuffix = ".sig"

// ErrSignature is the error for a text without a valid signature of somebody who may sign it.
var ErrSignature = errors.New("signature not valid")

// Sign signs bytes as they are: ECDSA on P-256 over their SHA-256, as ASN.1, like openssl dgst
// -sha256 -sign. It gives the key no source of randomness, so that an [ecdsa.PrivateKey] signs the same bytes
// the same way (RFC 6979).
func Sign(key crypto.Signer, text []byte) ([]byte, error) {
	digest := sha256.Sum256(text)
	signature, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return signature, nil
}

// Verify checks a signature of [Sign] by a certificate. The error wraps
// [ErrSignature].
func Verify(c *smki.Certificate, text, signature []byte) error {
	digest := sha256.Sum256(text)
	if !ecdsa.VerifyASN1(c.PublicKey, digest[:], signature) {
		return fmt.Errorf("%w: not by the key of %s", ErrSignature, c.CommonName)
	}
	return nil
}

// Fingerprint names a person's key: SHA-256 over the SubjectPublicKeyInfo, in
// lower case hexadecimal. A certificate that was renewed with its key keeps it, so
// that nobody becomes two people by a second certificate.
func Fingerprint(c *smki.Certificate) string {
	der, err := x509.MarshalPKIXPublicKey(c.PublicKey)
	if err != nil {
		return "" // cannot be for a key on P-256; names nobody
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// Signatory is a person with the fingerprint of their key.
type Signatory struct {
	Name string `json:"name"`
	Key  string `json:"key,omitempty"` // [Fingerprint]; empty: nothing but the name is known
}

// Record is a direction's file as it was signed. A plan carries it, so that what
// was directed and who recorded it can be proven from the plan and the journal.
type Record struct {
	Text       string    `json:"text"` // the file, to the byte
	RecordedBy Signatory `json:"recorded_by"`
	Signature  []byte    `json:"signature"` // of [Sign] over Text
}

// CheckText checks that the record's text is that of a direction.
func (r *Record) CheckText(d *Direction) error {
	parsed, err := Parse([]byte(r.Text))
	if err != nil {
		return fmt.Errorf("direction_record: %w", err)
	}
	if !parsed.equal(d) {
		return errors.New("direction_record: its text says something else than direction")
	}
	return nil
}

// equal says whether two directions say the same.
func (d *Direction) equal(other *Direction) bool {
	a, errA := json.Marshal(d)
	b, errB := json.Marshal(other)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}
