package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/cmd/truth"
	"safemode/engine/report"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// Seed and speed of the scenes that are compared with a demo.
const (
	referenceSeed  = 1
	referenceSpeed = 600
)

// brisk is the speed of a scene that must come to the verdicts of a demo, and has much to wait for.
const brisk = 1200

// hasty is the speed of a sweep that a scene has only to end, whatever it finds: on a busy
// machine some reads come too late by a clock as fast as this.
const hasty = 2400

// referenceMeters is how many meters the demo has that is examined meter by meter.
func referenceMeters() int { return ofWhole(120, 300) }

// fewMeters is how many meters sweeps have that are cut off, or are there for something else.
// A fleet of fewer has no meter in trouble.
func fewMeters() int { return ofWhole(50, 120) }

// rehearsed is a demo that has ended.
type rehearsed struct {
	result  commandResult
	summary report.Summary
	meters  []meterLine
	dir     string
}

func startDemo(t *testing.T, meters int, seed uint64) (*process, string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "demo")
	return start(t, "demo", "--meters", strconv.Itoa(meters), "--seed", strconv.FormatUint(seed, 10), "--json", "--out", out), out
}

func finishDemo(t *testing.T, p *process, out string) rehearsed {
	t.Helper()
	r := p.succeeds()
	return rehearsed{r, parseSummary(t, r.out), readMeters(t, out), out}
}

// references are the demos that other sweeps are compared with, by their meters. Each runs
// once, for whoever asks first.
var references sync.Map // of func() (commandResult, string, error)

// referenceDemo is a demo of so many meters of the reference seed, with a folder that tests
// share: they only read in it.
func referenceDemo(t *testing.T, meters int) rehearsed {
	t.Helper()
	once, _ := references.LoadOrStore(meters, sync.OnceValues(func() (rehearsed, error) {
		path, err := program()
		if err != nil {
			return rehearsed{}, err
		}
		d := rehearsed{dir: filepath.Join(filepath.Dir(path), fmt.Sprintf("reference-%d", meters))}
		var out, said bytes.Buffer
		command := exec.Command(path, "demo", "--meters", strconv.Itoa(meters), "--seed", strconv.Itoa(referenceSeed), "--json", "--out", d.dir)
		command.Stdout, command.Stderr = &out, &said
		err = command.Run()
		d.result = commandResult{command.ProcessState.ExitCode(), out.String(), said.String()}
		return d, err
	}))
	d, err := once.(func() (rehearsed, error))()
	if err != nil {
		t.Fatalf("demo: %v: %s", err, d.result.err)
	}
	d.summary, d.meters = parseSummary(t, d.result.out), readMeters(t, d.dir)
	return d
}

// referenceVerdicts is what every undisturbed sweep of a fleet of the reference seed says.
func referenceVerdicts(t *testing.T, meters int) map[string]string {
	t.Helper()
	return verdicts(referenceDemo(t, meters).meters)
}

func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs a sweep of some ten seconds: left out by -short")
	}
	t.Parallel()
}

func TestDemo(t *testing.T) {
	long(t)
	again, againOut := startDemo(t, fewMeters(), referenceSeed)
	other, otherOut := startDemo(t, ofWhole(20, 60), referenceSeed+1)

	d := referenceDemo(t, referenceMeters())
	checkSummaryKeys(t, d.result.out)
	checkDemoSummary(t, d.summary)
	checkMetersFile(t, d)
	checkAgainstFleet(t, d)
	for _, words := range []string{"warning", "not the shipped ones"} {
		if strings.Contains(d.result.err, words) {
			t.Errorf("the demo says %q: %s", words, d.result.err)
		}
	}

	e := finishDemo(t, again, againOut)
	once := referenceDemo(t, fewMeters())
	if diff := cmp.Diff(once.summary.Verdicts, e.summary.Verdicts); diff != "" {
		t.Errorf("the same seed again: %s", diff)
	}
	checkSameSweep(t, once.meters, e.meters)
	f := finishDemo(t, other, otherOut)
	first := verdicts(d.meters)
	for device := range verdicts(f.meters) {
		if first[device] != "" {
			t.Errorf("%s is a meter under two seeds", device)
		}
	}
}

