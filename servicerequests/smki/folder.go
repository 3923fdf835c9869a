package smki

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// ErrFolder marks a PKI folder that cannot be used. The text names the file
// and what is to be done.
var ErrFolder = errors.New("PKI folder")

// SigningIdentity is a certificate and the key that signs for it.
type SigningIdentity struct {
	Certificate *Certificate
	Key         crypto.Signer // nil when the folder holds the certificate only
}

// AgreementIdentity is a certificate and the key that agrees for it.
type AgreementIdentity struct {
	Certificate *Certificate
	Key         *ecdh.PrivateKey // nil when the folder holds the certificate only
}

// Folder is what a PKI folder holds: a supplier's part, the DCC's part, and
// where there are any, authorities and test approvers.
type Folder struct {
	Supplier struct {
		XMLSigning     SigningIdentity   // supplier/xml-signing: signs DUIS XML
		DigitalSigning SigningIdentity   // supplier/digital-signing: signs Pre-Commands
		KeyAgreement   AgreementIdentity // supplier/key-agreement: checks MACs of responses
	}
	DCC struct {
		Transform       SigningIdentity   // dcc/transform: signs responses that carry Pre-Commands
		XMLSigning      SigningIdentity   // dcc/xml-signing: signs all others
		ACBKeyAgreement AgreementIdentity // dcc/acb-key-agreement: MACs Commands
		Renewed         SigningIdentity   // dcc/renewed: takes xml-signing's place; the certificate is nil when the file is absent
	}
	Root          SigningIdentity // ca/root; the certificate is nil when the file is absent, as in ZAZ1
	Issuing       SigningIdentity // ca/issuing, for organisations; likewise
	DeviceIssuing SigningIdentity // ca/device-issuing, for devices; likewise
	Approvers     []Approver      // approvers/*, by name

	// Others are certificates under which other Users sign requests: users/*. Several may
	// be of one key.
	Others []*Certificate

	// Exposed names the key files that were read and that others than their owner
	// may read or change.
	Exposed []string
}

// Approver is a person of a test hierarchy who may approve a plan.
type Approver struct {
	Name string // the file's name without its extension
	SigningIdentity
}

// Authorities returns the certificates of the folder's authorities.
func (f *Folder) Authorities() []*Certificate {
	var list []*Certificate
	for _, identity := range []SigningIdentity{f.Root, f.Issuing, f.DeviceIssuing} {
		if identity.Certificate != nil {
			list = append(list, identity.Certificate)
		}
	}
	return list
}

// LoadFolder reads a whole PKI folder, with every key that is there. The
// supplier's and the DCC's certificates must be there; authorities, approvers
// and all keys need not. Errors wrap [ErrFolder].
func LoadFolder(fsys fs.FS) (*Folder, error) {
	return load(fsys, keyOptional, keyOptional)
}

// LoadSupplier reads what an engine may hold of a PKI folder: the supplier's
// certificates with their keys, which must be there, and of the DCC and the
// authorities the certificates only. No other key file is opened. Errors wrap
// [ErrFolder].
func LoadSupplier(fsys fs.FS) (*Folder, error) {
	return load(fsys, keyRequired, keyIgnored)
}

// LoadSupplierCertificates is [LoadSupplier] without a key: those are elsewhere.
func LoadSupplierCertificates(fsys fs.FS) (*Folder, error) {
	return load(fsys, keyIgnored, keyIgnored)
}

// keyRule says how the .key file beside a certificate is treated.
type keyRule uint8

const (
	keyIgnored keyRule = iota
	keyOptional
	keyRequired
)

// load reads the folder and reports every fault that it has, not the first.
func load(fsys fs.FS, supplierKeys, otherKeys keyRule) (*Folder, error) {
	l := loader{fsys: fsys}
	f := &Folder{}
	f.Supplier.XMLSigning = l.signing("supplier/xml-signing", SignsRequests, supplierKeys)
	f.Supplier.DigitalSigning = l.signing("supplier/digital-signing", SignsPreCommands, supplierKeys)
	f.Supplier.KeyAgreement = l.agreement("supplier/key-agreement", SupplierAgrees, supplierKeys)
	f.DCC.Transform = l.signing("dcc/transform", SignsResponses, otherKeys)
	f.DCC.XMLSigning = l.signing("dcc/xml-signing", SignsResponses, otherKeys)
	f.DCC.ACBKeyAgreement = l.agreement("dcc/acb-key-agreement", BrokerAgrees, otherKeys)
	f.DCC.Renewed = l.optional("dcc/renewed", SignsResponses, otherKeys)
	f.Root = l.authority("ca/root", otherKeys)
	f.Issuing = l.authority("ca/issuing", otherKeys)
	f.DeviceIssuing = l.authority("ca/device-issuing", otherKeys)
	if otherKeys != keyIgnored {
		f.Approvers = l.approvers()
		for _, base := range l.list("users") {
			f.Others = append(f.Others, l.certificate(base, SignsRequests))
		}
	}
	if len(l.faults) == 0 {
		l.sameSupplier(f)
	}
	if len(l.faults) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrFolder, errors.Join(l.faults...))
	}
	f.Exposed = l.exposed
	return f, nil
}

