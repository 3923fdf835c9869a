package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"safemode/cmd/rehearsal"
	"safemode/engine/journal"
	"safemode/engine/journal/store/pgtest"
)

// A sweep whose journal is in a database: the server crashes under it and comes back, and
// it goes on; it is suspended, another takes the journal over, and it signs and sends nothing
// more and says who; the same command stands by, goes on once it is given back, and every command
// takes the address.
func TestSweepInADatabase(t *testing.T) {
	long(t)
	c := pgtest.Start(t)
	// A server that crashed is there again sooner than the lease ends.
	// What it sends is spread over its time: a busy machine must find it sending twice.
	user := rehearsal.Config(referenceSpeed).Limits.User
	s, sim := referenceScene(t, ofWhole(30, 120), "custody_dir: custody", "custody_dir: custody\njournal: {lease: 5s}",
		fmt.Sprintf("user: {per_second: %g, burst: %d}", user.PerSecond, user.Burst), fmt.Sprintf("user: {per_second: %g, burst: 10}", ofWhole(30., 100.)/referenceSpeed))
	address := c.Address("winter")
	args := append(s.sweepArgs("safemode.yaml", "plan", ""), "--journal", address)
	refuses(t, exitUsage, "no tables of safemode", "", "audit", "--journal", address)
	p := start(t, args...)
	s.untilSent(t, p, 20)
	listed := func() (lines []sweepLine) {
		t.Helper()
		if err := json.Unmarshal([]byte(must(t, "", "sweeps", "--database", c.Database(), "--json")), &lines); err != nil {
			t.Fatal(err)
		}
		return lines
	}
	if l := listed(); len(l) != 1 || l[0].Name != "winter" || l[0].State != "running" || l[0].Meters != s.meters || l[0].Holder == "" || l[0].Records == 0 {
		t.Errorf("while it runs: %+v", l)
	}
	c.Stop(t)
	c.Serve(t) // takes longer than the sweep is without something to commit
	s.untilSent(t, p, 20)

	// It is suspended for longer than its lease, and another takes the journal over.
	if err := p.command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var other *journal.Journal
	p.until("the lease ends", func() (free bool) {
		var err error
		if other, err = journal.Open(address, journal.Options{Holder: "the other machine"}); err != nil && !errors.Is(err, journal.ErrInUse) {
			t.Fatal(err)
		}
		return err == nil
	})
	tip, sent := other.Tip(), s.requests(t)
	r := p.signal(syscall.SIGCONT)
	if r.code != exitHalted || !strings.Contains(r.err, "the other machine holds the sweep since") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	if other.Tip() != tip {
		t.Errorf("the journal went on from %v to %v", tip, other.Tip())
	}
	again := start(t, args...)
	again.until("standing by", func() bool { return strings.Contains(again.err.String(), "standing by for the other machine") })
	if now := s.requests(t); now != sent {
		t.Errorf("%g requests were sent after another had taken over", now-sent)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}

	again.succeeds()
	out := filepath.Join(t.TempDir(), "report")
	must(t, "", "report", "--journal", address, "--out", out, "--json")
	meters := readMeters(t, out)
	s.borneOut(t, sim, meters)
	if l := listed(); len(l) != 1 || l[0].State != "finished" || l[0].Last == nil {
		t.Errorf("when it has ended: %+v", l)
	}
	audited(t, exitDone, "--journal", address, "--custody-dir", s.path("custody"))
	must(t, "", "evidence", "--journal", address, "--device", meters[0]["device_id"], "--out", s.path("evidence"))

	// And back into a file, by which everything is the same.
	must(t, "", "journal", "copy", "--from", address, "--to", s.path("copy.db"))
	must(t, "", "journal", "backup", "--journal", address, "--out", s.path("backup.db"))
	for _, path := range []string{"copy.db", "backup.db"} {
		audited(t, exitDone, "--journal", s.path(path), "--custody-dir", s.path("custody"), "--backup", address)
	}
	must(t, "", "journal", "copy", "--from", s.path("copy.db"), "--to", c.Address("again"))
	refuses(t, exitUsage, "exists: name a new one", "", "journal", "copy", "--from", s.path("copy.db"), "--to", c.Address("again"))
	var lines [2]string
	for i, at := range []string{address, c.Address("again")} {
		lines[i] = must(t, "", "journal", "export", "--journal", at, "--format", "jsonl")
	}
	if lines[0] != lines[1] || strings.Count(lines[0], "\n") < 500 {
		t.Errorf("the copy of the copy has other records: %d and %d bytes", len(lines[0]), len(lines[1]))
	}
}