// keysOf lists the keys of an object and of the objects in it. Which kinds of other traffic
// came is chance.
func keysOf(value any, path string) (keys []string) {
	object, _ := value.(map[string]any)
	for name, inner := range object {
		if name == "other_messages" || name == "kinds" {
			inner = nil
		}
		keys = append(append(keys, path+name), keysOf(inner, path+name+".")...)
	}
	slices.Sort(keys)
	return keys
}

// checkSummaryKeys holds the summary's keys to the product's interface.
func checkSummaryKeys(t *testing.T, line string) {
	t.Helper()
	const classes = `{"sent":0,"success":0,"negative":0,"no_response":0,"rejected":0,"in_doubt":0,"unverified":0}`
	const contact = `{"meters":0,"contacted":0,"last_at":"","last_seconds":0.0}`
	const outline = `{"environment":"","state":"","direction":"","deadline":"","began_at":"","as_of":"","sweep_id":"","plan_sha256":"","meters":0,
		"verdicts":{"on_supply":0,"armed":0,"not_safe":0,"unknown":0,"excluded":0},
		"not_covered":0,"homes":{"all_on_supply":0,"armed":0,"other":0},"calls":{"armed":0,"dark":0},
		"transfers":{"listed":0,"left_alone":0,"told":0,"refused":0,"unexpected_e4":0},
		"first_contact":{"electricity":` + contact + `,"gas":` + contact + `},
		"blast_radius":{"homes":0,"meters":0,"at":"","cap_meters":0},"departures":[],
		"requests":{"1.6":` + classes + `,"2.5":` + classes + `,"7.3":` + classes + `,"7.4":` + classes + `,
			"6.2.9":` + classes + `,"4.18":` + classes + `,"4.13":` + classes + `,"8.2":` + classes + `},
		"refused":{"unpermitted":0,"uncorrelated":0,"unverified":0},"forbidden_commands":0,
		"counters":{"used":0,"first":0,"last":0,"reused":0},"throttled":0,"quarantined":0,
		"duration_seconds":0.0,"service_requests_per_second":0.0,"other_messages":{},"truth":{"checked":0,"mismatches":0,
			"missed_with_excuse":0,"could_answer":0,"share_safe":0.0,
			"other_traffic":{"kinds":{},"sent":0,"counted":0,"unjudged":0,"lost":0,"mistaken":0}}}`
	var want, got any
	if err := json.Unmarshal([]byte(outline), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(keysOf(want, ""), keysOf(got, "")); diff != "" {
		t.Errorf("keys: -interface +printed\n%s", diff)
	}
}

func checkDemoSummary(t *testing.T, s report.Summary) {
	t.Helper()
	v := s.Verdicts
	if sum := v.OnSupply + v.Armed + v.NotSafe + v.Unknown + v.Excluded; s.Meters != referenceMeters() || sum != s.Meters {
		t.Errorf("%d meters, verdicts on %d", s.Meters, sum)
	}
	sent := 0
	for srv, c := range s.Requests {
		if sum := c.Success + c.Negative + c.NoResponse + c.Rejected + c.InDoubt + c.Unverified; c.Sent == 0 || sum != c.Sent {
			t.Errorf("SRV %s: %d sent, classes of %d", srv, c.Sent, sum)
		}
		sent += c.Sent
	}
	// A counter whose request was withdrawn before it was sent is used all the same.
	if c := s.Counters; c.Reused != 0 || c.Used < sent || c.Last-c.First+1 < uint64(c.Used) {
		t.Errorf("%d requests sent, counters %+v", sent, c)
	}
	if s.Truth == nil || s.Truth.Checked != referenceMeters() || s.Truth.Mismatches != 0 || len(s.Truth.ByKind) != 0 ||
		s.Truth.MissedWithExcuse != 0 || s.Truth.CouldAnswer == 0 || s.Truth.ShareSafe < truth.ShareWanted {
		t.Errorf("truth %+v", s.Truth)
	}
	if s.ForbiddenCommands != 0 || s.Refused != (report.Refused{}) || s.NotCovered != 0 || s.Quarantined != 0 {
		t.Errorf("%d forbidden commands, refused %+v, %d not covered, %d quarantined",
			s.ForbiddenCommands, s.Refused, s.NotCovered, s.Quarantined)
	}
	for fuel, c := range map[string]report.FirstContact{"electricity": s.FirstContact.Electricity, "gas": s.FirstContact.Gas} {
		if c.Meters == 0 || c.Contacted != c.Meters || c.LastSeconds <= 0 || c.LastSeconds > s.DurationSeconds {
			t.Errorf("first contact with %s: %+v", fuel, c)
		}
	}
	if b := s.BlastRadius; b.Homes == 0 || b.Homes > b.Meters || b.Meters > b.Cap || b.Cap > s.Meters {
		t.Errorf("blast radius %+v", b)
	}
	if h := s.Homes; h.AllOnSupply == 0 || h.Armed == 0 || h.Other == 0 || s.DurationSeconds <= 0 || s.RequestRate <= 0 {
		t.Errorf("homes %+v, %g s, %g a second", h, s.DurationSeconds, s.RequestRate)
	}
}

// checkMetersFile holds meters.csv to its format and to the summary.
func checkMetersFile(t *testing.T, d rehearsed) {
	t.Helper()
	want := strings.Split("device_id,device_type,mpxn,csp_region,verdict,as_of,reason,"+
		"found_mode,found_supply,found_balance,end_mode,end_supply,end_balance", ",")
	for _, s := range servicerequests.Services {
		want = append(want, s.SRV()+"_outcome", s.SRV()+"_code")
	}
	want = append(want, "attempts", "first_sent_at", "last_response_at", "request_ids")
	header, _ := readCSV(t, filepath.Join(d.dir, "meters.csv"))
	if diff := cmp.Diff(want, header); diff != "" {
		t.Errorf("meters.csv: -want +got\n%s", diff)
	}
	counts := map[string]int{}
	for _, m := range d.meters {
		counts[m["verdict"]]++
	}
	v := d.summary.Verdicts
	all := map[string]int{"on_supply": v.OnSupply, "armed": v.Armed, "not_safe": v.NotSafe, "unknown": v.Unknown, "excluded": v.Excluded}
	maps.DeleteFunc(all, func(_ string, n int) bool { return n == 0 })
	if diff := cmp.Diff(all, counts); diff != "" {
		t.Errorf("verdicts: -summary +meters.csv\n%s", diff)
	}
}

// checkAgainstFleet holds each verdict against what the fleet file says of the
// meter, beside the comparison that the demo itself makes.
func checkAgainstFleet(t *testing.T, d rehearsed) {
	t.Helper()
	_, lines := readCSV(t, filepath.Join(d.dir, "fleet.csv"))
	fleet := map[string]meterLine{}
	for _, m := range lines {
		fleet[m["device_id"]] = m
	}
	could, safe := 0, 0
	for _, m := range d.meters {
		device := m["device_id"]
		truth := fleet[device]
		if truth == nil {
			t.Errorf("%s is no meter of the fleet, or stands in meters.csv twice", device)
			continue
		}
		delete(fleet, device)
		ours, reachable := truth["registered_supplier"] == smki.TestSupplier.String(), truth["reachable"] == "true"
		if ours && reachable {
			could++
		}
		ok := true
		switch verdict := m["verdict"]; verdict {
		case "on_supply", "armed":
			safe++
			ok = ours && reachable && m["end_mode"] == "credit" && m["end_supply"] == map[string]string{"on_supply": "enabled", "armed": "armed"}[verdict]
		case "excluded":
			ok = !ours
		case "unknown":
			ok = !reachable
		case "not_safe":
			ok = reachable && sharedReason(m, truth)
		}
		if !ok || (m["verdict"] != "on_supply") != (m["reason"] != "") {
			t.Errorf("%s is called %s (%s); the fleet says %v", device, m["verdict"], m["reason"], truth)
		}
	}
	if len(fleet) != 0 {
		t.Errorf("%d meters of the fleet are not in meters.csv", len(fleet))
	}
	if float64(safe) < 0.97*float64(could) {
		t.Errorf("%d of %d meters that could answer are on supply or armed", safe, could)
	}
}

// sharedReason says whether the fleet bears out why a meter is not safe. Supplies
// that are off stay off without proof that lack of credit was the cause.
func sharedReason(m, truth meterLine) bool {
	off := truth["supply_state"] == "disabled"
	switch m["reason"] {
	case "arm refused":
		return truth["locked"] == "true"
	case "disabled with credit left":
		return off && truth["payment_mode"] == "prepayment" && !strings.HasPrefix(truth["balance"], "-") && truth["balance"] != "0.00000"
	case "found in credit and disabled":
		return off && truth["payment_mode"] == "credit"
	case "disabled by the supplier":
		return off
	}
	return false
}

// claimed are the columns of meters.csv that two sweeps of one fleet agree on, whatever
// the machine was busy with.
var claimed = []string{"device_id", "device_type", "mpxn", "csp_region", "verdict", "reason", "end_mode", "end_supply"}

// checkSameSweep compares two sweeps of one fleet. Times, counters and IDs differ. All
// else is the same, but where the machine stalls for so long that a read is not waited
// for: at the demo's speed three seconds.
func checkSameSweep(t *testing.T, a, b []meterLine) {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%d and %d meters", len(a), len(b))
	}
	momentary := []string{"as_of", "attempts", "first_sent_at", "last_response_at", "request_ids"}
	otherwise := 0
	for i, m := range a {
		same := true
		for column, value := range m {
			switch {
			case value == b[i][column] || slices.Contains(momentary, column):
			case column == "reason" && sameReason(value) == sameReason(b[i][column]):
			case slices.Contains(claimed, column):
				t.Errorf("%s: %s is %q and %q", m["device_id"], column, value, b[i][column])
			default:
				t.Logf("%s: %s is %q and %q", m["device_id"], column, value, b[i][column])
				same = false
			}
		}
		if !same {
			otherwise++
		}
	}
	t.Logf("%d of %d meters were asked otherwise", otherwise, len(a))
	if otherwise*20 > len(a) {
		t.Error("that is more than a busy machine explains")
	}
}

// A rehearsal that is interrupted drains, says so in one line, and claims nothing.
func TestDemoInterrupted(t *testing.T) {
	long(t)
	for name, moment := range map[string]string{"at once": "files in", "under way": "metrics and control at"} {
		t.Run(name, func(t *testing.T) {
			p, _ := startDemo(t, 100, 3)
			p.until(moment, func() bool { return strings.Contains(p.err.String(), moment) })
			r := p.signal(syscall.SIGINT)
			r.says(t, exitInterrupted, "interrupted")
			if r.out != "" {
				t.Errorf("printed %q", r.out)
			}
		})
	}
}

func TestDemoRefuses(t *testing.T) {
	full := t.TempDir()
	putFile(t, filepath.Join(full, "notes.txt"), []byte("mine"))
	for _, c := range []struct {
		reason string
		args   []string
	}{
		{"--meters", []string{"--meters", "0"}},
		{"--speed", []string{"--speed", "-1"}},
		{"there is none of that name", []string{"--faults", "stormy"}},
		{full + " is not empty", []string{"--out", full}},
	} {
		refuses(t, exitUsage, c.reason, "", append([]string{"demo"}, c.args...)...)
	}
}
