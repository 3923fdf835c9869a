package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"safemode/engine/record"
)

// TestGuardedOperations: with TLS and a token the operations address answers nobody
// who does not trust and know it.
func TestGuardedOperations(t *testing.T) {
	long(t)
	s := newScene(t, 10, 3, 600)
	ca := newTLSAuthority(t, "operations-ca")
	certificate, key := ca.issue("operations")
	token := putFile(t, s.path("token"), []byte("0123456789abcdef0123456789abcdef\n"))
	look := putFile(t, s.path("look"), []byte("to_look_with_and_for_nothing_else\n"))
	wrong := putFile(t, s.path("wrong-token"), []byte("0123456789abcdef0123456789abcdeX\n"))
	guarded := "operations: {listen: " + s.operations + ", tls: {certificate: " + certificate + ", key: " + key + "}, token_file: token, look_token_file: look}"
	s.configure(t, "safemode.yaml", "operations: {listen: "+s.operations+"}", guarded)
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	s.sim(t)
	p := s.sweep(t)
	address := "https://" + s.operations
	p.until("listening", func() bool { return strings.Contains(p.err.String(), "metrics and control at "+address) })

	let := []string{"--operations", s.operations, "--ca", ca.file, "--token-file", token}
	p.until("pausing", func() bool { return safemode(t, "", append([]string{"pause"}, let...)...).code == exitDone })
	var status record.Status
	line := must(t, "", append([]string{"status", "--json"}, let...)...)
	if err := json.Unmarshal([]byte(line), &status); err != nil || status.Meters == 0 {
		t.Errorf("%v: %s", err, line)
	}
	stranger := newTLSAuthority(t, "stranger-ca")
	refuses(t, exitRefused, "--token-file", "", "stop", "--operations", address, "--ca", ca.file)
	refuses(t, exitRefused, "operations token", "", "stop", "--operations", address, "--ca", ca.file, "--token-file", wrong)
	looks := []string{"--operations", address, "--ca", ca.file, "--token-file", look}
	must(t, "", append([]string{"status", "--json"}, looks...)...)
	refuses(t, exitRefused, "who has this token may look, but gives no orders. Who may: whoever has the token of operations.token_file.", "", append([]string{"stop"}, looks...)...)
	refuses(t, exitFailed, "certificate", "", "stop", "--operations", address, "--ca", stranger.file, "--token-file", token)
	refuses(t, exitFailed, "certificate", "", "stop", "--operations", address, "--token-file", token)
	refuses(t, exitFailed, s.operations, "", "stop", "--operations", s.operations, "--token-file", token) // plain HTTP

	if r := safemode(t, "", append([]string{"stop"}, let...)...); r.code != exitDone || r.out != "" ||
		!strings.HasPrefix(r.err, "stop: done\nSIMULATOR, interrupted: ") && r.err != "stop: done\nit has ended; safemode status --journal FILE says how it stands\n" {
		t.Errorf("stop: %+v", r)
	}
	p.wait().says(t, exitInterrupted, "drained")
}

// TestOperationsRefused: what would leave the address open is refused before
// anything else happens.
func TestOperationsRefused(t *testing.T) {
	t.Parallel()
	s := newScene(t, 5, 3, 600)
	plain := "operations: {listen: " + s.operations + "}"
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	certificate, key := newTLSAuthority(t, "operations-ca").issue("operations")
	open := putFile(t, s.path("open-token"), []byte("0123456789abcdef0123456789abcdef\n"))
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	putFile(t, s.path("short-token"), []byte("secret\n"))
	putFile(t, s.path("one-token"), []byte("0123456789abcdef0123456789abcdef\n"))
	putFile(t, s.path("same-token"), []byte("0123456789abcdef0123456789abcdef\n"))
	for _, test := range []struct{ operations, reason string }{
		{"{listen: 0.0.0.0:8090}", "not loopback"},
		{"{listen: 0.0.0.0:8090, token_file: token}", "not loopback"},
		{"{listen: 0.0.0.0:8090, tls: {certificate: " + certificate + ", key: " + key + "}}", "not loopback"},
		{"{listen: " + s.operations + ", token_file: open-token}", "chmod 600"},
		{"{listen: " + s.operations + ", token_file: short-token}", "openssl rand -hex 32"},
		{"{listen: " + s.operations + ", token_file: no-token}", "no such file"},
		{"{listen: " + s.operations + ", look_token_file: one-token}", "nobody could give an order"},
		{"{listen: " + s.operations + ", token_file: one-token, look_token_file: same-token}", "operations.look_token_file: another has the same token"},
		{"{listen: " + s.operations + ", tls: {certificate: " + certificate + ", key: " + certificate + "}}", "operations.tls"},
	} {
		s.configure(t, "bad.yaml", plain, "operations: "+test.operations)
		r := safemode(t, "", s.sweepArgs("bad.yaml", "plan", "none.db")...)
		if r.code != exitUsage || !strings.Contains(r.err, test.reason) || strings.Contains(r.err, "0123456789abcdef") || strings.Contains(r.err, "secret\n") {
			t.Errorf("%s: exit %d, %s", test.operations, r.code, r.err)
		}
		if _, err := os.Stat(s.path("none.db")); !os.IsNotExist(err) {
			t.Errorf("%s: a journal was made", test.operations)
		}
	}
	// A token is not sent in the clear to another machine.
	token := putFile(t, s.path("token"), []byte("0123456789abcdef0123456789abcdef\n"))
	refuses(t, exitUsage, "https only", "", "status", "--operations", "192.0.2.1:8090", "--token-file", token)
	refuses(t, exitUsage, "chmod 600", "", "status", "--operations", s.operations, "--token-file", open)
	refuses(t, exitUsage, "want host:port", "", "status", "--operations", "ftp://127.0.0.1:8090")
}
