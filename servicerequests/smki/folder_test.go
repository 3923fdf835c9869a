package smki_test

import (
	"errors"
	"io/fs"
	"maps"
	"math/big"
	"strings"
	"testing"
	"testing/fstest"

	"safemode/servicerequests/outside"
	"safemode/servicerequests/smki"
)

func testFiles(tb testing.TB, seed string) map[string][]byte {
	tb.Helper()
	files, err := smki.TestFolder{Seed: []byte(seed)}.Files()
	if err != nil {
		tb.Fatal(err)
	}
	return files
}

func asFS(files map[string][]byte) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, content := range files {
		fsys[name] = &fstest.MapFile{Data: content}
	}
	return fsys
}

func loadTestFolder(tb testing.TB, seed string) *smki.Folder {
	tb.Helper()
	folder, err := smki.LoadFolder(asFS(testFiles(tb, seed)))
	if err != nil {
		tb.Fatal(err)
	}
	return folder
}

func TestFolderLoads(t *testing.T) {
	folder := loadTestFolder(t, "loads")
	if len(folder.Approvers) != 2 || folder.Approvers[0].Name != "alice" || folder.Approvers[1].Name != "bob" {
		t.Errorf("approvers %v", folder.Approvers)
	}
	for _, identity := range []smki.SigningIdentity{
		folder.Supplier.XMLSigning, folder.Supplier.DigitalSigning, folder.DCC.Transform, folder.DCC.XMLSigning,
		folder.Root, folder.Issuing, folder.DeviceIssuing, folder.Approvers[0].SigningIdentity, folder.Approvers[1].SigningIdentity,
	} {
		if identity.Key == nil || !identity.Certificate.IsTest() {
			t.Errorf("%s: no key or no test certificate", identity.Certificate.Subject)
		}
		if err := identity.Certificate.VerifyChain(folder.Authorities()); err != nil {
			t.Error(err)
		}
	}
	if folder.Supplier.KeyAgreement.Key == nil || folder.DCC.ACBKeyAgreement.Key == nil {
		t.Error("no agreement keys")
	}
	if folder.Supplier.XMLSigning.Certificate.EUI != smki.TestSupplier || folder.DCC.Transform.Certificate.EUI != smki.TestDCC {
		t.Error("other EUIs than DCC's test set")
	}
}

func TestFolderFromSeed(t *testing.T) {
	a, b := testFiles(t, "1"), testFiles(t, "1")
	if !maps.EqualFunc(a, b, func(x, y []byte) bool { return string(x) == string(y) }) {
		t.Error("one seed, two folders")
	}
	other, err := smki.TestFolder{Seed: []byte("1"), Supplier: 0x90B3D51F30030000}.Files()
	if err != nil {
		t.Fatal(err)
	}
	if string(other["supplier/xml-signing.key"]) == string(a["supplier/xml-signing.key"]) {
		t.Error("two suppliers share a key")
	}
	random, err := smki.TestFolder{}.Files()
	if err != nil {
		t.Fatal(err)
	}
	if len(random) != len(a) || string(random["ca/root.key"]) == string(a["ca/root.key"]) {
		t.Error("without a seed: files missing or keys not random")
	}
}

// opened records which files a loader opens.
type opened struct {
	fs.FS
	names []string
}

func (o *opened) Open(name string) (fs.File, error) {
	o.names = append(o.names, name)
	return o.FS.Open(name)
}

