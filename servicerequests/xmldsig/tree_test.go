package xmldsig_test

import (
	"errors"
	"testing"

	"safemode/servicerequests/xmldsig"
	"safemode/servicerequests/xmltree"
)

// verify is Verify, and compares VerifyTree with it: both accept or refuse for the same
// reason, and except for white space between elements VerifyTree leaves the document that was
// digested.
func verify(t testing.TB, doc []byte, keys xmldsig.Keys) (xmldsig.Proven, error) {
	t.Helper()
	proven, err := xmldsig.Verify(doc, keys)
	tree, unread := xmltree.Parse(doc)
	if unread != nil {
		if err == nil {
			t.Errorf("proven, and it cannot be read: %v", unread)
		}
		return proven, err
	}
	defer tree.Release()
	before := string(tree.AppendInclusive(nil, tree.Root(), xmltree.Node{}))
	ref, treeErr := xmldsig.VerifyTree(tree, keys)
	left := tree.AppendCompact(nil, tree.Root(), xmltree.Node{})
	switch {
	case (err == nil) != (treeErr == nil) || err != nil && err.Error() != treeErr.Error():
		t.Errorf("Verify says %v, VerifyTree %v", err, treeErr)
	case err == nil && (ref != proven.KeyRef || string(left) != compact(t, proven.Document)):
		t.Errorf("by %s, and %s is left of %s", ref, left, proven.Document)
	case err != nil && string(tree.AppendInclusive(nil, tree.Root(), xmltree.Node{})) != before:
		t.Error("not proven, and the tree has changed")
	}
	return proven, err
}

// compact is a document without the white space between its elements.
func compact(t testing.TB, doc []byte) string {
	t.Helper()
	tree, err := xmltree.Parse(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(tree.AppendCompact(nil, tree.Root(), xmltree.Node{}))
}

func TestVerifyTree(t *testing.T) {
	signer, keys := newSigner(t)
	signed := mustSign(t, signer, request)
	if _, err := verify(t, []byte(signed), keys); err != nil {
		t.Error(err)
	}
	if _, err := verify(t, []byte(request), keys); !errors.Is(err, xmldsig.ErrUnsigned) {
		t.Errorf("unsigned: %v", err)
	}
	// White space on both sides of the Signature goes with it, or stays beside nothing.
	spaced := []byte(" \n" + signed[:len(signed)-len("</sr:Request>")] + "\n\t</sr:Request>\n")
	if _, err := verify(t, spaced, keys); err != nil {
		t.Error(err)
	}
}
