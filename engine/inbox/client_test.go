package inbox

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/url"
	"testing"
)

// A certificate of the right authority lets in only whom it is for, and for what.
func TestWhoseCertificateLetsIn(t *testing.T) {
	dcc := newIssuer(t, "dcc")
	clientAuth := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	named := func(common ...string) pkix.Name {
		n := pkix.Name{}
		for _, c := range common {
			n.ExtraNames = append(n.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: c})
		}
		return n
	}
	for name, test := range map[string]struct {
		change func(*x509.Certificate)
		let    bool
	}{
		"as it should be":             {func(*x509.Certificate) {}, true},
		"in capitals":                 {func(c *x509.Certificate) { c.Subject = named("DCC.TEST") }, true},
		"by its DNS name":             {func(c *x509.Certificate) { c.Subject, c.DNSNames = named("other"), []string{"dcc.test"} }, true},
		"long s":                      {func(c *x509.Certificate) { c.Subject = named("dcc.teſt") }, false},
		"Kelvin sign":                 {func(c *x509.Certificate) { c.Subject = named("\u212a.test") }, false},
		"common name beside a SAN":    {func(c *x509.Certificate) { c.DNSNames = []string{"other.test"} }, false},
		"common name beside a URI":    {func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "https", Host: "other.test"}} }, false},
		"two common names":            {func(c *x509.Certificate) { c.Subject = named("dcc.test", "other.test") }, false},
		"a wildcard":                  {func(c *x509.Certificate) { c.DNSNames = []string{"*.test"} }, false},
		"for key agreement":           {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }, false},
		"key usage not said":          {func(c *x509.Certificate) { c.KeyUsage = 0 }, false},
		"for any extended usage":      {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }, false},
		"extended usage not said":     {func(c *x509.Certificate) { c.ExtKeyUsage = nil }, false},
		"an authority's certificate":  {func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, false},
		"a name with a NUL behind it": {func(c *x509.Certificate) { c.Subject = named("dcc.test\x00.other") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := &x509.Certificate{Subject: named("dcc.test"), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: clientAuth}
			test.change(c)
			der, _ := dcc.make(c)
			made, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkClient(made, []string{"dcc.test", "k.test"}); (err == nil) != test.let {
				t.Errorf("let in: %v, want %v: %v", err == nil, test.let, err)
			}
		})
	}
}

// A client is let in while one of the chains that verify it stands.
func TestRevokedClient(t *testing.T) {
	own, dcc := newIssuer(t, "own"), newIssuer(t, "dcc")
	good, revoked := dcc.issue("DCC Delivery", x509.ExtKeyUsageClientAuth), dcc.issue("DCC Delivery", x509.ExtKeyUsageClientAuth)
	serial := func(c tls.Certificate) *big.Int {
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber
	}
	b := newBench(t, func(o *Options) { o.Authenticated = OverMutualTLS })
	address := b.serve(t, Address{
		TLS:          &tls.Config{Certificates: []tls.Certificate{own.issue("inbox", x509.ExtKeyUsageServerAuth)}, ClientCAs: dcc.pool()},
		AllowedNames: []string{"DCC Delivery"},
		Revoked: func(chain []*x509.Certificate) error {
			if len(chain) != 2 {
				t.Errorf("a chain of %d", len(chain))
			}
			if chain[0].SerialNumber.Cmp(serial(revoked)) == 0 {
				return errors.New("revoked")
			}
			return nil
		},
	})
	for name, test := range map[string]struct {
		certificate tls.Certificate
		let         bool
	}{"good": {good, true}, "revoked": {revoked, false}} {
		conn := tls.Client(dial(t, address), &tls.Config{RootCAs: own.pool(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{test.certificate}})
		if deliver(conn) != test.let {
			t.Errorf("%s: let in: %v", name, !test.let)
		}
	}
}
