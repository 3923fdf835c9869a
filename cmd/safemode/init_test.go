package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"safemode/config"
	"safemode/engine/direction"
)

// A rehearsal's folder needs nothing more: its files are valid, its direction is signed and
// in force, and each key of its configuration is explained.
func TestInitRehearsal(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "night")
	r := safemode(t, "", "init", folder, "--rehearsal", "--meters", "20")
	if want := nextPrefix + "cd " + folder + " && safemode check-config safemode.yaml"; r.code != exitDone || nextOf(r.err) != strings.TrimPrefix(want, nextPrefix) {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	conf, err := config.Load(filepath.Join(folder, "safemode.yaml"))
	if err != nil || conf.Environment != config.Simulator {
		t.Fatalf("%v", err)
	}
	roster, err := loadRoster(conf)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := direction.LoadRecord(filepath.Join(folder, "direction.yaml"), roster); err != nil {
		t.Error(err)
	}
	n, err := config.LoadNight(filepath.Join(folder, config.NightFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, person := range append(n.Approvers, n.Preparer, n.Recorder) {
		if _, _, err := loadPerson(filepath.Join(folder, person+".pem"), filepath.Join(folder, person+".key")); err != nil {
			t.Error(err)
		}
	}
	explained(t, folder)
}

// explained fails for a top-level key of a folder's configuration that no comment explains:
// on its line, or on each line below it.
func explained(t *testing.T, folder string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "safemode.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq("\n"+string(text), "\n\n") {
		for line := range strings.Lines(block) {
			if key, _, found := strings.Cut(line, ":"); found && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "#") && !strings.Contains(block, "#") {
				t.Errorf("%s is not explained", key)
			}
		}
	}
}

// A live folder makes nothing up: what must be decided is blank, and check-config names it.
func TestInitLiveLeavesBlankWhatMustBeDecided(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "night")
	if r := safemode(t, "", "init", folder); r.code != exitDone {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	r := safemode(t, "", "check-config", filepath.Join(folder, "safemode.yaml"))
	if r.code != exitUsage || nextOf(r.err) != "" {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	for _, key := range []string{
		"dcc.url", "dcc.smki_url", "inbox.listen", "inbox.tls.allowed_names", "identities[0].eui", "signer.socket", "custody_dir",
		"roster.signed_by", "gates.revocation_lists", "limits.user.per_second",
	} {
		if !strings.Contains(r.err, key+": no value") {
			t.Errorf("%s is not asked for:\n%s", key, r.err)
		}
	}
	text, err := os.ReadFile(filepath.Join(folder, "direction.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := direction.Parse(text); err == nil || !strings.Contains(err.Error(), "not_after") || !strings.Contains(err.Error(), "permitted_srvs") {
		t.Errorf("the direction: %v", err)
	}
	for _, name := range []string{"custody", "pki/staff", "direction.yaml.sig"} {
		if _, err := os.Stat(filepath.Join(folder, name)); !os.IsNotExist(err) {
			t.Errorf("%s was made: %v", name, err)
		}
	}
	// Once each blank has a value it is valid.
	conf, err := os.ReadFile(filepath.Join(folder, "safemode.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	filled := strings.NewReplacer(
		"  url: #", "  url: https://dcc.example #", "smki_url: #", "smki_url: https://smki.example #", "  listen: #", "  listen: 10.0.0.1:8089 #",
		"allowed_names: #", "allowed_names: [dcc.example] #", "- eui: #", "- eui: 90-B3-D5-1F-30-01-00-00 #", "socket: #", "socket: signer.sock #",
		"custody_dir: #", "custody_dir: custody #", "signed_by: #", "signed_by: rita.pem #", "revocation_lists: #", "revocation_lists: [crl.pem] #",
		"per_second: }", "per_second: 10, burst: 10}",
	).Replace(string(conf))
	if _, err := config.Parse([]byte(filled)); err != nil {
		t.Error(err)
	}
	if _, err := config.LoadNight(filepath.Join(folder, config.NightFile)); err != nil {
		t.Error(err)
	}
	explained(t, folder)
}

// Only in a night's folder does a command name the next one. What the night's file leaves out
// is in capitals; one that cannot be believed names nothing, and no command fails for it.
func TestNextByTheNightsFile(t *testing.T) {
	portfolio := filepath.Join(t.TempDir(), "portfolio.csv")
	generateFleet(t, filepath.Dir(portfolio), "--meters", "10", "--seed", "1")
	for night, want := range map[string]string{
		"":                             "",
		"config: conf.yaml\n":          "plan --config conf.yaml --direction DIRECTION.yaml --portfolio " + portfolio + " --out PLAN --cert PREPARER.pem --key PREPARER.key",
		"preparer: \"a b; rm c\"\n":    "plan --config CONFIG.yaml --direction DIRECTION.yaml --portfolio " + portfolio + " --out PLAN --cert 'a b; rm c.pem' --key 'a b; rm c.key'",
		"config: \"a\\u0007b\"\n":      "what comes next is not named: night.yaml:",
		"nothing: x\n":                 "what comes next is not named: night.yaml:",
		"approvers: [\"a\\u001bb\"]\n": "what comes next is not named: night.yaml:",
	} {
		t.Chdir(t.TempDir())
		if night != "" {
			putFile(t, config.NightFile, []byte(night))
		}
		r := safemode(t, "", "portfolio", "check", portfolio)
		if r.code != exitDone || !strings.Contains(r.err, want) || want == "" && r.err != "" || strings.ContainsAny(r.err, "\a\x1b") {
			t.Errorf("%q: exit %d, %q", night, r.code, r.err)
		}
		if named := nextOf(r.err) != ""; named != strings.HasPrefix(want, "plan ") {
			t.Errorf("%q: %q", night, r.err)
		}
	}
}
