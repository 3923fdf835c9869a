// Package keyuri reads RFC 7512 URIs that name one private key in a PKCS#11 token, like
// pkcs11:object=digital-signing;type=private.
//
// It accepts the attributes that find a key: object and id, of which one must be there, and
// type, which must be private. It accepts those that find the token, to be compared with the
// open token: token, serial, model, manufacturer and module-path. It refuses any other
// attribute, above all a PIN, and one that is given twice.
package keyuri

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrURI marks text that names no private key.
var ErrURI = errors.New("not a PKCS#11 URI of a private key")

// MaxLength is how many bytes a URI may have.
const MaxLength = 1024

const scheme = "pkcs11:"

// URI names a private key. An attribute that is empty was not given.
type URI struct {
	Object string // label of the key
	ID     []byte // CKA_ID of the key

	// Where the key must be.
	Token, Serial, Model, Manufacturer string
	ModulePath                         string
}

// Parse reads a URI. Errors wrap [ErrURI]; they do not quote the text, which may hold a PIN.
func Parse(text string) (u URI, err error) {
	rest, is := strings.CutPrefix(text, scheme)
	if !is || len(text) > MaxLength {
		return u, fmt.Errorf("%w: want %sobject=LABEL, at most %d bytes", ErrURI, scheme, MaxLength)
	}
	path, query, hasQuery := strings.Cut(rest, "?")
	seen := map[string]bool{}
	for part := range strings.SplitSeq(path, ";") {
		if err := u.path(part, seen); err != nil {
			return URI{}, err
		}
	}
	for part := range strings.SplitSeq(query, "&") {
		if !hasQuery {
			break
		}
		if err := u.query(part, seen); err != nil {
			return URI{}, err
		}
	}
	if u.Object == "" && len(u.ID) == 0 {
		return URI{}, fmt.Errorf("%w: it has neither object nor id", ErrURI)
	}
	return u, nil
}

func (u *URI) path(part string, seen map[string]bool) error {
	name, value, err := attribute(part, seen, "&")
	if err != nil {
		return err
	}
	if name == "id" {
		u.ID = []byte(value)
		return nil
	}
	if err := printable(name, value); err != nil {
		return err
	}
	switch name {
	case "object":
		u.Object = value
	case "type":
		if value != "private" {
			return fmt.Errorf("%w: type: want private", ErrURI)
		}
	case "token":
		u.Token = value
	case "serial":
		u.Serial = value
	case "model":
		u.Model = value
	case "manufacturer":
		u.Manufacturer = value
	default:
		return fmt.Errorf("%w: attribute %q is not taken here", ErrURI, name)
	}
	return nil
}

func (u *URI) query(part string, seen map[string]bool) error {
	name, value, err := attribute(part, seen, "/?|")
	if err != nil {
		return err
	}
	switch {
	case name == "pin-value" || name == "pin-source":
		return fmt.Errorf("%w: a PIN does not belong in it", ErrURI)
	case name != "module-path":
		return fmt.Errorf("%w: attribute %q is not taken here", ErrURI, name)
	case !filepath.IsAbs(value) || printable(name, value) != nil:
		return fmt.Errorf("%w: module-path: want an absolute path", ErrURI)
	}
	u.ModulePath = value
	return nil
}

// attribute reads name=value. The value may hold what RFC 7512 has for both parts of
// a URI, and the characters of extra; all others are percent-encoded.
func attribute(part string, seen map[string]bool, extra string) (name, value string, err error) {
	name, encoded, is := strings.Cut(part, "=")
	switch {
	case !is || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") != "" || name == "":
		return "", "", fmt.Errorf("%w: want attributes like object=LABEL", ErrURI)
	case seen[name]:
		return "", "", fmt.Errorf("%w: attribute %q stands twice", ErrURI, name)
	case encoded == "":
		return "", "", fmt.Errorf("%w: attribute %q is empty", ErrURI, name)
	}
	seen[name] = true
	if value, err = decode(encoded, extra); err != nil {
		return "", "", fmt.Errorf("%w: attribute %q: %w", ErrURI, name, err)
	}
	return name, value, nil
}

func decode(text, extra string) (string, error) {
	for _, c := range []byte(text) {
		if c != '%' && !plain(c) && strings.IndexByte(extra, c) < 0 {
			return "", fmt.Errorf("character %q: write it as %%%02X", c, c)
		}
	}
	value, err := url.PathUnescape(text)
	if err != nil {
		return "", errors.New("want two hexadecimal digits after each %")
	}
	return value, nil
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~:[]@!$'()*+,=", c) >= 0
}

func printable(name, value string) error {
	if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return fmt.Errorf("%w: attribute %q is not text", ErrURI, name)
	}
	return nil
}

// String is the URI's one form: type first, then what finds the key, then where it is.
func (u URI) String() string {
	var b strings.Builder
	b.WriteString(scheme + "type=private")
	put := func(name, value, extra string, all bool) {
		if value == "" {
			return
		}
		b.WriteString(name + "=")
		for _, c := range []byte(value) {
			if !all && (plain(c) || strings.IndexByte(extra, c) >= 0) {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
	}
	put(";object", u.Object, "&", false)
	put(";id", string(u.ID), "", true)
	put(";token", u.Token, "&", false)
	put(";serial", u.Serial, "&", false)
	put(";model", u.Model, "&", false)
	put(";manufacturer", u.Manufacturer, "&", false)
	put("?module-path", u.ModulePath, "/", false)
	return b.String()
}
