package main

import (
	"crypto/ecdsa"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"safemode/servicerequests/smki"
)

// smallSpeed is so slow that a sweep is under way as long as a test needs, and so fast that who
// drains need not wait long for answers.
const smallSpeed = 10

// smallScene is a scene of few meters.
func smallScene(t *testing.T) *scene {
	t.Helper()
	s := newScene(t, 20, 5, smallSpeed)
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	return s
}

// untouched checks that the simulated DCC was sent nothing, and ends it.
func (s *scene) untouched(t *testing.T, sim *process) {
	t.Helper()
	if n := s.requests(t); n != 0 {
		t.Errorf("the DCC was sent %g requests", n)
	}
	if summary := stopSim(t, sim); len(summary.Executed) != 0 || len(summary.Refused) != 0 || summary.Deliveries.Delivered != 0 {
		t.Errorf("simulator: %+v", summary)
	}
}

// copyTree copies a folder of the scene under another name.
func (s *scene) copyTree(t *testing.T, from, to string) string {
	t.Helper()
	if err := os.CopyFS(s.path(to), os.DirFS(s.path(from))); err != nil {
		t.Fatal(err)
	}
	return s.path(to)
}

// refusesSweep runs a sweep that must end with code, say why in one line, and send nothing.
func (s *scene) refusesSweep(t *testing.T, code int, config, plan, journal string, words ...string) {
	t.Helper()
	r := safemode(t, "", s.sweepArgs(config, plan, journal)...)
	r.says(t, code, words...)
	if r.out != "" {
		t.Errorf("printed %q", r.out)
	}
}

// A frozen plan stays: without it its journal could not go on.
func TestFrozenPlanStays(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	refuses(t, exitUsage, s.path("plan")+" holds a plan already", "", "plan", "--config", s.path("safemode.yaml"),
		"--direction", s.path("direction.yaml"), "--portfolio", s.path("portfolio.csv"), "--out", s.path("plan"), "--cert", s.path("pki/staff/olga.pem"), "--key", s.path("pki/staff/olga.key"))
}

