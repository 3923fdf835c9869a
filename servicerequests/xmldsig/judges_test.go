package xmldsig_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/servicerequests/outside"
	"safemode/servicerequests/xmldsig"
)

// samples are the requests that the judges judge.
var samples = []string{
	"duis/ECS02_1.6_IMMEDIATE_SINGLE_SUCCESS_REQUEST_DUIS.XML",
	"duis/ECS09_2.5_SUCCESS_REQUEST_DUIS.XML",
}

// writeFile writes a file that lasts as long as the test.
func writeFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func publicPEM(t *testing.T, key *ecdsa.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func privatePEM(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestXmlsecVerifiesOurs(t *testing.T) {
	tool := outside.Program(t, "xmlsec1", "xmlsec1")
	signer, keys := newSigner(t)
	key := writeFile(t, "key.pem", publicPEM(t, &signer.Key.(*ecdsa.PrivateKey).PublicKey))
	documents := map[string]string{
		"plain":                  request,
		"unused namespaces":      strings.Replace(request, " schema", ` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" schema`, 1),
		"ds declared by root":    strings.Replace(request, " xmlns:sr", ` xmlns:ds="http://www.w3.org/2000/09/xmldsig#" xmlns:sr`, 1),
		"ds is something else":   strings.Replace(request, " xmlns:sr", ` xmlns:ds="urn:else" xmlns:sr`, 1),
		"a default namespace":    strings.Replace(request, " xmlns:sr", ` xmlns="urn:default" xmlns:sr`, 1),
		"references in its text": strings.Replace(request, "2.5<", "2.5&amp;&lt;&gt;&#xD;é<", 1),
	}
	for name, doc := range documents {
		signed := mustSign(t, signer, doc)
		if _, err := xmldsig.Verify([]byte(signed), keys); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		out, err := exec.Command(tool, "--verify", "--pubkey-pem", key, writeFile(t, "signed.xml", []byte(signed))).CombinedOutput()
		if err != nil {
			t.Errorf("%s: xmlsec1 refuses what we sign: %v\n%s\n%s", name, err, out, signed)
		}
	}
	changed := strings.Replace(mustSign(t, signer, request), ":1000<", ":1001<", 1)
	if err := exec.Command(tool, "--verify", "--pubkey-pem", key, writeFile(t, "changed.xml", []byte(changed))).Run(); err == nil {
		t.Error("xmlsec1 accepts a changed document: it is no judge")
	}
}

func TestWeVerifyXmlsecs(t *testing.T) {
	tool := outside.Program(t, "xmlsec1", "xmlsec1")
	signer, keys := newSigner(t)
	private := signer.Key.(*ecdsa.PrivateKey)
	key := writeFile(t, "key.pem", privatePEM(t, private))

	// A template is a signed document that lacks its digest and its value. Ours
	// has them; xmlsec1 writes its own over them.
	compact := mustSign(t, &xmldsig.Signer{Key: newKey(t), Issuer: signer.Issuer, Serial: signer.Serial}, request)
	indented := strings.ReplaceAll(compact, "><", ">\n<")
	for _, leaf := range []string{"ds:CanonicalizationMethod", "ds:SignatureMethod", "ds:Transform", "ds:DigestMethod"} {
		indented = strings.ReplaceAll(indented, ">\n</"+leaf+">", "/>")
	}
	for name, template := range map[string]string{"compact": compact, "indented": indented} {
		signed, err := exec.Command(tool, "--sign", "--privkey-pem", key, writeFile(t, "template.xml", []byte(template))).Output()
		if err != nil {
			t.Fatalf("%s: xmlsec1 --sign: %v", name, err)
		}
		if _, err := xmldsig.Verify(signed, keys); err != nil {
			t.Errorf("%s: we refuse what xmlsec1 signs: %v\n%s", name, err, signed)
		}
	}
}

// dccTool returns what DCC's own signing tool prints: for Sign the signed document, for
// Validate the document without its signature.
func dccTool(t *testing.T, class string, args ...string) ([]byte, error) {
	t.Helper()
	line := append(outside.DCCTool(t, class), args...)
	command := exec.Command(line[0], line[1:]...)
	var report bytes.Buffer
	command.Stderr = &report
	out, err := command.Output()
	if err != nil {
		t.Logf("%s: %v: %s", class, err, report.Bytes())
	}
	return out, err
}

// supplier returns the published test supplier's certificate, and its key.
func supplier(t *testing.T) (certificate []byte, signer *xmldsig.Signer) {
	t.Helper()
	for _, k := range testKeys(t) {
		if k.EUI != "90b3d51f30010000" || k.Role != "supplier" || k.Use != "digitalSignature" || k.Scalar == "" {
			continue
		}
		scalar, err := hex.DecodeString(k.Scalar)
		if err != nil {
			t.Fatal(err)
		}
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
		if err != nil {
			t.Fatal(err)
		}
		serial, public := publicKey(t, k.Certificate)
		if !private.PublicKey.Equal(public) {
			t.Fatal("the vectors' key is not the certificate's")
		}
		block := &pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate}
		return pem.EncodeToMemory(block), &xmldsig.Signer{Key: private, Issuer: "CN=Z1,OU=07", Serial: serial}
	}
	t.Fatal("no supplier key in the vectors")
	return nil, nil
}

// The tool checks the document against its schema, finds the certificate by its
// file and verifies; what it then prints is the document as it read it. It runs
// for a second or two each time.
func TestDCCToolVerifiesOurs(t *testing.T) {
	certificate, signer := supplier(t)
	file := writeFile(t, "cert.pem", certificate)
	for _, name := range samples {
		doc := outside.Unsigned(t, outside.Read(t, name))
		signed := mustSign(t, signer, string(doc))
		out, err := dccTool(t, "Validate", writeFile(t, "signed.xml", []byte(signed)), file)
		if err != nil {
			t.Errorf("%s: DCC's tool refuses what we sign", name)
		}
		if diff := cmp.Diff(string(doc), strings.TrimSpace(string(out))); diff != "" {
			t.Errorf("%s: DCC's tool reads another document:\n%s", name, diff)
		}
	}
	changed := strings.Replace(mustSign(t, signer, request), ":1000<", ":1001<", 1)
	if _, err := dccTool(t, "Validate", writeFile(t, "changed.xml", []byte(changed)), file); err == nil {
		t.Error("DCC's tool accepts a changed document: it is no judge")
	}
}

func TestWeVerifyDCCTools(t *testing.T) {
	certificate, signer := supplier(t)
	cert := writeFile(t, "cert.pem", certificate)
	key := writeFile(t, "key.pem", privatePEM(t, signer.Key.(*ecdsa.PrivateKey)))
	signed, err := dccTool(t, "Sign", writeFile(t, "sample.xml", outside.Read(t, samples[0])), cert, key, "--preserveCounter")
	if err != nil {
		t.Fatal("DCC's tool does not sign")
	}
	proven, err := xmldsig.Verify(signed, pinnedPEM(t, certificate))
	if err != nil {
		t.Fatalf("we refuse what DCC's tool signs: %v\n%s", err, signed)
	}
	if diff := cmp.Diff(string(outside.Unsigned(t, outside.Read(t, samples[0]))), string(proven.Document)); diff != "" {
		t.Errorf("proven another document (-sample +proven):\n%s", diff)
	}
}
