package loadtest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
)

// ErrNotLoopback refuses an address that is not this machine's own.
var ErrNotLoopback = errors.New("not a loopback address")

// LoopbackURL refuses a URL with a host that is not a loopback address. The name
// localhost becomes 127.0.0.1, so that no resolver is asked. Errors wrap
// [ErrNotLoopback] or are url.Parse's.
func LoopbackURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", err
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q: want http://127.0.0.1:PORT, or https", text)
	}
	if u.Hostname() == "localhost" {
		u.Host = net.JoinHostPort("127.0.0.1", u.Port())
		if u.Port() == "" {
			u.Host = "127.0.0.1"
		}
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("%q: %w: a load test is for a system on this machine", text, ErrNotLoopback)
	}
	return u.String(), nil
}
