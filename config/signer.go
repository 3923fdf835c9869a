package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/keyuri"
	"safemode/servicerequests/strictyaml"
)

// Signer is the configuration of the signer's process, which holds the keys.
type Signer struct {
	Environment Environment      `koanf:"environment"`
	Identities  []SignerIdentity `koanf:"identities"`
	PKCS11      PKCS11           `koanf:"pkcs11"` // required where a key is named by a URI

	Listen string   `koanf:"listen"` // path of a unix socket, or host:port with TLS
	Users  []int    `koanf:"users"`  // users with processes that may ask over the socket; empty: the signer's own user
	TLS    InboxTLS `koanf:"tls"`

	Folder      string              `koanf:"folder"` // of its log and its freeze
	Plan        string              `koanf:"plan"`   // folder of its own copy of the frozen plan
	Roster      Roster              `koanf:"roster"`
	Authorities []string            `koanf:"authorities"` // the SMKI's roots and issuers
	DCC         servicerequests.EUI `koanf:"dcc"`         // target of requests that no device answers
	Gates       SignerGates         `koanf:"gates"`
	Limits      SignerLimits        `koanf:"limits"`
}

// SignerGates are what the signer watches by itself, as [Gates] has it.
type SignerGates struct {
	RevocationLists   []string      `koanf:"revocation_lists"` // required in live
	RevocationListAge time.Duration `koanf:"revocation_list_age"`
	CheckExpiry       bool          `koanf:"check_expiry"`
	FreezeFile        string        `koanf:"freeze_file"` // required in live
	Poll              time.Duration `koanf:"poll"`
	MaxAge            time.Duration `koanf:"max_age"`
}

// SignerLimits bound what the signer ever signs, beside what direction and plan say.
type SignerLimits struct {
	Commands     int    `koanf:"commands"`      // Pre-Commands of one service for one meter
	PerHour      int    `koanf:"per_hour"`      // signatures of all kinds; 0: no limit
	CounterFloor uint64 `koanf:"counter_floor"` // counters up to it are as good as signed
}

// Socket says whether the signer listens on a unix socket.
func (c *Signer) Socket() bool { return c.TLS.none() }

// SignerIdentity is one EUI of the failed supplier, the PKI folder with its certificates,
// and where its keys are: an RFC 7512 URI, or empty for the file in the folder.
type SignerIdentity struct {
	EUI            servicerequests.EUI `koanf:"eui"`
	PKIDir         string              `koanf:"pki_dir"`
	XMLSigning     string              `koanf:"xml_signing"`
	DigitalSigning string              `koanf:"digital_signing"`
	KeyAgreement   string              `koanf:"key_agreement"`
}

// PKCS11 is the token that holds keys.
type PKCS11 struct {
	Module     string        `koanf:"module"` // absolute path of the vendor's library
	Token      string        `koanf:"token"`  // label
	PINFile    string        `koanf:"pin_file"`
	PINCommand []string      `koanf:"pin_command"` // prints the PIN; the program's path is absolute
	Sessions   int           `koanf:"sessions"`
	Timeout    time.Duration `koanf:"timeout"`   // of one signature or derivation, with all tries
	Agreement  Agreement     `koanf:"agreement"` // what the module does for the key agreement
	KDF        KDF           `koanf:"kdf"`       // required where Agreement is kdf
}

// Agreement is what a module does for the key agreement.
type Agreement string

// The levels of agreement.
const (
	AgreementSecret Agreement = "secret" // gives the shared secret
	AgreementKDF    Agreement = "kdf"    // derives the message's key inside
	AgreementNone   Agreement = "none"   // neither: MACs of reads cannot be checked
)

// KDF is a module's number of the one-step SHA-256 KDF of NIST SP 800-56A. Vendors have
// numbers of their own.
type KDF uint32

// UnmarshalText reads a number in decimal or, after 0x, in hexadecimal digits.
func (k *KDF) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 0, 32)
	if err != nil || n == 0 {
		return fmt.Errorf("%q: want a number in quotes, like \"0x10\"", text)
	}
	*k = KDF(n)
	return nil
}

