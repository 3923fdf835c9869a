package inbox

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// oidCommonName is id-at-commonName (RFC 5280 appendix A.1).
var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// admits says whether a client with a verified certificate is let in.
func (a Address) admits(s tls.ConnectionState) error {
	if len(s.VerifiedChains) == 0 {
		return errors.New("the client's certificate was not verified")
	}
	if err := checkClient(s.PeerCertificates[0], a.AllowedNames); err != nil {
		return err
	}
	if a.Revoked == nil {
		return nil
	}
	var refused error
	for _, chain := range s.VerifiedChains { // one that stands is enough
		if refused = a.Revoked(chain); refused == nil {
			return nil
		}
	}
	return refused
}

// checkClient says whether a certificate is a TLS client's under one of these names. It
// must be an end entity's, be for digital signatures (RFC 5280 section 4.2.1.3) and for
// the authentication of clients (section 4.2.1.12), and say so itself. Its names are those
// that its subjectAltName gives to hosts. If it gives none, the name is the one common name of
// its subject (RFC 6125 section 6.4.4). Names are compared byte by byte, except for the case of
// ASCII letters.
func checkClient(c *x509.Certificate, allowed []string) error {
	switch {
	case c.IsCA:
		return errors.New("the client's certificate is an authority's")
	case c.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errors.New("the client's certificate is not for digital signatures (keyUsage)")
	case !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return errors.New("the client's certificate is not for the authentication of clients (extKeyUsage)")
	}
	own := namesOf(c)
	for _, name := range allowed {
		if slices.ContainsFunc(own, func(n string) bool { return n != "" && lower(n) == lower(name) }) {
			return nil
		}
	}
	return fmt.Errorf("the client's certificate is for %q, which is not allowed", own)
}

// namesOf is whom a certificate is for.
func namesOf(c *x509.Certificate) (names []string) {
	if len(c.DNSNames)+len(c.URIs)+len(c.EmailAddresses) > 0 {
		return c.DNSNames
	}
	for _, n := range c.Subject.Names {
		if text, ok := n.Value.(string); ok && n.Type.Equal(oidCommonName) {
			names = append(names, text)
		}
	}
	if len(names) > 1 {
		return nil // which of them it is for nobody can tell
	}
	return names
}

// lower makes ASCII letters small and changes nothing else: some letters of other alphabets have
// ASCII letters as their small form.
func lower(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}
