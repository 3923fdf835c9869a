package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const portfolioHeader = "device_id,device_type,chf_id,mpxn,csp_region,claimed_mode,priority,source\n"

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

func generateFleet(t *testing.T, dir string, args ...string) string {
	t.Helper()
	return must(t, "", append([]string{
		"fleet", "generate", "--out", filepath.Join(dir, "fleet.csv"), "--portfolio", filepath.Join(dir, "portfolio.csv"),
	}, args...)...)
}

// gasRow is a good row of a portfolio.
func gasRow(n int) string {
	return fmt.Sprintf("00-DB-12-60-00-00-00-%02X,GSME,00-DB-12-C0-00-00-00-01,1234567,North,prepayment,0,list\n", n)
}

// A file that is no portfolio is named for what it is, and nothing that it holds is said
// to be the name of a column.
func TestPortfolioCheckNamesWhatAFileIs(t *testing.T) {
	dir := t.TempDir()
	good := portfolioHeader + gasRow(1) + gasRow(2)
	for name, c := range map[string]struct{ text, want string }{
		"cr.csv":        {strings.ReplaceAll(good, "\n", "\r"), "lines end with CR only"},
		"rows.csv":      {portfolioHeader + strings.ReplaceAll(gasRow(1)+gasRow(2), "\n", "\r"), "line 2: lines end with CR only"},
		"semicolon.csv": {strings.ReplaceAll(good, ",", ";"), "separated by ';'"},
		"tabs.csv":      {strings.ReplaceAll(good, ",", "\t"), "separated by tabs"},
		"utf16.csv":     {"\xff\xfed\x00e\x00v\x00", "UTF-16"},
		"title.csv":     {"Meters of Example Energy\n" + good, "the header is line 2"},
		"book.xlsx":     {"PK\x03\x04....", "an Excel workbook"},
		"header.csv":    {portfolioHeader, "no good row: there is none at all"},
		"bad.csv":       {portfolioHeader + strings.ReplaceAll(gasRow(1)+gasRow(2), "North", "West"), `no good row: 2 for csp_region (line 2: CSP region "West": want`},
		"commas.csv":    {portfolioHeader + ",,,,,,,\n,,,,,,,\n", "no good row"},
		"values.csv":    {gasRow(1) + gasRow(2), "missing device_id"},
	} {
		file := putFile(t, filepath.Join(dir, name), []byte(c.text))
		r := safemode(t, "", "portfolio", "check", file)
		if r.code != exitUsage || !strings.Contains(r.err, c.want) || strings.Contains(r.err, "00-DB") {
			t.Errorf("%s: exit %d: %s, want %q", name, r.code, r.err, c.want)
		}
	}
}

// The text of a file drives no terminal and no spreadsheet.
func TestPortfolioCheckQuotes(t *testing.T) {
	header := strings.Replace(portfolioHeader, "source", "source,\x1b[2Jname,\x1b]0;x\a", 1)
	row := func(id string) string {
		return id + ",GSME,00-DB-12-C0-00-00-00-01,1234567,North,prepayment,0,list,Jo,x\n"
	}
	file := putFile(t, filepath.Join(t.TempDir(), "p.csv"), []byte(header+row("00-DB-12-60-00-00-00-01")+row("=cmd|' /C calc'!A0")+row("\x1b[31m")))
	r := safemode(t, "", "portfolio", "check", file)
	if r.code != exitDone || strings.ContainsAny(r.out+r.err, "\x1b\a") || !strings.Contains(r.err, "2 columns without a name that can be shown") {
		t.Errorf("%+v", r)
	}
	text, err := os.ReadFile(file + ".rejects.csv")
	if err != nil || strings.Contains(string(text), "\x1b") || !strings.Contains(string(text), "\n3,'=cmd|") {
		t.Errorf("%v: %s", err, text)
	}
}

// A plan takes no more rejected rows than the configuration lets it, and says how much of
// the list of those not to be touched it knows.
func TestPlanRefusesManyRejectedRows(t *testing.T) {
	t.Parallel()
	s := newScene(t, 40, 1, 60)
	file := s.path("portfolio.csv")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	known, _, _ := strings.Cut(lines[5], ",")
	putFile(t, s.path("leave.txt"), []byte("# leave\r"+known+"\r00-DB-12-E0-81-5F-B8-B8\r"))
	planned := func(name, config string, bad int) commandResult {
		t.Helper()
		rows := append([]string{lines[0]}, lines[1:]...)
		for i := 1; i <= bad; i++ {
			rows[i] = strings.NewReplacer("North", "West", "Central", "West", "South", "West").Replace(rows[i])
		}
		putFile(t, file, []byte(strings.Join(rows, "")))
		return safemode(t, "", "plan", "--config", config, "--direction", s.path("direction.yaml"), "--portfolio", file,
			"--out", s.path(name), "--cert", s.path("pki/staff/olga.pem"), "--key", s.path("pki/staff/olga.key"))
	}
	usual := s.configure(t, "usual.yaml", "custody_dir:", "suppress_file: leave.txt\ncustody_dir:")
	planned("three", usual, 3).says(t, exitRefused, "3 of 40 rows are rejected", "max_rejected_share (0.05)", "portfolio check")
	if r := planned("two", usual, 2); r.code != exitDone || !strings.Contains(r.out, "2 suppressed, 1 of them planned, 1 unknown") {
		t.Errorf("%+v", r)
	}
	if r := planned("wide", s.configure(t, "wide.yaml", "custody_dir:", "max_rejected_share: 0.1\ncustody_dir:"), 3); r.code != exitDone {
		t.Errorf("%+v", r)
	}
	putFile(t, s.path("leave.txt"), []byte("# nobody\n"))
	planned("none", usual, 0).says(t, exitUsage, "leave.txt", "it names none")
}
