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

// Beside is the path to which a suffix is added to name a file that belongs to a journal: beside
// the journal's file, or in a folder if the journal is in a database. If that folder is in the
// database, too, it is the name there, and for files on the machine one in the working folder.
func Beside(at, folder string) string {
	if !IsAddress(at) {
		return at
	}
	_, sweep, err := split(at)
	if err != nil {
		sweep = defaultSweep // opening the journal reports what is wrong with its address
	}
	if IsAddress(folder) {
		return sweep
	}
	return filepath.Join(folder, sweep)
}

// split takes the sweep's name out of an address.
func split(at string) (address, sweep string, err error) {
	return splitOff(at, "sweep", defaultSweep)
}

// splitOff takes the name of a sweep or a custody out of an address. It refuses a password:
// a command line is seen by everybody on the machine, and addresses are shown.
func splitOff(at, key, usual string) (address, name string, err error) {
	u, err := url.Parse(at)
	if err != nil {
		return "", "", fmt.Errorf("%s: not an address of a database", Shown(at)) // the cause would show a password
	}
	q := u.Query()
	if _, has := u.User.Password(); has || q.Has("password") {
		return "", "", fmt.Errorf("%s: leave the password out: it is read from PGPASSFILE (~/.pgpass) or PGPASSWORD", Shown(at))
	}
	name = usual
	if q.Has(key) {
		name = q.Get(key)
		q.Del(key)
	}
	u.RawQuery = q.Encode()
	if name == "" || len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return "", "", fmt.Errorf("%s %q: want 1 to 64 of a-z, 0-9, - and _", key, name)
	}
	return u.String(), name, nil
}
