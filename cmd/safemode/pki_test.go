package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// pkiLayout is the PKI folder that every command takes; the test approvers' names
// are free.
var pkiLayout = []string{
	"supplier/xml-signing", "supplier/digital-signing", "supplier/key-agreement",
	"dcc/transform", "dcc/xml-signing", "dcc/acb-key-agreement", "ca/root", "ca/issuing",
	"approvers/alice", "approvers/bob",
}

func TestPKIInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "pki")
	line := must(t, "", "pki", "init", "--out", dir, "--json")
	var facts struct {
		Out   string
		Files []string
	}
	if err := json.Unmarshal([]byte(line), &facts); err != nil || facts.Out != dir || strings.Count(line, "\n") != 1 {
		t.Errorf("%v: %s", err, line)
	}
	for _, name := range pkiLayout {
		for _, file := range []string{name + ".pem", name + ".key"} {
			if !slices.Contains(facts.Files, file) {
				t.Errorf("%s is not listed", file)
			}
			info, err := os.Stat(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if mode := info.Mode().Perm(); mode != 0o600 {
				t.Errorf("%s has mode %o", file, mode)
			}
		}
	}
	folder, err := smki.LoadFolder(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(folder.Approvers); n != 2 {
		t.Errorf("%d approvers, want 2", n)
	}
	for _, cert := range []*smki.Certificate{
		folder.Supplier.XMLSigning.Certificate, folder.Supplier.DigitalSigning.Certificate, folder.Supplier.KeyAgreement.Certificate,
		folder.DCC.Transform.Certificate, folder.DCC.XMLSigning.Certificate, folder.DCC.ACBKeyAgreement.Certificate,
	} {
		if err := cert.VerifyChain(folder.Authorities()); err != nil || !cert.IsTest() {
			t.Errorf("%s: test %v, chain: %v", cert.Subject, cert.IsTest(), err)
		}
	}
	if _, err := smki.LoadSupplier(os.DirFS(dir)); err != nil {
		t.Error(err)
	}
}

func TestPKIInitSupplier(t *testing.T) {
	dir := t.TempDir() // is there and empty
	must(t, "", "pki", "init", "--out", dir, "--supplier", "90b3d51f30030000")
	folder, err := smki.LoadSupplier(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if eui := folder.Supplier.DigitalSigning.Certificate.EUI; eui != servicerequests.EUI(0x90B3D51F30030000) {
		t.Errorf("the supplier is %v", eui)
	}
}

// readTree is the content of every file below a folder.
func readTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestPKIInitSeed(t *testing.T) {
	made := func(args ...string) map[string]string {
		dir := filepath.Join(t.TempDir(), "pki")
		must(t, "", append([]string{"pki", "init", "--out", dir}, args...)...)
		return readTree(t, dir)
	}
	one := made("--seed", "1")
	for name, text := range made("--seed", "1") {
		if one[name] != text {
			t.Errorf("%s differs under the same seed", name)
		}
	}
	for what, other := range map[string]map[string]string{"seed 0": made("--seed", "0"), "no seed": made()} {
		for name, text := range other {
			if one[name] == text {
				t.Errorf("%s is the same under %s", name, what)
			}
		}
	}
}
