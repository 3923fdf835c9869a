package smki_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
	"time"

	"safemode/servicerequests/smki"
)

// A list with a critical extension tells of whom it names, and of nobody else.
func TestPartialRevocationList(t *testing.T) {
	authority, f := revoker(t, "crl")
	issuer, err := x509.ParseCertificate(f.Issuing.Certificate.Raw)
	if err != nil {
		t.Fatal(err)
	}
	issuer.KeyUsage |= x509.KeyUsageCRLSign
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	point := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 3, 0x81, 1, 0xFF}} // onlyContainsUserCerts
	listed := f.Supplier.DigitalSigning.Certificate
	for name, test := range map[string]struct {
		list    x509.RevocationList
		partial bool
	}{
		"issuing distribution point": {x509.RevocationList{ExtraExtensions: []pkix.Extension{point}}, true},
		"an entry of another issuer": {x509.RevocationList{RevokedCertificateEntries: []x509.RevocationListEntry{
			{SerialNumber: big.NewInt(7), RevocationTime: now, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: []byte{0x30, 0}}}},
		}}, true},
		"not critical": {x509.RevocationList{ExtraExtensions: []pkix.Extension{{Id: point.Id, Value: point.Value}}}, false},
	} {
		test.list.Number, test.list.ThisUpdate, test.list.NextUpdate = big.NewInt(1), now, now.Add(time.Hour)
		test.list.RevokedCertificateEntries = append(test.list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: listed.Serial, RevocationTime: now})
		der, err := x509.CreateRevocationList(rand.Reader, &test.list, issuer, authority.Key)
		if err != nil {
			t.Fatal(name, err)
		}
		list, err := smki.ParseRevocationList(der, f.Authorities())
		if err != nil || (list.Partial != "") != test.partial {
			t.Errorf("%s: %+v, %v", name, list, err)
			continue
		}
		if err := list.Check(listed); !errors.Is(err, smki.ErrRevoked) {
			t.Errorf("%s: whom it names: %v", name, err)
		}
		if err := list.Check(f.Supplier.XMLSigning.Certificate); err != nil {
			t.Errorf("%s: another: %v", name, err)
		}
	}
}
