package xmldsig_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"safemode/servicerequests/heaptest"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/xmldsig"
	"safemode/servicerequests/xmltree"
)

// FuzzVerify changes signed documents. The keys have signed nothing but request
// and, where the outside vectors are, two responses, so whatever still verifies
// must prove just one of those. Run it with -fuzzminimizetime 10x: the coverage of
// ECDSA varies from run to run, and the fuzzer would spend its time on minimising
// what it cannot reproduce.
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
	known := map[string]bool{request: true}
	signed := mustSign(f, signer, request)
	f.Add([]byte(signed))
	f.Add([]byte(strings.Replace(signed, "<sr:Header>", "\n <sr:Header>", 1)))
	f.Add([]byte(`<?xml version="1.0"?>` + strings.Replace(signed, "></sr:ActivateEmergencyCredit>", "/>", 1)))
	f.Add([]byte(request))
	if outside.HasVectors(f) {
		for file, certificate := range map[string]string{
			"response-11.2-signed.xml": "dsp-xml-signing-older.pem", "response-8.2-signed.xml": "dsp-xml-signing-acb.pem",
		} {
			doc := outside.Read(f, "duis/"+file)
			maps.Copy(keys, pinnedPEM(f, outside.Read(f, "duis/"+certificate)))
			proven, err := xmldsig.Verify(doc, keys)
			if err != nil {
				f.Fatal(err)
			}
			known[string(proven.Document)] = true
			f.Add(doc)
		}
		f.Add(outside.Read(f, "duis/response-11.2-badsignature.xml"))
		f.Add(outside.Read(f, "duis/acknowledgement-error-unsigned.xml"))
	}
	own := []error{
		xmltree.ErrLimit, xmldsig.ErrUnsigned, xmldsig.ErrProfile, xmldsig.ErrDigest, xmldsig.ErrUnknownKey, xmldsig.ErrSignature,
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var proven xmldsig.Proven
		var err error
		heaptest.Limit(t, len(doc), func() { proven, err = xmldsig.Verify(doc, keys) })
		_, _ = verify(t, doc, keys)
		if err == nil && !known[string(proven.Document)] {
			t.Errorf("proven a document that nobody signed: %s", proven.Document)
		}
		if err == nil {
			return
		}
		if proven.Document != nil {
			t.Error("an error and a proven document")
		}
		_, isSyntax := errors.AsType[*xmltree.SyntaxError](err)
		if !isSyntax && !slices.ContainsFunc(own, func(target error) bool { return errors.Is(err, target) }) {
			t.Errorf("error of another kind: %v", err)
		}
	})
}
