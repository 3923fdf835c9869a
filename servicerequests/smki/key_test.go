package smki_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"safemode/servicerequests/heaptest"
	"safemode/servicerequests/smki"
)

// A key file as tools and people leave it is taken, or named for what it is with what
// mends it; no error quotes the file.
func TestKeyFilesOfOtherTools(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err1 := x509.MarshalECPrivateKey(key)
	pkcs8, err2 := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	params := "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
	good := block("EC PRIVATE KEY", sec1)
	for name, c := range map[string]struct{ text, want string }{
		"openssl ecparam":      {params + good, ""},
		"CRLF":                 {strings.ReplaceAll(params+good, "\n", "\r\n"), ""},
		"PKCS#8 with a title":  {"Bag Attributes\n" + block("PRIVATE KEY", pkcs8), ""},
		"parameters alone":     {params, "no PEM block"},
		"two keys":             {good + good, "more than one PEM block"},
		"parameters last":      {good + params, "more than one PEM block"},
		"DER":                  {string(pkcs8), "DER, not PEM: openssl pkey -inform DER"},
		"DER of SEC 1":         {string(sec1), "DER, not PEM: openssl pkey -inform DER"},
		"encrypted PKCS#8":     {block("ENCRYPTED PRIVATE KEY", pkcs8), "the key is encrypted: openssl pkey"},
		"encrypted SEC 1":      {"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n", "the key is encrypted: openssl pkey"},
		"of OpenSSH":           {block("OPENSSH PRIVATE KEY", sec1), "ssh-keygen -p -m PKCS8"},
		"a byte order mark":    {"\ufeff" + strings.TrimPrefix(good, ""), "a byte order mark"},
		"UTF-16":               {"\xff\xfe-\x00-\x00", "UTF-16 text"},
		"lines that end in CR": {strings.ReplaceAll(good, "\n", "\r"), "CR only"},
		"a certificate":        {block("CERTIFICATE", sec1), `PEM block is "CERTIFICATE", want PRIVATE KEY or EC PRIVATE KEY`},
		"nothing":              {"", "no PEM block"},
	} {
		got, err := smki.ParsePrivateKeyPEM([]byte(c.text))
		switch {
		case c.want == "" && (err != nil || !got.Equal(key)):
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !errors.Is(err, smki.ErrKey) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

// FuzzParsePrivateKeyPEM: what is taken is a key on P-256 that comes back, and no error quotes
// the file.
func FuzzParsePrivateKeyPEM(f *testing.F) {
	key, err := smki.DeriveTestKey([]byte("fuzz"), "key")
	if err != nil {
		f.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	const parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
	f.Add(append([]byte(parameters), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})...))
	f.Add(append([]byte("\ufeff"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: pkcs8}))
	f.Add(sec1)
	f.Add(pkcs8)
	f.Fuzz(func(t *testing.T, text []byte) {
		var key *ecdsa.PrivateKey
		var err error
		heaptest.Limit(t, len(text), func() { key, err = smki.ParsePrivateKeyPEM(text) })
		if err != nil {
			if !errors.Is(err, smki.ErrKey) || key != nil {
				t.Fatalf("foreign error %v", err)
			}
			for line := range strings.Lines(string(text)) {
				if line = strings.TrimSpace(line); len(line) >= 32 && !strings.HasPrefix(line, "-----") && strings.Contains(err.Error(), line) {
					t.Fatalf("the error quotes the file: %v", err)
				}
			}
			return
		}
		if key.Curve != elliptic.P256() {
			t.Fatalf("a key on %s", key.Params().Name)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		again, err := smki.ParsePrivateKeyPEM(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		if err != nil || !again.Equal(key) {
			t.Fatalf("does not come back: %v", err)
		}
	})
}
