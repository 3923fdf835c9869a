package smki_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"safemode/servicerequests/outside"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/smki/smkitest"
)

// revoker is the issuing authority of a test folder, and the folder.
func revoker(t testing.TB, seed string) (*smki.Authority, *smki.Folder) {
	t.Helper()
	f := smkitest.Folder(t, smki.TestFolder{Seed: []byte(seed)})
	return &smki.Authority{Certificate: f.Issuing.Certificate, Key: f.Issuing.Key}, f
}

func TestRevocationList(t *testing.T) {
	authority, f := revoker(t, "crl")
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	text, err := authority.Revoke(7, now, now.Add(24*time.Hour), f.Supplier.DigitalSigning.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	for name, b := range map[string][]byte{"PEM": text, "DER": block.Bytes} {
		list, err := smki.ParseRevocationList(b, f.Authorities())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := list.Check(f.Supplier.DigitalSigning.Certificate); !errors.Is(err, smki.ErrRevoked) || !strings.Contains(err.Error(), "since 2026-11-25T12:00:00Z") {
			t.Errorf("%s: the listed one: %v", name, err)
		}
		if err := list.Check(f.Supplier.XMLSigning.Certificate); err != nil {
			t.Errorf("%s: another: %v", name, err)
		}
		if !list.ThisUpdate.Equal(now) || !list.NextUpdate.Equal(now.Add(24*time.Hour)) || list.Issuer != f.Issuing.Certificate.Subject {
			t.Errorf("%s: %+v", name, list)
		}
	}

	stranger, strangers := revoker(t, "another")
	if _, err := stranger.Revoke(1, now, now.Add(time.Hour), f.Supplier.XMLSigning.Certificate); err != nil {
		t.Fatal(err) // the same issuer's name: only its signature tells them apart
	}
	forged, err := stranger.Revoke(8, now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	altered := bytes.Clone(block.Bytes)
	altered[len(altered)/2] ^= 1
	for name, b := range map[string][]byte{
		"nothing": nil, "of a stranger": forged, "altered": altered, "cut": block.Bytes[:40],
		"a certificate": f.Issuing.Certificate.PEM(), "two lists": append(bytes.Clone(text), text...),
	} {
		if _, err := smki.ParseRevocationList(b, f.Authorities()); !errors.Is(err, smki.ErrRevocationList) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := authority.Revoke(9, now, now.Add(time.Hour), strangers.Root.Certificate); err == nil {
		t.Error("revoked what it did not issue")
	}
}

// openssl reads our list, verifies its signature with the authority's key, and finds
// the serial on it.
func TestRevocationListByOpenSSL(t *testing.T) {
	openssl := outside.Program(t, "openssl", "openssl")
	authority, f := revoker(t, "crl")
	revoked := f.Supplier.DigitalSigning.Certificate
	text, err := authority.Revoke(7, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), revoked)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	crl, ca := filepath.Join(dir, "crl.pem"), filepath.Join(dir, "ca.pem")
	if err := errors.Join(os.WriteFile(crl, text, 0o600), os.WriteFile(ca, authority.Certificate.PEM(), 0o600)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(openssl, "crl", "-in", crl, "-CAfile", ca, "-noout", "-text").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "verify OK") || !strings.Contains(strings.ToLower(string(out)), revoked.Serial.Text(16)) {
		t.Errorf("%v: %s", err, out)
	}
}

func FuzzParseRevocationList(f *testing.F) {
	authority, folder := revoker(f, "crl")
	text, err := authority.Revoke(7, time.Unix(1_700_000_000, 0), time.Unix(1_800_000_000, 0), folder.Supplier.DigitalSigning.Certificate)
	if err != nil {
		f.Fatal(err)
	}
	block, _ := pem.Decode(text)
	f.Add(text)
	f.Add(block.Bytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := smki.ParseRevocationList(b, folder.Authorities())
		if err != nil {
			if !errors.Is(err, smki.ErrRevocationList) {
				t.Errorf("foreign error %v", err)
			}
			return
		}
		if list.Check(folder.Supplier.DigitalSigning.Certificate) == nil {
			t.Error("a list that nobody signed")
		}
	})
}
