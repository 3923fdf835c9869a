package smki_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/servicerequests"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/smki"
)

// TestIssueEqualsPublished issues each published certificate again from its
// fields and compares everything but the issuer and the signature.
func TestIssueEqualsPublished(t *testing.T) {
	rootKey, err := smki.DeriveTestKey([]byte("seed"), "root")
	if err != nil {
		t.Fatal(err)
	}
	root, err := smki.NewRoot(smki.Template{
		Role: smki.Root, CommonName: "R", NotBefore: time.Unix(0, 0), NotAfter: smki.DeviceNotAfter,
	}, rootKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range publishedKeys(t) {
		want, err := smki.ParseCertificate(k.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		template := smki.Template{
			Device: want.Device, EUI: want.EUI, CommonName: want.CommonName, Usage: want.Usage,
			NotBefore: want.NotBefore, NotAfter: want.NotAfter, Serial: want.Serial,
		}
		if !want.Device {
			template.Role = want.Role
		}
		got, err := root.Issue(template, want.PublicKey)
		if err != nil {
			t.Fatalf("%s %s: %v", k.EUI, k.Use, err)
		}
		// From the subject to the authority's key identifier, the bytes are equal.
		if a, b := fromSubject(got), fromSubject(want); !bytes.Equal(a, b) {
			t.Errorf("%s %s: subject, key and extensions differ:\n%s", k.EUI, k.Use, cmp.Diff(hex.EncodeToString(b), hex.EncodeToString(a)))
		}
		if got.SerialText() != want.SerialText() || !got.NotAfter.Equal(want.NotAfter) || !got.NotBefore.Equal(want.NotBefore) {
			t.Errorf("%s %s: serial or validity differ", k.EUI, k.Use)
		}
		if err := got.VerifyChain([]*smki.Certificate{root.Certificate}); err != nil {
			t.Error(err)
		}
	}
}

// fromSubject cuts the DER from the end of the validity to the key identifier
// of the authority.
func fromSubject(c *smki.Certificate) []byte {
	end := bytes.Index(c.Raw, c.AuthorityKeyID)
	start := bytes.Index(c.Raw, []byte("235959Z")) + len("235959Z")
	return c.Raw[start:end]
}

func TestIssueRefuses(t *testing.T) {
	folder := loadTestFolder(t, "refuses")
	key := folder.Supplier.XMLSigning.Certificate.PublicKey
	authority := &smki.Authority{Certificate: folder.Issuing.Certificate, Key: folder.Issuing.Key}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, template := range map[string]smki.Template{
		"nothing":           {},
		"no time":           {Role: smki.Supplier, EUI: 1, Usage: smki.DigitalSignature},
		"ends first":        {Role: smki.Supplier, EUI: 1, Usage: smki.DigitalSignature, NotBefore: begin, NotAfter: begin.Add(-1)},
		"no EUI":            {Role: smki.Supplier, Usage: smki.DigitalSignature, NotBefore: begin, NotAfter: begin},
		"no usage":          {Role: smki.Supplier, EUI: 1, NotBefore: begin, NotAfter: begin},
		"device with role":  {Device: true, Role: smki.Supplier, EUI: 1, Usage: smki.KeyAgreement, NotBefore: begin},
		"device as CA":      {Device: true, EUI: 1, Usage: smki.CertSign, NotBefore: begin},
		"nameless CA":       {Role: smki.IssuingAuthority, Usage: smki.CertSign, NotBefore: begin, NotAfter: begin},
		"no role":           {Role: smki.NoRole, EUI: 1, Usage: smki.KeyAgreement, NotBefore: begin, NotAfter: begin},
		"authority and EUI": {Role: smki.Root, EUI: 1, CommonName: "X", Usage: smki.CertSign, NotBefore: begin, NotAfter: begin},
	} {
		if _, err := authority.Issue(template, key); !errors.Is(err, smki.ErrTemplate) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (&smki.Authority{Certificate: folder.Issuing.Certificate}).Issue(smki.Template{}, key); err == nil {
		t.Error("issued without a key")
	}
}

func TestIssueAgainIsTheSame(t *testing.T) {
	folder := loadTestFolder(t, "again")
	authority := &smki.Authority{Certificate: folder.DeviceIssuing.Certificate, Key: folder.DeviceIssuing.Key}
	device := smki.Template{Device: true, EUI: 0x00DB1234567890A0, Usage: smki.KeyAgreement, NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	key, err := smki.DeriveTestKey([]byte("again"), device.EUI.String())
	if err != nil {
		t.Fatal(err)
	}
	first, err := authority.Issue(device, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	second, err := authority.Issue(device, &key.PublicKey)
	if err != nil || !bytes.Equal(first.Raw, second.Raw) {
		t.Errorf("issued twice, differs (%v)", err)
	}
	device.Usage = smki.DigitalSignature
	third, err := authority.Issue(device, &key.PublicKey)
	if err != nil || third.SerialText() == first.SerialText() {
		t.Errorf("another certificate has the same serial (%v)", err)
	}
	if first.Issuer != "CN="+smki.TestMarker+" E1" || !first.IsTest() || first.Serial.BitLen() != 127 {
		t.Errorf("issuer %s, test %t, serial %s", first.Issuer, first.IsTest(), first.SerialText())
	}
}

func TestVerifyChain(t *testing.T) {
	mine, other := loadTestFolder(t, "mine"), loadTestFolder(t, "other")
	leaf := mine.Supplier.XMLSigning.Certificate
	root, issuing := mine.Root.Certificate, mine.Issuing.Certificate
	if err := leaf.VerifyChain(mine.Authorities()); err != nil {
		t.Error(err)
	}
	for name, pool := range map[string][]*smki.Certificate{
		"nobody": nil, "no root": {issuing}, "no issuing": {root},
		"same names, other keys":      other.Authorities(),
		"issuing of the other's root": {issuing, other.Root.Certificate},
		"a leaf as authority":         {leaf, mine.DCC.Transform.Certificate},
	} {
		if err := leaf.VerifyChain(pool); !errors.Is(err, smki.ErrChain) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Two generations of one name: the one that signed is found.
	if err := leaf.VerifyChain(append(other.Authorities(), mine.Authorities()...)); err != nil {
		t.Errorf("two generations: %v", err)
	}
	// A changed byte of the signed part.
	changed := bytes.Replace(leaf.Raw, []byte("260101000000Z"), []byte("260102000000Z"), 1)
	forged, err := smki.ParseCertificate(changed)
	if err != nil {
		t.Fatal(err)
	}
	if err := forged.VerifyChain(mine.Authorities()); !errors.Is(err, smki.ErrChain) {
		t.Errorf("forged: %v", err)
	}
	// A published certificate is none of ours.
	if c, err := smki.ParseCertificate(publishedKeys(t)[0].Certificate); err != nil || !errors.Is(c.VerifyChain(mine.Authorities()), smki.ErrChain) {
		t.Errorf("published: %v", err)
	}
}

func TestPrivateKeyPEM(t *testing.T) {
	want, err := smki.ParsePrivateKeyPEM(testFiles(t, "key")["ca/root.key"])
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(pkcs8, testFiles(t, "key")["ca/root.key"], 0o600); err != nil {
		t.Fatal(err)
	}
	sec1 := openssl(t, "ec", "-in", pkcs8)
	got, err := smki.ParsePrivateKeyPEM(sec1)
	if err != nil || !got.Equal(want) {
		t.Errorf("SEC 1 from openssl: %v", err)
	}
	for name, bad := range map[string][]byte{
		"P-384":       openssl(t, "ecparam", "-name", "secp384r1", "-genkey", "-noout"),
		"RSA":         openssl(t, "genrsa", "1024"),
		"certificate": testFiles(t, "key")["ca/root.pem"],
		"two":         append(bytes.Clone(sec1), sec1...),
		"nothing":     nil,
	} {
		if _, err := smki.ParsePrivateKeyPEM(bad); !errors.Is(err, smki.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDeriveTestKey(t *testing.T) {
	seen := map[string]bool{}
	for _, seed := range []string{"a", "b"} {
		for i := range 4 {
			key, err := smki.DeriveTestKey([]byte(seed), fmt.Sprint(i))
			if err != nil {
				t.Fatal(err)
			}
			scalar, err := key.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			seen[string(scalar)] = true
		}
	}
	if len(seen) != 8 {
		t.Errorf("%d different keys, want 8", len(seen))
	}
}

// TestOpenSSLAccepts has OpenSSL judge shape and chain of everything in a folder.
func TestOpenSSLAccepts(t *testing.T) {
	dir := t.TempDir()
	files := testFiles(t, "openssl")
	folder := loadTestFolder(t, "openssl")
	authority := &smki.Authority{Certificate: folder.DeviceIssuing.Certificate, Key: folder.DeviceIssuing.Key}
	device, err := authority.Issue(smki.Template{
		Device: true, EUI: servicerequests.EUI(0x00DB1234567890A0), Usage: smki.DigitalSignature, NotBefore: folder.Root.Certificate.NotBefore,
	}, folder.Supplier.XMLSigning.Certificate.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	files["device.pem"] = device.PEM()
	write := func(name string, content []byte) string {
		file := filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	root := write("root", files["ca/root.pem"])
	between := write("between", append(bytes.Clone(files["ca/issuing.pem"]), files["ca/device-issuing.pem"]...))
	at := fmt.Sprint(folder.Root.Certificate.NotBefore.Unix() + 1)
	for name, content := range files {
		if !strings.HasSuffix(name, ".pem") {
			continue
		}
		file := write(name, content)
		openssl(t, "verify", "-x509_strict", "-attime", at, "-CAfile", root, "-untrusted", between, file)
		text := string(openssl(t, "x509", "-in", file, "-noout", "-text"))
		if name == "supplier/xml-signing.pem" && !strings.Contains(text, "OU = 87, x500UniqueIdentifier = #03090090B3D51F30010000") {
			t.Errorf("OpenSSL reads another subject:\n%s", text)
		}
	}
}

func openssl(t *testing.T, args ...string) []byte {
	t.Helper()
	command := exec.Command(outside.Program(t, "openssl", "openssl"), args...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("openssl %s: %v\n%s%s", args[0], err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes()
}

// Trust follows the authorities' chains once. Its verdict on a certificate is
// that of VerifyChain, which follows them each time.
func TestTrust(t *testing.T) {
	files, err := smki.TestFolder{Seed: []byte("trust")}.Files()
	if err != nil {
		t.Fatal(err)
	}
	load := func(name string) *smki.Certificate {
		c, err := smki.ParseCertificatePEM(files[name])
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	root, issuing, leaf := load("ca/root.pem"), load("ca/issuing.pem"), load("dcc/transform.pem")
	foreign, err := smki.TestFolder{Seed: []byte("foreign")}.Files()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := smki.ParseCertificatePEM(foreign["dcc/transform.pem"])
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name        string
		authorities []*smki.Certificate
		of          *smki.Certificate
	}{
		{"whole", []*smki.Certificate{root, issuing}, leaf},
		{"in another order", []*smki.Certificate{issuing, root}, leaf},
		{"no root", []*smki.Certificate{issuing}, leaf},
		{"no issuer", []*smki.Certificate{root}, leaf},
		{"none", nil, leaf},
		{"a leaf as authority", []*smki.Certificate{root, leaf}, leaf},
		{"of authorities with the same names", []*smki.Certificate{root, issuing}, stranger},
	} {
		want, got := test.of.VerifyChain(test.authorities), smki.Trust(test.authorities).Verify(test.of)
		if (want == nil) != (got == nil) || got != nil && !errors.Is(got, smki.ErrChain) {
			t.Errorf("%s: %v, want %v", test.name, got, want)
		}
	}
	if err := smki.Trust([]*smki.Certificate{root, issuing}).Verify(leaf); err != nil {
		t.Error(err)
	}
}
