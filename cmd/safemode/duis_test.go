package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/smki"
)

// forbiddenSamples are the sample requests outside the permitted set.
var forbiddenSamples = map[string]string{
	"ECS03_1.6_IMMEDIATE_SINGLE_SUCCESS_REQUEST_DUIS.XML": "Update Payment Mode to Prepayment",
	"ECS19_4.3_SUCCESS_REQUEST_DUIS.XML":                  "Read Instantaneous Prepay Values",
	"ECS42_7.1_SUCCESS_REQUEST_DUIS.XML":                  "Enable Supply",
}

// permittedSamples returns the paths of all sample requests of the permitted set.
func permittedSamples(t *testing.T) []string {
	t.Helper()
	permitted := slices.DeleteFunc(outside.Files(t, "duis/*_REQUEST_DUIS.XML"), func(path string) bool { return forbiddenSamples[filepath.Base(path)] != "" })
	if len(permitted) < 19 {
		t.Fatalf("%d sample requests of the permitted set, want 19", len(permitted))
	}
	return permitted
}

// unsigned is a sample's canonical form without Signature.
func unsigned(t *testing.T, sample []byte) []byte {
	t.Helper()
	b, err := unsignedForm(sample)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDUISBuildVectors(t *testing.T) {
	services := map[servicerequests.Service]bool{}
	for _, path := range permittedSamples(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			sample, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			request, err := duis.DecodeRequest(unsigned(t, sample))
			if err != nil {
				t.Fatal(err)
			}
			service, err := request.Service()
			if err != nil {
				t.Fatal(err)
			}
			services[service] = true
			got := must(t, "", buildArgs(service, request.ID, request.Inventory.Device)...)
			if diff := cmp.Diff(outside.Elements(t, unsigned(t, sample)), outside.Elements(t, []byte(got))); diff != "" {
				t.Errorf("-sample +build\n%s", diff)
			}
		})
	}
	if len(services) != len(servicerequests.Services) {
		t.Errorf("samples of %v only", services)
	}
}

// buildArgs asks for one request. EUIs go without hyphens and in lower case, which
// is accepted too.
func buildArgs(service servicerequests.Service, id servicerequests.RequestID, inventory servicerequests.EUI) []string {
	plain := func(e servicerequests.EUI) string {
		return strings.ToLower(strings.ReplaceAll(e.String(), "-", ""))
	}
	_, counter, _ := strings.Cut(id.String(), id.Target.String()+":")
	args := []string{
		"duis", "build", "--srv", service.SRV(), "--originator", plain(id.Originator), "--target", plain(id.Target), "--counter", counter,
	}
	switch service {
	case servicerequests.SwitchToCredit:
		args = append(args, "--mode", "credit")
	case servicerequests.ReadInventory:
		args = append(args, "--device", plain(inventory))
	}
	return args
}

// sampleID is the Request ID of what tests build.
var sampleID = servicerequests.RequestID{Originator: smki.TestSupplier, Target: 0x00DB1234567890A0, Counter: 1000}

// buildRequest is a built request with an inventory device where there must be one.
func buildRequest(t *testing.T, service servicerequests.Service) string {
	t.Helper()
	return must(t, "", buildArgs(service, sampleID, 0x00DB1234567890A2)...)
}

// testPKI makes a PKI folder and returns its supplier's part.
func testPKI(t *testing.T) keyFiles {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pki")
	must(t, "", "pki", "init", "--out", dir, "--seed", "1")
	return keyFiles{filepath.Join(dir, "supplier")}
}

func TestDUISSignVectors(t *testing.T) {
	t.Parallel()
	known := publishedKeys(t)
	own := testPKI(t)
	for _, path := range permittedSamples(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			sample, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range [][2]string{
				{known.cert(supplierDS), known.key(supplierDS)}, // DCC's test set has no XML signing key
				{own.cert("xml-signing"), own.key("xml-signing")},
			} {
				signed := must(t, "", "duis", "sign", "--cert", id[0], "--key", id[1], path)
				if got := unsigned(t, []byte(signed)); !bytes.Equal(got, unsigned(t, sample)) {
					t.Errorf("signed another document:\n%s\n%s", got, sample)
				}
				if strings.Count(signed, "\n") != 1 || strings.Contains(signed, "<!--") || strings.Count(signed, "<ds:Signature ") != 1 {
					t.Errorf("not compact with one Signature: %s", signed)
				}
				var header provenHeader
				if err := json.Unmarshal([]byte(must(t, signed, "duis", "verify", "--cert", id[0])), &header); err != nil {
					t.Fatal(err)
				}
				if request, _ := duis.DecodeRequest(unsigned(t, sample)); header.RequestID != request.ID.String() ||
					header.SRV != request.SRV || header.Document != "request" {
					t.Errorf("header %+v", header)
				}
				again := must(t, signed, "duis", "sign", "--cert", id[0], "--key", id[1], "-")
				if !bytes.Equal(unsigned(t, []byte(again)), unsigned(t, sample)) {
					t.Error("signing a signed document changes it")
				}
			}
		})
	}
	for name, reason := range forbiddenSamples {
		refuses(t, exitRefused, reason, "", "duis", "sign", "--cert", known.cert(supplierDS), "--key", known.key(supplierDS), outside.Path(t, "duis/"+name))
	}
}

