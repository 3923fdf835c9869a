package duis_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"safemode/servicerequests/duis"
	"safemode/servicerequests/outside"
)

// TestSchemaAccepts has xmllint hold every form that is ever written against
// DCC's own schema.
func TestSchemaAccepts(t *testing.T) {
	xmllint := outside.Program(t, "xmllint", "libxml2-utils")
	schema := outside.Path(t, "duis/duis-5.4.xsd")
	dir := t.TempDir()
	var files []string
	write := func(name string, xml []byte, err error) {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		file := filepath.Join(dir, name+".xml")
		if err := os.WriteFile(file, xml, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	for i, r := range allRequests() {
		xml, err := duis.AppendRequest(nil, r)
		write(fmt.Sprintf("request-%d-%s", i, r.Service), xml, err)
	}
	for name, r := range allResponses() {
		xml, err := duis.AppendResponse(nil, r)
		write(name, xml, err)
	}
	var out bytes.Buffer
	command := exec.Command(xmllint, append([]string{"--nonet", "--noout", "--schema", schema}, files...)...)
	command.Stderr = &out
	if err := command.Run(); err != nil {
		t.Errorf("%v\n%s", err, out.Bytes())
	}
}

// TestOutputIsCanonical has xmllint canonicalise everything that is written:
// nothing may change.
func TestOutputIsCanonical(t *testing.T) {
	xmllint := outside.Program(t, "xmllint", "libxml2-utils")
	same := func(name string, xml []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, form := range []string{"--c14n", "--exc-c14n"} {
			command := exec.Command(xmllint, form, "-")
			command.Stdin = bytes.NewReader(xml)
			if got, err := command.Output(); err != nil || !bytes.Equal(got, xml) {
				t.Errorf("%s: xmllint %s: %v\n%s\n%s", name, form, err, xml, got)
			}
		}
	}
	for _, r := range allRequests()[:3] {
		xml, err := duis.AppendRequest(nil, r)
		same(r.Service.String(), xml, err)
	}
	for _, name := range []string{"inventory", "acknowledgement", "quarantined, user"} {
		xml, err := duis.AppendResponse(nil, allResponses()[name])
		same(name, xml, err)
	}
}
