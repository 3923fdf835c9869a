package xmldsig

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"safemode/servicerequests/xmltree"
)

// Errors of Sign.
var (
	ErrNotCanonical = errors.New("xmldsig: the document is not in canonical compact form")
	ErrSigned       = errors.New("xmldsig: the document has a signature already")
	ErrKey          = errors.New("xmldsig: the key is not on P-256")
)

// Signer signs the documents of one User. It is safe for concurrent use if its
// Key is.
type Signer struct {
	Key    crypto.Signer // ECDSA on P-256; may live in an HSM
	Issuer string        // of the key's certificate, RFC 2253 text, such as "CN=Z1,OU=07"
	Serial string        // of the key's certificate, decimal
}

// Sign returns the document with its signature as the root's last child. The
// rest of the document is not changed: the passed bytes are signed. So they must
// be as xmltree's AppendCompact writes them: canonical, without XML
// declaration and without white space between elements (ErrNotCanonical), and
// unsigned (ErrSigned).
//
// The result is canonical as well. Its KeyInfo holds Issuer and Serial as given.
func (s *Signer) Sign(doc []byte) ([]byte, error) {
	if public, ok := s.Key.Public().(*ecdsa.PublicKey); !ok || public.Curve != elliptic.P256() {
		return nil, ErrKey
	}
	if _, err := NewKeyRef(s.Issuer, s.Serial); err != nil {
		return nil, err
	}
	if err := checkSignable(doc); err != nil {
		return nil, err
	}
	digest := sha256.Sum256(doc)
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	info := append((*buffer)[:0], `<ds:SignedInfo xmlns:ds="`+space+`">`+infoUntilDigest...)
	info = base64.StdEncoding.AppendEncode(info, digest[:])
	info = append(info, infoAfterDigest...)
	*buffer = info

	digest = sha256.Sum256(info)
	der, err := s.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("xmldsig: sign: %w", err)
	}
	signature, err := rawSignature(der)
	if err != nil {
		return nil, fmt.Errorf("xmldsig: sign: %w", err)
	}

	end := bytes.LastIndex(doc, []byte("</"))
	out := make([]byte, 0, len(doc)+len(info)+signatureRoom+len(s.Issuer)+len(s.Serial))
	out = append(out, doc[:end]...)
	// Within Signature, which declares ds, SignedInfo does not declare it again.
	out = append(out, `<ds:Signature xmlns:ds="`+space+`"><ds:SignedInfo>`...)
	out = append(out, info[bytes.IndexByte(info, '>')+1:]...)
	out = append(out, `<ds:SignatureValue>`...)
	out = base64.StdEncoding.AppendEncode(out, signature[:])
	out = append(out, `</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509IssuerSerial><ds:X509IssuerName>`...)
	out = xmltree.AppendText(out, s.Issuer)
	out = append(out, `</ds:X509IssuerName><ds:X509SerialNumber>`...)
	out = append(out, s.Serial...)
	out = append(out, `</ds:X509SerialNumber></ds:X509IssuerSerial></ds:X509Data></ds:KeyInfo></ds:Signature>`...)
	return append(out, doc[end:]...), nil
}

// signatureRoom is a little more than the bytes of a Signature without SignedInfo, issuer
// and serial number.
const signatureRoom = 512

// SignedInfo in exclusive canonical form, without its tag, around the digest.
const (
	infoUntilDigest = `<ds:CanonicalizationMethod Algorithm="` + exclusiveC14N + `"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="` + ecdsaSHA256 + `"></ds:SignatureMethod>` +
		`<ds:Reference URI=""><ds:Transforms>` +
		`<ds:Transform Algorithm="` + enveloped + `"></ds:Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="` + digestSHA256 + `"></ds:DigestMethod><ds:DigestValue>`
	infoAfterDigest = `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
)

func checkSignable(doc []byte) error {
	tree, err := xmltree.Parse(doc)
	if err != nil {
		return fmt.Errorf("xmldsig: %w", err)
	}
	defer tree.Release()
	for n := range tree.Root().Descendants() {
		if n.Is(space, "Signature") && !handedOn(n) {
			return ErrSigned
		}
	}
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	*buffer = tree.AppendCompact((*buffer)[:0], tree.Root(), xmltree.Node{})
	if !bytes.Equal(doc, *buffer) {
		return ErrNotCanonical
	}
	return nil
}
