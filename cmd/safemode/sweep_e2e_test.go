package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/cmd/rehearsal"
	"safemode/devicesim"
	"safemode/engine/record"
	"safemode/servicerequests/outside"
)

// referenceScene is a reference demo in separate processes, planned and with the
// simulated DCC serving. More of its configuration may be replaced.
func referenceScene(t *testing.T, meters int, replacements ...string) (*scene, *process) {
	t.Helper()
	return patientScene(t, meters, referenceSpeed, replacements...)
}

// patientScene is a referenceScene at some speed. Its policy is the demo's, but for read_wait.
func patientScene(t *testing.T, meters int, speed float64, replacements ...string) (*scene, *process) {
	t.Helper()
	s := newScene(t, meters, referenceSeed, speed)
	s.configure(t, "safemode.yaml", append(replacements, s.patience()...)...)
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	return s, s.sim(t)
}

// patience has a configuration wait for reads for so long that a sweep may be paused, cut off or
// without its signer meanwhile: the clock runs on, and a switch that no longer waits for its
// reads costs the proof of why a supply was off.
func (s *scene) patience() (replacements []string) {
	return []string{fmt.Sprintf("read_wait: %v", rehearsal.Config(s.speed).Policy.ReadWait), "read_wait: 2h"}
}

// status is what the command says of the running sweep.
func (s *scene) status(t *testing.T) (status record.Status) {
	t.Helper()
	line := must(t, "", "status", "--operations", s.operations, "--json")
	if err := json.Unmarshal([]byte(line), &status); err != nil || strings.Count(line, "\n") != 1 {
		t.Fatalf("%v: %s", err, line)
	}
	return status
}

// untilDone waits until the running sweep has verdicts on so many meters.
func (s *scene) untilDone(t *testing.T, p *process, meters int) {
	t.Helper()
	p.until("far enough", func() bool {
		var status record.Status
		body, err := tryGet("http://" + s.operations + "/api/v1/sweep")
		return err == nil && json.Unmarshal(body, &status) == nil && status.Done >= meters
	})
}

// borneOut holds verdicts against the simulated meters as they are now, and stops
// the simulator. Nobody has pressed a button.
func (s *scene) borneOut(t *testing.T, sim *process, meters []meterLine) {
	t.Helper()
	for _, m := range meters {
		var now struct {
			Mode     string `json:"payment_mode"`
			Supply   string `json:"supply_state"`
			Supplier string `json:"registered_supplier"`
		}
		if err := json.Unmarshal(get(t, "http://"+s.control+"/sim/v1/devices/"+m["device_id"]), &now); err != nil {
			t.Fatal(err)
		}
		switch m["verdict"] {
		case "on_supply", "armed", "not_safe":
			if now.Mode != m["end_mode"] || now.Supply != m["end_supply"] {
				t.Errorf("%s: called %s with %s and %s, is %+v", m["device_id"], m["verdict"], m["end_mode"], m["end_supply"], now)
			}
		}
	}
	if summary := stopSim(t, sim); summary.ForbiddenCommands != 0 || summary.Deliveries.GivenUp != 0 {
		t.Errorf("simulator: %+v", summary)
	}
}

// stopSim ends a simulator as Ctrl-C does, which is its clean end.
func stopSim(t *testing.T, sim *process) (summary devicesim.Summary) {
	t.Helper()
	r := sim.signal(syscall.SIGINT)
	if err := json.Unmarshal([]byte(r.out), &summary); err != nil || r.code != exitDone || strings.Count(r.out, "\n") != 1 {
		t.Errorf("sim: exit %d, %v: %s%s", r.code, err, r.out, r.err)
	}
	return summary
}

// engineMetrics are the metrics of the product's interface that this version has.
var engineMetrics = []string{
	"safemode_meters", "safemode_service_requests_total", "safemode_requests_in_flight",
	"safemode_ack_seconds_count", "safemode_response_seconds_count", "safemode_pacer_wait_seconds_count",
	"safemode_breaker_state", "safemode_journal_commit_seconds_count", "safemode_gate_open", "safemode_eta_seconds",
}

