package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/config"
)

// The signer's example is good as it stands and uncommented, shows the defaults and
// names every key.
func TestSignerExample(t *testing.T) {
	text, err := os.ReadFile("signer.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadSigner("signer.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := config.DefaultSigner()
	want.Roster.File, want.Roster.SignedBy, want.Authorities = "pki/roster.yaml", "pki/staff/rita.pem", []string{"pki/ca/root.pem", "pki/ca/issuing.pem"}
	if err := c.ValidateService(); err != nil {
		t.Error(err)
	}
	want.Identities = []config.SignerIdentity{{EUI: c.Identities[0].EUI, PKIDir: "pki"}}
	if diff := cmp.Diff(&want, c); diff != "" {
		t.Error(diff)
	}
	code := string(regexp.MustCompile(`(?m)^( *)#([^ #\n])`).ReplaceAll(text, []byte("$1$2")))
	one := regexp.MustCompile(`(?m)^ *pin_command: .*\n`).ReplaceAllString(code, "")
	if c, err = config.ParseSigner([]byte(one)); err != nil {
		t.Fatalf("%v in:\n%s", err, one)
	}
	if c.PKCS11.KDF != 0x10 || c.PKCS11.Module == "" || c.Identities[0].KeyAgreement == "" {
		t.Errorf("not all comments were tried: %+v", c)
	}
	if _, err = config.ParseSigner([]byte(code)); err == nil || !strings.Contains(err.Error(), "pkcs11.pin_command: there is pkcs11.pin_file already") {
		t.Errorf("two sources of a PIN: %v", err)
	}
	for _, s := range []reflect.Type{reflect.TypeFor[config.Signer](), reflect.TypeFor[config.SignerIdentity](), reflect.TypeFor[config.PKCS11](), reflect.TypeFor[config.SignerLimits](), reflect.TypeFor[config.SignerGates]()} {
		for field := range s.Fields() {
			if key := field.Tag.Get("koanf"); !strings.Contains(string(text), key+":") {
				t.Errorf("%s.%s: key %q is not in the example", s.Name(), field.Name, key)
			}
		}
	}
}

func TestSignerFaults(t *testing.T) {
	const identity = "identities: [{eui: 90-B3-D5-1F-30-01-00-00, pki_dir: pki}]\n"
	for text, want := range map[string]string{
		"{}":                                                          "identities: required: name the failed supplier's EUI and its PKI folder",
		"identities: [{pki_dir: pki}]":                                "identities[0].eui: required",
		identity + "pin: 1234":                                        "pin: unknown key",
		identity + "pkcs11: {kdf: 0x10}":                              "pkcs11.kdf: 16: want text: put it in quotes",
		identity + "pkcs11: {kdf: '0'}":                               `pkcs11.kdf: "0": want a number in quotes, like "0x10"`,
		identity + "pkcs11: {kdf: '0x100000000'}":                     `pkcs11.kdf: "0x100000000": want a number in quotes, like "0x10"`,
		identity + "pkcs11: {agreement: kdf}":                         "pkcs11.kdf: required for agreement kdf: the module's number of SHA-256 by NIST SP 800-56A",
		identity + "pkcs11: {agreement: x963}":                        `pkcs11.agreement: "x963": want secret, kdf, none`,
		identity + "pkcs11: {sessions: 0}":                            "pkcs11.sessions: 0: want 1 to 64",
		identity + "pkcs11: {sessions: 65}":                           "pkcs11.sessions: 65: want 1 to 64",
		identity + "pkcs11: {timeout: 0s}":                            "pkcs11.timeout: 0s: want over 0s to 1m0s",
		identity + "pkcs11: {module: x.so}":                           `pkcs11.module: "x.so": want an absolute path`,
		identity + "pkcs11: {pin_command: [cat, pin]}":                `pkcs11.pin_command[0]: "cat": want an absolute path`,
		identity + "pkcs11: {token: " + strings.Repeat("t", 33) + "}": "pkcs11.token: longer than the 32 bytes of a label",
		"identities: [{eui: 90-B3-D5-1F-30-01-00-00, pki_dir: pki, key_agreement: 'pkcs11:object=k?pin-value=1'}]\n" +
			"pkcs11: {module: /x.so, token: t, pin_file: pin}": "identities[0].key_agreement: not a PKCS#11 URI of a private key: a PIN does not belong in it",
		"identities: [{eui: 90-B3-D5-1F-30-01-00-00, pki_dir: pki, xml_signing: 'pkcs11:object=k;token=u?module-path=/y.so'}]\n" +
			"pkcs11: {module: /x.so, token: t, pin_file: pin}": `identities[0].xml_signing: module-path "/y.so" is not pkcs11.module` + "\n" +
			`identities[0].xml_signing: token "u" is not pkcs11.token`,
		"identities: [{eui: 90-B3-D5-1F-30-01-00-00, pki_dir: pki, xml_signing: 'pkcs11:object=k'}]": "pkcs11.module: required\n" +
			"pkcs11.pin_file: required, or pkcs11.pin_command\npkcs11.token: required",
	} {
		_, err := config.ParseSigner([]byte(text))
		if err == nil {
			t.Errorf("%s: accepted", text)
			continue
		}
		if diff := cmp.Diff(want, err.Error()); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestSignerFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signer.yaml")
	text := "identities: [{eui: 90-B3-D5-1F-30-01-00-00, pki_dir: pki, key_agreement: 'pkcs11:id=%01'}]\n" +
		"pkcs11: {module: /x.so, token: t, pin_file: pin, agreement: kdf, kdf: '0x80000014', timeout: 3s}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadSigner(path)
	if err != nil {
		t.Fatal(err)
	}
	want := config.PKCS11{
		Module: "/x.so", Token: "t", PINFile: filepath.Join(filepath.Dir(path), "pin"), Sessions: 8,
		Timeout: 3 * time.Second, Agreement: config.AgreementKDF, KDF: 0x80000014,
	}
	if diff := cmp.Diff(want, c.PKCS11); diff != "" || c.Identities[0].PKIDir != filepath.Join(filepath.Dir(path), "pki") {
		t.Errorf("%s%+v", diff, c.Identities)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := config.LoadSigner(path); err == nil {
		t.Error("a file that everybody may write is believed")
	}
}
