package direction_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"safemode/engine/direction"
	"safemode/engine/durable"
	"safemode/servicerequests/smki"
)

// lists makes revocation lists of an authority of TLS peers.
type lists struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newLists(t *testing.T, name string) *lists {
	t.Helper()
	l := &lists{t: t}
	l.cert, l.key = l.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	})
	return l
}

func (l *lists) issue(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	l.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := l.cert, l.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		l.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		l.t.Fatal(err)
	}
	return made, key
}

func (l *lists) list(number int64, made, next time.Time, revoked ...*x509.Certificate) []byte {
	l.t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: made, NextUpdate: next}
	for _, c := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: made})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, l.cert, l.key)
	if err != nil {
		l.t.Fatal(err)
	}
	return der
}

// bare is a list that says neither its number nor when the next is due, unless number and
// next are given.
func (l *lists) bare(made time.Time, number, next any) []byte {
	l.t.Helper()
	algorithm := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}
	fields := []any{1, algorithm, asn1.RawValue{FullBytes: l.cert.RawSubject}, made.UTC()}
	if next != nil {
		fields = append(fields, next)
	}
	if number != nil {
		value, err := asn1.Marshal(number)
		if err != nil {
			l.t.Fatal(err)
		}
		extension, err := asn1.MarshalWithParams([]pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 20}, Value: value}}, "explicit,tag:0")
		if err != nil {
			l.t.Fatal(err)
		}
		fields = append(fields, asn1.RawValue{FullBytes: extension})
	}
	tbs := sequence(l.t, fields...)
	digest := sha256.Sum256(tbs)
	signature, err := ecdsa.SignASN1(rand.Reader, l.key, digest[:])
	if err != nil {
		l.t.Fatal(err)
	}
	return sequence(l.t, asn1.RawValue{FullBytes: tbs}, algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)})
}

func sequence(t *testing.T, fields ...any) []byte {
	t.Helper()
	var content []byte
	for _, f := range fields {
		b, err := asn1.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		content = append(content, b...)
	}
	b, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true, Bytes: content})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An older list does not open the gate again: neither while this process runs, nor after
