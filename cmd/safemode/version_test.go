package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"safemode/engine/journal"
	"safemode/engine/plan"
)

// The changes begin with the version that this program is, by the formats that it writes, and
// name only commands and settings that are there.
func TestChanges(t *testing.T) {
	text := must(t, "", "version", "--changes")
	first, _, _ := strings.Cut(text, "\n")
	want := regexp.MustCompile(fmt.Sprintf(`^Version %d \([A-Z][a-z]+ 20\d\d\): journal format %d, plan format %d$`, release, journal.Format, plan.Version))
	if !want.MatchString(first) {
		t.Errorf("the changes begin with %q, want %v", first, want)
	}
	var settings string
	for _, name := range []string{"safemode.example.yaml", "signer.example.yaml"} {
		example, err := os.ReadFile(filepath.Join(tree, "config", name))
		if err != nil {
			t.Fatal(err)
		}
		settings += string(example)
	}
	named := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1)
	if len(named) < 20 {
		t.Fatalf("%d commands and settings are named", len(named))
	}
	for _, n := range named {
		if words := strings.Fields(n[1]); words[0] == "safemode" {
			if err := lookUp(words); err != nil {
				t.Errorf("%s: %v", n[1], err)
			}
			continue
		}
		key := n[1][strings.LastIndex(n[1], ".")+1:]
		if !regexp.MustCompile(`[ #{\n]` + key + `:`).MatchString(settings) {
			t.Errorf("%s is in no example configuration", n[1])
		}
	}
}

func TestVersion(t *testing.T) {
	var is struct {
		Version       int
		JournalFormat int `json:"journal_format"`
		Revision      string
		Changes       string
		PlanFormat    int `json:"plan_format"`
	}
	if err := json.Unmarshal([]byte(must(t, "", "version", "--json")), &is); err != nil {
		t.Fatal(err)
	}
	if is.Version != release || is.JournalFormat != journal.Format || is.PlanFormat != plan.Version || is.Revision == "" || is.Changes != "" {
		t.Errorf("%+v", is)
	}
	if line := must(t, "", "version"); !strings.HasPrefix(line, fmt.Sprintf("safemode %d, journal format %d,", release, journal.Format)) {
		t.Errorf("said %q", line)
	}
	refuses(t, exitUsage, "unknown command", "", "version", "3")
}
