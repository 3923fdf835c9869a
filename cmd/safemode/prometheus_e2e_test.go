package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/servicerequests/outside"
)

const (
	rulesDir     = "../../config/prometheus"
	dashboardDir = "../../config/grafana/dashboards"
)

func TestPrometheusRules(t *testing.T) {
	t.Parallel()
	promtool := outside.Program(t, "promtool", "prometheus")
	for _, args := range [][]string{
		{"check", "config", "prometheus.yaml"},
		{"check", "rules", "recording.rules.yaml", "alerts.rules.yaml"},
		{"test", "rules", "alerts.test.yaml"},
	} {
		command := exec.CommandContext(t.Context(), promtool, args...)
		command.Dir = rulesDir
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// expressions are all that rules and dashboards ask for.
func expressions(t *testing.T) (text string, dashboards []string) {
	t.Helper()
	for _, pattern := range []string{rulesDir + "/*.rules.yaml", dashboardDir + "/*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text += string(b)
		}
	}
	files, err := filepath.Glob(dashboardDir + "/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		var dashboard struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		b, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(b, &dashboard)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, panel := range dashboard.Panels {
			for _, target := range panel.Targets {
				dashboards = append(dashboards, target.Expr)
			}
		}
	}
	return text, dashboards
}

// namesOnlyWhatExists holds what rules and dashboards name against a running sweep.
func namesOnlyWhatExists(t *testing.T, samples map[string]float64) {
	t.Helper()
	text, _ := expressions(t)
	recorded := regexp.MustCompile(`record: (\S+)`).FindAllStringSubmatch(text, -1)
	used := regexp.MustCompile(`safemode[_:][a-z0-9_:]+`).FindAllString(text, -1)
	slices.Sort(used)
	for _, name := range slices.Compact(used) {
		found := slices.ContainsFunc(recorded, func(r []string) bool { return r[1] == name })
		for sample := range samples {
			found = found || sample == name || strings.HasPrefix(sample, name+"{")
		}
		if !found && name != "safemode_anomaly_headroom_ratio" { // needs thresholds in the configuration
			t.Errorf("rules or dashboards name %s, which a running sweep does not have", name)
		}
	}
}

// watched is a real Prometheus beside a sweep.
type watched struct{ address string }

// watchWithPrometheus starts a Prometheus with our rules; window replaces their five minutes, because the clock runs
// faster.
func watchWithPrometheus(t *testing.T, operations, window string) watched {
	t.Helper()
	tool := outside.Program(t, "prometheus", "prometheus")
	rules, err := filepath.Abs(rulesDir)
	if err != nil {
		t.Fatal(err)
	}
	w, dir := watched{freeAddress(t)}, t.TempDir()
	text, err := os.ReadFile(filepath.Join(rules, "prometheus.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := putFile(t, filepath.Join(dir, "prometheus.yaml"), []byte(strings.NewReplacer(
		"interval: 5s", "interval: 1s", "127.0.0.1:8090", operations,
		"recording.rules", filepath.Join(dir, "recording.rules"), "alerts.rules", filepath.Join(dir, "alerts.rules"),
	).Replace(string(text))))
	for _, name := range []string{"recording.rules.yaml", "alerts.rules.yaml"} {
		text, err := os.ReadFile(filepath.Join(rules, name))
		if err != nil {
			t.Fatal(err)
		}
		putFile(t, filepath.Join(dir, name), []byte(strings.ReplaceAll(string(text), "[5m]", "["+window+"]")))
	}
	p := startCommand(t, exec.Command(tool, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+w.address, "--log.level=error"))
	p.until("ready", func() bool { _, err := tryGet("http://" + w.address + "/-/ready"); return err == nil })
	return w
}

