package main

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// meterLine is a line of meters.csv or fleet.csv by its column names.
type meterLine map[string]string

// readMeters reads the meters.csv of a folder, in its order.
func readMeters(t *testing.T, dir string) []meterLine {
	t.Helper()
	_, lines := readCSV(t, filepath.Join(dir, "meters.csv"))
	return lines
}

func readCSV(t *testing.T, path string) (header []string, lines []meterLine) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := csv.NewReader(f)
	in.Comment = '#'
	rows, err := in.ReadAll()
	if err != nil || len(rows) == 0 {
		t.Fatalf("%s: %d rows, %v", path, len(rows), err)
	}
	for _, row := range rows[1:] {
		line := meterLine{}
		for i, name := range rows[0] {
			line[name] = row[i]
		}
		lines = append(lines, line)
	}
	return rows[0], lines
}

// verdicts is the verdict and reason of each meter.
func verdicts(lines []meterLine) map[string]string {
	all := map[string]string{}
	for _, m := range lines {
		all[m["device_id"]] = m["verdict"] + ": " + sameReason(m["reason"])
	}
	return all
}

// sameReason is a reason that two sweeps of one fleet agree on. Whether the DCC's word
// that a silent meter cannot be reached comes before the sweep has stopped waiting for
// one, a busy machine decides: the clock runs on.
func sameReason(reason string) string {
	return strings.Replace(reason, "no answer: E20", "no answer", 1)
}
