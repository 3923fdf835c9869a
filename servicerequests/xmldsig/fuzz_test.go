package xmldsig_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"strings"
	"testing"

	"safemode/servicerequests/xmldsig"
)

// FuzzVerify changes a signed document. The key has signed nothing but request,
// so whatever still verifies must prove just that. Run it with -fuzzminimizetime
// 10x: the coverage of ECDSA varies from run to run, and the fuzzer would spend
// its time on minimising what it cannot reproduce.
func FuzzVerify(f *testing.F) {
	// Each fuzzing process must hold the same key.
	scalar := make([]byte, 32)
	scalar[31] = 7
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		f.Fatal(err)
	}
	signer := &xmldsig.Signer{Key: key, Issuer: "CN=Z1,OU=07", Serial: "1"}
	keys := pinned{{Issuer: signer.Issuer, Serial: signer.Serial}: &key.PublicKey}
	signed := mustSign(f, signer, request)
	f.Add([]byte(signed))
	f.Add([]byte(strings.Replace(signed, "<sr:Header>", "\n <sr:Header>", 1)))
	f.Add([]byte(`<?xml version="1.0"?>` + strings.Replace(signed, "></sr:ActivateEmergencyCredit>", "/>", 1)))
	f.Add([]byte(request))
	f.Fuzz(func(t *testing.T, doc []byte) {
		proven, err := xmldsig.Verify(doc, keys)
		if err == nil && string(proven.Document) != request {
			t.Errorf("proven a document that nobody signed: %s", proven.Document)
		}
		if err != nil && proven.Document != nil {
			t.Error("an error and a proven document")
		}
	})
}
