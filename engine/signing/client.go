package signing

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// ClientOptions says where the signer is.
type ClientOptions struct {
	Socket string // path of a unix socket; or
	URL    string // https, with
	TLS    *tls.Config
	// Timeout of one question, in real time; 0: 15 s.
	Timeout time.Duration
}

// Client asks a signer. It is safe for concurrent use. Its errors are those of the gate
// ([*signer.RefusedError]), [signer.ErrUnavailable], or wrap [signer.ErrStopped].
type Client struct {
	base string
	http *http.Client

	mu      sync.Mutex
	trouble error // of the last question; nil: it was answered
	since   time.Time
}

// NewClient makes a client. It asks nothing yet.
func NewClient(o ClientOptions) *Client {
	if o.Timeout == 0 {
		o.Timeout = 15 * time.Second
	}
	t := &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute, TLSClientConfig: o.TLS, ForceAttemptHTTP2: false}
	c := &Client{base: o.URL, http: &http.Client{Transport: t, Timeout: o.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if o.Socket != "" {
		c.base = "http://signer"
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", o.Socket)
		}
	}
	return c
}

// Close ends the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Trouble says since when and why the signer does not sign; nil: it does.
func (c *Client) Trouble() (since time.Time, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since, c.trouble
}

func (c *Client) noteError(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !errors.Is(err, signer.ErrUnavailable) && !errors.Is(err, signer.ErrStopped) {
		err = nil // a refusal is an answer
	}
	if err != nil && c.trouble == nil {
		c.since = time.Now()
	}
	c.trouble = err
}

// About asks what the signer is. A signer of another version is an error.
func (c *Client) About(ctx context.Context) (a About, err error) {
	err = c.ask(ctx, http.MethodGet, "about", nil, &a)
	if err == nil && a.Version != interfaceVersion {
		err = fmt.Errorf("the signer speaks version %q of the interface, and this program %s: run both of one release", a.Version, interfaceVersion)
	}
	return a, err
}

// Open has the signer decide on a start.
func (c *Client) Open(ctx context.Context, ev Evidence) (g Granted, err error) {
	err = c.ask(ctx, http.MethodPost, "open", ev, &g)
	return g, err
}

// SignRequest has a Service Request signed. It compares the answer with what was asked for.
func (c *Client) SignRequest(ctx context.Context, meter servicerequests.EUI, r duis.Request) ([]byte, error) {
	var document []byte
	err := c.ask(ctx, http.MethodPost, "request", question{Meter: meter, ID: r.ID, Service: SRV(r.Service), Inventory: r.InventoryDevice}, &document)
	if err == nil {
		err = signer.CheckRequest(r, document)
	}
	return document, named(err, r.ID)
}

// Prepare is [signer.Prepare].
func (c *Client) Prepare(e gbcs.Expected, preCommand []byte) (*signer.Token, error) {
	return signer.Prepare(e, preCommand)
}

// Sign has a Pre-Command signed. If the signer could not be asked the token stays valid for
// another try.
func (c *Client) Sign(ctx context.Context, meter servicerequests.EUI, t *signer.Token) ([]byte, error) {
	e, preCommand, err := t.Use()
	if err != nil {
		return nil, err
	}
	var document []byte
	err = c.ask(ctx, http.MethodPost, "command", question{Meter: meter, ID: e.ID, Service: SRV(e.Service), PreCommand: preCommand}, &document)
	if errors.Is(err, signer.ErrUnavailable) || errors.Is(err, signer.ErrStopped) || ctx.Err() != nil {
		t.Return()
	}
	if err == nil {
		err = signer.CheckCommand(e, document)
	}
	return document, named(err, e.ID)
}

// named puts the request's ID into a refusal.
func named(err error, id servicerequests.RequestID) error {
	if refused, ok := errors.AsType[*signer.RefusedError](err); ok {
		refused.ID = id
	}
	return err
}

// Agreement is the key agreement of one identity.
func (c *Client) Agreement(identity servicerequests.EUI) gbcs.Agreement {
	return agreement{c, identity}
}

type agreement struct {
	*Client
	identity servicerequests.EUI
}

// DeriveKey implements [gbcs.Agreement].
func (a agreement) DeriveKey(ctx context.Context, device *ecdh.PublicKey, info gbcs.KeyInfo) (key [16]byte, err error) {
	var d derivedKey
	err = a.ask(ctx, http.MethodPost, "agree", derivation{
		Identity: a.identity, Device: device.Bytes(), Mode: byte(info.Mode), From: info.Originator, Counter: info.Counter,
	}, &d)
	if err == nil && (len(d.Key) != len(key) || info.Target != a.identity) {
		err = errDerive
	}
	copy(key[:], d.Key)
	return key, err
}

// ask asks one question. out is a pointer to a value, or to the bytes of a document.
func (c *Client) ask(ctx context.Context, method, what string, in, out any) (err error) {
	defer func() { c.noteError(err) }()
	var body io.Reader
	if in != nil {
		body = bytes.NewReader(encode(in))
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+"/v"+interfaceVersion+"/"+what, body)
	if err != nil {
		return err
	}
	res, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", signer.ErrUnavailable, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, mostAsk))
	if err != nil {
		return fmt.Errorf("%w: %w", signer.ErrUnavailable, err)
	}
	if res.StatusCode != http.StatusOK {
		return faultOf(res, text)
	}
	if document, ok := out.(*[]byte); ok {
		*document = text
		return nil
	}
	return json.Unmarshal(text, out)
}

// faultOf is the error that an answer stands for.
func faultOf(res *http.Response, text []byte) error {
	var f faultBody
	if err := json.Unmarshal(text, &f); err != nil {
		f.Error = res.Status
	}
	why := errors.New("the signer: " + f.Error)
	switch res.StatusCode {
	case http.StatusForbidden, http.StatusBadRequest:
		return &signer.RefusedError{Err: why}
	case http.StatusLocked:
		return fmt.Errorf("%w: %s", signer.ErrStopped, f.Error)
	case http.StatusNotImplemented:
		return gbcs.ErrNotCheckable
	case http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return fmt.Errorf("%w for %d s: %w", signer.ErrUnavailable, seconds, why)
	case http.StatusServiceUnavailable:
		return fmt.Errorf("%w: %w", signer.ErrUnavailable, why)
	}
	return why
}
