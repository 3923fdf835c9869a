package xmldsig

import (
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"safemode/servicerequests/xmltree"
)

// Errors of Verify. It also returns the errors of xmltree for a document that it
// cannot read, and those of Keys for a key that it does not give.
var (
	ErrUnsigned   = errors.New("xmldsig: the document has no signature")
	ErrProfile    = errors.New("xmldsig: not the signature that DUIS prescribes")
	ErrDigest     = errors.New("xmldsig: the document is not the one that was signed")
	ErrUnknownKey = errors.New("xmldsig: unknown signing key")
	ErrSignature  = errors.New("xmldsig: the signature is not the key's")
)

// Proven is a document that a pinned key has signed.
type Proven struct {
	// Document has the bytes with the verified digest: the document without its
	// Signature, in inclusive canonical form. Read nothing else of the message.
	Document []byte
	KeyRef   KeyRef // of the key that signed
}

// Verify proves that the document was signed by the key that its KeyInfo names
// among keys. It tries the document as it is. If only the digest is wrong and there
// is white space between elements, it tries once more without that.
//
// A document without any ds:Signature is ErrUnsigned. One with a Signature that
// is not exactly the profile's is ErrProfile, and no key is asked for.
func Verify(doc []byte, keys Keys) (Proven, error) {
	tree, err := xmltree.Parse(doc)
	if err != nil {
		return Proven{}, fmt.Errorf("xmldsig: %w", err)
	}
	defer tree.Release()
	buffer := make([]byte, 0, len(doc))
	ref, err := prove(verifyTree, tree, keys, &buffer)
	if err != nil {
		return Proven{}, err
	}
	return Proven{Document: buffer, KeyRef: ref}, nil
}

// VerifyTree is [Verify] of a parsed document, for callers that go on reading the tree.
// If it proves the signature, it removes the Signature from the tree: the rest has the
// digest that was signed, with or without the white space between elements.
// Otherwise the tree is as it was, and nothing in it is proven.
func VerifyTree(tree *xmltree.Document, keys Keys) (KeyRef, error) {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	ref, err := prove(verifyTree, tree, keys, buffer)
	if err == nil {
		tree.Cut()
	}
	return ref, err
}

// buffers hold a canonical form while it is digested or compared.
var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, 4096)) }}

// prove verifies a tree as it is and, if that has another digest, without the white space
// between its elements. It leaves in the buffer what was digested.
func prove(verify func(*xmltree.Document, Keys, *[]byte) (KeyRef, error), tree *xmltree.Document, keys Keys, buffer *[]byte) (KeyRef, error) {
	ref, err := verify(tree, keys, buffer)
	if !errors.Is(err, ErrDigest) || !tree.Spaced() {
		return ref, err
	}
	plain, err := xmltree.Parse(tree.AppendCompact((*buffer)[:0], tree.Root(), xmltree.Node{}))
	if err != nil {
		return KeyRef{}, fmt.Errorf("xmldsig: %w", err)
	}
	defer plain.Release()
	return verify(plain, keys, buffer)
}

// verifyTree proves the signature of a tree as it is.
func verifyTree(tree *xmltree.Document, keys Keys, buffer *[]byte) (ref KeyRef, err error) {
	root := tree.Root()
	n, err := findSignature(root)
	if err != nil {
		return ref, err
	}
	return proveElement(tree, n, keys, buffer, func(b []byte) []byte { return tree.AppendInclusive(b, root, n) })
}

// proveElement verifies the bytes that form writes by the Signature n.
func proveElement(tree *xmltree.Document, n xmltree.Node, keys Keys, buffer *[]byte, form func([]byte) []byte) (ref KeyRef, err error) {
	e, err := readEnvelope(n)
	if err != nil {
		return ref, err
	}
	document := form((*buffer)[:0])
	*buffer = document
	if sha256.Sum256(document) != e.digest {
		return ref, ErrDigest
	}
	key, err := keys.Key(e.key)
	if err != nil {
		return ref, fmt.Errorf("xmldsig: key %s: %w", e.key, err)
	}
	if key == nil || key.Curve != elliptic.P256() {
		return ref, fmt.Errorf("xmldsig: key %s: %w", e.key, ErrKey)
	}
	// Behind the document, which stays as it is.
	*buffer = tree.AppendExclusive(document, e.signedInfo)
	digest := sha256.Sum256((*buffer)[len(document):])
	*buffer = (*buffer)[:len(document)]
	if !verify(key, digest[:], e.value) {
		return ref, ErrSignature
	}
	return e.key, nil
}
