package notice

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Headers of a webhook's POST.
const (
	idHeader        = "Safemode-Notice"
	signatureHeader = "Safemode-Signature"
)

// Webhook is a channel that POSTs to an address. Make it with [NewWebhook].
type Webhook struct {
	url    string
	key    []byte
	client *http.Client
}

// NewWebhook makes one. key signs; trust is for https, nil: the machine's authorities. It
// follows no redirect and uses no proxy.
func NewWebhook(address string, key []byte, trust *tls.Config) *Webhook {
	return &Webhook{url: address, key: bytes.Clone(key), client: &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: trust, TLSHandshakeTimeout: tryFor, ResponseHeaderTimeout: tryFor,
			MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Name implements [Channel].
func (*Webhook) Name() string { return "webhook" }

// sign is the signature of a body at an instant, as the header has it.
func sign(key []byte, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(seconds + "."))
	mac.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// Tell implements [Channel]. The error does not quote the address, because its path may be
// a secret.
func (w *Webhook) Tell(ctx context.Context, n Notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("the webhook's address is not valid")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "safemode")
	r.Header.Set(idHeader, n.ID)
	r.Header.Set(signatureHeader, sign(w.key, time.Now(), body))
	reply, err := w.client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("webhook: %w", err)
	}
	defer reply.Body.Close()
	_, _ = io.CopyN(io.Discard, reply.Body, 4096) // the status says it all
	if reply.StatusCode < 200 || reply.StatusCode > 299 {
		return fmt.Errorf("webhook: the peer answers %s", reply.Status)
	}
	return nil
}
