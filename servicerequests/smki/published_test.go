package smki_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// A published key is recognised under whatever name somebody has certified it again.
func TestPublished(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	production, err := smki.NewRoot(smki.Template{
		Role: smki.Root, CommonName: "Production", Usage: smki.CertSign, NotBefore: begin, NotAfter: begin.AddDate(1, 0, 0),
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	again := func(public *ecdsa.PublicKey) *smki.Certificate {
		c, err := production.Issue(smki.Template{
			Role: 0x02, EUI: 0x90B3D51F30010000, Usage: smki.DigitalSignature, NotBefore: begin, NotAfter: begin.AddDate(1, 0, 0),
		}, public)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	organisations := 0
	for _, k := range publishedKeys(t) {
		c, err := smki.ParseCertificate(k.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		zaz1 := strings.HasPrefix(k.Issuer, "CN=Z1,") || strings.HasPrefix(k.Issuer, "CN=OB,")
		if c.IsPublished() != zaz1 || c.IsTest() != zaz1 {
			t.Errorf("%s of %s: published %v, test %v", k.Use, k.Issuer, c.IsPublished(), c.IsTest())
		}
		if !zaz1 || k.Scalar == "" {
			continue
		}
		organisations++
		if c := again(c.PublicKey); !c.IsPublished() || !c.IsTest() {
			t.Errorf("%s %s: not recognised by its key", k.EUI, k.Use)
		}
	}
	if organisations != 6 {
		t.Errorf("%d published keys of organisations, want 6", organisations)
	}
	if c := again(&key.PublicKey); c.IsPublished() || c.IsTest() {
		t.Error("a new key is called published")
	}
	files, err := smki.TestFolder{Supplier: servicerequests.EUI(0x90B3D51F30010000)}.Files()
	if err != nil {
		t.Fatal(err)
	}
	own, err := smki.ParseCertificatePEM(files["supplier/xml-signing.pem"])
	if err != nil || own.IsPublished() || !own.IsTest() {
		t.Errorf("a key of a new test folder: published, or no test key: %v", err)
	}
}
