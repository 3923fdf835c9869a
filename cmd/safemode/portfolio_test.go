package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const portfolioHeader = "device_id,device_type,chf_id,mpxn,csp_region,claimed_mode,priority,source\n"

func TestPortfolioCheckGenerated(t *testing.T) {
	dir := t.TempDir()
	generateFleet(t, dir, "--meters", "300")
	file := filepath.Join(dir, "portfolio.csv")
	var facts checkedPortfolio
	line := must(t, "", "portfolio", "check", "--json", file)
	if err := json.Unmarshal([]byte(line), &facts); err != nil || strings.Count(line, "\n") != 1 {
		t.Fatalf("%v: %s", err, line)
	}
	want := checkedPortfolio{File: file, Good: 300, Rejects: file + ".rejects.csv", Dropped: []string{}, Reasons: []rejection{}}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Error(diff)
	}
	if text, err := os.ReadFile(want.Rejects); err != nil || string(text) != "line,device_id,column,reason\n" {
		t.Errorf("%v: %s", err, text)
	}
}

func TestPortfolioCheckRejects(t *testing.T) {
	dir := t.TempDir()
	meter := func(id, rest string) string { return id + ",GSME,00-DB-12-C0-00-00-00-01," + rest + "\n" }
	file := putFile(t, filepath.Join(dir, "p.csv"), []byte("\ufeff"+strings.Replace(portfolioHeader, "source", "source,name", 1)+
		meter("00-DB-12-60-00-00-00-01", "1234567,North,prepayment,0,inventory,Ann")+
		meter("00-db-12-60-00-00-00-01", "1234567,North,prepayment,0,inventory,Ann")+
		meter("00-DB-12-60", "1234567,North,prepayment,0,inventory,\"a\nb\"")+
		meter("00-DB-12-60-00-00-00-02", "1234567,SMETS1,prepayment,0,inventory,Bob")+
		meter("00-DB-12-60-00-00-00-03", "1234567,4G South,credit,9,,Eve")+
		"short\n"))
	bad := filepath.Join(dir, "bad.csv")
	r := safemode(t, "", "portfolio", "check", file, "--rejects", bad)
	if r.code != exitDone || r.err != "safemode: columns that are not kept: \"name\"\n" ||
		r.out != "2 good rows, 3 rejected; the rejected are in "+bad+"\n"+
			"  rejected: 2 for device_id (line 3: device is on line 2 already), 1 for the row as a whole (line 8: 1 fields where the header has 9)\n"+
			"  1 SMETS1 meters: counted and handed over, never sent anything\n" {
		t.Errorf("%+v", r)
	}
	text, err := os.ReadFile(bad)
	if err != nil {
		t.Fatal(err)
	}
	var places []string
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		parts := strings.SplitN(line, ",", 4)
		if parts[3] == "" {
			t.Errorf("no reason: %s", line)
		}
		places = append(places, strings.Join(parts[:3], ","))
	}
	want := []string{
		"line,device_id,column", "3,00-DB-12-60-00-00-00-01,device_id", "4,00-DB-12-60,device_id",
		"6,00-DB-12-60-00-00-00-02,", "8,short,",
	}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Error(diff)
	}
}

func TestPortfolioCheckUnreadable(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string { return putFile(t, filepath.Join(dir, name), []byte(text)) }
	good := file("good.csv", portfolioHeader)
	for _, c := range []struct {
		code   int
		reason string
		args   []string
	}{
		{exitUsage, "none.csv", []string{"none.csv"}},
		{exitUsage, "empty.csv", []string{file("empty.csv", "")}},
		{exitUsage, "priority", []string{file("columns.csv", "device_id,device_type\n")}},
		{exitUsage, "quote.csv", []string{file("quote.csv", portfolioHeader+"x,\"y\n")}},
		{exitUsage, dir, []string{dir}},
		{exitUsage, "portfolio itself", []string{good, "--rejects", filepath.Join(dir, ".", "good.csv")}},
		{exitFailed, "none", []string{good, "--rejects", filepath.Join(dir, "none", "bad.csv")}},
		{exitUsage, "accepts 1 arg", nil},
	} {
		refuses(t, c.code, c.reason, "", append([]string{"portfolio", "check"}, c.args...)...)
	}
	for name, text := range readTree(t, dir) {
		if strings.Contains(name, "rejects") || name == "/good.csv" && text != portfolioHeader {
			t.Errorf("left behind: %s: %q", name, text)
		}
	}
}

func TestPortfolioCheckStops(t *testing.T) {
	dir := t.TempDir()
	file := putFile(t, filepath.Join(dir, "p.csv"), []byte(portfolioHeader+"short\n"))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var out, errors strings.Builder
	if code := run(ctx, []string{"portfolio", "check", file}, stdio{nil, &out, &errors}); code != exitInterrupted || out.String() != "" {
		t.Errorf("exit %d: %s%s", code, out.String(), errors.String())
	}
	if files := readTree(t, dir); len(files) != 1 {
		t.Errorf("%d files are left", len(files))
	}
}
