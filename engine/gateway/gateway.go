package gateway

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"safemode/servicerequests"
)

// Service is one of the DCC's request services.
type Service uint8

// The services (paths as DCC Boxed has them).
const (
	Transform   Service = iota + 1 // /api/v1/serviceT: critical request in, Pre-Command out
	SendCommand                    // /api/v1/serviceS: reads and Signed Pre-Commands
	NonDevice                      // /api/v1/serviceD: answered by the DCC itself
)

// Services lists every service.
var Services = [...]Service{Transform, SendCommand, NonDevice}

func (s Service) String() string {
	switch s {
	case Transform:
		return "transform"
	case SendCommand:
		return "send_command"
	case NonDevice:
		return "non_device"
	}
	return fmt.Sprintf("invalid(%d)", uint8(s))
}

func (s Service) path() string {
	switch s {
	case Transform:
		return "/api/v1/serviceT"
	case SendCommand:
		return "/api/v1/serviceS"
	default:
		return "/api/v1/serviceD"
	}
}

// Post is one signed request on its way out.
type Post struct {
	Service Service
	ID      servicerequests.RequestID
	Body    []byte // signed DUIS XML; not changed
}

// Options configures a Gateway. Durations are real time.
type Options struct {
	URL         string        // of the DCC, http or https, without the services' paths
	TLS         *tls.Config   // client certificate and trusted authorities for https; at least TLS 1.2 is used
	Timeout     time.Duration // of a whole POST, connecting included; 0: 10 s (assumption)
	MaxBody     int64         // bytes of a reply; 0: 1 MiB
	Connections int           // to the DCC at most, and kept warm; 0: 32
}

// Validate joins all faults, each with its field.
func (o Options) Validate() error {
	var errs []error
	u, err := url.Parse(o.URL)
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("url: %w", err))
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		errs = append(errs, fmt.Errorf("url %q: want http://host or https://host", o.URL))
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		errs = append(errs, fmt.Errorf("url %q: want no query, fragment or user", u.Redacted()))
	case u.Scheme == "http" && o.TLS != nil:
		errs = append(errs, fmt.Errorf("url %q: a TLS configuration needs https", o.URL))
	}
	if o.Timeout < 0 || o.MaxBody < 0 || o.Connections < 0 {
		errs = append(errs, errors.New("timeout, max_body and connections must not be negative"))
	}
	return errors.Join(errs...)
}

// Gateway is safe for concurrent use.
type Gateway struct {
	transport *http.Transport
	base      string
	timeout   time.Duration
	maxBody   int64

	serverProven bool
}

// New makes a gateway. It does not connect.
func New(o Options) (*Gateway, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	base, err := url.Parse(o.URL)
	if err != nil {
		return nil, err
	}
	timeout := cmp.Or(o.Timeout, 10*time.Second)
	connections := cmp.Or(o.Connections, 32)
	g := &Gateway{
		base:    base.JoinPath("/").String(),
		timeout: timeout,
		maxBody: cmp.Or(o.MaxBody, 1<<20),

		serverProven: o.TLS != nil && o.TLS.RootCAs != nil && !o.TLS.InsecureSkipVerify,
		transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:    timeout,
			MaxConnsPerHost:        connections,
			MaxIdleConns:           connections,
			MaxIdleConnsPerHost:    connections,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // a small body could unfold into a large one
		},
	}
	if o.TLS != nil {
		g.transport.TLSClientConfig = o.TLS.Clone()
		g.transport.TLSClientConfig.MinVersion = max(o.TLS.MinVersion, tls.VersionTLS12)
	}
	// One request a connection at a time: the outcome classes rest on it.
	g.transport.Protocols = new(http.Protocols)
	g.transport.Protocols.SetHTTP1(true)
	return g, nil
}

// Close closes the connections that are not in use.
func (g *Gateway) Close() { g.transport.CloseIdleConnections() }

// ServerProven says whether every reply comes from a server that TLS has proven
// by the authorities that the gateway was given.
func (g *Gateway) ServerProven() bool { return g.serverProven }

// Post sends the bytes once and returns the body of the DCC's reply. The reply
// is not proven, and that it came does not mean that the request was accepted:
// its response code says so. Errors are those of the package comment; they wrap
// ctx's error where it was the cause.
func (g *Gateway) Post(ctx context.Context, p Post) ([]byte, error) {
	if err := inspect(p); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	// With a connection in hand the transport may write at any moment, even after
	// it has given up: so the connection, not the finished write, is where doubt
	// begins. The transport tries another connection only after one on which
	// nothing was written, and asks for it by GetConn.
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { connected.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.base+p.Service.path()[1:], bytes.NewReader(p.Body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	req.Header.Set("Content-Type", "application/xml")
	req.Header.Set("Accept", "application/xml")
	req.Header.Set("User-Agent", "safemode")
	resp, err := g.transport.RoundTrip(req) // not a Client's Do: it would follow redirects
	if err != nil {
		if !connected.Load() {
			return nil, fmt.Errorf("%w: %w", ErrNotWritten, err)
		}
		return nil, fmt.Errorf("%w: %w", ErrInDoubt, err)
	}
	defer func() { _ = resp.Body.Close() }() // read as far as it will be
	return g.read(resp)
}
