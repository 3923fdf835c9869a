package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"safemode/engine/journal"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/smki"
)

// replaceIn writes a copy of a file with some text replaced.
func replaceIn(t *testing.T, from, to, old, replacement string) string {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(old)) {
		t.Fatalf("%q is not in %s", old, from)
	}
	return putFile(t, to, bytes.Replace(text, []byte(old), []byte(replacement), 1))
}

// flip changes one bit in the middle of where a text stands in a file.
func flip(t *testing.T, path, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(b, []byte(text))
	if at < 0 {
		t.Fatalf("%q is not in %s", text, path)
	}
	b[at+len(text)/2] ^= 1
	putFile(t, path, b)
}

func TestPlanBadInput(t *testing.T) {
	t.Parallel()
	s := newScene(t, 20, 6, 1)
	file := func(name, text string) string { putFile(t, s.path(name), []byte(text)); return name }
	config := func(name string, swap ...string) string { s.configure(t, name, swap...); return name }
	edited := func(from, to, old, new string) string { replaceIn(t, s.path(from), s.path(to), old, new); return to }
	signed := func(name string) string {
		if err := signFile(s.path(name), s.path("pki/staff/rita")); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, c := range []struct {
		name                         string
		config, direction, portfolio string
		reason                       string
	}{
		{"unknown key", config("unknown.yaml", "environment: simulator", "environment: simulator\nspeed: 3"), "direction.yaml", "portfolio.csv", "unknown.yaml: speed: unknown key"},
		{"nested unknown key", config("nested.yaml", "user: {per_second: ", "user: {pace: 3, per_second: "), "direction.yaml", "portfolio.csv", "nested.yaml: limits.user.pace: unknown key"},
		{"no config", "none.yaml", "direction.yaml", "portfolio.csv", "none.yaml: no such file"},
		{"no YAML", file("broken.yaml", "a: [\n"), "direction.yaml", "portfolio.csv", "broken.yaml: "},
		{"no direction", "safemode.yaml", "none.yaml", "portfolio.csv", "none.yaml: no such file"},
		{"direction's key", "safemode.yaml", edited("direction.yaml", "d1.yaml", "reference: REHEARSAL", "reference: REHEARSAL\nref: X"), "portfolio.csv", "d1.yaml: direction: ref: unknown key"},
		{"direction's supplier", "safemode.yaml", signed(edited("direction.yaml", "d2.yaml", smki.TestSupplier.String(), "90-B3-D5-1F-30-07-00-00")), "portfolio.csv", smki.TestSupplier.String()},
		{"too many meters", "safemode.yaml", signed(edited("direction.yaml", "d3.yaml", "maximum_meters: 20", "maximum_meters: 3")), "portfolio.csv", "3"},
		{"no portfolio", "safemode.yaml", "direction.yaml", "none.csv", "none.csv: no such file"},
		{"no header", "safemode.yaml", "direction.yaml", edited("portfolio.csv", "p1.csv", "device_id,device_type,", "00-DB-12-E0-02-24-11-87,ESME,"), "p1.csv: plan: portfolio header"},
		{"empty", "safemode.yaml", "direction.yaml", file("empty.csv", ""), "empty.csv: plan: portfolio header: the file is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := safemode(t, "", "plan", "--cert", s.path("pki/staff/olga.pem"), "--key", s.path("pki/staff/olga.key"), "--config", s.path(c.config), "--direction", s.path(c.direction),
				"--portfolio", s.path(c.portfolio), "--out", s.path("plan"))
			if (r.code != exitUsage && r.code != exitRefused) || r.out != "" || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, c.reason) {
				t.Errorf("exit %d, %q, want one line with %q", r.code, r.err, c.reason)
			}
			if _, err := os.Stat(s.path("plan")); err == nil {
				t.Error("a plan was made")
			}
		})
	}
	refuses(t, exitUsage, "speed: unknown key", "", "check-config", s.path("unknown.yaml"))
	refuses(t, exitFailed, s.path("portfolio.csv"), "", "plan", "--cert", s.path("pki/staff/olga.pem"), "--key", s.path("pki/staff/olga.key"), "--config", s.path("safemode.yaml"), "--direction",
		s.path("direction.yaml"), "--portfolio", s.path("portfolio.csv"), "--out", s.path("portfolio.csv"))
}

