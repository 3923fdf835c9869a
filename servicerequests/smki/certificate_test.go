package smki_test

import (
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/heaptest"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/smki"
)

func TestPublishedCertificates(t *testing.T) {
	keys := publishedKeys(t)
	if len(keys) != 12 {
		t.Fatalf("%d certificates, want 12", len(keys))
	}
	roles := map[string]smki.Role{
		"90b3d51f30010000": smki.Supplier, "90b3d51f30030000": smki.Supplier,
		"90b3d51f30000002": smki.AccessControlBroker,
	}
	usages := map[string]smki.Usage{"digitalSignature": smki.DigitalSignature, "keyAgreement": smki.KeyAgreement}
	for _, k := range keys {
		t.Run(k.EUI+"-"+k.Use, func(t *testing.T) {
			c, err := smki.ParseCertificate(k.Certificate)
			if err != nil {
				t.Fatal(err)
			}
			role, organisation := roles[k.EUI]
			if !organisation {
				role = smki.NoRole
			}
			eui, err := servicerequests.ParseEUI(k.EUI)
			if err != nil {
				t.Fatal(err)
			}
			point, err := c.PublicKey.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			serial, _ := new(big.Int).SetString(k.SerialHex, 16)
			for what, pair := range map[string][2]any{
				"EUI":       {c.EUI, eui},
				"role":      {c.Role, role},
				"device":    {c.Device, !organisation},
				"usage":     {c.Usage, usages[k.Use]},
				"issuer":    {c.Issuer, k.Issuer},
				"serial":    {c.SerialText(), serial.String()},
				"notBefore": {c.NotBefore.Format(time.DateOnly), k.NotBefore},
				"notAfter":  {c.NotAfter.Format(time.DateOnly), k.NotAfter},
				"key":       {hex.EncodeToString(point), k.PublicKey},
				"test":      {c.IsTest(), organisation},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
				}
			}
			if agreement, err := c.ECDH(); err != nil || c.CheckKey(agreement) != nil {
				t.Errorf("the ECDH key is not the certificate's (%v)", err)
			}
		})
	}
}

func TestPublishedXMLSigningCertificates(t *testing.T) {
	for file, want := range map[string]struct{ serial, subject string }{
		"duis/dsp-xml-signing.pem":       {"167048897159233642262001557408276884033", "2.5.4.45=#03090090b3d51f30000002,OU=89"},
		"duis/dsp-xml-signing-acb.pem":   {"20315062944123339095836004026371736578", "2.5.4.45=#03090090b3d51f30000002,OU=89"},
		"duis/dsp-xml-signing-older.pem": {"50669612984035780968362471400449834504", "2.5.4.45=#03090090b3d51f30000002,OU=137"},
	} {
		c, err := smki.ParseCertificatePEM(outside.Read(t, file))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if c.SerialText() != want.serial || c.Subject != want.subject || c.Issuer != "CN=Z1,OU=07" {
			t.Errorf("%s: serial %s, subject %s, issuer %s", file, c.SerialText(), c.Subject, c.Issuer)
		}
		if c.Role != smki.DSPXMLSigning || c.EUI != smki.TestDCC || !c.IsTest() {
			t.Errorf("%s: role %s, EUI %s, test %t", file, c.Role, c.EUI, c.IsTest())
		}
		if err := c.CheckPurpose(smki.SignsResponses); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if err := c.CheckPurpose(smki.SignsRequests); !errors.Is(err, smki.ErrPurpose) {
			t.Errorf("%s: signs a User's requests: %v", file, err)
		}
	}
}

func TestDamagedCertificates(t *testing.T) {
	for _, k := range publishedKeys(t)[:7] {
		for n := range k.Certificate {
			if _, err := smki.ParseCertificate(k.Certificate[:n]); !errors.Is(err, smki.ErrCertificate) {
				t.Fatalf("cut to %d bytes: %v", n, err)
			}
		}
		if _, err := smki.ParseCertificate(append(k.Certificate[:len(k.Certificate):len(k.Certificate)], 0)); !errors.Is(err, smki.ErrCertificate) {
			t.Errorf("a byte after the certificate: %v", err)
		}
		for i := range k.Certificate {
			flipped := append([]byte(nil), k.Certificate...)
			for bit := range 8 {
				flipped[i] = k.Certificate[i] ^ 1<<bit
				if _, err := smki.ParseCertificate(flipped); err != nil && !errors.Is(err, smki.ErrCertificate) {
					t.Fatalf("bit %d of byte %d: %v", bit, i, err)
				}
			}
		}
	}
}

func TestPEMHoldsExactlyOne(t *testing.T) {
	text := string(testFiles(t, "pem")["supplier/xml-signing.pem"])
	for name, bad := range map[string]string{
		"empty": "", "text": "hello", "two": text + text, "key": string(testFiles(t, "pem")["supplier/xml-signing.key"]),
		"other type": strings.ReplaceAll(text, "CERTIFICATE", "X509 CRL"),
		"garbage":    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	} {
		if _, err := smki.ParseCertificatePEM([]byte(bad)); !errors.Is(err, smki.ErrCertificate) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := smki.ParseCertificatePEM([]byte("Subject: words before the block\n" + text)); err != nil {
		t.Errorf("words before the block: %v", err)
	}
}

func TestCheckValidAt(t *testing.T) {
	c, err := smki.ParseCertificatePEM(testFiles(t, "time")["supplier/xml-signing.pem"])
	if err != nil {
		t.Fatal(err)
	}
	for at, valid := range map[time.Time]bool{
		c.NotBefore.Add(-time.Second): false, c.NotBefore: true,
		c.NotAfter: true, c.NotAfter.Add(time.Second): false,
	} {
		if err := c.CheckValidAt(at); (err == nil) != valid || (err != nil && !errors.Is(err, smki.ErrNotValidNow)) {
			t.Errorf("at %s: %v", at, err)
		}
	}
}

func FuzzParseCertificate(f *testing.F) {
	for _, k := range publishedKeys(f) {
		f.Add(k.Certificate)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		var c *smki.Certificate
		var err error
		heaptest.Limit(t, len(der), func() { c, err = smki.ParseCertificate(der) })
		if err != nil {
			if !errors.Is(err, smki.ErrCertificate) {
				t.Fatalf("foreign error %v", err)
			}
			return
		}
		again, err := smki.ParseCertificatePEM(c.PEM())
		if err != nil || string(again.Raw) != string(der) {
			t.Fatalf("does not come back: %v", err)
		}
		_ = c.CheckSignatureFrom(c)
	})
}
