package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"safemode/engine/record"
)

// Every report says whether the sweep was real, from the journal alone. Only what plan and
// start both call a simulator is marked as a drill, on every printed sheet.
func TestReportsSayWhetherTheyAreReal(t *testing.T) {
	for name, c := range map[string]struct {
		planned, opened string
		banner          string
		drill           bool
	}{
		"a drill":           {"simulator", "simulator", "SIMULATOR: a drill", true},
		"live":              {"live", "live", "LIVE: real homes", false},
		"they disagree":     {"live", "simulator", "LIVE AND SIMULATOR: take it for real", false},
		"an older journal":  {"", "live", "LIVE: real homes", false},
		"nothing is known":  {"", "", "LIVE OR NOT IS NOT KNOWN", false},
		"not begun, a plan": {"simulator", "none", "SIMULATOR: a drill", true},
	} {
		header, err := json.Marshal(map[string]string{"environment": c.planned})
		if err != nil {
			t.Fatal(err)
		}
		records := []record.Record{{Seq: 1, At: time.Unix(0, 0), Kind: record.Planned, Body: header}}
		if c.opened != "none" {
			records = append(records, record.Record{Seq: 2, At: time.Unix(1, 0), Kind: record.Opened, Body: record.Encode(record.Opening{SweepID: "sw", Environment: c.opened})})
		}
		r, err := Read(func(yield func(record.Record, error) bool) {
			for _, one := range records {
				if !yield(one, nil) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := r.Write(dir, Options{Inventory: List{}}); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"summary.txt", "summary.html", "weekly.html", "reconciliation.html", "handover/handover.html"} {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), c.banner) {
				t.Errorf("%s: %s lacks %q", name, file, c.banner)
			}
			if page := strings.HasSuffix(file, ".html"); page && strings.Contains(string(text), `class="watermark"`) != c.drill {
				t.Errorf("%s: %s: a watermark is there, or is not", name, file)
			}
		}
		for _, file := range []string{"summary.json", "weekly.json", "handover/counters.json"} {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			var said struct{ Environment string }
			if err := json.Unmarshal(text, &said); err != nil || said.Environment != r.Summary.Environment {
				t.Errorf("%s: %s: %v, environment %q", name, file, err, said.Environment)
			}
		}
	}
}
