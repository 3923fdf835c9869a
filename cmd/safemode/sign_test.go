package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file with one wrong field gets the faults of the file that it is, and no other's.
func TestSignNamesTheFaultsOfOneFile(t *testing.T) {
	dir := t.TempDir()
	pki := filepath.Join(dir, "pki")
	must(t, "", "pki", "init", "--out", pki, "--json")
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	direction, roster, freeze := read("../../config/direction.example.yaml"), read(filepath.Join(pki, "roster.yaml")), read("../../config/freeze.example.yaml")
	for name, c := range map[string]struct{ text, old, is, says string }{
		"a direction":  {direction, "maximum_meters: 100000", "maximum_meters: many", "direction: maximum_meters: many: want a whole number"},
		"another word": {direction, "reference:", "ref:", "direction:\nref: unknown key\nreference: required"},
		"a roster":     {roster, "people:", "persons:", "roster:\npeople: required: name one or more\npersons: unknown key"},
		"a statement":  {freeze, "system:", "sistem:", "system: required"},
	} {
		if !strings.Contains(c.text, c.old) {
			t.Fatalf("%s: there is no %q", name, c.old)
		}
		path := putFile(t, filepath.Join(dir, "file.yaml"), []byte(strings.Replace(c.text, c.old, c.is, 1)))
		r := safemode(t, "", "sign", path, "--cert", filepath.Join(pki, "staff/rita.pem"), "--key", filepath.Join(pki, "staff/rita.key"))
		if r.code != exitUsage || !strings.Contains(r.err, c.says) || strings.Count(r.err, "\n") > 3 {
			t.Errorf("%s: exit %d: %s", name, r.code, r.err)
		}
	}
}
