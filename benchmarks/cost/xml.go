package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"runtime"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/xmldsig"
	"safemode/servicerequests/xmltree"
)

// xmlRatio is what signing and verifying XML costs, over ECDSA and SHA-256 of the same
// bytes.
type xmlRatio struct{ Sign, Verify float64 }

// oneKey is a set of keys with one member.
type oneKey struct{ *ecdsa.PublicKey }

func (k oneKey) Key(xmldsig.KeyRef) (*ecdsa.PublicKey, error) { return k.PublicKey, nil }

// measureXML signs and verifies the request that carries a Signed Pre-Command, and
// between two of these does what its cryptography is alone: SHA-256 of the document and
// of SignedInfo, and ECDSA. So both see the same machine.
func measureXML(rounds int) (r xmlRatio, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	bare, err := primitives()
	if err != nil {
		return r, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return r, err
	}
	signer := xmldsig.Signer{Key: key, Issuer: "CN=Z1,OU=07", Serial: "50669612984035780968362471400449834504"}
	document, err := duis.AppendRequest(nil, duis.Request{
		ID: servicerequests.RequestID{
			Originator: 0x90B3D51F30010000, Target: 0x00DB1234567890A0, Counter: 1_700_000_000_000,
		},
		Service: servicerequests.ArmSupply, SignedPreCommand: make([]byte, 120),
	})
	if err != nil {
		return r, err
	}
	signed, err := signer.Sign(document)
	if err != nil {
		return r, err
	}
	keys := oneKey{&key.PublicKey}
	ours := [...]func() error{
		sign: func() error { _, err := signer.Sign(document); return err },
		verify: func() error {
			tree, err := xmltree.Parse(signed) // as package proof does
			if err != nil {
				return err
			}
			defer tree.Release()
			_, err = xmldsig.VerifyTree(tree, keys)
			return err
		},
	}
	begin, end := bytes.Index(signed, []byte("<ds:SignedInfo>")), bytes.Index(signed, []byte("<ds:SignatureValue>"))
	floor := func(op operation) func() error {
		return func() error {
			if sha256.Sum256(document) == sha256.Sum256(signed[begin:end]) {
				return errors.New("two texts have one digest")
			}
			return bare[op]()
		}
	}
	warm := rounds / 8
	var took [2][2][]time.Duration // of both operations: bare, ours
	for i := range rounds {
		for op := range ours {
			for which, f := range [...]func() error{floor(operation(op)), ours[op]} {
				t, err := timed(f)
				if err != nil {
					return r, err
				}
				if i >= warm {
					took[op][which] = append(took[op][which], t)
				}
			}
		}
	}
	ratio := func(op operation) float64 { return float64(median(took[op][1])) / float64(median(took[op][0])) }
	return xmlRatio{ratio(sign), ratio(verify)}, nil
}
