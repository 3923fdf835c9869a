package xmldsig_test

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"

	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
)

// onlyKey is the one key that may sign.
type onlyKey struct {
	ref xmldsig.KeyRef
	key *ecdsa.PublicKey
}

func (p onlyKey) Key(ref xmldsig.KeyRef) (*ecdsa.PublicKey, error) {
	if ref != p.ref {
		return nil, xmldsig.ErrUnknownKey
	}
	return p.key, nil
}

// A document is signed, and its reader goes by what was proven, not by what came.
func Example() {
	key, err := smki.DeriveTestKey([]byte("an example's seed, known to all"), "xml signing")
	if err != nil {
		fmt.Println(err)
		return
	}
	signer := xmldsig.Signer{Key: key, Issuer: "CN=Z1,OU=07", Serial: "1234"}
	signed, err := signer.Sign([]byte("<order><item>1</item></order>"))
	if err != nil {
		fmt.Println(err)
		return
	}

	ref, err := xmldsig.NewKeyRef("CN=Z1, OU=07", "1234") // as the DCC writes it elsewhere
	if err != nil {
		fmt.Println(err)
		return
	}
	proven, err := xmldsig.Verify(signed, onlyKey{ref, &key.PublicKey})
	fmt.Printf("%s, %v\n", proven.Document, err)

	altered := bytes.Replace(signed, []byte(">1<"), []byte(">2<"), 1)
	_, err = xmldsig.Verify(altered, onlyKey{ref, &key.PublicKey})
	fmt.Println(errors.Is(err, xmldsig.ErrDigest))
	// Output:
	// <order><item>1</item></order>, <nil>
	// true
}
