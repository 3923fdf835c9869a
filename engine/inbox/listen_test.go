package inbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"safemode/engine/proof"
)

// serve runs a bench at an address of its own and returns its host:port.
func (b *bench) serve(t *testing.T, a Address) string {
	t.Helper()
	a.Listen = "127.0.0.1:0"
	l, err := Listen(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	server := b.Server(l, Path)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

const request = "POST " + Path + " HTTP/1.1\r\nHost: inbox\r\nContent-Type: application/xml\r\nContent-Length: 10\r\n\r\n<message/>"

// until waits for what happens in another goroutine.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not %s within 20 s", what)
		}
	}
}

func (b *bench) connections(reason string) func() float64 {
	return func() float64 { return testutil.ToFloat64(b.metrics.connections.WithLabelValues(reason)) }
}

// Who sends a header byte by byte is let go, and so is who says nothing.
func TestSlowHeader(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Header = 300 * time.Millisecond })
	b.verify = proven(proof.Delivery{ID: id, Signed: true})
	address := b.serve(t, Address{})
	quiet, slow := dial(t, address), dial(t, address)
	go func() {
		for _, c := range []byte("POST " + Path + " HTTP/1.1\r\nX-Slow: " + strings.Repeat("x", 1000)) {
			if _, err := slow.Write([]byte{c}); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	begun := time.Now()
	for name, conn := range map[string]net.Conn{"quiet": quiet, "slow": slow} {
		if answer, err := io.ReadAll(conn); isTimeout(err) || strings.Contains(string(answer), " 204 ") {
			t.Errorf("%s: %q, %v after %v", name, answer, err, time.Since(begun))
		}
	}
	if len(b.delivered) != 0 {
		t.Errorf("delivered %v", b.delivered)
	}
	until(t, "counted", func() bool { return b.connections(turnedSilent)() == 1 })
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// A connection on which nothing is asked any more is closed.
func TestIdle(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Idle = 100 * time.Millisecond })
	b.verify = proven(proof.Delivery{ID: id, Signed: true})
	conn := dial(t, b.serve(t, Address{}))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn) // ends when the server closes
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 204") {
		t.Errorf("%q, %v", answer, err)
	}
}

// What is over the limit of connections is closed at once; whoever leaves makes room.
func TestConnections(t *testing.T) {
	for _, test := range []struct {
		reason  string
		address Address
	}{
		{turnedPeer, Address{ConnectionsPerPeer: 2}},
		{turnedTotal, Address{Connections: 2}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			b := newBench(t, nil)
			b.verify = proven(proof.Delivery{ID: id, Signed: true})
			address := b.serve(t, test.address)
			first, second := dial(t, address), dial(t, address)
			for _, conn := range []net.Conn{first, second} {
				if _, err := io.WriteString(conn, request); err != nil {
					t.Fatal(err)
				}
				if n, err := conn.Read(make([]byte, 1)); n != 1 {
					t.Fatal(err)
				}
			}
			if _, err := dial(t, address).Read(make([]byte, 1)); err == nil || isTimeout(err) {
				t.Errorf("a third connection: %v", err)
			}
			if got := b.connections(test.reason)(); got != 1 {
				t.Errorf("%v counted", got)
			}
			first.Close()
			until(t, "room for another", func() bool {
				conn := dial(t, address)
				io.WriteString(conn, request)
				n, _ := conn.Read(make([]byte, 1))
				return n == 1
			})
		})
	}
}

// An unknown path, a header without end and a body without one get no detail.
func TestNoDetail(t *testing.T) {
	b := newBench(t, func(o *Options) { o.MaxBody = 100 })
	b.verify = unproven(proof.ErrUnverified, false)
	address := b.serve(t, Address{})
	for name, text := range map[string]string{
		"not proven":   request,
		"another path": strings.Replace(request, Path, "/metrics", 1),
		"long header":  strings.Replace(request, "Host:", "X: "+strings.Repeat("x", 64<<10)+"\r\nHost:", 1),
		"long body":    "POST " + Path + " HTTP/1.1\r\nHost: inbox\r\nContent-Type: application/xml\r\nContent-Length: 101\r\n\r\n" + strings.Repeat("x", 101),
		"no HTTP":      "hello\r\n\r\n",
	} {
		conn := dial(t, address)
		io.WriteString(conn, strings.Replace(text, "Host:", "Connection: close\r\nHost:", 1)) // may be cut off
		answer, _ := io.ReadAll(conn)
		if !strings.HasPrefix(string(answer), "HTTP/1.1 4") || strings.Contains(string(answer), "telling") || strings.Contains(string(answer), "safemode") {
			t.Errorf("%s: %q", name, answer)
		}
	}
}