// firing lists the alerts that fire now, with the region that they name.
func (w watched) firing() (names []string) {
	var reply struct {
		Data struct {
			Alerts []struct {
				State  string
				Labels struct{ Alertname, Region string }
			}
		}
	}
	body, err := tryGet("http://" + w.address + "/api/v1/alerts")
	if err != nil || json.Unmarshal(body, &reply) != nil {
		return nil
	}
	for _, a := range reply.Data.Alerts {
		if a.State == "firing" {
			names = append(names, strings.TrimSpace(a.Labels.Alertname+" "+a.Labels.Region))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// answers says whether a query is understood, and how many samples it gives.
func (w watched) answers(t *testing.T, query string) int {
	t.Helper()
	var reply struct {
		Data struct{ Result []json.RawMessage }
	}
	body := get(t, "http://"+w.address+"/api/v1/query?query="+url.QueryEscape(query))
	if err := json.Unmarshal(body, &reply); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return len(reply.Data.Result)
}

// end kills a sweep, which may have ended by itself.
func end(p *process) {
	_ = p.command.Process.Kill()
	<-p.ended
}

func until(t *testing.T, what string, most time.Duration, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !holds(); time.Sleep(500 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("%s: not within %v", what, most)
			return
		}
	}
}

// Each of these faults raises its alert in a real Prometheus, and a calm night raises none. At
// the speed of most rehearsals an outage of an hour is six seconds, and a share over five
// minutes is one over the whole sweep. So the sweep with the outage runs slower, and its rules
// look at half a minute, which is half an hour of its clock.
func TestAlertsFire(t *testing.T) {
	long(t)
	type watchedCase struct {
		profile string
		speed   float64
		window  string
		alerts  []string // one of them
	}
	cases := []watchedCase{
		{"calm", referenceSpeed, "5m", nil},
		{"lying-dcc", referenceSpeed, "5m", []string{"SafemodePaused", "SafemodeUnverifiedBurst"}}, // an abort rule of its first wave may come first
		{"winter-evening", referenceSpeed, "5m", []string{"SafemodeManySilent"}},
		{"transfer-midway", referenceSpeed, "5m", []string{"SafemodeGone"}}, // the tripwire ends it with meters left
		{"north-outage", 60, "30s", []string{"SafemodeRegionSilent North"}},
	}
	run := func(t *testing.T, c watchedCase) {
		s := newScene(t, ofWhole(100, 200), 7, c.speed)
		if c.speed != referenceSpeed { // the second wave, of all the rest, begins before the outage ends
			s.configure(t, "safemode.yaml", "policy:\n", "waves: {growth: 1000000, soak: 10m}\npolicy:\n  patience: 15m\n")
		}
		s.plan(t, "plan", "safemode.yaml", "direction.yaml")
		sim := s.sim(t, "--faults", c.profile)
		w := watchWithPrometheus(t, s.operations, c.window)
		p := s.sweep(t)
		if c.alerts != nil {
			until(t, strings.Join(c.alerts, " or "), 2*longest, func() bool {
				return slices.ContainsFunc(w.firing(), func(name string) bool { return slices.Contains(c.alerts, name) })
			})
		} else {
			until(t, "scraped twice", longest, func() bool { return w.answers(t, "rate(safemode_service_requests_total[1m])") > 0 })
			s.untilDone(t, p, 5) // most verdicts come at the end, when the switches are confirmed
			_, queries := expressions(t)
			for _, query := range queries {
				// A query about something that has not happened yet has no samples; the rest must.
				if !strings.Contains(query, "headroom") && !strings.Contains(query, "> 0") {
					until(t, "samples for the dashboard's "+query, longest, func() bool { return w.answers(t, query) > 0 })
				}
			}
			if fires := w.firing(); len(fires) > 0 {
				t.Errorf("a calm night raises %v", fires)
			}
			// The sweep is gone while meters are left.
			end(p)
			until(t, "SafemodeGone", 2*longest, func() bool { return slices.Contains(w.firing(), "SafemodeGone") })
		}
		end(p)
		stopSim(t, sim)
	}
	// Two at a time: if all began at once, a busy machine would scrape too late to see the alert.
	for side := range 2 {
		t.Run(fmt.Sprintf("side %d", side+1), func(t *testing.T) {
			beside(t)
			for i := side; i < len(cases); i += 2 {
				t.Run(cases[i].profile, func(t *testing.T) {
					if cases[i].alerts != nil {
						onlyWhole(t) // promtool tests every rule without a sweep
					}
					run(t, cases[i])
				})
			}
		})
	}
}