// The database's primary is killed under a sweep, and its synchronous standby promoted: the
// sweep goes on there by itself, and nothing is missing. A standby that was not waited for
// lacks something: the sweep ends, and says so.
func TestDatabaseFailsOver(t *testing.T) {
	long(t)
	for _, waits := range []bool{true, false} {
		name := "waited for"
		if !waits {
			name = "not waited for"
		}
		t.Run(name, func(t *testing.T) {
			if waits {
				onlyWhole(t) // the tests of package store fail over in every way
			}
			beside(t)
			first := pgtest.Start(t, "fsync=on")
			second := first.Standby(t)
			s, sim := referenceScene(t, fewMeters())
			address := first.Address("failover", second)
			p := start(t, append(s.sweepArgs("safemode.yaml", "plan", ""), "--journal", address, "--verbose")...)
			s.untilSent(t, p, 50)
			if !strings.Contains(p.err.String(), "commits wait for second at this machine (streaming, sync)") {
				t.Errorf("it does not say for whom commits wait: %s", p.err.String())
			}
			if !waits {
				if err := first.Set("synchronous_standby_names", ""); err != nil {
					t.Fatal(err)
				}
				second.Stop(t)
				s.untilSent(t, p, 50)
			}
			first.Stop(t)
			if !waits {
				second.Serve(t)
			}
			if err := second.Promote(); err != nil {
				t.Fatal(err)
			}
			if !waits {
				r := p.wait()
				if r.code != exitHalted || !strings.Contains(r.err, "the database has lost records: ") || !strings.Contains(r.err, "go on only with a database that has them") {
					t.Errorf("exit %d: %s", r.code, r.err)
				}
				return
			}
			p.succeeds()
			out := filepath.Join(t.TempDir(), "report")
			must(t, "", "report", "--journal", address, "--out", out, "--json")
			s.borneOut(t, sim, readMeters(t, out))
			audited(t, exitDone, "--journal", address, "--custody-dir", s.path("custody"))
		})
	}
}

// An export to SQLite answers the queries that people asked of the journal in
// the SQLite shell.
func TestJournalExport(t *testing.T) {
	long(t)
	dir, err := swept()
	if err != nil {
		t.Fatal(err)
	}
	path, rows := filepath.Join(dir, "journal.db"), filepath.Join(t.TempDir(), "rows.db")
	export := func(args ...string) string {
		return must(t, "", append([]string{"journal", "export", "--journal", path}, args...)...)
	}
	var said struct{ Records int }
	if err := json.Unmarshal([]byte(export("--format", "sqlite", "--out", rows, "--json")), &said); err != nil {
		t.Fatal(err)
	}
	refuses(t, exitUsage, "rows.db exists", "", "journal", "export", "--journal", path, "--format", "sqlite", "--out", rows)
	refuses(t, exitUsage, "want sqlite, jsonl or csv", "", "journal", "export", "--journal", path, "--format", "xlsx")
	refuses(t, exitUsage, `kind "rumour" is not known`, "", "journal", "export", "--journal", path, "--format", "csv", "--kind", "rumour")
	refuses(t, exitUsage, "--from", "", "journal", "export", "--journal", path, "--format", "csv", "--from", "2026-11-25")
	refuses(t, exitUsage, "name a new file", "", "journal", "export", "--journal", path, "--format", "sqlite")

	db, err := sql.Open("sqlite", rows)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// The command's help has queries: each question is indented by two spaces, its query by four.
	_, help, _ := strings.Cut(must(t, "", "journal", "export", "--help"), "of an export to sqlite:")
	help, _, _ = strings.Cut(help, "Usage:")
	asked, query := 0, ""
	for line := range strings.Lines(help + "  \n") {
		if strings.HasPrefix(line, "    ") {
			query += line
			continue
		}
		if query != "" {
			if _, err := db.Exec(query); err != nil {
				t.Errorf("%s: %v", query, err)
			}
			asked++
		}
		query = ""
	}
	if asked < 5 {
		t.Errorf("%d queries of the help were asked", asked)
	}
	count := func(query string) (n int) {
		t.Helper()
		if err := db.QueryRow(query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	all := journalRecords(t, path)
	if n := count("SELECT count(*) FROM record"); n != len(all) || n != said.Records {
		t.Errorf("%d rows of %d records, %d were said", n, len(all), said.Records)
	}
	if n := count("SELECT count(*) FROM record WHERE length(hash) = 32 AND seq BETWEEN 1 AND 100"); n != 100 {
		t.Errorf("%d of 100 rows have a hash", n)
	}
	meter := all[2].Device.String() // a target
	lines := strings.Split(strings.TrimSpace(export("--format", "jsonl", "--device", meter, "--kind", "request,signed_command")), "\n")
	if want := count("SELECT count(*) FROM record WHERE kind IN ('request', 'signed_command') AND printf('%016X', device) = '" + strings.ReplaceAll(meter, "-", "") + "'"); len(lines) != want || want == 0 {
		t.Errorf("%d lines of one meter, want %d", len(lines), want)
	}
	for _, line := range lines {
		var row struct{ Device, Kind, Hash string }
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.Device != meter || len(row.Hash) != 64 {
			t.Errorf("%s: %v", line, err)
		}
	}
	file := filepath.Join(t.TempDir(), "rows.csv")
	last := all[len(all)-1]
	export("--format", "csv", "--out", file, "--from", last.At.Format(time.RFC3339Nano))
	text, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(text), "seq,at,kind,") || !strings.Contains(string(text), ",closed,") {
		t.Errorf("%s, %v", text, err)
	}
}