type loader struct {
	fsys    fs.FS
	faults  []error
	exposed []string
}

func (l *loader) fault(file string, err error, remedy string) {
	l.faults = append(l.faults, fmt.Errorf("%s: %w: %s", file, err, remedy))
}

func (l *loader) signing(base string, p Purpose, rule keyRule) SigningIdentity {
	certificate := l.certificate(base, p)
	identity := SigningIdentity{Certificate: certificate}
	if key := l.key(base, certificate, rule); key != nil { // a nil *ecdsa.PrivateKey would be a Signer that is not nil
		identity.Key = sealed{key}
	}
	return identity
}

func (l *loader) agreement(base string, p Purpose, rule keyRule) AgreementIdentity {
	identity := AgreementIdentity{Certificate: l.certificate(base, p)}
	key := l.key(base, identity.Certificate, rule)
	if key == nil {
		return identity
	}
	var err error
	if identity.Key, err = key.ECDH(); err != nil {
		l.fault(base+".key", err, "put a P-256 key there")
	}
	return identity
}

// authority reads an authority that need not be there.
func (l *loader) authority(base string, rule keyRule) SigningIdentity {
	return l.optional(base, IssuesCertificates, rule)
}

// optional reads what need not be there.
func (l *loader) optional(base string, p Purpose, rule keyRule) SigningIdentity {
	if _, err := fs.Stat(l.fsys, base+".pem"); errors.Is(err, fs.ErrNotExist) {
		return SigningIdentity{}
	}
	return l.signing(base, p, rule)
}

func (l *loader) certificate(base string, p Purpose) *Certificate {
	file := base + ".pem"
	text, err := fs.ReadFile(l.fsys, file)
	if err != nil {
		l.fault(file, err, "put the certificate for "+p.String()+" there, readable by this user")
		return nil
	}
	certificate, err := ParseCertificatePEM(text)
	if err != nil {
		l.fault(file, err, "want one SMKI certificate in PEM")
		return nil
	}
	if err := certificate.CheckPurpose(p); err != nil {
		l.fault(file, err, "put the certificate for "+p.String()+" there")
		return nil
	}
	return certificate
}

// key reads the key beside a certificate. It returns nil if there is none; a fault
// is added to the loader's.
func (l *loader) key(base string, certificate *Certificate, rule keyRule) *ecdsa.PrivateKey {
	if certificate == nil || rule == keyIgnored {
		return nil
	}
	file := base + ".key"
	text, err := fs.ReadFile(l.fsys, file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && rule == keyOptional:
		return nil
	case err != nil:
		l.fault(file, err, "put the private key of "+base+".pem there, readable by this user")
		return nil
	}
	defer clear(text)
	if info, err := fs.Stat(l.fsys, file); err == nil && info.Mode().Perm()&0o077 != 0 {
		l.exposed = append(l.exposed, file)
	}
	key, err := ParsePrivateKeyPEM(text)
	if err != nil {
		l.fault(file, err, "want one PKCS#8 or SEC 1 key in PEM")
		return nil
	}
	if err := certificate.CheckKey(&key.PublicKey); err != nil {
		l.fault(file, err, "put the private key of "+base+".pem there")
		return nil
	}
	return key
}

// list returns the certificates of a folder, each without its extension.
func (l *loader) list(folder string) (bases []string) {
	files, err := fs.Glob(l.fsys, folder+"/*.pem")
	if err != nil {
		l.fault(folder, err, "make the folder readable")
	}
	for _, file := range files {
		bases = append(bases, strings.TrimSuffix(file, ".pem"))
	}
	return bases
}

func (l *loader) approvers() []Approver {
	var list []Approver
	for _, base := range l.list("approvers") {
		list = append(list, Approver{Name: path.Base(base), SigningIdentity: l.signing(base, Approves, keyOptional)})
	}
	return list
}

// sameSupplier refuses a mixture of two suppliers' certificates.
func (l *loader) sameSupplier(f *Folder) {
	eui := f.Supplier.XMLSigning.Certificate.EUI
	others := []struct {
		file        string
		certificate *Certificate
	}{
		{"supplier/digital-signing.pem", f.Supplier.DigitalSigning.Certificate},
		{"supplier/key-agreement.pem", f.Supplier.KeyAgreement.Certificate},
	}
	for _, other := range others {
		if other.certificate.EUI != eui {
			l.fault(other.file, fmt.Errorf("EUI is %s, supplier/xml-signing.pem has %s", other.certificate.EUI, eui),
				"all three certificates must be the same supplier's")
		}
	}
}