// A broken row is rejected with its line and reason; the rest goes on.
func TestPlanRejectsRows(t *testing.T) {
	t.Parallel()
	s := newScene(t, 20, 6, 1)
	text, err := os.ReadFile(s.path("portfolio.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.SplitAfter(string(text), "\n")
	rows[3] = "junk,row\n"
	rows[7] = strings.Replace(rows[7], "00-DB", "00-ZZ", 1)
	rows[9] = rows[8]
	putFile(t, s.path("portfolio.csv"), []byte(strings.Join(rows, "")))
	tolerant := s.configure(t, "tolerant.yaml", "custody_dir:", "max_rejected_share: 0.15\ncustody_dir:")
	out := s.plan(t, "plan", "tolerant.yaml", "direction.yaml")
	frozen, err := os.ReadFile(filepath.Join(out, "plan.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"4", "8", "10"} {
		if !strings.Contains(string(frozen), `"line":`+line+`,`) {
			t.Errorf("line %s is not in the plan's rejected rows", line)
		}
	}
	printed := must(t, "", "plan", "--cert", s.path("pki/staff/olga.pem"), "--key", s.path("pki/staff/olga.key"), "--config", tolerant, "--direction", s.path("direction.yaml"),
		"--portfolio", s.path("portfolio.csv"), "--out", s.path("plan2"))
	if !strings.Contains(printed, "17 of 20 portfolio rows planned") || !strings.Contains(printed, "3 rejected") {
		t.Errorf("printed %s", printed)
	}
}

func TestSweepBadInput(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	sim := s.sim(t)
	pki := func(name string, change func(dir string)) []string {
		change(s.copyTree(t, "pki", name))
		return []string{"pki_dir: pki", "pki_dir: " + name}
	}
	key := filepath.Join("supplier", "xml-signing.key")
	silent, taken := freeAddress(t), occupied(t)
	notSMKI := strings.Replace("smki_url: http://"+s.smki, s.smki, silent, 1)
	custody := func(name, text string) []string {
		if err := os.Mkdir(s.path(name), 0o700); err != nil {
			t.Fatal(err)
		}
		swap := []string{"custody_dir: custody", "custody_dir: " + name}
		s.configure(t, name+".yaml", swap...)
		s.plan(t, name+"-plan", name+".yaml", "direction.yaml")
		putFile(t, filepath.Join(s.path(name), smki.TestSupplier.String()+".json"), []byte(text))
		return swap
	}
	flipped := s.copyTree(t, "plan", "flipped")
	flip(t, filepath.Join(flipped, "plan.ndjson"), `"targets"`)
	cut := s.copyTree(t, "plan", "cut")
	if err := os.Truncate(filepath.Join(cut, "plan.ndjson"), 3000); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, plan, journal string
		swap                []string
		code                int
		words               []string
	}{
		{"key is junk", "plan", "", pki("junk", func(dir string) { putFile(t, filepath.Join(dir, key), []byte("junk")) }), exitUsage, []string{key, "PEM"}},
		{"key is missing", "plan", "", pki("missing", func(dir string) { os.Remove(filepath.Join(dir, key)) }), exitUsage, []string{key, "no such file"}},
		{
			"key of another", "plan", "", pki("another", func(dir string) {
				replaceIn(t, s.path("pki/supplier/key-agreement.key"), filepath.Join(dir, key), "", "")
			}),
			exitUsage,
			[]string{key, "does not match the certificate"},
		},
		{"no PKI folder", "plan", "", []string{"pki_dir: pki", "pki_dir: nowhere"}, exitUsage, []string{"nowhere: no such file"}},
		{"no certificate", "plan", "", []string{"[pki/dcc/transform.pem]", "[pki/none.pem]"}, exitUsage, []string{"pki/none.pem"}},
		{"no custody", "plan", "", []string{"custody_dir: custody", "custody_dir: nowhere"}, exitUsage, []string{"custody_dir", "nowhere", "make it if there were none"}},
		{"broken custody", "broken-plan", "", custody("broken", "{"), exitHalted, []string{smki.TestSupplier.String() + ".json", "not a custody file"}},
		{"custody of another", "others-plan", "", custody("others", `{"originator":"`+smki.TestSupplier.String()+`","owner":"other","high_water":7}`), exitRefused, []string{"belongs to another journal"}},
		{"DCC does not listen", "plan", "", []string{"\n  url: http://" + s.duis, "\n  url: http://" + silent}, exitFailed, []string{"dcc.url", silent, "cannot be reached"}},
		{"SMKI does not listen", "plan", "", []string{"smki_url: http://" + s.smki, notSMKI}, exitFailed, []string{"dcc.smki_url", silent, "cannot be reached"}},
		{"inbox is taken", "plan", "", []string{s.inbox, taken}, exitFailed, []string{"inbox.listen", taken, "in use"}},
		{"operations are taken", "plan", "", []string{s.operations, taken}, exitFailed, []string{"operations.listen", taken, "in use"}},
		{"no plan", "nowhere", "", nil, exitUsage, []string{"nowhere", "no such file"}},
		{"damaged plan", "flipped", "", nil, exitRefused, []string{"flipped", "plan.ndjson"}},
		{"cut plan", "cut", "", nil, exitRefused, []string{"cut", "plan.ndjson"}},
		{"no journal", "plan", "fleet.csv", nil, exitUsage, []string{"fleet.csv", "not a journal"}},
		{"no folder for the journal", "plan", "nowhere/journal.db", nil, exitUsage, []string{"nowhere/journal.db", "no such file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := strings.ReplaceAll(c.name, " ", "-")
			s.configure(t, name+".yaml", c.swap...)
			journal := name + ".db"
			if c.journal != "" {
				journal = c.journal
			}
			s.refusesSweep(t, c.code, name+".yaml", c.plan, journal, c.words...)
		})
	}
	s.untouched(t, sim)
}

// occupied is an address that somebody listens at.
func occupied(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// badPKI is the scene's PKI folder with another text in one file; none: it is a
// folder, which nobody can read, not even root.
func (s *scene) badPKI(t *testing.T, file, text string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pki")
	if err := os.CopyFS(dir, os.DirFS(s.path("pki"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, filepath.FromSlash(file))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if text != "" {
		putFile(t, path, []byte(text))
	} else if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSimBadInput(t *testing.T) {
	t.Parallel()
	s := newScene(t, 20, 6, 1)
	taken := occupied(t)
	state := replaceIn(t, s.path("fleet.csv"), s.path("state.csv"), ",prepayment,", ",prepaymend,")
	faults := func(name, text string) string { return putFile(t, s.path(name), []byte(text)) }
	fleet, pki := s.path("fleet.csv"), s.path("pki")
	for _, c := range []struct {
		code   int
		reason string
		args   []string
	}{
		{exitFailed, taken, []string{"--fleet", fleet, "--pki", pki, "--listen", taken, "--smki-listen", s.smki, "--control", s.control}},
		{exitFailed, taken, []string{"--fleet", fleet, "--pki", pki, "--listen", s.duis, "--smki-listen", taken, "--control", s.control}},
		{exitFailed, "--control", []string{"--fleet", fleet, "--pki", pki, "--listen", s.duis, "--smki-listen", s.smki, "--control", taken}},
		{exitUsage, "--control", []string{"--fleet", fleet, "--pki", pki, "--listen", s.duis, "--smki-listen", s.smki, "--control", "0.0.0.0:0"}},
		{exitUsage, "state.csv: line ", []string{"--fleet", state, "--pki", pki}},
		{exitUsage, "portfolio.csv: line 1", []string{"--fleet", s.path("portfolio.csv"), "--pki", pki}},
		{exitUsage, "none.csv: no such file", []string{"--fleet", s.path("none.csv"), "--pki", pki}},
		{exitUsage, "nowhere: no such file", []string{"--fleet", fleet, "--pki", s.path("nowhere")}},
		{exitUsage, "there is none of that name, but calm, everyday, hubs-lifo", []string{"--fleet", fleet, "--pki", pki, "--faults", "stormy"}},
		{exitUsage, "unknown.yaml: fault profile: storm: unknown key", []string{"--fleet", fleet, "--pki", pki, "--faults", faults("unknown.yaml", "storm: 0.5\n")}},
		{exitUsage, "groups[1].no_answer: 2: want a share", []string{"--fleet", fleet, "--pki", pki, "--faults", faults("group.yaml", "groups: [{regions: [North]}, {no_answer: 2}]\n")}},
		{exitUsage, "dcc.anomaly_thresholds.1.6.per", []string{"--fleet", fleet, "--pki", pki, "--faults", faults("rules.yaml", "dcc: {anomaly_thresholds: {\"1.6\": {limit: 5}}}\n")}},
		{exitUsage, "dcc/transform.pem: ", []string{"--fleet", fleet, "--pki", s.badPKI(t, "dcc/transform.pem", "no certificate")}},
		{exitUsage, "dcc/transform.key: ", []string{"--fleet", fleet, "--pki", s.badPKI(t, "dcc/transform.key", "no key")}},
		{exitUsage, "supplier/xml-signing.pem: ", []string{"--fleet", fleet, "--pki", s.badPKI(t, "supplier/xml-signing.pem", "")}},
		{exitUsage, "latency.median", []string{"--fleet", fleet, "--pki", pki, "--faults", faults("value.yaml", "latency: {median: soon}\n")}},
		{exitUsage, "broken.yaml: fault profile", []string{"--fleet", fleet, "--pki", pki, "--faults", faults("broken.yaml", "a: [\n")}},
		{exitUsage, "--respond-to", []string{"--fleet", fleet, "--pki", pki, "--respond-to", "127.0.0.1"}},
		{exitUsage, "--speed", []string{"--fleet", fleet, "--pki", pki, "--speed", "0"}},
		{exitUsage, "fleet", []string{"--pki", pki}},
	} {
		refuses(t, c.code, c.reason, "", append([]string{"sim"}, c.args...)...)
	}
}

// One flipped bit in a journal: no report is made of it and no sweep goes on with it.
func TestDamagedJournal(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	sim := s.sim(t)
	p := s.sweep(t)
	p.until("sending", func() bool { return s.requests(t) > 5 })
	if r := p.signal(syscall.SIGINT); r.code != exitInterrupted {
		t.Fatalf("%+v", r)
	}
	sent := s.requests(t)
	flip(t, s.path("journal.db"), "\x28\xb5\x2f\xfd") // how a packed body begins
	out := filepath.Join(t.TempDir(), "report")
	refuses(t, exitHalted, "journal.db: record ", "", "report", "--journal", s.path("journal.db"), "--out", out)
	if _, err := os.Stat(out); err == nil {
		t.Error("a report was made")
	}
	s.refusesSweep(t, exitHalted, "safemode.yaml", "plan", "journal.db", "journal.db: record ")
	if now := s.requests(t); now != sent {
		t.Errorf("%g requests were sent", now-sent)
	}
	stopSim(t, sim)
	refuses(t, exitUsage, "none.db: no such file", "", "report", "--journal", s.path("none.db"), "--out", out)
	refuses(t, exitUsage, "not a journal", "", "report", "--journal", s.path("fleet.csv"), "--out", out)
}

// onTinyDisk runs a command line with a disk of the given size mounted at full, in a
// mount namespace of its own, and returns what it left there. A disk of 4k is full
// from the beginning.
func onTinyDisk(t *testing.T, full, size string, args ...string) (r commandResult, left []string) {
	t.Helper()
	unshare := outside.Program(t, "unshare", "util-linux")
	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}
	const script = `size=$1 dir=$2; shift 2
mount -t tmpfs -o size="$size" tmpfs "$dir" || exit
if [ "$size" = 4k ]; then cat /dev/zero >"$dir/filler" 2>/dev/null; fi
"$@"; code=$?
echo "left behind:" >&2; find "$dir" -type f ! -name filler >&2; exit $code`
	command := exec.Command(unshare, append([]string{"--map-root-user", "--mount", "sh", "-c", script, "sh", size, full, binary}, args...)...)
	r = startCommand(t, command).wait()
	talk, list, ran := strings.Cut(r.err, "left behind:\n")
	if !ran {
		t.Skip("no user namespace in which a file system can be mounted: " + r.err)
	}
	r.err = talk
	return r, strings.Fields(list)
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	sim := s.sim(t)
	full := t.TempDir()
	in := func(name string) string { return filepath.Join(full, name) }
	sweepInto := func(config string) []string {
		return []string{"sweep", "--config", s.path(config), "--plan", s.path("plan"), "--journal", in("journal.db")}
	}

	// A sweep that cannot begin its journal, and one whose journal fills the disk.
	r, _ := onTinyDisk(t, full, "60k", sweepInto("safemode.yaml")...)
	r.says(t, exitFailed, in("journal.db"), "full")
	if n := s.requests(t); n != 0 {
		t.Errorf("%g requests were sent", n)
	}
	s.configure(t, "fills.yaml", "custody_dir: custody", "custody_dir: fills")
	if err := os.Mkdir(s.path("fills"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.plan(t, "plan-fills", "fills.yaml", "direction.yaml")
	filling := sweepInto("fills.yaml")
	filling[slices.Index(filling, s.path("plan"))] = s.path("plan-fills")
	r, _ = onTinyDisk(t, full, "500k", filling...)
	if said := "safemode: halted: the journal cannot be written: "; r.code != exitHalted ||
		!strings.Contains(r.err, said) || !strings.Contains(r.err, "disk is full") || !strings.Contains(r.err, "Free the disk of the journal") || !strings.Contains(r.err, " approve ") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	stopSim(t, sim)

	j, err := journal.Open(s.path("journal.db"), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"plan", "--config", s.path("safemode.yaml"), "--direction", s.path("direction.yaml"), "--portfolio", s.path("portfolio.csv"), "--out", in("plan"), "--cert", s.path("pki/staff/olga.pem"), "--key", s.path("pki/staff/olga.key")},
		{"report", "--journal", s.path("journal.db"), "--out", in("report")},
		{"fleet", "generate", "--meters", "100", "--out", in("fleet.csv"), "--portfolio", in("portfolio.csv")},
		{"pki", "init", "--out", in("pki")},
		{"portfolio", "check", s.path("portfolio.csv"), "--rejects", in("rejects.csv")},
	} {
		r, left := onTinyDisk(t, full, "4k", args...)
		r.says(t, exitFailed, full, "no space left on device")
		if len(left) != 0 {
			t.Errorf("%s: left %v", args[0], left)
		}
	}
}
