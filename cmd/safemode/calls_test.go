package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"safemode/engine/callbook"
	"safemode/engine/report"
)

// A list goes out, comes back filled in, and the next list, the status and the weekly report
// say how far the call centre is. The journal does not change by it.
func TestCallsGoOutAndComeBack(t *testing.T) {
	long(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	journal := putFile(t, path("journal.db"), mustRead(t, filepath.Join(referenceDemo(t, fewMeters()).dir, "journal.db")))
	before := mustRead(t, journal)
	must(t, "", "calls", "list", "--journal", journal, "--out", path("list.csv"))
	must(t, "", "calls", "list", "--journal", journal, "--out", path("list.xlsx"))
	refuses(t, exitUsage, "want a name that ends in .csv or .xlsx", "", "calls", "list", "--journal", journal, "--out", path("list.ods"))

	header, list := readCSV(t, path("list.csv"))
	if len(list) < 3 {
		t.Fatalf("%d to call", len(list))
	}
	rows := [][]string{header}
	for i, line := range list {
		if i < 3 { // the third with a fault
			line["outcome"], line["person"] = [...]string{"pressed", "no_answer", "asleep"}[i], "Ada Byron"
			line["at"], line["note"] = "2026-11-23T09:00:00Z", "=1+1"
		}
		var row []string
		for _, name := range header {
			row = append(row, line[name])
		}
		rows = append(rows, row)
	}
	var filled strings.Builder
	if err := csv.NewWriter(&filled).WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	back := putFile(t, path("back.csv"), []byte(filled.String()))
	for i, want := range []string{"2 calls taken in, 0 were known", "0 calls taken in, 2 were known"} {
		if said := must(t, "", "calls", "import", back, "--journal", journal, "--by", "olga"); !strings.HasPrefix(said, want) || !strings.Contains(said, " 1 rejected") {
			t.Errorf("import %d: %s", i+1, said)
		}
	}
	if _, bad := readCSV(t, back+".rejects.csv"); len(bad) != 1 || bad[0]["line"] != "4" || !strings.HasPrefix(bad[0]["reason"], "outcome: want") {
		t.Errorf("rejected: %v", bad)
	}
	bad := putFile(t, path("bad.csv"), []byte("mpxn,outcome,person,at,note\n1,pressed,A,x,\n"))
	if r := safemode(t, "", "calls", "import", bad, "--journal", journal); r.code != exitUsage || !strings.Contains(r.err, "no good row: line 2: mpxn") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	refuses(t, exitUsage, "missing at, note", "", "calls", "import", putFile(t, path("few.csv"), []byte("mpxn,outcome,person\n1,pressed,A\n")), "--journal", journal)

	var st struct {
		Calls struct{ Tried, Done int }
	}
	if r := safemode(t, "", "status", "--journal", journal, "--json"); json.Unmarshal([]byte(r.out), &st) != nil || st.Calls.Done != 1 || st.Calls.Tried != 1 {
		t.Errorf("status: %s", r.out)
	}
	if r := safemode(t, "", "report", "--journal", journal, "--out", path("report"), "--json"); r.code != exitDone {
		t.Fatal(r.err)
	}
	var weekly report.Weekly
	if err := json.Unmarshal(mustRead(t, path("report/weekly.json")), &weekly); err != nil || weekly.CallList.Done != 1 || weekly.CallList.Tried != 1 || weekly.CallList.ToCall != len(list) {
		t.Errorf("%v: %+v of %d", err, weekly.CallList, len(list))
	}
	_, again := readCSV(t, path("report/call_list.csv"))
	if last := again[len(again)-1]; last["mpxn"] != list[0]["mpxn"] || last["done"] != "yes" || last["last_person"] != "Ada Byron" || last["outcome"] != "" {
		t.Errorf("the last is %v", last)
	}
	if string(mustRead(t, journal)) != string(before) {
		t.Error("the journal has changed")
	}

	// A record that somebody has changed is not believed.
	record := journal + callbook.Suffix
	if err := os.WriteFile(record, []byte(strings.Replace(string(mustRead(t, record)), "pressed", "visit", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, exitFailed, "the record of calls is damaged", "", "calls", "import", back, "--journal", journal)
	if r := safemode(t, "", "report", "--journal", journal, "--out", path("report"), "--json"); r.code != exitDone || !strings.Contains(r.err, "the reports say nothing of calls") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
}