func TestSweepRefusesPlansAndKeys(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	sim := s.sim(t)
	text, err := os.ReadFile(s.path("direction.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	// Environment live.
	live := s.configure(t, "live.yaml", "environment: simulator", "environment: live", "http://", "https://",
		"simulator_clock: {speed: 10}\n", "gates: {revocation_lists: [r.crl], mpids_file: m.yaml, freeze_file: f.yaml}\nkeys: {in_process: accepted}\n", "operations: {", "operations: {people_file: people.yaml, ", "dcc:\n",
		"dcc:\n  tls: {certificate: pki/ca/root.pem, key: pki/ca/root.key, authorities: pki/ca/root.pem}\n",
		"inbox: {", "inbox: {tls: {certificate: pki/ca/root.pem, key: pki/ca/root.key, authorities: pki/ca/root.pem, allowed_names: [dcc]}, ")
	putFile(t, s.path("people.yaml"), []byte("people: [{name: olga, role: operator, token_sha256: "+strings.Repeat("ab", 32)+"}]\n"))
	s.unapproved(t, "live", filepath.Base(live), "direction.yaml")
	refuses(t, exitRefused, "the plan is for environment live", "", "approve", "--plan", s.path("live"), "--yes",
		"--cert", s.path("pki/approvers/alice.pem"), "--key", s.path("pki/approvers/alice.key")) // a test approver
	s.refusesSweep(t, exitRefused, "live.yaml", "live", "journal.db", "not confirmed")
	planned, err := loadPlan(s.path("live"))
	if err != nil {
		t.Fatal(err)
	}
	confirmed := append(s.sweepArgs("live.yaml", "live", "journal.db"), "--confirm")
	refuses(t, exitRefused, "this plan's sweep is "+planned.SweepID(), "", append(confirmed, "000000000000")...)
	if r := safemode(t, "", append(confirmed, planned.SweepID())...); r.code != exitRefused ||
		!strings.Contains(r.err, "is of a test PKI") || !strings.Contains(r.err, "alice's certificate is issued by CN=SAFEMODE TEST") {
		t.Errorf("test keys and people in live: exit %d: %s", r.code, r.err)
	}
	s.refusesSweep(t, exitRefused, "safemode.yaml", "live", "journal.db", "the plan is for environment live")
	s.refusesSweep(t, exitRefused, "live.yaml", "plan", "journal.db", "the plan is for environment simulator")

	// Keys and certificates.
	must(t, "", "pki", "init", "--out", s.path("other"), "--seed", "77")
	production := s.copyTree(t, "pki", "production")
	issueSupplier(t, production)
	for _, c := range []struct {
		name  string
		swap  []string
		words []string
	}{
		{"production", []string{"pki_dir: pki", "pki_dir: production"}, []string{"identity", "XML signing certificate: it is not of a test PKI"}},
		{"transform", []string{"[pki/dcc/transform.pem]", "[other/dcc/transform.pem]"}, []string{"Transform certificate", "does not chain"}},
		{"xml-signing", []string{"[pki/dcc/xml-signing.pem]", "[other/dcc/xml-signing.pem]"}, []string{"XML signing certificate", "does not chain"}},
		{"no-dcc", []string{"[pki/dcc/transform.pem]", "[pki/supplier/xml-signing.pem]"}, []string{"Transform certificate"}},
		{"other-eui", []string{"eui: " + smki.TestSupplier.String(), "eui: 90-B3-D5-1F-30-05-00-00"}, []string{"90-B3-D5-1F-30-05-00-00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.configure(t, c.name+".yaml", c.swap...)
			r := safemode(t, "", s.sweepArgs(c.name+".yaml", "plan", "journal.db")...)
			if r.code != exitRefused || r.out != "" {
				t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
			}
			for _, word := range c.words {
				if !strings.Contains(r.err, word) {
					t.Errorf("said %q, want %q in it", r.err, word)
				}
			}
		})
	}
	refuses(t, exitRefused, "not of a test PKI", "", "sim", "--fleet", s.path("fleet.csv"), "--pki", production)
	if _, err := os.Stat(s.path("journal.db")); err == nil {
		t.Error("a journal was begun")
	}

	// A direction that is out of force, at either end.
	for name, window := range map[string][2]time.Time{
		"ended":  {time.Now().AddDate(0, -2, 0), time.Now().AddDate(0, -1, 0)},
		"begins": {time.Now().AddDate(0, 1, 0), time.Now().AddDate(0, 2, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			var lines []string
			for line := range strings.Lines(string(text)) {
				switch {
				case strings.HasPrefix(line, "not_before:"):
					line = "not_before: " + window[0].UTC().Format(time.RFC3339) + "\n"
				case strings.HasPrefix(line, "not_after:"):
					line = "not_after: " + window[1].UTC().Format(time.RFC3339) + "\n"
				}
				lines = append(lines, line)
			}
			putFile(t, s.path(name+".yaml"), []byte(strings.Join(lines, "")))
			s.plan(t, "plan-"+name, "safemode.yaml", name+".yaml")
			s.refusesSweep(t, exitRefused, "safemode.yaml", "plan-"+name, name+".db", "gate direction is closed", "direction not in force", "REHEARSAL "+name)
		})
	}
	s.untouched(t, sim)
}

// issueSupplier puts the supplier's certificates of some production PKI into a folder.
func issueSupplier(t *testing.T, pki string) {
	t.Helper()
	root := newAuthority(t, "Production")
	for name, template := range map[string]smki.Template{
		"xml-signing":     {Role: smki.UserXMLSigning, EUI: smki.TestSupplier, Usage: smki.DigitalSignature},
		"digital-signing": {Role: smki.Supplier, EUI: smki.TestSupplier, Usage: smki.DigitalSignature},
		"key-agreement":   {Role: smki.Supplier, EUI: smki.TestSupplier, Usage: smki.KeyAgreement},
	} {
		key := newKey(t)
		putIdentity(t, filepath.Join(pki, "supplier", name), issueCertificate(t, root, key, template), key)
	}
}

func putIdentity(t *testing.T, path string, cert *smki.Certificate, key *ecdsa.PrivateKey) {
	t.Helper()
	putFile(t, path+".pem", cert.PEM())
	putKey(t, path+".key", key)
}

// trap is a listener that nobody may reach.
type trap struct {
	listener    net.Listener
	connections atomic.Int64
}

func setTrap(t *testing.T, address string) *trap {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	trap := &trap{listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			trap.connections.Add(1)
			c.Close()
		}
	}()
	return trap
}

// A dry run has keys, counters, a journal and a simulator of its own. It reaches no
// address of the configuration and reads none of its keys.
func TestDryRun(t *testing.T) {
	long(t)
	s := newScene(t, 60, 9, 600)
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	var traps []*trap
	for _, address := range []string{s.duis, s.smki, s.inbox, s.operations} {
		traps = append(traps, setTrap(t, address))
	}
	before := readTree(t, s.path("custody"))
	if err := os.RemoveAll(s.path("pki")); err != nil {
		t.Fatal(err)
	}
	args := append(s.sweepArgs("safemode.yaml", "plan", "dry/rehearsal.db"), "--dry-run", "--seed", "4", "--json")
	r := start(t, args...).succeeds()
	summary := parseSummary(t, r.out)
	if v := summary.Verdicts; summary.Meters != 60 || v.OnSupply+v.Armed < 50 || summary.Truth == nil || summary.Truth.Checked != 60 ||
		summary.Truth.Mismatches != 0 || summary.Counters.Reused != 0 || summary.ForbiddenCommands != 0 {
		t.Errorf("%s", r.out)
	}
	for _, trap := range traps {
		if n := trap.connections.Load(); n != 0 {
			t.Errorf("%v: %d connections", trap.listener.Addr(), n)
		}
	}
	for name := range readTree(t, s.path("custody")) {
		if before[name] == "" {
			t.Errorf("custody: %s", name)
		}
	}
	for _, name := range []string{"rehearsal.db", "meters.csv", "summary.json", "pki/supplier/xml-signing.key", "custody"} {
		if _, err := os.Stat(filepath.Join(s.path("dry"), name)); err != nil {
			t.Error(err)
		}
	}
	journal := parseSummary(t, must(t, "", "report", "--journal", s.path("dry/rehearsal.db"), "--out", t.TempDir(), "--json"))
	if journal.Verdicts != summary.Verdicts || journal.SweepID != summary.SweepID {
		t.Errorf("the journal says %+v, the dry run %+v", journal, summary)
	}
}

// The files beside --journal may be a real sweep's: a dry run refuses such a folder and
// changes nothing in it. Its flags are refused without --dry-run.
func TestDryRunNeedsAFolderOfItsOwn(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	before := readTree(t, s.dir)
	refuses(t, exitUsage, s.dir+" is not empty", "", append(s.sweepArgs("safemode.yaml", "plan", "journal.db"), "--dry-run")...)
	after := readTree(t, s.dir)
	for name, text := range after {
		if before[name] != text {
			t.Errorf("%s was changed", name)
		}
	}
	for _, flag := range []string{"--seed", "--faults", "--speed"} {
		refuses(t, exitUsage, flag+" goes with --dry-run", "", append(s.sweepArgs("safemode.yaml", "plan", "journal.db"), flag, "1")...)
	}
}
