package main

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/cmd/cli"
	"safemode/servicerequests"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/smki"
)

// runJudge runs a program that judges our output, and returns what it prints.
func runJudge(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	var report strings.Builder
	command.Stderr = &report
	out, err := command.Output()
	if err != nil {
		t.Logf("%s: %v\n%s", filepath.Base(name), err, report.String())
	}
	return string(out), err
}

func TestXSDAcceptsWhatIsBuilt(t *testing.T) {
	t.Parallel()
	xmllint := outside.Program(t, "xmllint", "libxml2-utils")
	pki := testPKI(t)
	dir := t.TempDir()
	args := []string{"--nonet", "--noout", "--schema", outside.Path(t, "duis/duis-5.4.xsd")}
	for _, service := range servicerequests.Services {
		built := buildRequest(t, service)
		signed := must(t, built, "duis", "sign", "--cert", pki.cert("xml-signing"), "--key", pki.key("xml-signing"))
		args = append(args, putFile(t, filepath.Join(dir, service.SRV()+".xml"), []byte(built)),
			putFile(t, filepath.Join(dir, service.SRV()+"-signed.xml"), []byte(signed)))
	}
	if _, err := runJudge(t, xmllint, args...); err != nil {
		t.Error("the schema does not accept what is built")
	}
}

// judgedSamples are the samples that the slower judges see.
var judgedSamples = []string{
	"duis/ECS02_1.6_IMMEDIATE_SINGLE_SUCCESS_REQUEST_DUIS.XML",
	"duis/GCS39_7.3_SUCCESS_REQUEST_DUIS.XML",
	"duis/8.2_READ_INVENTORY_REQUEST_DUIS.XML",
}

func TestXmlsecJudges(t *testing.T) {
	t.Parallel()
	xmlsec := outside.Program(t, "xmlsec1", "xmlsec1")
	p := publishedKeys(t)
	dir := t.TempDir()
	verify := func(file string) error {
		_, err := runJudge(t, xmlsec, "--verify", "--pubkey-cert-pem", p.cert(supplierDS), file)
		return err
	}
	for _, path := range permittedSamples(t) {
		signed := must(t, "", "duis", "sign", "--cert", p.cert(supplierDS), "--key", p.key(supplierDS), path)
		if verify(putFile(t, filepath.Join(dir, "signed.xml"), []byte(signed))) != nil {
			t.Errorf("%s: xmlsec1 refuses what we sign: %s", filepath.Base(path), signed)
		}
		changed := strings.Replace(signed, "<sr:CommandVariant>", "<sr:CommandVariant>0", 1)
		if verify(putFile(t, filepath.Join(dir, "changed.xml"), []byte(changed))) == nil {
			t.Errorf("%s: xmlsec1 accepts a changed document: it is no judge", filepath.Base(path))
		}
	}

	cert, err := cli.Certificate(p.cert(supplierDS))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range judgedSamples {
		// The sample is a template, once it names the key and holds no comment.
		template := strings.NewReplacer("CN=U1, OU=07", cert.Issuer, ">1234567890<", ">"+cert.SerialText()+"<").
			Replace(regexp.MustCompile(`(?s)<!--.*?-->`).ReplaceAllString(string(outside.Read(t, name)), ""))
		signed, err := runJudge(t, xmlsec, "--sign", "--privkey-pem", p.key(supplierDS), putFile(t, filepath.Join(dir, "template.xml"), []byte(template)))
		if err != nil {
			t.Fatalf("%s: xmlsec1 does not sign", name)
		}
		must(t, signed, "duis", "verify", "--cert", p.cert(supplierDS))
		refuses(t, exitFailed, "", strings.Replace(signed, ":10", ":11", 1), "duis", "verify", "--cert", p.cert(supplierDS))
	}
}

func TestDCCToolJudges(t *testing.T) {
	t.Parallel()
	validate, sign := outside.DCCTool(t, "Validate"), outside.DCCTool(t, "Sign")
	p := publishedKeys(t)
	for _, name := range judgedSamples[:ofWhole(1, len(judgedSamples))] {
		t.Run(filepath.Base(name), func(t *testing.T) {
			beside(t)
			sample := outside.Read(t, name)
			ours := must(t, "", "duis", "sign", "--cert", p.cert(supplierDS), "--key", p.key(supplierDS), outside.Path(t, name))
			file := putFile(t, filepath.Join(t.TempDir(), "signed.xml"), []byte(ours))
			read, err := runJudge(t, validate[0], append(slices.Clone(validate[1:]), file, p.cert(supplierDS))...)
			if err != nil {
				t.Errorf("DCC's tool refuses what we sign: %s", ours)
			}
			if diff := cmp.Diff(string(unsigned(t, sample)), strings.TrimSpace(read)); diff != "" {
				t.Errorf("DCC's tool reads another document:\n%s", diff)
			}

			theirs, err := runJudge(t, sign[0], append(slices.Clone(sign[1:]), outside.Path(t, name), p.cert(supplierDS), p.key(supplierDS), "--preserveCounter")...)
			if err != nil {
				t.Fatal("DCC's tool does not sign")
			}
			must(t, theirs, "duis", "verify", "--cert", p.cert(supplierDS))
			refuses(t, exitFailed, "", strings.Replace(theirs, ":10", ":11", 1), "duis", "verify", "--cert", p.cert(supplierDS))
		})
	}
}

// OpenSSL reads what pki init writes: it can tell keys, names and chains of
// authorities apart, though it knows nothing of the SMKI.
func TestOpenSSLReadsThePKI(t *testing.T) {
	t.Parallel()
	openssl := outside.Program(t, "openssl", "openssl")
	supplier := testPKI(t)
	dir := filepath.Dir(supplier.dir)
	for _, name := range []string{"supplier/xml-signing", "supplier/key-agreement", "dcc/transform", "ca/issuing", "approvers/alice"} {
		cert, key := filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
		fromCert, err := runJudge(t, openssl, "x509", "-in", cert, "-noout", "-pubkey")
		if err != nil {
			t.Fatal(name)
		}
		fromKey, err := runJudge(t, openssl, "pkey", "-in", key, "-pubout")
		if err != nil || fromCert != fromKey {
			t.Errorf("%s: the key is not the certificate's", name)
		}
		text, err := runJudge(t, openssl, "x509", "-in", cert, "-noout", "-issuer")
		if err != nil || !strings.Contains(text, smki.TestMarker) {
			t.Errorf("%s: issuer %q does not say that it is a test's", name, text)
		}
		chain := []string{"verify", "-no_check_time", "-CAfile", filepath.Join(dir, "ca/root.pem"), "-untrusted", filepath.Join(dir, "ca/issuing.pem"), cert}
		if _, err := runJudge(t, openssl, chain...); err != nil {
			t.Errorf("%s: does not chain to the root", name)
		}
	}
}
