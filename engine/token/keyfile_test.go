package token

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/youmark/pkcs8"

	"safemode/servicerequests/smki"
)

func onCurve(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encode(t *testing.T, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestReadKey(t *testing.T) {
	key, p384 := onCurve(t, elliptic.P256()), onCurve(t, elliptic.P384())
	password := []byte("correct horse")
	sec1 := func(k *ecdsa.PrivateKey) []byte {
		der, err := x509.MarshalECPrivateKey(k)
		return encode(t, "EC PRIVATE KEY", der, err)
	}
	plain := func(k any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		return encode(t, "PRIVATE KEY", der, err)
	}
	encrypted := func(k *ecdsa.PrivateKey, o *pkcs8.Opts) []byte {
		der, err := pkcs8.MarshalPrivateKey(k, password, o)
		return encode(t, "ENCRYPTED PRIVATE KEY", der, err)
	}
	scrypt := &pkcs8.Opts{Cipher: pkcs8.AES256CBC, KDFOpts: pkcs8.ScryptOpts{SaltSize: 8, CostParameter: 1 << 10, BlockSize: 8, ParallelizationParameter: 1}}
	sha1 := &pkcs8.Opts{Cipher: pkcs8.AES128CBC, KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 8, IterationCount: 2048, HMACHash: crypto.SHA1}}
	for name, test := range map[string]struct {
		text, password []byte
		want           error
	}{
		"SEC 1":               {sec1(key), nil, nil},
		"PKCS#8":              {plain(key), nil, nil},
		"encrypted PKCS#8":    {encrypted(key, nil), password, nil},
		"with scrypt":         {encrypted(key, scrypt), password, nil},
		"with SHA-1":          {encrypted(key, sha1), password, nil},
		"wrong password":      {encrypted(key, nil), []byte("wrong"), errPassword},
		"no password":         {encrypted(key, nil), nil, errPassword},
		"P-384":               {sec1(p384), nil, errKeyFile},
		"encrypted P-384":     {encrypted(p384, nil), password, errKeyFile},
		"two":                 {append(sec1(key), sec1(key)...), nil, errKeyFile},
		"two encrypted":       {append(encrypted(key, nil), encrypted(key, nil)...), password, errKeyFile},
		"empty":               {nil, nil, errKeyFile},
		"text":                {[]byte("no key"), nil, errKeyFile},
		"a public key":        {encode(t, "PUBLIC KEY", []byte{1}, nil), nil, errKeyFile},
		"OpenSSL's old way":   {[]byte("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n"), password, errKeyFile},
		"broken encrypted":    {encode(t, "ENCRYPTED PRIVATE KEY", []byte{0x30, 0}, nil), password, errKeyFile},
		"DER without PKCS#12": {[]byte{0x30, 3, 2, 1, 0}, password, errKeyFile},
	} {
		got, err := ReadKey(test.text, test.password)
		if test.want == nil && (err != nil || !got.Equal(key)) || !errors.Is(err, test.want) || test.want != nil && !errors.Is(err, errKeyFile) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (strings.Contains(err.Error(), "horse") || got != nil) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// OpenSSL's PKCS#12, old and new, with a certificate of SMKI's form, which Go's own reader
// refuses.
func TestReadPKCS12(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl: install it")
	}
	files, err := smki.TestFolder{}.Files()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	key, certificate := filepath.Join(folder, "k"), filepath.Join(folder, "c")
	if err := errors.Join(os.WriteFile(key, files["supplier/xml-signing.key"], 0o600), os.WriteFile(certificate, files["supplier/xml-signing.pem"], 0o600)); err != nil {
		t.Fatal(err)
	}
	want, err := smki.ParsePrivateKeyPEM(files["supplier/xml-signing.key"])
	if err != nil {
		t.Fatal(err)
	}
	for name, more := range map[string][]string{
		"AES-256": nil, "3DES": {"-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"}, "named": {"-name", "xml-signing"},
	} {
		out := filepath.Join(folder, "p12")
		command := exec.Command(openssl, append([]string{"pkcs12", "-export", "-inkey", key, "-in", certificate, "-out", out, "-passout", "pass:secret"}, more...)...)
		if text, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, text)
		}
		der, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ReadKey(der, []byte("secret")); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v", name, err)
		}
		for _, wrong := range []string{"", "Secret"} {
			if _, err := ReadKey(der, []byte(wrong)); !errors.Is(err, errPassword) {
				t.Errorf("%s, password %q: %v", name, wrong, err)
			}
		}
		if _, err := ReadKey(der[:len(der)-1], []byte("secret")); !errors.Is(err, errKeyFile) {
			t.Errorf("%s, cut: %v", name, err)
		}
	}
}

func FuzzReadKey(f *testing.F) {
	files, err := smki.TestFolder{Seed: []byte("fuzz")}.Files()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(files["supplier/xml-signing.key"], []byte(nil))
	f.Add(bytes.Replace(files["supplier/xml-signing.key"], []byte("BEGIN PRIVATE"), []byte("BEGIN ENCRYPTED PRIVATE"), 1), []byte("x"))
	f.Add([]byte{0x30, 0x03, 0x02, 0x01, 0x03}, []byte("x"))
	f.Fuzz(func(t *testing.T, text, password []byte) {
		key, err := ReadKey(text, password)
		if err != nil && !errors.Is(err, errKeyFile) || err == nil && key.Curve != elliptic.P256() {
			t.Errorf("%v, %v", key, err)
		}
	})
}

func TestPIN(t *testing.T) {
	folder := t.TempDir()
	put := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	echo := func(script string) func(context.Context) (string, error) {
		return PINCommand([]string{"/bin/sh", "-c", script})
	}
	for name, test := range map[string]struct {
		source func(context.Context) (string, error)
		want   string // empty: refused
	}{
		"file":             {PINFile(put("a", "24 68\n", 0o600)), "24 68"},
		"no line end":      {PINFile(put("b", "2468", 0o400)), "2468"},
		"carriage return":  {PINFile(put("c", "2468\r\n", 0o600)), "2468"},
		"open to others":   {PINFile(put("d", "2468", 0o640)), ""},
		"empty":            {PINFile(put("e", "\n", 0o600)), ""},
		"two lines":        {PINFile(put("f", "2468\n2468\n", 0o600)), ""},
		"too long":         {PINFile(put("g", strings.Repeat("2468", 64), 0o600)), ""},
		"missing":          {PINFile(filepath.Join(folder, "none")), ""},
		"command":          {echo("echo 2468"), "2468"},
		"command fails":    {echo("echo 2468; exit 1"), ""},
		"command is long":  {echo("head -c 100000 /dev/zero | tr '\\0' 2"), ""},
		"command is quiet": {echo("true"), ""},
		"only an error":    {echo("echo 2468 >&2"), ""},
		"no command":       {PINCommand(nil), ""},
	} {
		got, err := test.source(t.Context())
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "2468") {
			t.Errorf("%s: the error quotes the PIN: %v", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := echo("sleep 30")(ctx); err == nil || time.Since(start) > 10*time.Second {
		t.Errorf("a command that hangs: %v after %v", err, time.Since(start))
	}
}