func TestLoadSupplierOpensNoOtherKey(t *testing.T) {
	fsys := &opened{FS: asFS(testFiles(t, "engine"))}
	folder, err := smki.LoadSupplier(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if folder.DCC.Transform.Key != nil || folder.DCC.ACBKeyAgreement.Key != nil || folder.Root.Key != nil || folder.Approvers != nil {
		t.Error("holds keys that are not the supplier's")
	}
	for _, name := range fsys.names {
		if strings.HasSuffix(name, ".key") && !strings.HasPrefix(name, "supplier/") {
			t.Errorf("opened %s", name)
		}
	}
}

func TestFolderWithoutAuthorities(t *testing.T) {
	files := testFiles(t, "zaz1")
	maps.DeleteFunc(files, func(name string, _ []byte) bool {
		return strings.HasPrefix(name, "ca/") || strings.HasPrefix(name, "approvers/") || strings.HasSuffix(name, ".key")
	})
	folder, err := smki.LoadFolder(asFS(files))
	if err != nil {
		t.Fatal(err)
	}
	if len(folder.Authorities()) != 0 || folder.Supplier.XMLSigning.Key != nil || folder.Supplier.KeyAgreement.Key != nil {
		t.Error("something came from nowhere")
	}
	if _, err := smki.LoadSupplier(asFS(files)); !errors.Is(err, smki.ErrFolder) || strings.Count(err.Error(), "put the private key") != 3 {
		t.Errorf("an engine without keys: %v", err)
	}
}

func TestFolderFaults(t *testing.T) {
	otherSupplier, err := smki.TestFolder{Seed: []byte("x"), Supplier: 0x90B3D51F30030000}.Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		file    string // replaced
		content []byte // nil: removed
		from    string // or taken from this file of the same folder
		is      error
	}{
		"missing":        {file: "dcc/transform.pem", is: fs.ErrNotExist},
		"garbage":        {file: "ca/root.pem", content: []byte("x"), is: smki.ErrCertificate},
		"wrong role":     {file: "dcc/transform.pem", from: "supplier/xml-signing.pem", is: smki.ErrPurpose},
		"wrong usage":    {file: "supplier/key-agreement.pem", from: "supplier/digital-signing.pem", is: smki.ErrPurpose},
		"no authority":   {file: "ca/issuing.pem", from: "dcc/transform.pem", is: smki.ErrPurpose},
		"foreign key":    {file: "supplier/xml-signing.key", from: "supplier/digital-signing.key", is: smki.ErrKeyMismatch},
		"foreign KA key": {file: "dcc/acb-key-agreement.key", from: "supplier/digital-signing.key", is: smki.ErrKeyMismatch},
		"no key":         {file: "supplier/xml-signing.key", from: "supplier/xml-signing.pem", is: smki.ErrKey},
		"supplier mixed": {file: "supplier/key-agreement.pem", content: otherSupplier["supplier/key-agreement.pem"]},
	} {
		t.Run(name, func(t *testing.T) {
			files := testFiles(t, "faults")
			switch {
			case test.from != "":
				files[test.file] = files[test.from]
			case test.content != nil:
				files[test.file] = test.content
			default:
				delete(files, test.file)
			}
			if name == "supplier mixed" {
				delete(files, "supplier/key-agreement.key")
			}
			_, err := smki.LoadFolder(asFS(files))
			if !errors.Is(err, smki.ErrFolder) || (test.is != nil && !errors.Is(err, test.is)) {
				t.Fatalf("error %v", err)
			}
			if !strings.Contains(err.Error(), test.file) {
				t.Errorf("the file is not named: %v", err)
			}
		})
	}
}

// TestPublishedSetInFolder puts what is published of DCC's ZAZ1 set into the
// layout. It has no OU 87 certificate among the vectors: OU 02 serves instead,
// because the certificates are test certificates.
func TestPublishedSetInFolder(t *testing.T) {
	files := map[string][]byte{
		"dcc/transform.pem":   outside.Read(t, "duis/dsp-xml-signing.pem"),
		"dcc/xml-signing.pem": outside.Read(t, "duis/dsp-xml-signing-older.pem"),
	}
	names := map[string][]string{
		"90b3d51f30010000 digitalSignature": {"supplier/xml-signing.pem", "supplier/digital-signing.pem"},
		"90b3d51f30010000 keyAgreement":     {"supplier/key-agreement.pem"},
		"90b3d51f30000002 keyAgreement":     {"dcc/acb-key-agreement.pem"},
	}
	for _, k := range publishedKeys(t) {
		for _, name := range names[k.EUI+" "+k.Use] {
			c, err := smki.ParseCertificate(k.Certificate)
			if err != nil {
				t.Fatal(err)
			}
			files[name] = c.PEM()
		}
	}
	folder, err := smki.LoadFolder(asFS(files))
	if err != nil {
		t.Fatal(err)
	}
	if got := folder.Supplier.XMLSigning.Certificate; got.Role != smki.Supplier || got.EUI != smki.TestSupplier {
		t.Errorf("role %s, EUI %s", got.Role, got.EUI)
	}
}

// TestTestRolesStayInTests: outside a test PKI an OU 02 certificate does not
// sign XML.
func TestTestRolesStayInTests(t *testing.T) {
	key, err := smki.DeriveTestKey([]byte("live"), "root")
	if err != nil {
		t.Fatal(err)
	}
	folder := loadTestFolder(t, "live")
	window := smki.Template{NotBefore: folder.Root.Certificate.NotBefore, NotAfter: folder.Root.Certificate.NotAfter}
	template := window
	template.Role, template.CommonName = smki.IssuingAuthority, "NOT A TEST"
	root, err := smki.NewRoot(template, key)
	if err != nil {
		t.Fatal(err)
	}
	template = window
	template.Role, template.EUI, template.Usage, template.Serial = smki.Supplier, smki.TestSupplier, smki.DigitalSignature, big.NewInt(1)
	for authority, want := range map[*smki.Authority]bool{
		root: false,
		{Certificate: folder.Issuing.Certificate, Key: folder.Issuing.Key}: true,
	} {
		c, err := authority.Issue(template, &key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.CheckPurpose(smki.SignsRequests) == nil; got != want || c.IsTest() != want {
			t.Errorf("issued by %q: signs XML %t, test %t", c.Issuer, got, c.IsTest())
		}
		if c.CheckPurpose(smki.SignsPreCommands) != nil {
			t.Error("an OU 02 certificate signs Pre-Commands")
		}
	}
}
