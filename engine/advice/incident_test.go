package advice

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"safemode/engine/record"
)

// Each incident is whole and has a name of its own, and what it says is said first is what some
// part of the program says, word for word.
func TestIncidents(t *testing.T) {
	var source strings.Builder
	for _, root := range []string{"../../engine", "../../cmd", "../../config", "../../servicerequests"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			name := d.Name()
			if err != nil || d.IsDir() || strings.HasSuffix(name, "_test.go") || name == "incident.go" || !slices.Contains([]string{".go", ".yaml"}, filepath.Ext(name)) {
				return err
			}
			text, err := os.ReadFile(path)
			source.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	names := map[string]bool{}
	for _, i := range Incidents {
		if names[i.Name] || i.Name == "" || i.Title == "" || i.Means == "" || i.Next == "" || i.Not == "" || len(i.Said) == 0 {
			t.Errorf("%q is not whole, or is there twice", i.Name)
		}
		names[i.Name] = true
		for _, said := range i.Said {
			if !strings.Contains(source.String(), said) {
				t.Errorf("%s: nothing says %q", i.Name, said)
			}
		}
		for line := range strings.Lines(i.String()) {
			if len(strings.TrimRight(line, "\n")) > 80 {
				t.Errorf("%s: wider than a terminal: %q", i.Name, line)
			}
		}
	}
}

// The drills that are trained have their incident.
func TestIncidentsOfTheDrills(t *testing.T) {
	for _, name := range strings.Fields(`dcc-down inbox-unreachable region-out wrong-certificate certificate-revoked mpids-moved quarantine disk-full
		killed approver-missing direction-ended clock-wrong old-journal wrong-columns plan-too-slow`) {
		if _, known := FindIncident(name); !known {
			t.Errorf("no incident %s", name)
		}
	}
}

// FindIncident knows each incident that a gate, a cause of a halt, a hold or a class of
// requests leads to.
func TestIncidentsAreNamed(t *testing.T) {
	var names []string
	for _, of := range []map[string]string{gateIncidents, incidentOf, classIncidents} {
		for _, name := range of {
			names = append(names, name)
		}
	}
	for _, cause := range []string{"", record.HaltGate, record.HaltJournal, record.HaltKey, record.HaltDCC, record.HaltTripwire, record.HaltWave, record.HaltDefect} {
		for gate := range gates {
			j := judge{st: &record.Status{Cause: cause, Gates: map[string]string{gate: "why"}}}
			names = append(names, j.incident())
		}
	}
	for gate := range gates {
		names = append(names, gateIncidents[gate])
	}
	for _, name := range names {
		if _, known := FindIncident(name); !known {
			t.Errorf("no incident %q", name)
		}
	}
}
