package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"safemode/engine/advice"
)

// Each incident can be asked for by its name, and the list has them all.
func TestHelpIncident(t *testing.T) {
	list := must(t, "", "help", "incident")
	for _, i := range advice.Incidents {
		if !strings.Contains(list, "  "+i.Name+" ") {
			t.Errorf("%s is not listed", i.Name)
		}
		said := must(t, "", "help", "incident", i.Name)
		if said != i.String() {
			t.Errorf("%s: %s", i.Name, said)
		}
	}
	refuses(t, exitUsage, "no incident \"nothing\"; safemode help incident lists them", "", "help", "incident", "nothing")
	if help := must(t, "", "help", "custody", "accept"); !strings.Contains(help, "safemode custody accept --config") {
		t.Errorf("help of a command: %s", help)
	}
	if help := must(t, "", "help"); !strings.Contains(help, "In the night:") {
		t.Errorf("help: %s", help)
	}
}

// Each alert names an incident that exists, by a command that can be pasted.
func TestAlertsNameIncidents(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(tree, "config/prometheus/alerts.rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			alerts++
			name, found := strings.CutPrefix(rule.Annotations["runbook"], "safemode help incident ")
			if _, known := advice.FindIncident(name); !found || !known {
				t.Errorf("%s: its runbook is %q", rule.Alert, rule.Annotations["runbook"])
			}
		}
	}
	if alerts < 10 {
		t.Errorf("%d alerts", alerts)
	}
}