// A Signed Pre-Command is what its GBCS message says, whatever the XML says.
func TestDUISSignLooksIntoSignedPreCommandVectors(t *testing.T) {
	own := testPKI(t)
	sign := []string{"duis", "sign", "--cert", own.cert("xml-signing"), "--key", own.key("xml-signing")}
	carry := func(service servicerequests.Service, id servicerequests.RequestID, message []byte) string {
		xml, err := duis.AppendRequest(nil, duis.Request{ID: id, Service: service, SignedPreCommand: message})
		if err != nil {
			t.Fatal(err)
		}
		return string(xml)
	}
	carriers := []servicerequests.Service{servicerequests.ActivateEmergencyCredit, servicerequests.SwitchToCredit, servicerequests.ArmSupply}
	permitted, refused := 0, 0
	for _, m := range vectorMessages(t) {
		if m.Kind != "command" || m.Signature.KeyEUI == "" {
			continue
		}
		id := servicerequests.RequestID{Originator: m.Parsed.BusinessOriginatorID, Target: m.Parsed.BusinessTargetID, Counter: m.Parsed.OriginatorCounter}
		b := m.bytes(t)
		inner := b[m.Parsed.GroupingHeaderOffset : len(b)-12]
		for _, service := range carriers {
			if service.SRV() != m.SRV || slices.Contains(forbiddenPreCommands, m.UseCase) {
				refuses(t, exitRefused, "Signed Pre-Command", carry(service, id, inner), sign...)
				refused++
				continue
			}
			permitted++
			xml := carry(service, id, inner)
			must(t, xml, sign...)
			later := id
			later.Counter++
			changed := slices.Clone(inner)
			changed[m.Parsed.PayloadOffset-m.Parsed.GroupingHeaderOffset+m.Parsed.PayloadLength-1] ^= 2
			for reason, document := range map[string]string{
				"originator counter": carry(service, later, inner),
				"got command":        carry(service, id, b),
				"got pre_command":    carry(service, id, inner[:len(inner)-65]),
				"payload offset":     carry(service, id, changed),
				"malformed":          carry(service, id, inner[1:]),
				"an execution time":  strings.Replace(xml, "<sr:GBCS", "<sr:ExecutionDateTime>2030-01-01T00:00:00Z</sr:ExecutionDateTime><sr:GBCS", 1),
				"Command Variant 6":  strings.Replace(xml, "Variant>5<", "Variant>6<", 1),
				"Enable Supply":      strings.ReplaceAll(strings.ReplaceAll(xml, "Reference>"+m.SRV, "Reference>7.1"), "ReferenceVariant>"+m.SRV, "ReferenceVariant>7.1"),
			} {
				refuses(t, exitRefused, reason, document, sign...)
			}
		}
	}
	if permitted != 6 || refused != 27 {
		t.Errorf("%d permitted, %d refused; want 6 and 27", permitted, refused)
	}
}

func TestDUISSignRefuses(t *testing.T) {
	own := testPKI(t)
	arm := buildRequest(t, servicerequests.ArmSupply)
	args := func(cert, key string) []string {
		return []string{"duis", "sign", "--cert", own.cert(cert), "--key", own.key(key)}
	}
	good := args("xml-signing", "xml-signing")
	signed := must(t, arm, good...)
	must(t, arm, args("digital-signing", "digital-signing")...) // as DCC's test set does
	for name, c := range map[string]struct {
		code             int
		reason, document string
	}{
		"later":           {exitRefused, "an execution time", strings.Replace(buildRequest(t, servicerequests.SwitchToCredit), "<sr:Credit>", "<sr:ExecutionDateTime>2030-01-01T00:00:00Z</sr:ExecutionDateTime><sr:Credit>", 1)},
		"a sequence":      {exitRefused, "a sequence", strings.Replace(arm, "<sr:CommandVariant>", "<sr:FirstInSequence>true</sr:FirstInSequence><sr:CommandVariant>", 1)},
		"unknown SRV":     {exitRefused, "6.15.1", strings.NewReplacer("Reference>7.3", "Reference>6.15", "ReferenceVariant>7.3", "ReferenceVariant>6.15.1").Replace(arm)},
		"other element":   {exitRefused, "EnableSupply", strings.ReplaceAll(arm, "ArmSupply", "EnableSupply")},
		"two elements":    {exitRefused, "EnableSupply", strings.Replace(arm, "</sr:Body>", "<sr:EnableSupply></sr:EnableSupply></sr:Body>", 1)},
		"two signatures":  {exitRefused, "Signature", strings.Replace(signed, "<ds:Signature ", `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"></ds:Signature><ds:Signature `, 1)},
		"a response":      {exitRefused, "Response", strings.ReplaceAll(arm, "sr:Request", "sr:Response")},
		"something else":  {exitRefused, "", "<a></a>"},
		"no XML":          {exitUsage, "", "DF09"},
		"nothing":         {exitUsage, "", ""},
		"a document type": {exitUsage, "", "<!DOCTYPE a>" + arm},
		"too long":        {exitUsage, "too long", arm + strings.Repeat(" ", documentLimit)},
	} {
		t.Run(name, func(t *testing.T) { refuses(t, c.code, c.reason, c.document, good...) })
	}
	refuses(t, exitRefused, "keyAgreement", arm, args("key-agreement", "key-agreement")...)
	refuses(t, exitUsage, "does not match", arm, args("xml-signing", "digital-signing")...)
	refuses(t, exitUsage, "none.xml", "", append(good, "none.xml")...)
	foreign := foreignSupplier(t)
	refuses(t, exitRefused, "no test PKI", arm, "duis", "sign", "--cert", foreign.cert("ds"), "--key", foreign.key("ds"))
}

