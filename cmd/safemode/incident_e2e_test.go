package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"safemode/engine/incident"
)

// packed reads a pack, and holds it to its SHA256SUMS.
func packed(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for line := range strings.Lines(string(mustRead(t, filepath.Join(dir, "SHA256SUMS")))) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		files[name] = mustRead(t, filepath.Join(dir, name))
		if got := fmt.Sprintf("%x", sha256.Sum256(files[name])); got != sum {
			t.Errorf("%s: SHA-256 %s, listed as %s", name, got, sum)
		}
		if name != "README.txt" && !bytes.Contains(files["README.txt"], []byte(name)) {
			t.Errorf("README.txt does not say what %s is", name)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(files)+1 {
		t.Errorf("%d files, %d listed: %v", len(entries)-1, len(files), err)
	}
	return files
}

// The packs of a night in which the North is out: every request is counted, those that did
// not succeed are named, and no home is.
func TestIncident(t *testing.T) {
	long(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "demo")
	r := start(t, "demo", "--meters", "50", "--seed", "5", "--retries", "short", "--faults", "north-outage", "--json", "--out", out).wait()
	if r.code != exitDone {
		t.Fatalf("demo: exit %d: %s", r.code, r.err)
	}
	summary := parseSummary(t, r.out)
	log := putFile(t, filepath.Join(dir, "sweep.log"), []byte(`{"level":"warn","ts":"2026-11-30T03:00:00.123456789Z","msg":"order","by":"olga","device":"00-DB-12-34-56-78-90-A0","n":12}`+
		"\nthe sweep is paused by olga: home 1012345678901\n"))
	journalPath := filepath.Join(out, "journal.db")
	must(t, "", "incident", "--journal", journalPath, "--log", log, "--out", filepath.Join(dir, "incident"))
	must(t, "", "incident", "--journal", journalPath, "--keys", "--out", filepath.Join(dir, "keys"))
	desk, keys := packed(t, filepath.Join(dir, "incident")), packed(t, filepath.Join(dir, "keys"))

	var what incident.What
	if err := json.Unmarshal(desk["incident.json"], &what); err != nil {
		t.Fatal(err)
	}
	if what.SweepID != summary.SweepID || !what.Drill || what.Environment != "simulator" || what.Meters != 50 || what.State != "finished" || len(what.Versions) != 1 || what.Since.IsZero() {
		t.Errorf("%+v", what)
	}
	sent, failed, total := 0, 0, 0
	for class, n := range what.Requests {
		sent += n
		if class != "success" {
			failed += n
		}
	}
	_, services := readCSV(t, filepath.Join(dir, "incident", "services.csv"))
	north := 0
	for _, line := range services {
		n, err := strconv.Atoi(line["requests"])
		if err != nil {
			t.Fatal(err)
		}
		total += n
		if line["region"] == "North" && line["class"] == "no_response" {
			north += n
		}
	}
	_, requests := readCSV(t, filepath.Join(dir, "incident", "requests.csv"))
	_, signatures := readCSV(t, filepath.Join(dir, "keys", "signatures.csv"))
	signed, asked := map[string]bool{}, 0
	for _, line := range signatures {
		if line["kind"] == "request" {
			asked++
			signed[line["request_id"]] = true
		}
	}
	if total != sent || len(requests) != failed || failed == 0 || north == 0 || sent != asked {
		t.Errorf("%d sent, %d in services.csv, %d signed; %d failed, %d in requests.csv; %d without an answer in the North", sent, total, asked, failed, len(requests), north)
	}
	for _, line := range requests {
		if !signed[line["request_id"]] || line["sent_at"] == "" || line["class"] == "success" {
			t.Errorf("%v", line)
		}
	}
	_, certificates := readCSV(t, filepath.Join(dir, "keys", "certificates.csv"))
	_, counters := readCSV(t, filepath.Join(dir, "keys", "counters.csv"))
	used, err := strconv.Atoi(counters[0]["used"])
	if len(certificates) != 2 || len(counters) != 1 || err != nil || used != len(signed) {
		t.Errorf("certificates %v; counters %v; %d were signed", certificates, counters, len(signed))
	}

	_, meters := readCSV(t, filepath.Join(out, "meters.csv"))
	if len(meters) != 50 {
		t.Fatalf("%d meters", len(meters))
	}
	for _, files := range []map[string][]byte{desk, keys} {
		for name, content := range files {
			for _, m := range meters {
				if bytes.Contains(content, []byte(m["mpxn"])) {
					t.Errorf("%s holds an MPxN", name)
				}
			}
		}
	}
	if got := string(desk["log.txt"]); strings.Contains(got, "olga") || strings.Contains(got, "90-A0") || strings.Contains(got, "10123") ||
		!strings.Contains(got, "03:00:00.123") || !strings.Contains(got, "1 lines that are no log") {
		t.Errorf("log.txt: %s", got)
	}
	if !bytes.Contains(desk["README.txt"], []byte("SIMULATOR")) || !bytes.Contains(desk["README.txt"], []byte("North, SRV")) {
		t.Errorf("%s", desk["README.txt"])
	}
	refuses(t, exitFailed, "not empty", "", "incident", "--journal", journalPath, "--out", filepath.Join(dir, "keys"))
	refuses(t, exitUsage, "goes with --keys", "", "incident", "--journal", journalPath, "--signer-log", journalPath, "--out", filepath.Join(dir, "more"))
}
