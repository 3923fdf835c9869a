package fault_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/devicesim/fault"
	"safemode/servicerequests"
)

// ready are the profiles that come with the program.
var ready = os.DirFS(filepath.Join("..", "..", "config", "faults"))

func builtin(t *testing.T, name string) fault.Profile {
	t.Helper()
	p, err := fault.Named(ready, name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parse(t *testing.T, text string) fault.Profile {
	t.Helper()
	p, err := fault.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBuiltin(t *testing.T) {
	calm, nothing := builtin(t, "calm"), parse(t, "")
	nothing.Name = "calm"
	if diff := cmp.Diff(nothing, calm, cmp.AllowUnexported(fault.Profile{})); diff != "" {
		t.Errorf("calm is not what holds where a file says nothing:\n%s", diff)
	}
	if calm.Latency != (fault.Latency{Median: 3 * time.Second, Tail: 25 * time.Second}) {
		t.Errorf("calm: %+v", calm)
	}
	if winter := builtin(t, "winter-evening"); winter.Share(fault.NoAnswer) == 0 || winter.Share(fault.PartialECS02) == 0 {
		t.Errorf("winter-evening: %+v", winter)
	}
	outage := builtin(t, "north-outage")
	for since, want := range map[time.Duration]time.Duration{0: 0, 5 * time.Minute: time.Hour, time.Hour: 5 * time.Minute, 65 * time.Minute: 0} {
		north := outage.Away(1, fault.Site{Region: servicerequests.North}, since)
		if south := outage.Away(1, fault.Site{Region: servicerequests.South}, since); north != want || south != 0 {
			t.Errorf("after %v the north is away for %v and the south for %v", since, north, south)
		}
	}
	transfer := builtin(t, "transfer-midway").Rules
	if before, after := transfer.Left(1, 1, 1, 0), transfer.Left(1, 1, 1, 2*time.Hour); before != 0 || after != fault.LastResort {
		t.Errorf("transfer-midway: %v, then %v", before, after)
	}
	_, err := fault.Named(ready, "stormy")
	if !errors.Is(err, fault.ErrProfile) || !strings.Contains(err.Error(), "calm, everyday, hubs-lifo, hubs-random, lying-dcc, north-outage, switching-days, transfer-midway, winter-evening") {
		t.Errorf("stormy: %v", err)
	}
}

// Names with commas between them are one profile of all together.
func TestCombined(t *testing.T) {
	both := builtin(t, "north-outage,everyday")
	if both.Name != "north-outage,everyday" || both.Outage.Lasts != time.Hour || both.Share(fault.DuplicateResponse) != 0.02 || both.Variety.OtherTraffic != 24 {
		t.Errorf("%+v", both)
	}
	first, second := []byte("no_answer: 0.3\nlost_alert: 0.1\ngroups: [{regions: [North], no_answer: 1}]"), []byte("no_answer: 0.1\ndelay: 2h\ngroups: [{regions: [South], no_answer: 1}]")
	p, err := fault.Combine(first, second)
	if err != nil || p.NoAnswer != 0.3 || p.LostAlert != 0.1 || p.Delay != 2*time.Hour || len(p.Groups) != 2 || p.Groups[0].Regions[0] != servicerequests.North {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := fault.Named(ready, "calm,stormy"); !errors.Is(err, fault.ErrProfile) {
		t.Errorf("calm,stormy: %v", err)
	}
	if alone := parse(t, "failed_but_applied: 0"); alone.FailedButApplied != 0 {
		t.Errorf("a file gives less than the default: %v", alone.FailedButApplied)
	}
}

// How a message is written hangs on nothing but the seed and the attempt, and all of the
// forms come.
func TestForms(t *testing.T) {
	p := parse(t, "variety: {written: 0.5}")
	varied, marks, declarations, namespaces, folded := 0, 0, map[int]bool{}, 0, 0
	for i := range uint64(2000) {
		a := fault.Attempt{Device: servicerequests.EUI(i), Service: "7.4"}
		f := p.Variety.Form(1, a)
		if f != p.Variety.Form(1, a) {
			t.Fatal("drawn twice, and different")
		}
		if f == (fault.Form{}) {
			continue
		}
		varied++
		declarations[f.Declaration] = true
		for n, is := range map[*int]bool{&marks: f.Mark, &namespaces: f.Namespaces, &folded: f.Folded} {
			if is {
				*n++
			}
		}
	}
	if varied < 900 || varied > 1100 || marks < 400 || namespaces < 400 || folded < 400 || len(declarations) != 4 {
		t.Errorf("%d varied: %d marks, %d namespaces, %d folded, declarations %v", varied, marks, namespaces, folded, declarations)
	}
	if f := (&fault.Variety{}).Form(1, fault.Attempt{}); f != (fault.Form{}) {
		t.Errorf("without variety: %+v", f)
	}
}

func TestParse(t *testing.T) {
	p := parse(t, `
name: my-night
no_answer: 0.05
lost_response: 1
duplicate_response: 0
failed_but_applied: 0.25
delay: 2m
latency: {median: 1s, tail: 10s}
outage: {region: 4G South, after: 1m, lasts: 1h}
`)
	if p.Name != "my-night" || p.Share(fault.NoAnswer) != 0.05 || p.Share(fault.LostResponse) != 1 || p.Share(fault.DuplicateResponse) != 0 ||
		p.Share(fault.FailedButApplied) != 0.25 || p.Delay != 2*time.Minute || p.Latency != (fault.Latency{Median: time.Second, Tail: 10 * time.Second}) ||
		p.Outage != (fault.RegionOutage{Region: servicerequests.South4G, After: time.Minute, Lasts: time.Hour}) {
		t.Errorf("%+v", p)
	}
	if p := parse(t, ""); p.Latency.Median != 3*time.Second || p.Name != "custom" {
		t.Errorf("an empty file is not calm: %+v", p)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"no_anwser: 0.1":                      "no_anwser: unknown key",
		"latency: {mean: 1s}":                 "latency.mean: unknown key",
		"latency: 3s":                         "latency: 3s: want keys and values",
		"no_answer: 1.01":                     "no_answer: 1.01: want a share",
		"no_answer: -1":                       "no_answer: -1: want a share",
		"no_answer: .nan":                     "no_answer: .nan: want a number",
		"no_answer: \"0.1\"":                  "no_answer: 0.1: want a number",
		"delay: 5":                            "delay: 5: want a duration",
		"delay: -5s":                          "delay: -5s: want a span",
		"name: 5":                             "name: 5: want text",
		"latency: {median: 30s}":              "latency.tail: 25s is under the median",
		"outage: {region: North}":             "outage: want region and lasts",
		"outage: {lasts: 1h}":                 "outage: want region and lasts",
		"outage: {region: SMETS1, lasts: 1h}": "outage.region:",
		"outage: {region: 4, lasts: 1h}":      "outage.region: 4: want text",
		"- a list":                            "fault profile",
		"variety: {written: 2}":               "variety.written: 2: want a share",
		"variety: {other_traffic: -1}":        "variety.other_traffic: -1: want 0",

		// Every fault is told, not only the first.
		"no_answer: 2\nlost_response: 2\nname: [1]": "lost_response: 2: want a share from 0 to 1\nname",
	} {
		_, err := fault.Parse([]byte(text))
		if !errors.Is(err, fault.ErrProfile) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestHappens(t *testing.T) {
	p := parse(t, "no_answer: 0.05\nlost_response: 0.05\nhardware_failure: 1")
	const attempts = 20_000
	count, both, again := 0, 0, 0
	for i := range uint64(attempts) {
		a := fault.Attempt{Device: servicerequests.EUI(0x00DB12E000000000 + i/4), Service: "1.6", Number: i % 4}
		happens := p.Happens(fault.NoAnswer, 7, a)
		if happens != p.Happens(fault.NoAnswer, 7, a) {
			t.Fatal("the same attempt was decided twice")
		}
		if happens {
			count++
			if p.Happens(fault.LostResponse, 7, a) {
				both++
			}
			if p.Happens(fault.NoAnswer, 8, a) {
				again++
			}
		}
		if p.Happens(fault.PartialECS02, 7, a) || !p.Happens(fault.HardwareFailure, 7, a) {
			t.Fatal("a share of 0 happens, or one of 1 does not")
		}
	}
	// 5 % within five standard deviations; other kinds and seeds are independent.
	if math.Abs(float64(count)-1000) > 5*31 || both > 100 || again > 100 {
		t.Errorf("%d of %d, %d with another kind, %d with another seed", count, attempts, both, again)
	}
	if p.Share(fault.Kind(200)) != 0 || fault.Kind(200).String() == "" || fault.NoAnswer.String() != "no_answer" {
		t.Error("kinds")
	}
}

func TestLatency(t *testing.T) {
	p := builtin(t, "calm")
	under, tail := 0, 0
	const draws = 10_000
	for i := range uint64(draws) {
		l := p.Takes(1, fault.Attempt{Device: servicerequests.EUI(i + 1), Service: "7.4"})
		if l <= 0 || l > p.Latency.Tail {
			t.Fatalf("latency %v", l)
		}
		if l < p.Latency.Median {
			under++
		}
		if l == p.Latency.Tail {
			tail++
		}
	}
	if under < 4800 || under > 5200 || tail < 50 || tail > 150 {
		t.Errorf("%d under the median, %d at the tail", under, tail)
	}
	if l := (&fault.Profile{}).Takes(1, fault.Attempt{}); l != 0 {
		t.Errorf("latency %v without a median", l)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("name: x\nno_answer: 0.5\nlatency: {median: 1s, tail: 2s}\noutage: {region: North, lasts: 1h}")
	f.Add("no_answer: .inf")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := fault.Parse([]byte(text))
		if err != nil {
			if !errors.Is(err, fault.ErrProfile) {
				t.Errorf("not an error of this package: %v", err)
			}
			return
		}
		for k := fault.NoAnswer; k <= fault.Suspended; k++ {
			if share := p.Share(k); !(share >= 0 && share <= 1) {
				t.Errorf("%s is %v", k, share)
			}
		}
	})
}
