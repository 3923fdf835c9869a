package store

import (
	"fmt"
	"net/url"
	"strings"
)

// IsAddress says whether a journal is named by the address of a database, and not by the
// path of a file.
func IsAddress(at string) bool {
	return strings.HasPrefix(at, "postgres://") || strings.HasPrefix(at, "postgresql://")
}

// Shown is a path or an address as it may be shown: without a password.
func Shown(at string) string {
	u, err := url.Parse(at)
	if !IsAddress(at) {
		return at
	}
	if err != nil {
		return "postgres://..."
	}
	if q := u.Query(); q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

// defaultSweep is the name of a sweep in an address that has none.
const defaultSweep = "sweep"

// split takes the sweep's name out of an address.
func split(at string) (address, sweep string, err error) {
	u, err := url.Parse(at)
	if err != nil {
		return "", "", fmt.Errorf("%s: not an address of a database", Shown(at)) // the cause would show a password
	}
	q := u.Query()
	sweep = defaultSweep
	if q.Has("sweep") {
		sweep = q.Get("sweep")
		q.Del("sweep")
		u.RawQuery = q.Encode()
	}
	if sweep == "" || len(sweep) > 64 || strings.Trim(sweep, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return "", "", fmt.Errorf("sweep %q: want 1 to 64 of a-z, 0-9, - and _", sweep)
	}
	return u.String(), sweep, nil
}
