package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"safemode/servicerequests"
	"safemode/servicerequests/outside"
)

// vectorMessage is a GBCS message of the test data with what its publisher says of it.
type vectorMessage struct {
	Name, UseCase, SRV, Kind string
	Hex                      string
	Parsed                   struct {
		OriginatorCounter                      uint64
		BusinessOriginatorID, BusinessTargetID servicerequests.EUI
		MessageCode, Payload                   string
		Signature, MAC                         *string
		GroupingHeaderOffset                   int // bytes, as the next two
		PayloadOffset, PayloadLength           int
	}
	Signature struct{ KeyEUI string } // empty: unsigned
}

func (m *vectorMessage) bytes(t *testing.T) []byte {
	t.Helper()
	b, err := hex.DecodeString(m.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectorMessages returns all messages of the test data.
func vectorMessages(t *testing.T) []vectorMessage {
	t.Helper()
	var all []vectorMessage
	for _, name := range []string{"gbcs-vectors.json", "gbcs-vectors-reads.json", "gbcs-alert-templates.json"} {
		var file struct{ Vectors []vectorMessage }
		outside.Decode(t, name, &file)
		all = append(all, file.Vectors...)
	}
	if len(all) < 74 {
		t.Fatalf("%d messages, want 74", len(all))
	}
	return all
}

// keyFiles is a folder with the published certificates and keys of the test
// data, named by EUI and ds or ka.
type keyFiles struct{ dir string }

func (p keyFiles) cert(name string) string { return filepath.Join(p.dir, name+".pem") }
func (p keyFiles) key(name string) string  { return filepath.Join(p.dir, name+".key") }

// signingCert is the file of an organisation's or device's certificate for digital
// signatures.
func (p keyFiles) signingCert(eui servicerequests.EUI) string {
	return p.cert(fmt.Sprintf("%016x-ds", uint64(eui)))
}

const (
	supplierDS      = "90b3d51f30010000-ds"
	supplierKA      = "90b3d51f30010000-ka"
	otherSupplierDS = "90b3d51f30030000-ds"
)

func publishedKeys(t *testing.T) keyFiles {
	t.Helper()
	var file struct {
		Keys []struct {
			EUI, Use    string
			Certificate []byte `json:"certificateDerBase64"`
			Scalar      string `json:"testPrivateScalarHex"`
		}
	}
	outside.Decode(t, "gbcs-keys.json", &file)
	p := keyFiles{t.TempDir()}
	for _, k := range file.Keys {
		name := k.EUI + map[string]string{"digitalSignature": "-ds", "keyAgreement": "-ka"}[k.Use]
		putFile(t, p.cert(name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate}))
		if k.Scalar == "" {
			continue
		}
		scalar, err := hex.DecodeString(k.Scalar)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
		if err != nil {
			t.Fatal(err)
		}
		putKey(t, p.key(name), key)
	}
	return p
}

func putFile(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func putKey(t *testing.T, path string, key *ecdsa.PrivateKey) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// commandResult is what a command line did.
type commandResult struct {
	code     int
	out, err string
}

// safemode runs a command line with text as standard input.
func safemode(t *testing.T, text string, args ...string) commandResult {
	t.Helper()
	var out, errors bytes.Buffer
	code := run(t.Context(), args, stdio{strings.NewReader(text), &out, &errors})
	return commandResult{code, out.String(), errors.String()}
}

// must is safemode for a command line that has to succeed; it returns the output.
func must(t *testing.T, text string, args ...string) string {
	t.Helper()
	r := safemode(t, text, args...)
	if r.code != exitDone || r.err != "" {
		t.Fatalf("safemode %s: exit %d: %s\n%s", strings.Join(args, " "), r.code, r.err, r.out)
	}
	return r.out
}

// refuses runs a command line that has to end with code, say why in one line
// that holds reason, and print nothing.
func refuses(t *testing.T, code int, reason, text string, args ...string) {
	t.Helper()
	r := safemode(t, text, args...)
	switch {
	case r.code != code:
		t.Errorf("safemode %.300s: exit %d, want %d: %s", strings.Join(args, " "), r.code, code, r.err)
	case r.out != "":
		t.Errorf("safemode %.300s: printed %q", strings.Join(args, " "), r.out)
	case strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, reason):
		t.Errorf("safemode %.300s: said %q, want one line with %q", strings.Join(args, " "), r.err, reason)
	}
}