func TestDUISVerifyVectors(t *testing.T) {
	for _, c := range []struct{ file, cert, content string }{
		{"response-11.2-signed.xml", "dsp-xml-signing-older.pem", "GBCSPayload"},
		{"response-8.2-signed.xml", "dsp-xml-signing-acb.pem", "DSPInventory"},
	} {
		file, cert := outside.Path(t, "duis/"+c.file), outside.Path(t, "duis/"+c.cert)
		line := must(t, "", "duis", "verify", "--json", "--cert", cert, file)
		var header provenHeader
		if err := json.Unmarshal([]byte(line), &header); err != nil || strings.Count(line, "\n") != 1 {
			t.Fatalf("%v: %s", err, line)
		}
		if header.Document != "response" || header.ResponseCode != "I0" || header.Content != c.content || header.RequestID == "" {
			t.Errorf("%s: %+v", c.file, header)
		}
		refuses(t, exitFailed, "unknown signing key", "", "duis", "verify", "--cert", outside.Path(t, "duis/dsp-xml-signing.pem"), file)
		must(t, "", "duis", "verify", "--cert", cert, "--at", "2025-10-01T00:00:00Z", file)
		refuses(t, exitFailed, "not valid at this time", "", "duis", "verify", "--cert", cert, "--at", "2200-01-01T00:00:00Z", file)
		refuses(t, exitUsage, "--at", "", "duis", "verify", "--cert", cert, "--at", "today", file)
	}
	bad := outside.Path(t, "duis/response-11.2-badsignature.xml")
	for _, cert := range []string{"dsp-xml-signing-older.pem", "dsp-xml-signing-acb.pem", "dsp-xml-signing.pem"} {
		refuses(t, exitFailed, "", "", "duis", "verify", "--cert", outside.Path(t, "duis/"+cert), bad)
	}
	refuses(t, exitFailed, "no signature", "", "duis", "verify", "--cert", outside.Path(t, "duis/dsp-xml-signing.pem"),
		outside.Path(t, "duis/acknowledgement-error-unsigned.xml"))
}

func TestDUISVerifyNamesTheCertificate(t *testing.T) {
	t.Parallel()
	dir := keyFiles{t.TempDir()}
	root, key := newAuthority(t, smki.TestMarker+" ROOT"), newKey(t)
	template := smki.Template{Role: smki.UserXMLSigning, EUI: smki.TestSupplier, Usage: smki.DigitalSignature}
	one := issueCertificate(t, root, key, template)
	template.CommonName = "renewed" // which gives it another serial
	two := issueCertificate(t, root, key, template)
	other := issueCertificate(t, newAuthority(t, smki.TestMarker+" OTHER"), key, smki.Template{
		Role: template.Role, EUI: template.EUI, Usage: template.Usage, Serial: one.Serial,
	})
	for name, cert := range map[string]*smki.Certificate{"one": one, "two": two, "other": other} {
		putFile(t, dir.cert(name), cert.PEM())
	}
	putKey(t, dir.key("one"), key)
	signed := must(t, buildRequest(t, servicerequests.ArmSupply), "duis", "sign", "--cert", dir.cert("one"), "--key", dir.key("one"))
	must(t, signed, "duis", "verify", "--cert", dir.cert("one"))
	refuses(t, exitFailed, "unknown signing key", signed, "duis", "verify", "--cert", dir.cert("two"))
	refuses(t, exitFailed, "unknown signing key", signed, "duis", "verify", "--cert", dir.cert("other"))

	text := []byte(strings.TrimSuffix(signed, "\n"))
	for i := range text {
		text[i] ^= 1
		refuses(t, exitFailed, "", string(text), "duis", "verify", "--cert", dir.cert("one"))
		text[i] ^= 1
	}
	refuses(t, exitUsage, "none.pem", signed, "duis", "verify", "--cert", "none.pem")
	refuses(t, exitUsage, "one.key", signed, "duis", "verify", "--cert", dir.key("one"))
	refuses(t, exitFailed, "", "", "duis", "verify", "--cert", dir.cert("one"))
}
