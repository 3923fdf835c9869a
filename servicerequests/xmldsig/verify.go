package xmldsig

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"

	"safemode/servicerequests/xmltree"
)

// Errors of Verify. Beside them it returns what xmltree says of a document that
// it cannot read, and what Keys says of a key that it does not give.
var (
	ErrUnsigned   = errors.New("xmldsig: the document holds no signature")
	ErrProfile    = errors.New("xmldsig: not the signature that DUIS prescribes")
	ErrDigest     = errors.New("xmldsig: the document is not the one that was signed")
	ErrUnknownKey = errors.New("xmldsig: unknown signing key")
	ErrSignature  = errors.New("xmldsig: the signature is not the key's")
)

// Proven is a document that a pinned key has signed.
type Proven struct {
	// Document is the very bytes whose digest was proven: the document without
	// its Signature, in inclusive canonical form. Read this and nothing else.
	Document []byte
	KeyRef   KeyRef // of the key that signed
}

// Verify proves that the document was signed by the key that its KeyInfo names
// among keys. It tries the document as it came and, if only its digest is wrong
// and white space stands between its elements, once more without that.
//
// A document without any ds:Signature is ErrUnsigned. One with a Signature that
// is not exactly the profile's is ErrProfile, and no key is asked for.
func Verify(doc []byte, keys Keys) (Proven, error) {
	tree, err := xmltree.Parse(doc)
	if err != nil {
		return Proven{}, fmt.Errorf("xmldsig: %w", err)
	}
	defer tree.Release()
	proven, err := verifyTree(tree, len(doc), keys)
	if !errors.Is(err, ErrDigest) || !tree.Spaced() {
		return proven, err
	}
	compact := tree.AppendCompact(make([]byte, 0, len(doc)), tree.Root(), xmltree.Node{})
	plain, err := xmltree.Parse(compact)
	if err != nil {
		return Proven{}, fmt.Errorf("xmldsig: %w", err)
	}
	defer plain.Release()
	return verifyTree(plain, len(doc), keys)
}

// verifyTree proves a parsed document of about size bytes.
func verifyTree(tree *xmltree.Document, size int, keys Keys) (Proven, error) {
	root := tree.Root()
	n, err := findSignature(root)
	if err != nil {
		return Proven{}, err
	}
	e, err := readEnvelope(n)
	if err != nil {
		return Proven{}, err
	}
	document := tree.AppendInclusive(make([]byte, 0, size), root, n)
	digest := sha256.Sum256(document)
	if !bytes.Equal(digest[:], e.digest) {
		return Proven{}, ErrDigest
	}
	key, err := keys.Key(e.key)
	if err != nil {
		return Proven{}, fmt.Errorf("xmldsig: key %s: %w", e.key, err)
	}
	if key == nil || key.Curve != elliptic.P256() {
		return Proven{}, fmt.Errorf("xmldsig: key %s: %w", e.key, ErrKey)
	}
	info := tree.AppendExclusive(make([]byte, 0, 1024), e.signedInfo)
	digest = sha256.Sum256(info)
	if !verify(key, digest[:], e.value) {
		return Proven{}, ErrSignature
	}
	return Proven{Document: document, KeyRef: e.key}, nil
}