// MarshalText writes the number as vendors print it.
func (k KDF) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%#x", uint32(k)), nil }

// Bounds of the signer's configuration.
const (
	maxSignerIdentities = 32
	maxSessions         = 64   // vendors advise about 30 threads a module
	maxPINCommand       = 32   // arguments
	maxTokenLabel       = 32   // bytes, by PKCS#11
	maxPath             = 4096 // bytes
)

// DefaultSigner returns the signer's configuration before any file was read.
func DefaultSigner() Signer {
	return Signer{
		Environment: Simulator, Listen: "signer.sock", Folder: "signer", Plan: "plan", DCC: Default().DCC.EUI,
		Roster: Roster{ApprovalsAtMost: 72 * time.Hour}, Gates: SignerGates{Poll: time.Minute, MaxAge: time.Hour}, Limits: SignerLimits{Commands: 20}, PKCS11: PKCS11{Sessions: 8, Timeout: 10 * time.Second, Agreement: AgreementSecret},
	}
}

// ParseSigner reads a signer's configuration over the defaults, as [Parse] does.
func ParseSigner(b []byte) (*Signer, error) {
	c := DefaultSigner()
	if err := strictyaml.Unmarshal(b, &c); err != nil {
		return nil, err
	}
	return &c, nil
}

// LoadSigner reads a signer's configuration file. Relative paths are taken from the
// file's own folder.
func LoadSigner(path string) (*Signer, error) {
	c := DefaultSigner()
	if err := load(path, "signer's configuration: ", &c); err != nil {
		return nil, err
	}
	c.anchor(filepath.Dir(path))
	return &c, nil
}

func (c *Signer) anchor(folder string) {
	paths := []*string{
		&c.PKCS11.PINFile, &c.Folder, &c.Plan, &c.Roster.File, &c.Roster.SignedBy, &c.Gates.FreezeFile, &c.TLS.Certificate, &c.TLS.Key, &c.TLS.Authorities,
	}
	if c.Socket() {
		paths = append(paths, &c.Listen)
	}
	for i, list := range c.Gates.RevocationLists {
		if !isURL(list) {
			paths = append(paths, &c.Gates.RevocationLists[i])
		}
	}
	for i := range c.Authorities {
		paths = append(paths, &c.Authorities[i])
	}
	for i := range c.Identities {
		paths = append(paths, &c.Identities[i].PKIDir)
	}
	anchorPaths(folder, paths)
}

// Validate checks every rule and joins all faults, each a [*strictyaml.Fault].
func (c *Signer) Validate() error {
	var f faults
	f.check(len(c.Identities) > 0, "identities", "required: name the failed supplier's EUI and its PKI folder")
	f.check(len(c.Identities) <= maxSignerIdentities, "identities", "%d: want at most %d", len(c.Identities), maxSignerIdentities)
	inToken := false
	for i, id := range c.Identities {
		path := fmt.Sprintf("identities[%d]", i)
		f.check(id.EUI != 0, path+".eui", "required")
		f.path(path+".pki_dir", id.PKIDir)
		f.required(path+".pki_dir", id.PKIDir)
		first := slices.IndexFunc(c.Identities, func(other SignerIdentity) bool { return other.EUI == id.EUI })
		f.check(id.EUI == 0 || first == i, path+".eui", "%v is identities[%d] already", id.EUI, first)
		inToken = f.key(path+".xml_signing", id.XMLSigning, c.PKCS11) || inToken
		inToken = f.key(path+".digital_signing", id.DigitalSigning, c.PKCS11) || inToken
		inToken = f.key(path+".key_agreement", id.KeyAgreement, c.PKCS11) || inToken
	}
	f.pkcs11(c.PKCS11, inToken)
	return errors.Join(f...)
}

