//go:build cgo

package main

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/youmark/pkcs8"

	"safemode/cmd/cli"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/smki"
)

// ran is what a command line gave.
type ran struct {
	code     int
	out, err string
}

func exec(t *testing.T, args ...string) ran {
	t.Helper()
	var out, talk bytes.Buffer
	code := run(t.Context(), args, stdio{strings.NewReader(""), &out, &talk})
	return ran{code, out.String(), talk.String()}
}

func (r ran) want(t *testing.T, code int, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if r.code != code || !strings.Contains(r.out+r.err, part) {
			t.Errorf("exit %d, want %d with %q:\n%s%s", r.code, code, part, r.out, r.err)
		}
	}
}

// put writes a file into a folder, and returns its path.
func put(t *testing.T, folder, name string, text []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(folder, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// A newcomer's path: a token, three keys brought in, all checked.
func TestImportAndCheck(t *testing.T) {
	hsm := outside.SoftHSM(t)
	folder := t.TempDir()
	files, err := smki.TestFolder{}.Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		put(t, folder, "pki/"+name, text, 0o600)
	}
	put(t, folder, "pin", []byte(hsm.PIN+"\n"), 0o600)
	text := `identities:
  - eui: ` + smki.TestSupplier.String() + `
    pki_dir: pki
    xml_signing: "pkcs11:object=xml-signing"
    digital_signing: "pkcs11:object=digital-signing;id=%01"
    key_agreement: "pkcs11:object=key-agreement"
pkcs11: {module: ` + hsm.Module + `, token: ` + hsm.Label + `, pin_file: pin, sessions: 2}
`
	conf := put(t, folder, "signer.yaml", []byte(text), 0o600)

	exec(t, "check", "--config", conf).want(t, cli.Failed, "FAULT  identities[0].xml_signing: the token refuses: no private key in the token is", "faults: ")
	// Without keys nothing is timed.
	exec(t, "check", "--config", conf, "--json").want(t, cli.Failed, `{"fault":false,"text":"CKM_ECDSA","what":"mechanisms"}`, `{"fault":true,`)

	in := func(kind, from string, more ...string) ran {
		return exec(t, append([]string{"import", "--config", conf, "--key", kind, "--from", from}, more...)...)
	}
	key := func(name string) string { return filepath.Join(folder, "pki", "supplier", name+".key") }
	in("xml_signing", key("digital-signing")).want(t, cli.Usage, "is not the private key of the certificate of identities[0].xml_signing")
	in("tls", key("xml-signing")).want(t, cli.Usage, "--key tls: identity 90-B3-D5-1F-30-01-00-00 has no such key")
	in("xml_signing", put(t, folder, "open.key", files["supplier/xml-signing.key"], 0o644)).want(t, cli.Usage, "is open to others")
	in("xml_signing", key("xml-signing")).want(t, cli.Done, "identities[0].xml_signing is in the token", "pkcs11:type=private;object=xml-signing;id=%", "destroy it")
	in("xml_signing", key("xml-signing")).want(t, cli.Refused, "is there already, and is not overwritten")

	private, err := smki.ParsePrivateKeyPEM(files["supplier/digital-signing.key"])
	if err != nil {
		t.Fatal(err)
	}
	der, err := pkcs8.MarshalPrivateKey(private, []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	encrypted := put(t, folder, "encrypted.key", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), 0o600)
	password := put(t, folder, "password", []byte("secret\n"), 0o600)
	in("digital_signing", encrypted).want(t, cli.Usage, "the password is missing or wrong")
	in("digital_signing", encrypted, "--password-file", password, "--json", "--identity", smki.TestSupplier.String()).want(t, cli.Done, `"uri":"pkcs11:type=private;object=digital-signing;id=%01"`)
	in("key_agreement", key("key-agreement")).want(t, cli.Done, "proven")

	checked := exec(t, "check", "--config", conf)
	checked.want(t, cli.Done,
		"ok     token: safemode: SoftHSM", "ok     identities[0].xml_signing: sensitive, not extractable, signs, does not derive",
		"ok     identities[0].digital_signing: it is the certificate's", "ok     identities[0].key_agreement: sensitive, not extractable, does not sign, derives",
		"agreement: secret", "signatures: ", "derivations: ")
	if strings.Contains(checked.out+checked.err, hsm.PIN+"\n") {
		t.Errorf("it shows the PIN:\n%s", checked.out)
	}

	put(t, folder, "pin", []byte("0000\n"), 0o600)
	exec(t, "check", "--config", conf).want(t, cli.Failed, "CKR_PIN_INCORRECT")
	in("key_agreement", key("key-agreement")).want(t, cli.Refused, "CKR_PIN_INCORRECT")

	plain := put(t, folder, "plain.yaml", []byte("identities: [{eui: 90-B3-D5-1F-30-01-00-00, pki_dir: pki}]\n"), 0o600)
	exec(t, "check", "--config", plain).want(t, cli.Usage, "no key of the configuration is in a token")
}

// Every command has help, and examples that name what is there.
func TestHelp(t *testing.T) {
	for _, c := range append(newRoot(stdio{}).Commands(), newRoot(stdio{})) {
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		exec(t, args...).want(t, cli.Done, "Usage:\n", "Examples:\n  safemode-signer ")
		for line := range strings.Lines(c.Example) {
			words := strings.Fields(line)
			named, rest, err := newRoot(stdio{}).Find(words[1:])
			if words[0] != "safemode-signer" || err != nil || named == named.Root() {
				t.Errorf("example %q: %v", line, err)
				continue
			}
			checkFlags(t, named, rest)
		}
	}
	exec(t, "sign").want(t, cli.Usage, `unknown command "sign"`)
	exec(t, "check").want(t, cli.Usage, `required flag(s) "config" not set`)
	exec(t, "check", "--config", "/nowhere.yaml").want(t, cli.Usage, "no such file")
}

func checkFlags(t *testing.T, c *cobra.Command, words []string) {
	t.Helper()
	for _, word := range words {
		if flag, is := strings.CutPrefix(word, "--"); is && c.Flag(flag) == nil {
			t.Errorf("%s: no flag %s", c.CommandPath(), flag)
		}
	}
}
