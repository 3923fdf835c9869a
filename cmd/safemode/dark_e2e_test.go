package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"safemode/cmd/rehearsal"
	"safemode/config"
)

// Dark hours of a demo: every case beside the others, with its denominators, in the
// summary and for people. Any sweep saves most of what no sweep leaves dark; at a pace
// that makes it last for hours, the one by hours at risk saves more. Of so many gas
// homes three run out while the sweep is under way, and a consumer who does not press the
// button costs the whole week: two of them are left to chance.
func TestDarkHours(t *testing.T) {
	long(t)
	out := filepath.Join(t.TempDir(), "demo")
	meters := ofWhole(100, 200)
	p := start(t, "demo", "--meters", strconv.Itoa(meters), "--seed", "3", "--pace", "0.2", "--begin", "2027-01-13T06:00:00Z",
		"--dark-hours", "168h", "--press", "0.8,30m", "--retries", "short", "--json", "--out", out)
	s := parseSummary(t, p.succeeds().out)
	d := s.DarkHours
	if d == nil {
		t.Fatal("no dark hours")
	}
	if begins := time.Date(2027, 1, 13, 6, 0, 0, 0, time.UTC); !d.Begins.Equal(begins) || d.OverHours != 168 || d.TopUps {
		t.Errorf("%+v", d)
	}
	if n := d.Electricity.Homes + d.Gas.Homes; n != meters {
		t.Errorf("%d homes by fuel of %d meters", n, meters)
	}
	if d.Press.Share != 0.8 || d.Press.AfterMinutes != 30 {
		t.Errorf("%+v", d.Press)
	}
	for fuel, f := range map[string]struct{ homes, reachable int }{
		"electricity": {d.Electricity.Homes, d.Electricity.Reachable}, "gas": {d.Gas.Homes, d.Gas.Reachable},
	} {
		if f.reachable >= f.homes || f.reachable < f.homes*8/10 {
			t.Errorf("%s: %d of %d homes can be reached", fuel, f.reachable, f.homes)
		}
	}
	for _, setting := range []string{"policy.retry_gas [35m0s] (shipped: [1h0m0s ", "the simulator's dcc.windows.hub_holds 3h0m0s"} {
		if !strings.Contains(strings.Join(s.Departures, "; "), setting) {
			t.Errorf("settings that are not the shipped ones: no %q in %q", setting, s.Departures)
		}
	}
	h, g := d.Electricity.HomeHours, d.Gas.HomeHours
	if bySweep := max(h.AtRisk, h.Portfolio); h.NoSweep < 3*bySweep || h.AtOnce > min(h.AtRisk, h.Portfolio) || h.AtOnce <= 0 {
		t.Errorf("electricity: %+v", h)
	}
	if excess, portfolio := h.AtRisk-h.AtOnce, h.Portfolio-h.AtOnce; excess > 0.9*portfolio || g.AtRisk > g.Portfolio+2*d.OverHours {
		t.Errorf("the order of hours at risk saves nothing: electricity %+v, gas %+v", h, g)
	}
	if bySweep := max(g.AtRisk, g.Portfolio); g.NoSweep < 3*bySweep {
		t.Errorf("gas: %+v", g)
	}
	if want := 1000 * h.NoSweep / float64(d.Electricity.Reachable); math.Abs(d.Electricity.Per1000.NoSweep-want) > 1 {
		t.Errorf("%v of 1,000 homes, want %v", d.Electricity.Per1000.NoSweep, want)
	}
	t.Logf("home-hours: electricity %+v, gas %+v", h, g)
	for name, words := range map[string][]string{
		"summary.txt":  {"Dark hours.", "no sweep", "ASSUMPTIONS: nobody can top up", "Settings that are not the shipped ones: policy.", "0.8 of consumers press the button of an armed supply, half of those within 30 minutes"},
		"summary.html": {"<h2>Dark hours</h2>", "Settings that are not the shipped ones: policy.", "First contact: ", "Blast radius: "},
	} {
		text, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range words {
			if !strings.Contains(string(text), word) {
				t.Errorf("%s does not say %q", name, word)
			}
		}
	}
	// The other sweep has a journal and reports of its own.
	text, err := os.ReadFile(filepath.Join(out, "portfolio-order", "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	var other struct {
		SweepID string `json:"sweep_id"`
		Meters  int    `json:"meters"`
	}
	if err := json.Unmarshal(text, &other); err != nil || other.Meters != meters || !strings.HasPrefix(other.SweepID, "rehearsal-") {
		t.Errorf("%v: %s", err, text)
	}
}

func TestDarkHoursRefusals(t *testing.T) {
	for words, args := range map[string][]string{
		"--dark-hours -1h0m0s: want more than 0s":  {"demo", "--dark-hours", "-1h"},
		"--speed must not be 1":                    {"demo", "--dark-hours", "1h", "--speed", "1"},
		"--retries long: want shipped or short":    {"demo", "--retries", "long"},
		"--top-ups goes with --dark-hours":         {"demo", "--top-ups"},
		"--begin soon: want a time":                {"demo", "--begin", "soon"},
		"a clock of --speed 1 shows real time":     {"demo", "--begin", "2027-01-13T06:00:00Z", "--speed", "1"},
		"like 0.9,40m":                             {"demo", "--press", "0.9"},
		`invalid argument "1.1,40m" for "--press"`: {"demo", "--press", "1.1,40m"},
		"--press: nobody presses in a fleet":       {"demo", "--press", "0.5,1h"},
		"--pace -1: want over 0":                   {"demo", "--pace", "-1"},
	} {
		refuses(t, exitUsage, words, "", args...)
	}
}

// Dark hours try what cannot be reached as long as a real sweep does.
func TestDarkHoursRunTheShippedLadder(t *testing.T) {
	week := darkFlags{over: 168 * time.Hour}
	for _, c := range []struct {
		flags rehearsalFlags
		short bool
	}{
		{rehearsalFlags{}, false},
		{rehearsalFlags{retries: "short"}, true},
		{rehearsalFlags{speed: referenceSpeed}, true},
		{rehearsalFlags{speed: referenceSpeed, dark: week}, false},
		{rehearsalFlags{speed: referenceSpeed, retries: "shipped"}, false},
		{rehearsalFlags{dark: week, retries: "short"}, true},
	} {
		r := &rehearsal.Rehearsal{Options: rehearsal.Options{Speed: c.flags.speed}}
		if c.flags.shortRetries() {
			r.Faults.Rules.Windows.HubHolds = rehearsal.HubHolds
		}
		conf := r.Settings(c.flags.shortRetries(), 0)
		shipped := config.Default().Policy
		same := slices.Equal(conf.Policy.RetryElectricity, shipped.RetryElectricity) && slices.Equal(conf.Policy.RetryGas, shipped.RetryGas) &&
			conf.Policy.ResponseWaitGas == shipped.ResponseWaitGas
		text := strings.Join(r.Departures, "; ")
		if same == c.short || strings.Contains(text, "retry_") != c.short || strings.Contains(text, "hub_holds") != c.short {
			t.Errorf("%+v: %s", c.flags, text)
		}
		if hurried := c.flags.speed > 0; hurried != strings.Contains(text, "policy.read_wait 30m0s (shipped: 1m0s)") {
			t.Errorf("%+v departs: %s", c.flags, text)
		}
		if shippedAll := c.flags.speed == 0 && c.flags.retries == ""; shippedAll && text != "" {
			t.Errorf("%+v departs: %s", c.flags, text)
		}
	}
}
