package gateway

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// peer is a server of raw connections, which counts what arrives at it above TLS.
type peer struct {
	t        *testing.T
	listener net.Listener
	tls      *tls.Config // nil: plain
	client   *tls.Config
	pause    chan struct{} // a handshake waits for it, once the client has begun; nil: none does
	begun    chan struct{} // a value for each client that has begun its handshake

	conns    atomic.Int32
	bytes    atomic.Int64
	requests atomic.Int32
	served   sync.WaitGroup

	mu   sync.Mutex
	open []*net.TCPConn
}

func newPeer(t *testing.T, secure bool) *peer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, listener: listener, begun: make(chan struct{}, 10)}
	if secure {
		lender := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
		defer lender.Close()
		roots := x509.NewCertPool()
		roots.AddCert(lender.Certificate())
		p.tls, p.client = &tls.Config{Certificates: lender.TLS.Certificates}, &tls.Config{RootCAs: roots}
	}
	p.served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.conns.Add(1)
			p.mu.Lock()
			p.open = append(p.open, conn.(*net.TCPConn))
			p.mu.Unlock()
			p.served.Go(func() { p.serve(conn) })
		}
	})
	return p
}

func (p *peer) gateway(timeout time.Duration) *Gateway {
	scheme := "http://"
	if p.tls != nil {
		scheme = "https://"
	}
	return newGateway(p.t, Options{URL: scheme + p.listener.Addr().String(), TLS: p.client, Timeout: timeout})
}

// end waits until every byte of every connection is counted.
func (p *peer) end(g *Gateway) {
	g.Close()
	p.listener.Close()
	p.served.Wait()
}

type counting struct {
	io.Reader
	n *atomic.Int64
}

func (c counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// serve answers requests until the client closes the connection.
func (p *peer) serve(conn net.Conn) {
	defer conn.Close()
	if p.tls != nil {
		hello := make([]byte, 1)
		if _, err := io.ReadFull(conn, hello); err != nil {
			return
		}
		p.begun <- struct{}{}
		if p.pause != nil {
			<-p.pause
		}
		conn = tls.Server(&prefixed{conn, hello}, p.tls)
	}
	r := bufio.NewReader(counting{conn, &p.bytes})
	for {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			return
		}
		p.requests.Add(1)
		_, _ = io.WriteString(conn, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s", len(ack), ack))
	}
}

// prefixed gives back what was read before.
type prefixed struct {
	net.Conn
	before []byte
}

func (c *prefixed) Read(b []byte) (int, error) {
	if len(c.before) > 0 {
		n := copy(b, c.before)
		c.before = c.before[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}