// A sweep over HTTP says of each meter what the demo says. Meanwhile it can be
// watched, paused and resumed.
func TestSweepOfAnotherProcess(t *testing.T) {
	long(t)
	s, sim := patientScene(t, fewMeters(), brisk)
	p := s.sweep(t)
	s.untilDone(t, p, 5)
	p.until("a time to go, which is absent while it is not known", func() bool {
		_, known := scrape(t, s.operations)["safemode_eta_seconds"]
		return known
	})

	before := scrape(t, s.operations)
	for _, name := range engineMetrics {
		found := false
		for full := range before {
			found = found || full == name || strings.HasPrefix(full, name+"{")
		}
		if !found {
			t.Errorf("metric %s is missing", name)
		}
	}
	namesOnlyWhatExists(t, before)
	const ended = "safemode_service_requests_total"
	first := sumOf(before, ended)
	if first == 0 {
		t.Errorf("%s is 0 with meters done", ended)
	}
	p.until("counting on", func() bool { return sumOf(scrape(t, s.operations), ended) > first }) // no request ends while a wave soaks

	order := func(word string) {
		t.Helper()
		state := map[string]string{"pause": "paused", "resume": "running"}[word]
		if r := safemode(t, "", word, "--operations", s.operations); r.code != exitDone || r.out != "" || !strings.HasPrefix(r.err, word+": done\nSIMULATOR, "+state+": ") {
			t.Errorf("%s: %+v", word, r)
		}
	}
	order("pause")
	var after record.Status
	if r := safemode(t, "", "renew", "--json", "--operations", s.operations); r.code != exitDone || json.Unmarshal([]byte(r.out), &after) != nil || after.State != "paused" || after.Environment != "simulator" {
		t.Errorf("renew --json: %+v", r)
	}
	sent, looks := 0.0, 0
	p.until("quiet: the DCC has replied to every POST, and none was on its way to it", func() bool {
		last := sent
		sent = s.requests(t)
		if looks++; sent != last || sumOf(scrape(t, s.operations), "safemode_ack_seconds_count") != sent {
			looks = 0
		}
		return looks == 10
	})
	status := s.status(t)
	if status.State != "paused" || status.Meters != s.meters || status.Done == 0 || status.Done == status.Meters {
		t.Errorf("paused: %+v", status)
	}
	p.until("five minutes on", func() bool { return s.status(t).Time.Sub(status.Time) > 5*time.Minute })
	if now := s.requests(t); now != sent {
		t.Errorf("%g requests were sent during the pause", now-sent)
	}
	order("resume")
	p.until("sending again", func() bool { return s.requests(t) > sent })

	if r := p.succeeds(); r.out != "" {
		t.Errorf("printed %q", r.out)
	}
	summary, meters := s.report(t, "journal.db")
	if diff := cmp.Diff(referenceVerdicts(t, s.meters), verdicts(meters)); diff != "" {
		t.Errorf("-demo +sweep\n%s", diff)
	}
	if summary.Counters.Reused != 0 || summary.ForbiddenCommands != 0 || summary.Truth != nil {
		t.Errorf("%+v", summary)
	}
	evidence := s.evidence(t, meters)
	s.borneOut(t, sim, meters) // before much time has passed: by its clock the DCC gives up what it cannot deliver
	t.Run("evidence", func(t *testing.T) { judgeEvidence(t, evidence) })
	refuses(t, exitFailed, "no sweep answers at "+s.operations, "", "status", "--operations", s.operations)
}

// evidence writes that of a meter that was armed into a folder, and returns its path.
func (s *scene) evidence(t *testing.T, meters []meterLine) (dir string) {
	t.Helper()
	i := slices.IndexFunc(meters, func(m meterLine) bool { return m["7.3_outcome"] == "success" })
	if i < 0 {
		t.Fatal("no meter was armed")
	}
	dir = s.path("evidence")
	must(t, "", "evidence", "--journal", s.path("journal.db"), "--device", meters[i]["device_id"], "--config", s.path("safemode.yaml"), "--out", dir)
	_, story := readCSV(t, filepath.Join(dir, "story.csv"))
	proofs := map[string]int{}
	for _, line := range story {
		proofs[line["result"]]++
		if strings.HasPrefix(line["result"], "FAILED") || strings.HasPrefix(line["result"], "not checked") {
			t.Errorf("%s: %s", line["file"], line["result"])
		}
	}
	if proofs["verified"] == 0 || proofs["unsigned"] == 0 || proofs["checked by the engine with the supplier's key: it held if an outcome rests on it"] == 0 {
		t.Errorf("proofs: %v", proofs)
	}
	if said := must(t, "", "evidence", "--journal", s.path("journal.db"), "--mpxn", meters[i]["mpxn"], "--out", s.path("by-mpxn"), "--json"); !strings.Contains(said, meters[i]["device_id"]) {
		t.Errorf("by its MPxN %s: %s", meters[i]["mpxn"], said)
	}
	refuses(t, exitUsage, "no meter of the plan", "", "evidence", "--journal", s.path("journal.db"), "--mpxn", "123456", "--out", s.path("none"))
	refuses(t, exitUsage, "--mpxn: ", "", "evidence", "--journal", s.path("journal.db"), "--mpxn", "12", "--out", s.path("none"))
	refuses(t, exitUsage, "does not name the device", "", "evidence", "--journal", s.path("journal.db"), "--device", "00-00-00-00-00-00-00-01", "--out", s.path("none"))

	return dir
}