// ValidateService checks what the running signer needs beside its keys.
func (c *Signer) ValidateService() error {
	var f faults
	f.oneOf("environment", string(c.Environment), string(Simulator), string(Live))
	f.required("listen", c.Listen)
	f.path("listen", c.Listen)
	if !c.Socket() {
		f.listen("listen", c.Listen)
		f.tls("tls", c.TLS.Certificate, c.TLS.Key, c.TLS.Authorities)
		f.check(len(c.TLS.AllowedNames) > 0, "tls.allowed_names", "required: the engine's name")
	}
	for _, required := range []struct{ path, value string }{
		{"folder", c.Folder}, {"plan", c.Plan}, {"roster.file", c.Roster.File}, {"roster.signed_by", c.Roster.SignedBy},
	} {
		f.required(required.path, required.value)
		f.path(required.path, required.value)
	}
	f.files("authorities", c.Authorities)
	if c.Environment == Live {
		f.check(len(c.Gates.RevocationLists) > 0, "gates.revocation_lists", "required: name one file or URL or more")
		f.required("gates.freeze_file", c.Gates.FreezeFile)
	}
	f.positive("gates.poll", c.Gates.Poll)
	f.positive("gates.max_age", c.Gates.MaxAge)
	f.check(c.Limits.Commands >= 1 && c.Limits.Commands <= 255, "limits.commands", "%d: want 1 to 255", c.Limits.Commands)
	f.atLeast("limits.per_hour", c.Limits.PerHour, 0)
	return errors.Join(f...)
}

// key checks the URI of a key, and says whether there is one. Module and token in it must be
// those that are opened.
func (f *faults) key(path, text string, p PKCS11) bool {
	if text == "" {
		return false
	}
	u, err := keyuri.Parse(text)
	if err != nil {
		f.check(false, path, "%v", err)
		return true
	}
	f.check(u.Token == "" || u.Token == p.Token, path, "token %q is not pkcs11.token", u.Token)
	f.check(u.ModulePath == "" || u.ModulePath == p.Module, path, "module-path %q is not pkcs11.module", u.ModulePath)
	return true
}

func (f *faults) pkcs11(p PKCS11, used bool) {
	if used {
		f.required("pkcs11.module", p.Module)
		f.required("pkcs11.token", p.Token)
		f.check(p.PINFile != "" || len(p.PINCommand) > 0, "pkcs11.pin_file", "required, or pkcs11.pin_command")
	}
	f.check(p.Module == "" || filepath.IsAbs(p.Module), "pkcs11.module", "%q: want an absolute path", p.Module)
	f.path("pkcs11.module", p.Module)
	f.check(len(p.Token) <= maxTokenLabel, "pkcs11.token", "longer than the %d bytes of a label", maxTokenLabel)
	f.path("pkcs11.pin_file", p.PINFile)
	f.check(p.PINFile == "" || len(p.PINCommand) == 0, "pkcs11.pin_command", "there is pkcs11.pin_file already")
	f.check(len(p.PINCommand) <= maxPINCommand, "pkcs11.pin_command", "%d: want at most %d arguments", len(p.PINCommand), maxPINCommand)
	for i, argument := range p.PINCommand {
		at := fmt.Sprintf("pkcs11.pin_command[%d]", i)
		f.path(at, argument)
		f.check(i > 0 || filepath.IsAbs(argument), at, "%q: want an absolute path", argument)
	}
	f.check(p.Sessions >= 1 && p.Sessions <= maxSessions, "pkcs11.sessions", "%d: want 1 to %d", p.Sessions, maxSessions)
	f.check(p.Timeout > 0 && p.Timeout <= time.Minute, "pkcs11.timeout", "%v: want over 0s to %v", p.Timeout, time.Minute)
	f.oneOf("pkcs11.agreement", string(p.Agreement), string(AgreementSecret), string(AgreementKDF), string(AgreementNone))
	f.check(p.Agreement != AgreementKDF || p.KDF != 0, "pkcs11.kdf", "required for agreement kdf: the module's number of SHA-256 by NIST SP 800-56A")
}

// path bounds the length of a path or an argument.
func (f *faults) path(path, value string) {
	f.check(len(value) <= maxPath, path, "longer than %d bytes", maxPath)
}
