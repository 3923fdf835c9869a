package plan_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"safemode/engine/plan"
	"safemode/servicerequests"
)

// The golden file pins the format and the hash: a change of either is a new
// version.
func TestGolden(t *testing.T) {
	golden, err := os.ReadFile("testdata/golden.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	p := small(t)
	if diff := cmp.Diff(string(golden), string(encode(t, p))); diff != "" {
		t.Error(diff)
	}
	if want := "e078b70de928a1200f6e4c29c8e98cf01876d4d19f7752faa9f898724bb587dd"; p.SHA256 != want {
		t.Errorf("hash %s, want %s", p.SHA256, want)
	}
}

func TestRoundTrip(t *testing.T) {
	want := small(t) // as of a program that knew no settings
	want.Bounds.Settings = map[string]float64{"tripwires.unregistered.ratio": 0.2, "retry_budget": 0, "gates.max_age": 3600}
	folder := t.TempDir()
	if err := want.Save(folder); err != nil {
		t.Fatal(err)
	}
	got, err := plan.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(plan.Plan{})); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(filepath.Join(folder, plan.FileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSaveThatFailsLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, plan.FileName), 0o700); err != nil { // the rename must fail
		t.Fatal(err)
	}
	if err := small(t).Save(folder); err == nil {
		t.Error("saved over a folder")
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// Any byte that is changed, any cut and any line that is missing or moved
// refuses the file.
func TestAlteredFilesAreRefused(t *testing.T) {
	whole := encode(t, small(t))
	if _, err := plan.Read(bytes.NewReader(whole)); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, text []byte) {
		if _, err := plan.Read(bytes.NewReader(text)); !errors.Is(err, plan.ErrDamaged) && !errors.Is(err, plan.ErrVersion) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range whole {
		altered := bytes.Clone(whole)
		altered[i] ^= 1 << (i % 8)
		refused(fmt.Sprintf("bit %d of byte %d", i%8, i), altered)
		refused(fmt.Sprintf("cut to %d bytes", i), whole[:i])
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	lines = lines[:len(lines)-1]
	for i := range lines {
		refused(fmt.Sprintf("without line %d", i+1), bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil))
		refused(fmt.Sprintf("line %d twice", i+1), bytes.Join(slices.Insert(slices.Clone(lines), i, lines[i]), nil))
		if i > 0 {
			swapped := slices.Clone(lines)
			swapped[i], swapped[i-1] = swapped[i-1], swapped[i]
			refused(fmt.Sprintf("lines %d and %d swapped", i, i+1), bytes.Join(swapped, nil))
		}
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	whole := string(encode(t, small(t)))
	lines := strings.SplitAfter(whole, "\n")
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "plan file is not as it was written: it was cut after line 0: there is no end line"},
		{"cut between lines", strings.Join(lines[:3], ""), "plan file is not as it was written: it was cut after line 3: there is no end line"},
		{"cut in a line", strings.Join(lines[:3], "") + lines[3][:20], "plan file is not as it was written: line 4: the line was cut"},
		{"version", strings.Replace(whole, `"version":3`, `"version":2`, 1), "line 1: plan file of another version: version 2, this program reads 3: make a new plan and have it approved"},
		{"white space", strings.Replace(whole, `"order":2,`, `"order": 2,`, 1), "line 3: plan file is not as it was written: not in the plan's own encoding"},
		{"one digit", strings.Replace(whole, "1234567", "1234568", 1), "line 7: plan file is not as it was written: it was altered: its lines hash to "},
		{"behind the end", whole + lines[1], "line 8: plan file is not as it was written: something follows the end line"},
		{"another kind", strings.Replace(whole, `{"kind":"target"`, `{"kind":"extra"`, 1), `line 2: plan file is not as it was written: unknown kind "extra"`},
		{"two headers", lines[0] + whole, "line 2: plan file is not as it was written: a plan has one header, on its first line"},
	} {
		if _, err := plan.Read(strings.NewReader(c.text)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
	folder := t.TempDir()
	name := filepath.Join(folder, plan.FileName)
	if err := os.WriteFile(name, []byte(whole[:100]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Load(folder); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
		t.Errorf("Load does not name the file: %v", err)
	}
}

// Somebody with an editor and a hash tool can put a right end line under altered
// lines. That is another plan, with another hash, and it still keeps every rule.
func TestResealedFilesKeepTheRules(t *testing.T) {
	whole := string(encode(t, small(t)))
	for _, c := range []struct{ name, old, new, want string }{
		{"a device twice", "00-DB-12-00-10-0E-00-01", "00-DB-12-00-00-0E-00-01", "target 2: device 00-DB-12-00-00-0E-00-01 is in the plan already"},
		{"more meters than allowed", `"maximum_meters":1000`, `"maximum_meters":2`, "outside the direction: too many meters: the plan has 3, DIR-1 allows 2"},
		{"a forbidden service", `"2.5"`, `"7.1"`, "direction: permitted_srvs[1]: SRV 7.1 (Enable Supply): not in the permitted set"},
		{"a fuel not covered", `["electricity","gas"]`, `["electricity"]`, "target 2: device 00-DB-12-00-10-0E-00-01: gas is not covered by the direction"},
		{"a foreign originator", `"originator":"90-B3-D5-1F-30-03-00-00"`, `"originator":"90-B3-D5-1F-30-05-00-00"`, "target 2: device 00-DB-12-00-10-0E-00-01: no identity is configured for originator 90-B3-D5-1F-30-05-00-00"},
		{"a device that is no meter", `"device_type":"GSME"`, `"device_type":"GPF"`, "target 2: not a whole target"},
		{"other counts", `"homes":2`, `"homes":3`, "the header counts"},
		{"a wave too few", `"count":1,"soak_seconds":0`, `"count":2,"soak_seconds":0`, "the waves end at target 4 of 3"},
		{"waves that overlap", `"first":3`, `"first":2`, `wave "wave 2": not a whole wave that begins at target 3`},
		{"a class nobody knows", `"class":"rejected"`, `"class":"success"`, `abort: class "success"`},
		{"an abort rule without a sample", `"min_sample":20`, `"min_sample":0`, "min_sample of rejected: 0"},
		{"a cancelling abort rule", `"action":"halt"`, `"action":"cancel"`, `action of rejected: "cancel": want pause or halt`},
		{"another deadline", `"late":`, `"late":1`, "the header's estimate does not follow from the lines"},
		{"another estimate", `"posts":16`, `"posts":1`, "the header's estimate does not follow from the lines"},
	} {
		altered := strings.Replace(whole, c.old, c.new, 1)
		if altered == whole {
			t.Fatalf("%s: %s is not in the plan", c.name, c.old)
		}
		_, err := plan.Read(bytes.NewReader(reseal(altered)))
		if !errors.Is(err, plan.ErrDamaged) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
}

// No plan is made that could not be read again.
func TestLineThatIsTooLongToRead(t *testing.T) {
	long := meter(1, 'e', servicerequests.North, 0)
	long.Carried = map[string]string{"note": strings.Repeat("\x01", 1<<20)} // each takes six bytes
	if _, err := plan.Build(rows(long), options()); err == nil || !strings.Contains(err.Error(), "none is read that has more") {
		t.Errorf("%.200v", err)
	}
}
