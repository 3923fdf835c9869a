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
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// path is where an endpoint is, as DCC Boxed has it.
func path(e record.Endpoint) string {
	switch e {
	case record.Transform:
		return "/api/v1/serviceT"
	case record.SendCommand:
		return "/api/v1/serviceS"
	default:
		return "/api/v1/serviceD"
	}
}

// Post is one signed request on its way out.
type Post struct {
	Service record.Endpoint
	ID      servicerequests.RequestID
	Body    []byte // signed DUIS XML; not changed

	// Admit is called when there is a connection, immediately before the first byte is
	// written. It is called again if nothing could be written and the transport uses another
	// connection. After an error nothing is written. A panic is passed to the caller of Post.
	// The POST does not end while Admit runs, so it must return when its context ends. Nil:
	// every request is admitted.
	Admit func(context.Context) error
}

// Options configures a Gateway. Durations are real time.
type Options struct {
	URL         string        // of the DCC, http or https, without the services' paths
	TLS         *tls.Config   // client certificate and trusted authorities for https; at least TLS 1.2 is used
	Timeout     time.Duration // of a whole POST, connecting included; 0: 10 s (assumption)
	MaxBody     int64         // bytes of a reply; 0: 1 MiB
	Connections int           // to the DCC at most, and kept warm; 0: 32
}

// validate joins all faults, each with its field.
func (o Options) validate() error {
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
	if err := o.validate(); err != nil {
		return nil, err
	}
	base, err := url.Parse(o.URL)
	if err != nil {
		return nil, err
	}
	timeout := cmp.Or(o.Timeout, 10*time.Second)
	connections := cmp.Or(o.Connections, 32)
	dialer := &net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}
	g := &Gateway{
		base:    base.JoinPath("/").String(),
		timeout: timeout,
		maxBody: cmp.Or(o.MaxBody, 1<<20),

		serverProven: o.TLS != nil && o.TLS.RootCAs != nil && !o.TLS.InsecureSkipVerify,
		transport: &http.Transport{
			DialContext:            dial(dialer),
			MaxConnsPerHost:        connections,
			MaxIdleConns:           connections,
			MaxIdleConnsPerHost:    connections,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // a small body could unfold into a large one
		},
	}
	if o.TLS != nil {
		config := o.TLS.Clone()
		config.MinVersion = max(o.TLS.MinVersion, tls.VersionTLS12)
		g.transport.DialTLSContext = dialTLS(dialer, config)
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

// Post sends the bytes once and returns the body of the DCC's reply. The reply is not proven,
// and only its response code says whether the request was accepted. Errors are those of the
// package comment; they wrap ctx's error if that was the cause.
func (g *Gateway) Post(ctx context.Context, p Post) ([]byte, error) {
	if err := inspect(p); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	// The outcome is in doubt once the first byte was given to a connection.
	state := &postState{ctx: ctx, cancel: cancel, ask: p.Admit}
	ctx = httptrace.WithClientTrace(ctx, state.trace())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.base+path(p.Service)[1:], bytes.NewReader(p.Body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	req.Header.Set("Content-Type", "application/xml")
	req.Header.Set("Accept", "application/xml")
	req.Header.Set("User-Agent", "safemode")
	resp, err := g.transport.RoundTrip(req) // not a Client's Do: it would follow redirects
	written, refused := state.end()
	switch {
	case err == nil:
	case written && errors.Is(err, ErrNotAdmitted): // it is in doubt and not held back
		return nil, fmt.Errorf("%w: %s", ErrInDoubt, err.Error())
	case written:
		return nil, fmt.Errorf("%w: %w", ErrInDoubt, err)
	case refused != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotAdmitted, refused)
	default:
		return nil, fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	defer func() { _ = resp.Body.Close() }() // read as far as it will be
	return g.read(resp)
}