// issuer makes certificates for a test.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T, name string) *issuer {
	i := &issuer{t: t}
	der, key := i.make(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	i.cert, i.key = cert, key
	return i
}

func (i *issuer) make(c *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := i.cert, i.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		i.t.Fatal(err)
	}
	return der, key
}

func (i *issuer) issue(common string, usage x509.ExtKeyUsage, names ...string) tls.Certificate {
	i.t.Helper()
	der, key := i.make(&x509.Certificate{
		Subject: pkix.Name{CommonName: common}, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (i *issuer) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.cert)
	return pool
}

// Only a client that the configured authority vouches for, under an allowed name,
// gets as far as a request.
func TestMutualTLS(t *testing.T) {
	own, dcc, stranger := newIssuer(t, "own"), newIssuer(t, "dcc"), newIssuer(t, "stranger")
	b := newBench(t, nil)
	b.verify = proven(proof.Delivery{ID: id, Signed: true})
	address := b.serve(t, Address{
		TLS: &tls.Config{
			Certificates: []tls.Certificate{own.issue("inbox", x509.ExtKeyUsageServerAuth)}, ClientCAs: dcc.pool(),
		},
		AllowedNames: []string{"delivery.dcc.example", "DCC Delivery"},
	})
	client := x509.ExtKeyUsageClientAuth
	silent := 0.0
	for _, test := range []struct {
		name   string
		change func(*tls.Config)
		let    bool
	}{
		{"by DNS name", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{dcc.issue("x", client, "other.example", "Delivery.DCC.example")}
		}, true},
		{"by common name", func(c *tls.Config) { c.Certificates = []tls.Certificate{dcc.issue("DCC Delivery", client)} }, true},
		{"no certificate", func(*tls.Config) {}, false},
		{"another name", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{dcc.issue("other", client, "dcc.example", "x.delivery.dcc.example")}
		}, false},
		{"no name", func(c *tls.Config) { c.Certificates = []tls.Certificate{dcc.issue("", client)} }, false},
		{"another authority", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{stranger.issue("DCC Delivery", client, "delivery.dcc.example")}
		}, false},
		{"a server's certificate", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{dcc.issue("DCC Delivery", x509.ExtKeyUsageServerAuth)}
		}, false},
		{"TLS 1.1", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{dcc.issue("DCC Delivery", client)}
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}, false},
		{"TLS 1.2", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{dcc.issue("DCC Delivery", client)}
			c.MaxVersion = tls.VersionTLS12
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &tls.Config{RootCAs: own.pool()}
			test.change(c)
			transport := &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}
			resp, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).
				Post("https://"+address+Path, "application/xml", strings.NewReader("<message/>"))
			if err == nil {
				resp.Body.Close()
			}
			if let := err == nil && resp.StatusCode == http.StatusNoContent; let != test.let {
				t.Errorf("let in: %v, want %v: %v", let, test.let, err)
			}
			if !test.let {
				silent++
				until(t, "counted", func() bool { return b.connections(turnedSilent)() == silent })
			}
		})
	}
	if resp, err := http.Post("http://"+address+Path, "application/xml", strings.NewReader("<message/>")); err == nil {
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("plain HTTP: %d", resp.StatusCode)
		}
	}
	if len(b.delivered) != 3 {
		t.Errorf("%d delivered, want 3", len(b.delivered))
	}
}

func TestListenRefuses(t *testing.T) {
	pool := x509.NewCertPool()
	for name, a := range map[string]Address{
		"TLS without authorities":   {TLS: &tls.Config{}, AllowedNames: []string{"dcc"}},
		"TLS without allowed names": {TLS: &tls.Config{ClientCAs: pool}},
		"allowed names without TLS": {AllowedNames: []string{"dcc"}},
		"negative connections":      {Connections: -1},
	} {
		a.Listen = "127.0.0.1:0"
		if l, err := Listen(t.Context(), a); err == nil {
			l.Close()
			t.Errorf("%s: accepted", name)
		}
	}
}
