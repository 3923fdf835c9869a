package xmldsig

import (
	"errors"
	"fmt"

	"safemode/servicerequests/xmltree"
)

// VerifyHandedOn verifies the inner document of another signer in a message of the DCC, by
// the key that its own Signature names among keys. It does not verify the message around it:
// do that first, and do not read a message that has failed.
//
// A message without an inner document is ErrUnsigned. ErrProfile and ErrDigest do not prove
// that it was forged: the form in which another signs is an assumption (see the package
// comment).
func VerifyHandedOn(tree *xmltree.Document, keys Keys) (KeyRef, error) {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	return prove(verifyHandedOn, tree, keys, buffer)
}

func verifyHandedOn(tree *xmltree.Document, keys Keys, buffer *[]byte) (ref KeyRef, err error) {
	n, err := findHandedOn(tree.Root())
	if err != nil {
		return ref, err
	}
	for _, form := range [...]func([]byte, xmltree.Node, xmltree.Node) []byte{tree.AppendAlone, tree.AppendInclusive} {
		ref, err = proveElement(tree, n, keys, buffer, func(b []byte) []byte { return form(b, n.Parent(), n) })
		if !errors.Is(err, ErrDigest) {
			break
		}
	}
	return ref, err
}

// findHandedOn returns the one Signature of another signer, its element's last child.
func findHandedOn(root xmltree.Node) (found xmltree.Node, err error) {
	for n := range root.Descendants() {
		if !n.Is(space, "Signature") || !handedOn(n) {
			continue
		}
		if !found.IsZero() || !n.NextSibling().IsZero() {
			return xmltree.Node{}, fmt.Errorf("%w: more than one message handed on, or a Signature that is not its last child", ErrProfile)
		}
		found = n
	}
	if found.IsZero() {
		return found, ErrUnsigned
	}
	return found, nil
}
