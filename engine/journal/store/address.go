package store

import (
	"fmt"
	"net/url"
	"path/filepath"
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

// Beside is the path to which a suffix makes that of a file which belongs to a journal:
// beside its file, or in a folder for one in a database.
func Beside(at, folder string) string {
	if !IsAddress(at) {
		return at
	}
	_, sweep, err := split(at)
	if err != nil {
		sweep = defaultSweep // whoever opens the journal says what is wrong with its address
	}
	return filepath.Join(folder, sweep)
}

// split takes the sweep's name out of an address. It refuses a password: a command line is
// seen by everybody on the machine, and addresses are shown.
func split(at string) (address, sweep string, err error) {
	u, err := url.Parse(at)
	if err != nil {
		return "", "", fmt.Errorf("%s: not an address of a database", Shown(at)) // the cause would show a password
	}
	q := u.Query()
	if _, has := u.User.Password(); has || q.Has("password") {
		return "", "", fmt.Errorf("%s: leave the password out: it is read from PGPASSFILE (~/.pgpass) or PGPASSWORD", Shown(at))
	}
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
