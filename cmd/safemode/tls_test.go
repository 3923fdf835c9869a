package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// tlsAuthority issues the certificates of a test's TLS.
type tlsAuthority struct {
	address     net.IP // that its certificates are for
	t           *testing.T
	file        string // PEM file of its certificate
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newTLSAuthority(t *testing.T, name string) *tlsAuthority {
	t.Helper()
	a := &tlsAuthority{t: t, address: net.IPv4(127, 0, 0, 1), file: filepath.Join(t.TempDir(), name+".pem"), key: newTLSKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	putPEM(t, a.file, "CERTIFICATE", der)
	return a
}

// issue makes a certificate for this name and its address, and returns its files.
func (a *tlsAuthority) issue(name string) (certificate, key string) {
	a.t.Helper()
	own := newTLSKey(a.t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name, "localhost"}, IPAddresses: []net.IP{a.address},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.certificate, &own.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		a.t.Fatal(err)
	}
	base := filepath.Join(a.t.TempDir(), name)
	putPEM(a.t, base+".pem", "CERTIFICATE", der)
	putPEM(a.t, base+".key", "PRIVATE KEY", keyDER)
	return base + ".pem", base + ".key"
}

func newTLSKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func putPEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
