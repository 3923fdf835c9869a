package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"safemode/servicerequests/outside"
	"safemode/servicerequests/smki"
)

// signerScene is a scene whose keys are with a signer: it has them, a plan and a roster of
// its own, in a folder that the sweep does not read.
func signerScene(t *testing.T, meters int) *scene {
	t.Helper()
	s := newScene(t, meters, referenceSeed, referenceSpeed)
	s.configure(t, "safemode.yaml", "identities:\n", "signer: {socket: signer/signer.sock}\nidentities:\n")
	s.unapproved(t, "plan", "safemode.yaml", "direction.yaml")
	s.makeSigner(t, "signer")
	for _, key := range s.keys(t, "pki") {
		if err := os.Remove(key); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// keys are the supplier's keys in a folder.
func (s *scene) keys(t *testing.T, folder string) []string {
	t.Helper()
	keys, err := filepath.Glob(s.path(folder + "/supplier/*.key"))
	if err != nil || len(keys) != 3 {
		t.Fatal(keys, err)
	}
	return keys
}

// makeSigner makes a signer's folder of that name, with copies of keys and plan.
func (s *scene) makeSigner(t *testing.T, name string) {
	t.Helper()
	home := s.path(name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	s.copyTree(t, "pki", name+"/pki")
	s.copyTree(t, "plan", name+"/plan")
	for _, key := range s.keys(t, name+"/pki") {
		if err := os.Chmod(key, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	putFile(t, filepath.Join(home, "signer.yaml"), fmt.Appendf(nil, `identities: [{eui: %v, pki_dir: pki}]
roster: {file: pki/roster.yaml, signed_by: pki/staff/rita.pem}
authorities: [pki/ca/root.pem, pki/ca/issuing.pem, pki/ca/device-issuing.pem]
folder: log
`, smki.TestSupplier))
}

func (s *scene) signer(t *testing.T) *process { return s.signerIn(t, "signer") }

// signerIn starts the signer of a folder.
func (s *scene) signerIn(t *testing.T, name string) *process {
	t.Helper()
	p := start(t, "signer", "serve", "--config", s.path(name+"/signer.yaml"))
	p.until("answering", func() bool { return strings.Contains(p.err.String(), "answers at") })
	return p
}

// A sweep that has no key comes to the same end as one that has them; and its signer may
// be killed meanwhile.
func TestSweepThroughASigner(t *testing.T) {
	long(t)
	s := signerScene(t, fewMeters())
	sim := s.sim(t)
	s.approve(t, "plan", "alice", "--resumes", "3")
	s.approve(t, "plan", "bob", "--resumes", "3")

	r := s.sweep(t).wait()
	if r.code != exitUsage || !strings.Contains(r.err, "signer cannot be reached") {
		t.Fatalf("without a signer: %+v", r)
	}
	signer := s.signer(t)
	p := s.sweep(t)
	s.untilDone(t, p, 5)
	signer.signal(syscall.SIGKILL)
	p.until("it waits and says why", func() bool { return strings.Contains(s.status(t).Signer, "no signatures since") })
	killed := s.status(t).Done
	s.signer(t)
	back := time.Now()
	p.until("it goes on", func() bool { status := s.status(t); return status.Signer == "" && status.Done > killed })
	t.Logf("it went on %v after the signer was back", time.Since(back).Round(10*time.Millisecond))
	if r := p.wait(); r.code != exitNotHeld && r.code != exitDone {
		t.Fatalf("sweep: %+v", r)
	}
	summary, meters := s.report(t, "journal.db")
	s.borneOut(t, sim, meters)

	audited := must(t, "", "audit", "--journal", s.path("journal.db"), "--custody-dir", s.path("custody"), "--config", s.path("safemode.yaml"), "--signer-log", s.path("signer/log/signer.db"))
	if !strings.Contains(audited, "proven     signer ") {
		t.Errorf("audit: %s", audited)
	}

	if with := referenceDemo(t, fewMeters()).summary; summary.Verdicts != with.Verdicts {
		t.Errorf("through a signer %v, with keys in files %v", summary.Verdicts, with.Verdicts)
	}
}

// A freeze stops a sweep at once; a thaw alone does not bring it back.
func TestFreezeOfTheSigner(t *testing.T) {
	long(t)
	s := signerScene(t, fewMeters())
	sim := s.sim(t)
	s.approve(t, "plan", "alice", "--resumes", "3")
	s.approve(t, "plan", "bob", "--resumes", "3")
	signer := s.signer(t)
	p := s.sweep(t)
	s.untilDone(t, p, 5)
	must(t, "", "signer", "freeze", "--config", s.path("signer/signer.yaml"))
	r := p.wait()
	if r.code != exitHalted || !strings.Contains(r.err, "frozen") {
		t.Fatalf("sweep: %+v", r)
	}
	sent := s.requests(t)
	must(t, "", "signer", "thaw", "--config", s.path("signer/signer.yaml"))
	if r := s.sweep(t).wait(); r.code != exitRefused {
		t.Fatalf("after the thaw, by approvals of before: %+v", r)
	}
	if now := s.requests(t); now != sent {
		t.Errorf("%v POSTs after the freeze", now-sent)
	}
	nextSecond()
	for _, person := range []string{"alice", "bob"} {
		s.approve(t, "plan", person, "--journal", s.path("journal.db"))
	}
	p = s.sweep(t)
	s.untilDone(t, p, 10)
	p.signal(syscall.SIGINT)
	signer.signal(syscall.SIGINT)
	stopSim(t, sim)
}

// Keys in a token: what a newcomer does by the README, to the same end as with keys in files.
// Without -whole the tests of safemode-signer and of token sign with keys in a token.
func TestSweepThroughAToken(t *testing.T) {
	onlyWhole(t) // it builds a program with cgo
	long(t)
	const meters = 500
	hsm := outside.SoftHSMOfOthers(t)
	binary := filepath.Join(t.TempDir(), "safemode-signer")
	build := exec.Command("go", "build", "-o", binary, "../safemode-signer")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	custodian := func(args ...string) *exec.Cmd {
		command := exec.Command(binary, args...)
		command.Env = append(os.Environ(), "SOFTHSM2_CONF="+hsm.Conf)
		return command
	}
	s := signerScene(t, meters)
	conf := s.path("signer/signer.yaml")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, s.path("signer/pin"), []byte(hsm.PIN))
	putFile(t, conf, fmt.Appendf(nil, "%spkcs11: {module: %s, token: %s, pin_file: pin}\n", strings.Replace(string(text), "pki_dir: pki}",
		`pki_dir: pki, xml_signing: "pkcs11:object=xml", digital_signing: "pkcs11:object=digital", key_agreement: "pkcs11:object=agreement"}`, 1), hsm.Module, hsm.Label))
	for kind, name := range map[string]string{"xml_signing": "xml-signing", "digital_signing": "digital-signing", "key_agreement": "key-agreement"} {
		file := s.path("signer/pki/supplier/" + name + ".key")
		if out, err := custodian("import", "--config", conf, "--key", kind, "--from", file).CombinedOutput(); err != nil {
			t.Fatalf("import: %v: %s", err, out)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	sim := s.sim(t)
	s.approve(t, "plan", "alice")
	s.approve(t, "plan", "bob")
	signer := startCommand(t, custodian("serve", "--config", conf))
	signer.until("answering", func() bool { return strings.Contains(signer.err.String(), "answers at") })
	preflight := safemode(t, "", "preflight", "--config", s.path("safemode.yaml"), "--plan", s.path("plan"), "--journal", s.path("journal.db"))
	for _, line := range []string{"ok   signer", "ok   MACs of reads"} {
		if !strings.Contains(preflight.out, line) {
			t.Errorf("preflight lacks %q: %s", line, preflight.out)
		}
	}
	if r := s.sweep(t).wait(); r.code != exitNotHeld && r.code != exitDone {
		t.Fatalf("sweep: %+v", r)
	}
	through, list := s.report(t, "journal.db")
	s.borneOut(t, sim, list)
	signer.signal(syscall.SIGINT)
	audited := must(t, "", "audit", "--journal", s.path("journal.db"), "--custody-dir", s.path("custody"), "--config", s.path("safemode.yaml"), "--signer-log", s.path("signer/log/signer.db"))
	if !strings.Contains(audited, "proven     signer ") {
		t.Errorf("audit: %s", audited)
	}

	with := referenceDemo(t, meters).summary
	if through.Verdicts != with.Verdicts {
		t.Errorf("through a token %v, with keys in files %v", through.Verdicts, with.Verdicts)
	}
	t.Logf("verdicts through a token %v, with keys in files %v", through.Verdicts, with.Verdicts)
}

// Over mutual TLS only the engine's name is heard.
func TestSignerOverMutualTLS(t *testing.T) {
	t.Parallel()
	s := signerScene(t, 20)
	address := freeAddress(t)
	conf := s.path("signer/signer.yaml")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	s.copyTree(t, "pki/tls", "signer/tls")
	if err := os.Chmod(s.path("signer/tls/dcc.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	putFile(t, conf, fmt.Appendf(nil, "%slisten: %s\ntls: {certificate: tls/dcc.pem, key: tls/dcc.key, authorities: tls/authority.pem, allowed_names: [user.test]}\n", text, address))
	s.signer(t)
	for name, want := range map[string]string{"user": "ok   signer", "dcc": "FAIL signer"} { // the second is a certificate of somebody else
		s.configure(t, "safemode.yaml", "identities:\n", fmt.Sprintf("signer: {url: 'https://%s', tls: {certificate: pki/tls/%s.pem, key: pki/tls/%[2]s.key, authorities: pki/tls/authority.pem}}\nidentities:\n", address, name))
		r := safemode(t, "", "preflight", "--config", s.path("safemode.yaml"), "--plan", s.path("plan"), "--journal", s.path("journal.db"))
		if !strings.Contains(r.out, want) {
			t.Errorf("as %s: want %q in %s%s", name, want, r.out, r.err)
		}
	}
}

// A log that was put back from a copy is taken once two have approved that very one.
func TestSignerLogIsAccepted(t *testing.T) {
	t.Parallel()
	s := signerScene(t, 20)
	conf, log := s.path("signer/signer.yaml"), s.path("signer/log/signer.db")
	s.signer(t).signal(syscall.SIGTERM)
	copied, err := os.ReadFile(log)
	if err == nil {
		err = os.Rename(log, s.path("old.db")) // kept, so that no other file gets its inode
	}
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, log, copied)
	if r := safemode(t, "", "signer", "serve", "--config", conf); r.code == exitDone || !strings.Contains(r.err, "another file than the log was made as") {
		t.Fatalf("serve: %+v", r)
	}
	r := safemode(t, "", "signer", "accept", "--config", conf)
	_, rest, _ := strings.Cut(r.err, `--subject "`)
	subject, _, found := strings.Cut(rest, `"`)
	if r.code == exitDone || !found {
		t.Fatalf("accept, before anybody approved: %+v", r)
	}
	for _, person := range []string{"alice", "bob"} {
		s.approve(t, "signer/plan", person, "--accept", "--subject", subject)
	}
	must(t, "", "signer", "accept", "--config", conf)
	s.signer(t)
}