// it began again, nor from another source.
func TestOlderRevocationListOpensNoGate(t *testing.T) {
	o, dir := newOffice(t), t.TempDir()
	supplier, now := o.folder.Supplier.XMLSigning.Certificate, time.Now().Truncate(time.Second)
	crl := func(number int64, made time.Time, revoked ...*smki.Certificate) []byte {
		b, err := o.authority.Revoke(number, made, made.Add(24*time.Hour), revoked...)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	file, other := filepath.Join(dir, "crl.pem"), filepath.Join(dir, "mirror.pem")
	begin := func(name string) *direction.Revocations {
		return direction.NewRevocations(direction.RevocationOptions{
			Lists: []string{name}, Certificates: []*smki.Certificate{supplier}, Authorities: o.folder.Authorities(),
			Memory: durable.Folder(dir),
		})
	}
	put := func(name string, b []byte) {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := crl(8, now.Add(-time.Hour))
	put(file, old)
	r := begin(file)
	if err := errors.Join(r.Read(t.Context()), r.Check(now)); err != nil {
		t.Fatal(err)
	}
	put(file, crl(9, now, supplier))
	if err := r.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"the list before":                        old,
		"a lower number, made later":             crl(7, now.Add(time.Minute)),
		"a higher number, made earlier":          crl(10, now.Add(-time.Minute)),
		"the same number and time, another list": crl(9, now),
	} {
		put(file, b)
		if err := r.Read(t.Context()); err == nil {
			t.Errorf("%s: taken", name)
		}
		if err := r.Check(now); !errors.Is(err, smki.ErrRevoked) {
			t.Errorf("%s, by the same process: %v", name, err)
		}
		put(other, b)
		for _, source := range []string{file, other} {
			again := begin(source)
			g := direction.NewGates(direction.GateOptions{Direction: &direction.Direction{}, Certificates: again, MaxAge: time.Hour, Poll: time.Hour})
			if err := g.Look(t.Context()); err == nil {
				t.Errorf("%s, by a new process, from %s: taken", name, source)
			}
			if g.CheckGate(direction.Certificates, now) == nil {
				t.Errorf("%s, by a new process, from %s: the gate is open", name, source)
			}
		}
	}
	put(file, crl(10, now.Add(time.Minute))) // the revocation was taken back
	again := begin(file)
	if err := errors.Join(again.Read(t.Context()), again.Check(now)); err != nil {
		t.Errorf("a newer list: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, direction.MemoryName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := begin(file).Read(t.Context()); err == nil {
		t.Error("what it remembered is damaged, and it believed a list")
	}
}

// A list has its time: it is of the past, and ends.
func TestRevocationListHasItsTime(t *testing.T) {
	peers, file := newLists(t, "peers"), filepath.Join(t.TempDir(), "crl.der")
	real := time.Now().Truncate(time.Second)
	for name, test := range map[string]struct {
		list  []byte
		age   time.Duration
		after time.Duration // the list is read at once, and checked later
		want  string        // empty: it is believed
	}{
		"in its time":                        {peers.list(1, real, real.Add(time.Hour)), 0, 59 * time.Minute, ""},
		"run out":                            {peers.list(1, real, real.Add(time.Hour)), 0, 61 * time.Minute, "ran out"},
		"of the future":                      {peers.list(1, real.Add(10*time.Minute), real.Add(time.Hour)), 0, 0, "of the future"},
		"of a clock that is a little ahead":  {peers.list(1, real.Add(time.Minute), real.Add(time.Hour)), 0, 0, ""},
		"without an end":                     {peers.bare(real, 1, nil), 0, 0, "gates.revocation_list_age"},
		"without an end, younger than said":  {peers.bare(real, 1, nil), time.Hour, 59 * time.Minute, ""},
		"without an end, older than said":    {peers.bare(real, 1, nil), time.Hour, 61 * time.Minute, "ran out"},
		"without a number":                   {peers.bare(real, nil, real.Add(time.Hour).UTC()), 0, 0, "has no number"},
		"with number and end, made the same": {peers.bare(real, 1, real.Add(time.Hour).UTC()), 0, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			now := real
			if err := os.WriteFile(file, test.list, 0o600); err != nil {
				t.Fatal(err)
			}
			r := direction.NewRevocations(direction.RevocationOptions{
				Peers: []string{file}, PeerAuthorities: []*x509.Certificate{peers.cert}, ListAge: test.age, Now: func() time.Time { return now },
			})
			err := r.Read(t.Context())
			now = now.Add(test.after)
			err = errors.Join(err, r.Check(now))
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// A TLS peer with a revoked certificate is refused, and so is one whose issuer has no list.
func TestRevokedTLSPeer(t *testing.T) {
	dcc, other := newLists(t, "dcc"), newLists(t, "other")
	now, file := time.Now().Truncate(time.Second), filepath.Join(t.TempDir(), "crl.der")
	leaf := func(l *lists) *x509.Certificate {
		c, _ := l.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "peer"}})
		return c
	}
	good, bad, foreign := leaf(dcc), leaf(dcc), leaf(other)
	r := direction.NewRevocations(direction.RevocationOptions{Peers: []string{file}, PeerAuthorities: []*x509.Certificate{dcc.cert}})
	if err := r.PeerRevoked([]*x509.Certificate{good, dcc.cert}); err == nil {
		t.Error("believed before its list was read")
	}
	if err := os.WriteFile(file, other.list(1, now, now.Add(time.Hour)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Read(t.Context()); !errors.Is(err, smki.ErrRevocationList) {
		t.Errorf("a stranger's list: %v", err)
	}
	if err := os.WriteFile(file, dcc.list(1, now, now.Add(time.Hour), bad), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.PeerRevoked([]*x509.Certificate{good, dcc.cert}); err != nil {
		t.Error(err)
	}
	if err := r.PeerRevoked([]*x509.Certificate{bad, dcc.cert}); !errors.Is(err, smki.ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
	if err := r.PeerRevoked([]*x509.Certificate{foreign, other.cert}); err == nil {
		t.Error("no list of its issuer, and it is believed")
	}
	if err := direction.NewRevocations(direction.RevocationOptions{}).PeerRevoked([]*x509.Certificate{bad, dcc.cert}); err != nil {
		t.Errorf("no lists are named: %v", err)
	}
}

// A list is taken from the address that was named, and not from where that leads.
func TestRevocationListComesFromItsAddress(t *testing.T) {
	o, now := newOffice(t), time.Now()
	list, err := o.authority.Revoke(1, now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(list) }))
	defer there.Close()
	leads := httptest.NewServer(http.RedirectHandler(there.URL, http.StatusFound))
	defer leads.Close()
	for url, want := range map[string]bool{there.URL: true, leads.URL: false} {
		r := direction.NewRevocations(direction.RevocationOptions{Lists: []string{url}, Authorities: o.folder.Authorities()})
		if err := r.Read(t.Context()); (err == nil) != want {
			t.Errorf("%s: %v", url, err)
		}
	}
}
