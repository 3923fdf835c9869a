package inbox

import (
	"bufio"
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

	"safemode/engine/listen"
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

// A peer that sends a header byte by byte, or nothing, is disconnected.
func TestSlowHeader(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Header = 300 * time.Millisecond })
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
	if n := b.taken(); n != 0 {
		t.Errorf("%d taken", n)
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
	conn := dial(t, b.serve(t, Address{}))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn) // ends when the server closes
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 204") {
		t.Errorf("%q, %v", answer, err)
	}
}

// A connection over the limit is closed at once; one that ends makes room.
func TestConnections(t *testing.T) {
	for _, test := range []struct {
		reason  string
		address Address
	}{
		{listen.OverPeer, Address{ConnectionsPerPeer: 2}},
		{listen.OverTotal, Address{Connections: 2}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			b := newBench(t, nil)
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

// dialFrom dials from another address of this machine, as another host would.
func dialFrom(t *testing.T, from, address string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", address)
	if err != nil {
		t.Skipf("no other loopback address: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// deliver sends one message and says whether it was taken.
func deliver(conn net.Conn) bool {
	if _, err := io.WriteString(conn, request); err != nil {
		return false
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusNoContent
}

const dccAddress = "127.0.0.9"

// Hosts that open all the connections they can, and say nothing or junk, do not keep the
// DCC out: neither its open connections nor its new ones.
func TestHostileAddresses(t *testing.T) {
	for name, say := range map[string]func(net.Conn){
		"silence": func(net.Conn) {},
		"half a header": func(c net.Conn) {
			io.WriteString(c, "POST "+Path+" HTTP/1.1\r\nX-Slow: ")
		},
		"half a message": func(c net.Conn) {
			io.WriteString(c, strings.TrimSuffix(request, "<message/>")+"<mes")
		},
		"messages": func(c net.Conn) { io.WriteString(c, request) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.claim = claims(proof.Claim{Kind: proof.ClaimSilence, ID: id, Code: "E21"}) // nobody signed it
			b.stranger = func(r *http.Request) bool { return !strings.HasPrefix(r.RemoteAddr, dccAddress+":") }
			address := b.serve(t, Address{Connections: 8, ConnectionsPerPeer: 6, Unknown: 6, UnknownPerPeer: 4})
			old := dialFrom(t, dccAddress, address)
			if !deliver(old) {
				t.Fatal("the DCC was not let in to begin with")
			}
			for range 3 {
				for _, hostile := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"} {
					for range 8 {
						say(dialFrom(t, hostile, address))
					}
				}
				if !deliver(dialFrom(t, dccAddress, address)) {
					t.Error("the DCC's new connection was shut out")
				}
			}
			if !deliver(old) {
				t.Error("the DCC's old connection was closed")
			}
			if n := b.taken(); n != 5 {
				t.Errorf("%d messages taken, want 5", n)
			}
		})
	}
}

// The same over TLS: who has not ended the handshake has a place among the unknown only,
// also with a certificate that is public and a key that is not its own.
func TestHostileHandshakes(t *testing.T) {
	own, dcc := newIssuer(t, "own"), newIssuer(t, "dcc")
	b := newBench(t, func(o *Options) { o.Authenticated = OverMutualTLS })
	address := b.serve(t, Address{
		TLS:          &tls.Config{Certificates: []tls.Certificate{own.issue("inbox", x509.ExtKeyUsageServerAuth)}, ClientCAs: dcc.pool()},
		AllowedNames: []string{"DCC Delivery"},
		Connections:  4, ConnectionsPerPeer: 4, Unknown: 6, UnknownPerPeer: 4,
	})
	genuine, other := dcc.issue("DCC Delivery", x509.ExtKeyUsageClientAuth), dcc.issue("other", x509.ExtKeyUsageClientAuth)
	thief := tls.Certificate{Certificate: genuine.Certificate, PrivateKey: other.PrivateKey}
	secured := func(from string, c tls.Certificate) *tls.Conn {
		return tls.Client(dialFrom(t, from, address), &tls.Config{RootCAs: own.pool(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{c}})
	}
	for _, hostile := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"} {
		if deliver(secured(hostile, thief)) {
			t.Error("a certificate without its key was let in")
		}
		for range 8 {
			dialFrom(t, hostile, address) // and says nothing
		}
	}
	for range 4 {
		if !deliver(secured(dccAddress, genuine)) {
			t.Error("the DCC was shut out")
		}
	}
	if deliver(secured(dccAddress, genuine)) {
		t.Error("over the limit of connections")
	}
}

// An unknown path, a header without end and a body without one get no detail.
func TestNoDetail(t *testing.T) {
	b := newBench(t, func(o *Options) { o.MaxBody = 100 })
	b.claim, b.stranger = noXML, everybody
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

// Only a client with a certificate of the configured authority, under an allowed name,
// can send a request.
func TestMutualTLS(t *testing.T) {
	own, dcc, stranger := newIssuer(t, "own"), newIssuer(t, "dcc"), newIssuer(t, "stranger")
	b := newBench(t, func(o *Options) { o.Authenticated = OverMutualTLS })
	b.claim = claims(proof.Claim{Kind: proof.ClaimResponse, ID: id}) // by a certificate that is not known
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
	if n := b.taken(); n != 3 {
		t.Errorf("%d taken, want 3", n)
	}
}

func TestListenRefuses(t *testing.T) {
	pool := x509.NewCertPool()
	for name, a := range map[string]Address{
		"TLS without authorities":   {TLS: &tls.Config{}, AllowedNames: []string{"dcc"}},
		"TLS without allowed names": {TLS: &tls.Config{ClientCAs: pool}},
		"allowed names without TLS": {AllowedNames: []string{"dcc"}},
		"negative connections":      {Connections: -1},
		"negative strangers":        {Unknown: -1},
	} {
		a.Listen = "127.0.0.1:0"
		if l, err := Listen(t.Context(), a); err == nil {
			l.Close()
			t.Errorf("%s: accepted", name)
		}
	}
}
