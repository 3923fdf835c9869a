package direction_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"safemode/engine/direction"
	"safemode/servicerequests/smki"
)

// A list of a scope that is not known revokes whom it names, is no evidence for the
// others, and is warned of once. A complete list beside it is.
func TestPartialRevocationList(t *testing.T) {
	o := newOffice(t)
	supplier, issuing := o.folder.Supplier, o.folder.Issuing
	dir := t.TempDir()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	issuer, err := x509.ParseCertificate(issuing.Certificate.Raw)
	if err != nil {
		t.Fatal(err)
	}
	issuer.KeyUsage |= x509.KeyUsageCRLSign
	part := filepath.Join(dir, "part.crl")
	write := func(entries ...x509.RevocationListEntry) {
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(time.Hour), RevokedCertificateEntries: entries,
			ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 3, 0x81, 1, 0xFF}}},
		}, issuer, issuing.Key)
		if err = errors.Join(err, os.WriteFile(part, der, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := (&smki.Authority{Certificate: issuing.Certificate, Key: issuing.Key}).Revoke(2, now, now.Add(time.Hour))
	complete := filepath.Join(dir, "complete.pem")
	if err = errors.Join(err, os.WriteFile(complete, whole, 0o600)); err != nil {
		t.Fatal(err)
	}
	var warned []string
	check := func(lists ...string) error {
		r := direction.NewRevocations(direction.RevocationOptions{
			Lists: lists, Certificates: []*smki.Certificate{supplier.XMLSigning.Certificate}, Authorities: o.folder.Authorities(),
			Now: func() time.Time { return now }, Warn: func(text string) { warned = append(warned, text) },
		})
		return errors.Join(r.Read(t.Context()), r.Read(t.Context()), r.Check(now))
	}
	write()
	if err := check(part); err == nil || !strings.Contains(err.Error(), "of a scope that is not known") {
		t.Errorf("the part alone: %v", err)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], part) {
		t.Errorf("warned %q", warned)
	}
	if err := check(part, complete); err != nil {
		t.Errorf("beside a complete list: %v", err)
	}
	write(x509.RevocationListEntry{SerialNumber: supplier.XMLSigning.Certificate.Serial, RevocationTime: now})
	if err := check(part, complete); !errors.Is(err, smki.ErrRevoked) {
		t.Errorf("named by the part: %v", err)
	}
}
