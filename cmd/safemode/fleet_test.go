package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"safemode/devicesim/fleet"
	"safemode/servicerequests"
)

func generateFleet(t *testing.T, dir string, args ...string) string {
	t.Helper()
	return must(t, "", append([]string{
		"fleet", "generate", "--out", filepath.Join(dir, "fleet.csv"), "--portfolio", filepath.Join(dir, "portfolio.csv"),
	}, args...)...)
}

func TestFleetGenerate(t *testing.T) {
	dir := t.TempDir()
	line := generateFleet(t, dir, "--meters", "250", "--seed", "7", "--supplier", "90-b3-d5-1f-30-05-00-00", "--json")
	var facts struct{ Meters, Seed int }
	if err := json.Unmarshal([]byte(line), &facts); err != nil || facts.Meters != 250 || facts.Seed != 7 || strings.Count(line, "\n") != 1 {
		t.Errorf("%v: %s", err, line)
	}
	file, err := os.Open(filepath.Join(dir, "fleet.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f, err := fleet.ReadCSV(file)
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for i := range f.Len() {
		if f.Meter(i).Supplier == servicerequests.EUI(0x90B3D51F30050000) {
			ours++
		}
	}
	if f.Len() != 250 || f.Seed != 7 || ours < 240 {
		t.Errorf("%d meters, %d of them the supplier's, seed %d", f.Len(), ours, f.Seed)
	}
	before := readTree(t, dir)
	if rows := strings.Count(before["/portfolio.csv"], "\n"); rows != 251 {
		t.Errorf("%d lines in the portfolio, want 251", rows)
	}

	generateFleet(t, dir, "--meters", "250", "--seed", "7", "--supplier", "90B3D51F30050000") // replaces
	for name, text := range readTree(t, dir) {
		if before[name] != text {
			t.Errorf("%s differs under the same seed", name)
		}
	}
	other := t.TempDir()
	generateFleet(t, other, "--meters", "250", "--seed", "8")
	for name, text := range readTree(t, other) {
		if before[name] == text {
			t.Errorf("%s is the same under another seed", name)
		}
	}
}

func TestFleetGenerateRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		code   int
		reason string
		args   []string
	}{
		{exitUsage, "meters: 0", []string{"--meters", "0", "--out", file("f"), "--portfolio", file("p")}},
		{exitUsage, "meters: -5", []string{"--meters", "-5", "--out", file("f"), "--portfolio", file("p")}},
		{exitUsage, "meters: 50000001", []string{"--meters", "50000001", "--out", file("f"), "--portfolio", file("p")}},
		{exitUsage, "--meters", []string{"--meters", "many", "--out", file("f"), "--portfolio", file("p")}},
		{exitUsage, "same file", []string{"--meters", "5", "--out", file("f"), "--portfolio", dir + "/./f"}},
		{exitUsage, `"portfolio" not set`, []string{"--meters", "5", "--out", file("f")}},
		{exitUsage, "--supplier", []string{"--meters", "5", "--out", file("f"), "--portfolio", file("p"), "--supplier", "Acme"}},
		{exitUsage, "gaining supplier", []string{"--meters", "5", "--out", file("f"), "--portfolio", file("p"), "--supplier", "90B3D51F30030000"}},
		{exitFailed, file("none"), []string{"--meters", "5", "--out", file("none/f"), "--portfolio", file("p")}},
		{exitFailed, dir, []string{"--meters", "5", "--out", dir, "--portfolio", file("p")}},
	} {
		refuses(t, c.code, c.reason, "", append([]string{"fleet", "generate"}, c.args...)...)
	}
	if files := readTree(t, dir); len(files) != 0 {
		t.Errorf("left behind: %v", files)
	}
}
