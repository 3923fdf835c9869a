package keyuri_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/servicerequests/keyuri"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]keyuri.URI{
		"pkcs11:object=xml-signing":                                                   {Object: "xml-signing"},
		"pkcs11:id=%01%ff;type=private":                                               {ID: []byte{1, 0xff}},
		"pkcs11:object=a%20key;id=%69%95%3E;":                                         {},
		"pkcs11:object=a%20key;id=%69%95%3E":                                          {Object: "a key", ID: []byte("i\x95>")},
		"pkcs11:token=The%20token;object=k&k":                                         {Token: "The token", Object: "k&k"},
		"pkcs11:object=%c3%a9;id=7b":                                                  {Object: "é", ID: []byte("7b")},
		"pkcs11:object=k?module-path=/usr/x.so":                                       {Object: "k", ModulePath: "/usr/x.so"},
		"pkcs11:model=M;manufacturer=F;serial=1":                                      {},
		"pkcs11:model=M;manufacturer=F;serial=1;token=T;id=%00;object=k;type=private": {Model: "M", Manufacturer: "F", Serial: "1", Token: "T", ID: []byte{0}, Object: "k"},
		"":                                     {},
		"object=k":                             {},
		"PKCS11:object=k":                      {},
		"pkcs11:":                              {},
		"pkcs11:object":                        {},
		"pkcs11:object=":                       {},
		"pkcs11:object=k;type=":                {},
		"pkcs11:=k":                            {},
		"pkcs11:object=k;":                     {},
		"pkcs11:object=k?":                     {},
		"pkcs11:object=a;object=b":             {},
		"pkcs11:object=k;type=public":          {},
		"pkcs11:object=k;type=cert":            {},
		"pkcs11:object=k;slot-id=1":            {},
		"pkcs11:object=k;x-vendor=1":           {},
		"pkcs11:object=k?module-name=softhsm2": {},
		"pkcs11:object=k?module-path=x.so":     {},
		"pkcs11:object=k?object=k":             {},
		"pkcs11:object=k/l":                    {},
		"pkcs11:object=a key":                  {},
		"pkcs11:object=k%2":                    {},
		"pkcs11:object=k%zz":                   {},
		"pkcs11:object=k%00":                   {},
		"pkcs11:object=%ff":                    {},
		"pkcs11:object=k?pin-value=1234":       {},
		"pkcs11:object=k?pin-source=file:/pin": {},
		"pkcs11:object=" + strings.Repeat("k", keyuri.MaxLength): {},
	} {
		got, err := keyuri.Parse(text)
		if wrong := cmp.Diff(keyuri.URI{}, want) == ""; wrong != errors.Is(err, keyuri.ErrURI) {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
		if err != nil && strings.Contains(err.Error(), "1234") {
			t.Errorf("%s: the error quotes a PIN: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("pkcs11:object=xml-signing")
	f.Add("pkcs11:id=%01%FF;type=private;token=a%20b?module-path=/usr/lib/x.so")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := keyuri.Parse(text)
		if err != nil {
			if !errors.Is(err, keyuri.ErrURI) {
				t.Errorf("%v is not the package's", err)
			}
			return
		}
		if len(u.String()) > keyuri.MaxLength { // all of it percent-encoded
			return
		}
		again, err := keyuri.Parse(u.String())
		if err != nil || cmp.Diff(u, again) != "" {
			t.Errorf("%q gives %q, which gives %+v, %v", text, u, again, err)
		}
	})
}
