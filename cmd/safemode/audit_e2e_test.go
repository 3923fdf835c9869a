package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"safemode/engine/audit"
	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// sweptMeters are enough for each kind of record.
const sweptMeters = 50

// swept is the folder of a small demo, made once.
var swept = sync.OnceValues(func() (string, error) {
	path, err := program()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(path), "swept")
	out, err := exec.Command(path, "demo", "--meters", strconv.Itoa(sweptMeters), "--seed", "3", "--retries", "short", "--out", dir).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("demo: %w: %s", err, out)
	}
	return dir, err
})

// forge copies the demo's journal into a new one, with a chain of its own, and lets
// change do what it likes to the records on the way: it returns what to write in
// place of each. So many records make a segment.
func forge(t *testing.T, segment int, change func(record.Record) []record.Record) string {
	t.Helper()
	dir, err := swept()
	if err != nil {
		t.Fatal(err)
	}
	from, err := journal.OpenReadOnly(filepath.Join(dir, "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(t.TempDir(), "forged.db")
	to, err := journal.Open(path, journal.Options{Unsynced: true, Linger: time.Hour, BatchLimit: segment})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	for r, err := range from.Records(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == record.State { // it vouches for rows of the table
			continue
		}
		to.Append(change(r)...)
	}
	rows, r, err := from.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	to.Keep(r.At, rows)
	return path
}

func audited(t *testing.T, code int, args ...string) (r audit.Report) {
	t.Helper()
	got := safemode(t, "", append([]string{"audit", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(got.out), &r); err != nil || got.code != code {
		t.Fatalf("exit %d, want %d: %s%s", got.code, code, got.out, got.err)
	}
	return r
}

// disproven lists the claims that do not hold, with their first fault.
func disproven(r audit.Report) map[string]string {
	found := map[string]string{}
	for _, c := range r.Claims {
		if c.Status == audit.Disproven {
			found[c.Name] = c.Faults[0]
		}
	}
	return found
}

func TestAuditOfASweep(t *testing.T) {
	long(t)
	dir, err := swept()
	if err != nil {
		t.Fatal(err)
	}
	r := audited(t, exitDone, "--journal", filepath.Join(dir, "journal.db"), "--custody-dir", filepath.Join(dir, "custody"))
	if !r.Proven || r.Records == 0 || len(r.Claims) != 14 {
		t.Errorf("%+v", r)
	}
	for _, c := range r.Claims {
		if c.Checked == 0 && c.Name != "arm_on_evidence" {
			t.Errorf("%s is proven of nothing", c.Name)
		}
	}
	text := must(t, "", "audit", "--journal", filepath.Join(dir, "journal.db"))
	if strings.Count(text, "\nproven ") != len(r.Claims)-1 {
		t.Errorf("%s", text)
	}
	refuses(t, exitUsage, "none.db: no such file", "", "audit", "--journal", filepath.Join(dir, "none.db"))
	refuses(t, exitUsage, "not a journal", "", "audit", "--journal", filepath.Join(dir, "fleet.csv"))
}

// The audit of a file that was changed without its chain names the record and what
// was done.
func TestAuditNamesWhatWasDoneToARecord(t *testing.T) {
	long(t)
	whole, err := os.ReadFile(forge(t, 10, func(r record.Record) []record.Record { return []record.Record{r} }))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ sql, claim, fault string }{
		"altered":            {"UPDATE segment SET body = x'00' WHERE first = 201", "chain", "record 201: segment 21 (records 201 to 210): its body is not the one that was written"},
		"time altered":       {"UPDATE segment SET latest = latest + 1 WHERE first = 201", "chain", "record 201: segment 21 (records 201 to 210): its times"},
		"hash altered":       {"UPDATE segment SET after = zeroblob(32) WHERE first = 201", "chain", "record 201: segment 21 (records 201 to 210): its hash"},
		"removed":            {"DELETE FROM segment WHERE first = 201", "chain", "record 201: missing, and all up to record 210"},
		"removed, closed up": {"DELETE FROM segment WHERE first = 201; UPDATE segment SET first = first - 10, last = last - 10, number = number - 1 WHERE first > 201; UPDATE tip SET seq = seq - 10, number = number - 1", "chain", "record 201: removed, and closed up"},
		"swapped":            {swapSegments(201, 211), "chain", "record 201: swapped with the segment of record 211"},
		"swapped far":        {swapSegments(201, 601), "chain", "record 201: swapped with the segment of record 601"},
		"added": {
			"UPDATE segment SET first = -first WHERE first > 200; UPDATE segment SET first = 10 - first, last = last + 10, number = number + 1 WHERE first < 0; UPDATE tip SET seq = seq + 10, number = number + 1; " +
				"INSERT INTO segment SELECT 201, 210, 21, earliest, latest, kinds, before, after, packing, sum, body FROM segment WHERE first = 51",
			"chain", "record 201: added: what followed record 200 begins at record 211 now",
		},
		"cut":           {"DELETE FROM segment WHERE first > 300; UPDATE tip SET seq = 300, number = 30", "chain", "record 300: not the last record"},
		"state altered": {"UPDATE state SET value = zeroblob(9) WHERE row = 2", "state", "not the one that record"},
		"state gone":    {"DELETE FROM state", "state", "not the one that record"},
		"tip gone":      {"DELETE FROM tip", "tip", "the tip is missing"},
		"tip altered":   {"UPDATE tip SET hash = zeroblob(32)", "chain", "not the last record"},
		"tip behind":    {"UPDATE tip SET (number, seq, hash) = (SELECT number, last, after FROM segment WHERE segment.number = tip.number - 1)", "chain", "added after record"},
	} {
		t.Run(name, func(t *testing.T) {
			path := putFile(t, filepath.Join(t.TempDir(), "journal.db"), whole)
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(c.sql); err != nil {
				t.Fatal(err)
			}
			db.Close()
			r := audited(t, exitNotHeld, "--journal", path)
			if found := disproven(r); !strings.Contains(found[c.claim], c.fault) {
				t.Errorf("%q, want %s: %s", found, c.claim, c.fault)
			}
			for _, claim := range r.Claims[4:] { // the other claims hold up to there, and are not called proven
				if claim.Status == audit.Proven && r.Records < 500 && c.claim == "chain" {
					t.Errorf("%s is %s of a journal that is not whole", claim.Name, claim.Status)
				}
			}
		})
	}
}

func swapSegments(a, b int) string {
	move := func(from, to int) string {
		return fmt.Sprintf("UPDATE segment SET first = %d WHERE first = %d; ", to, from)
	}
	return move(a, -1) + move(b, a) + move(-1, b)
}

// A chain that was made again does not hide what was sent.
func TestAuditSeesThroughAForgedChain(t *testing.T) {
	long(t)
	const first, second = 0, 1
	for name, c := range map[string]struct {
		claim, fault string
		change       func(r *record.Record, nth int) []record.Record // nth of its kind
	}{
		// Which record shows it first depends on which answer came first.
		"request left out": {"journalled_first", "", func(r *record.Record, nth int) []record.Record {
			if r.Kind == record.Request && nth == first { // another stands in its place: the numbers stay
				return []record.Record{{At: r.At, Kind: record.Unmatched}}
			}
			return []record.Record{*r}
		}},
		"counter used twice": {"counters_once", "signed twice", func(r *record.Record, nth int) []record.Record {
			if r.Kind == record.Request && nth == second {
				return []record.Record{*r, *r}
			}
			return []record.Record{*r}
		}},
		"bytes altered": {"signed_bytes", "", func(r *record.Record, nth int) []record.Record {
			if r.Kind == record.SignedCommand && nth == first {
				r.Body = slices.Clone(r.Body)
				at := strings.Index(string(r.Body), "GBCSPayload>") + len("GBCSPayload>") + 40
				r.Body[at] ^= 1
			}
			return []record.Record{*r}
		}},
		"column altered": {"signed_bytes", "the body is SRV", func(r *record.Record, nth int) []record.Record {
			if r.Kind == record.SignedCommand && nth == first {
				r.Service = servicerequests.ArmSupply
			}
			return []record.Record{*r}
		}},
		"outside the window": {"within_direction", "direction not in force", func(r *record.Record, nth int) []record.Record {
			if r.Kind == record.Request && nth == second {
				r.At = r.At.AddDate(0, 2, 0)
			}
			return []record.Record{*r}
		}},
		"meter not planned": {"within_direction", "the meter is not in the plan", func(r *record.Record, nth int) []record.Record {
			if r.Kind == record.Target && nth == first {
				return nil
			}
			return []record.Record{*r}
		}},
		"plan of another size": {"plan", fmt.Sprintf("the plan has %d targets", sweptMeters), func(r *record.Record, nth int) []record.Record {
			if r.Kind == record.Target && nth == first {
				return nil
			}
			return []record.Record{*r}
		}},
		"opened as another sweep": {"plan", "opened for plan", func(r *record.Record, _ int) []record.Record {
			if r.Kind == record.Opened {
				body, _ := record.Decode[record.Opening](*r)
				body.PlanSHA256 = strings.Repeat("0", 64)
				r.Body = record.Encode(body)
			}
			return []record.Record{*r}
		}},
		"arm without a read": {"arm_on_evidence", "no read before it said Disabled", func(r *record.Record, _ int) []record.Record {
			if r.Kind == record.Outcome {
				body, _ := record.Decode[record.OutcomeBody](*r)
				body.Observed = nil
				r.Body = record.Encode(body)
			}
			return []record.Record{*r}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			counts := map[record.Kind]int{}
			path := forge(t, 1000, func(r record.Record) []record.Record {
				counts[r.Kind]++
				return c.change(&r, counts[r.Kind]-1)
			})
			r := audited(t, exitNotHeld, "--journal", path)
			if found, ok := disproven(r)[c.claim]; !ok || !strings.Contains(found, c.fault) {
				t.Errorf("%q, want %s: %s", disproven(r), c.claim, c.fault)
			}
		})
	}
	t.Run("answered before it was known", func(t *testing.T) {
		var held *record.Record
		path := forge(t, 1000, func(r record.Record) []record.Record {
			switch {
			case held == nil && r.Kind == record.Request:
				held = &r
				return nil
			case held != nil && r.Kind == record.Response && r.ID == held.ID:
				request := *held
				held.ID.Counter = 0
				return []record.Record{r, request}
			}
			return []record.Record{r}
		})
		if found := disproven(audited(t, exitNotHeld, "--journal", path))["journalled_first"]; found == "" {
			t.Error("not seen")
		}
	})
}

// The restore drill: a backup of a running sweep; the sweep goes on; the backup
// is put in the journal's place. It is refused, the audit says why, and a person
// can take it all the same: then it goes on, and no counter is used twice in any of
// the histories.
func TestRestoreDrill(t *testing.T) {
	long(t)
	s, sim := patientScene(t, fewMeters(), brisk)
	// Requests that were answered after the backup are not answered again: the sweep waits for
	// their answers.
	s.configure(t, "safemode.yaml", "response_wait_electricity:", "response_wait_gas: 2h\n  response_wait_electricity:")
	p := s.sweep(t)
	s.untilDone(t, p, 12)
	must(t, "", "journal", "backup", "--journal", s.path("journal.db"), "--out", s.path("backup.db"))
	refuses(t, exitUsage, "backup.db exists", "", "journal", "backup", "--journal", s.path("journal.db"), "--out", s.path("backup.db"))
	refuses(t, exitRefused, "in use", "", "custody", "release", "--custody-dir", s.path("custody"), "--originator", "90-B3-D5-1F-30-01-00-00", "--out", s.path("h.json"))
	s.untilDone(t, p, 36)
	if r := p.signal(syscall.SIGINT); r.code != exitInterrupted {
		t.Fatalf("%+v", r)
	}
	sent := s.requests(t)
	if err := os.Rename(s.path("journal.db"), s.path("newer.db")); err != nil {
		t.Fatal(err)
	}
	backup, err := os.ReadFile(s.path("backup.db"))
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, s.path("journal.db"), backup)
	s.refusesSweep(t, exitRefused, "safemode.yaml", "plan", "journal.db", "the journal is an older copy", "custody accept")
	if now := s.requests(t); now != sent {
		t.Errorf("%g requests were sent", now-sent)
	}
	custodyDir := s.path("custody")
	found := disproven(audited(t, exitNotHeld, "--journal", s.path("journal.db"), "--custody-dir", custodyDir, "--backup", s.path("newer.db")))
	if !strings.Contains(found["custody"], "an older copy") || !strings.Contains(found["backups"], "the journal is older") {
		t.Errorf("%q", found)
	}
	s.accept(t, "plan", "journal.db")
	s.sweep(t).succeeds()
	r := audited(t, exitNotHeld, "--journal", s.path("journal.db"), "--custody-dir", custodyDir, "--backup", s.path("newer.db"), "--backup", s.path("backup.db"))
	found = disproven(r)
	if len(found) != 1 || !strings.Contains(found["backups"], "newer.db: went on by itself after record") {
		t.Errorf("%q", found)
	}
	_, meters := s.report(t, "journal.db")
	s.borneOut(t, sim, meters)

	var handback struct {
		LastCounter uint64    `json:"last_counter"`
		Released    time.Time `json:"released"`
	}
	out := must(t, "", "custody", "release", "--custody-dir", custodyDir, "--originator", "90-B3-D5-1F-30-01-00-00", "--out", s.path("handback.json"))
	if err := json.Unmarshal([]byte(out), &handback); err != nil || handback.LastCounter == 0 || handback.Released.IsZero() {
		t.Errorf("%s: %v", out, err)
	}
	if text, err := os.ReadFile(s.path("handback.json")); err != nil || !strings.Contains(string(text), `"last_counter"`) {
		t.Errorf("%s: %v", text, err)
	}
}
