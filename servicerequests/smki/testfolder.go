package smki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"time"

	"safemode/servicerequests"
)

// The organisations of DCC's public test set.
const (
	TestSupplier servicerequests.EUI = 0x90B3D51F30010000
	TestDCC      servicerequests.EUI = 0x90B3D51F30000002
)

// TestFolder describes a test hierarchy. Its zero value is usable.
type TestFolder struct {
	Supplier servicerequests.EUI // 0: TestSupplier
	DCC      servicerequests.EUI // 0: TestDCC

	// Seed makes every key and certificate of the folder, to the byte. Nil:
	// keys come from the system's source of randomness.
	Seed []byte

	// NotBefore is when the certificates begin; they last ten years from then,
	// as ZAZ1's do. Zero: the start of 2026.
	NotBefore time.Time
}

// Files makes the contents of a whole PKI folder: file name to PEM, a .pem and
// a .key for each identity. The issuers' names carry [TestMarker].
func (t TestFolder) Files() (map[string][]byte, error) {
	if t.Supplier == 0 {
		t.Supplier = TestSupplier
	}
	if t.DCC == 0 {
		t.DCC = TestDCC
	}
	if t.NotBefore.IsZero() {
		t.NotBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	g := folderGenerator{TestFolder: t, files: map[string][]byte{}}

	root := g.authority("ca/root", nil, Root, TestMarker+" ROOT")
	issuing := g.authority("ca/issuing", root, IssuingAuthority, TestMarker+" Z1")
	g.authority("ca/device-issuing", root, NoRole, TestMarker+" E1")

	supplier := Template{EUI: t.Supplier}
	g.identity("supplier/xml-signing", issuing, supplier, UserXMLSigning, DigitalSignature)
	g.identity("supplier/digital-signing", issuing, supplier, Supplier, DigitalSignature)
	g.identity("supplier/key-agreement", issuing, supplier, Supplier, KeyAgreement)
	dcc := Template{EUI: t.DCC}
	g.identity("dcc/transform", issuing, dcc, DSPXMLSigning, DigitalSignature)
	g.identity("dcc/xml-signing", issuing, dcc, DSPXMLSigning, DigitalSignature)
	g.identity("dcc/renewed", issuing, dcc, DSPXMLSigning, DigitalSignature)
	g.identity("dcc/acb-key-agreement", issuing, dcc, AccessControlBroker, KeyAgreement)
	for _, name := range []string{"alice", "bob"} {
		person := Template{EUI: t.Supplier, CommonName: name}
		g.identity("approvers/"+name, issuing, person, Other, DigitalSignature)
	}
	for _, name := range []string{"olga", "rita"} { // an operator and a recorder
		person := Template{EUI: t.Supplier, CommonName: name}
		g.identity("staff/"+name, issuing, person, Other, DigitalSignature)
	}
	return g.files, g.err
}

// folderGenerator collects files until the first error.
type folderGenerator struct {
	TestFolder
	files map[string][]byte
	err   error
}

// authority makes one authority; without a parent it is a root.
func (g *folderGenerator) authority(base string, parent *Authority, role Role, commonName string) *Authority {
	t := Template{
		Role: role, CommonName: commonName, Usage: CertSign,
		NotBefore: g.NotBefore, NotAfter: g.notAfter(),
	}
	key := g.key(base)
	if g.err != nil {
		return nil
	}
	authority := &Authority{Key: key}
	if parent == nil {
		authority, g.err = NewRoot(t, key)
	} else {
		authority.Certificate, g.err = parent.Issue(t, &key.PublicKey)
	}
	if g.err == nil {
		g.put(base, authority.Certificate, key)
	}
	return authority
}

func (g *folderGenerator) identity(base string, issuing *Authority, t Template, role Role, usage Usage) {
	key := g.key(base)
	if g.err != nil {
		return
	}
	t.Role, t.Usage, t.NotBefore, t.NotAfter = role, usage, g.NotBefore, g.notAfter()
	var certificate *Certificate
	if certificate, g.err = issuing.Issue(t, &key.PublicKey); g.err == nil {
		g.put(base, certificate, key)
	}
}

func (g *folderGenerator) notAfter() time.Time {
	return g.NotBefore.AddDate(10, 0, 0).Add(-time.Second)
}

func (g *folderGenerator) key(base string) (key *ecdsa.PrivateKey) {
	if g.err != nil {
		return nil
	}
	if g.Seed == nil {
		key, g.err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		// The EUIs are in the label, so that one seed serves several suppliers.
		key, g.err = DeriveTestKey(g.Seed, fmt.Sprintf("%s %s %s", base, g.Supplier, g.DCC))
	}
	return key
}

func (g *folderGenerator) put(base string, certificate *Certificate, key *ecdsa.PrivateKey) {
	g.files[base+".pem"] = certificate.PEM()
	g.files[base+".key"], g.err = marshalPrivateKeyPEM(key)
}