// judgeEvidence has evidence checked by the script of the README, with tools that know nothing
// of this program.
func judgeEvidence(t *testing.T, dir string) {
	t.Helper()
	blocks, _ := readDocument(t, "cmd/safemode/README.md")
	i := slices.IndexFunc(blocks, func(b shellBlock) bool { return strings.HasPrefix(b.text, "cd evidence\n") })
	if i < 0 {
		t.Fatal("the README has no script for evidence")
	}
	script := strings.TrimPrefix(blocks[i].text, "cd evidence\n")
	outside.Program(t, "xmlsec1", "xmlsec1")
	outside.Program(t, "openssl", "openssl")
	run := func() error {
		command := exec.CommandContext(t.Context(), "sh", "-c", script)
		command.Dir = dir
		out, err := command.CombinedOutput()
		if bytes.Contains(out, []byte("does not hold")) {
			return errors.New(string(out))
		}
		return err
	}
	if err := run(); err != nil {
		t.Errorf("the README's script refuses the evidence: %v", err)
	}
	for _, suffix := range []string{"-response.xml", "-response.tbs"} {
		files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", suffix, err)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Clone(text)
		if i := bytes.Index(changed, []byte("I0<")); i >= 0 {
			copy(changed[i:], "I9<")
		} else {
			changed[len(changed)-1] ^= 1
		}
		if err := os.WriteFile(files[0], changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if run() == nil {
			t.Errorf("the README's script takes an altered %s", suffix)
		}
		if err := os.WriteFile(files[0], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A sweep that was cut off, in whatever way, goes on with the same command and
// ends as if nothing had been.
func TestSweepGoesOn(t *testing.T) {
	long(t)
	ways := map[string][]syscall.Signal{"after a kill and an interrupt": {syscall.SIGKILL, syscall.SIGINT}}
	if *whole {
		ways = map[string][]syscall.Signal{"after interrupts": {syscall.SIGINT, syscall.SIGINT}, "after kills": {syscall.SIGKILL, syscall.SIGKILL}}
	}
	for name, ends := range ways {
		t.Run(name, func(t *testing.T) {
			beside(t)
			sweepCutOff(t, ends)
		})
	}
}

// sweepCutOff cuts a sweep off early and in the middle, and lets it end.
func sweepCutOff(t *testing.T, ends []syscall.Signal) {
	t.Helper()
	s, sim := patientScene(t, fewMeters(), brisk)
	for i, done := range []int{5, s.meters / 2} {
		p := s.sweep(t)
		s.untilDone(t, p, done)
		switch r := p.signal(ends[i]); ends[i] {
		case syscall.SIGINT:
			r.says(t, exitInterrupted, "interrupted and drained")
		default:
			if r.code != -1 || r.out != "" {
				t.Errorf("%+v", r)
			}
		}
		if part, _ := s.report(t, "journal.db"); part.Verdicts.OnSupply == 0 || part.Verdicts.Unknown == 0 {
			t.Errorf("report of a part: %+v", part.Verdicts)
		}
	}
	s.sweep(t).succeeds()
	summary, meters := s.report(t, "journal.db")
	if diff := cmp.Diff(referenceVerdicts(t, s.meters), verdicts(meters)); diff != "" {
		t.Errorf("-demo +sweep\n%s", diff)
	}
	if summary.Counters.Reused != 0 || summary.ForbiddenCommands != 0 {
		t.Errorf("%+v", summary)
	}
	s.borneOut(t, sim, meters)
}
