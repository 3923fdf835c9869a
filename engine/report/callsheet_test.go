package report_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
)

// callSheet is the list of a report by its columns, once as a table and once as a workbook.
func callSheet(t *testing.T, r *report.Report, called map[string]report.Called) (rows []map[string]string, book *excelize.File) {
	t.Helper()
	s := r.CallSheet(called, func(verdict, reason string) string { return "do: " + verdict })
	var table, workbook bytes.Buffer
	if err := s.WriteCSV(&table); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteXLSX(&workbook); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		var again bytes.Buffer
		if err := s.WriteXLSX(&again); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.Bytes(), workbook.Bytes()) {
			t.Fatal("the same list makes different workbooks")
		}
	}
	lines, err := csv.NewReader(&table).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	book, err = excelize.OpenReader(&workbook)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = book.Close() })
	same, err := book.GetRows("calls")
	if err != nil {
		t.Fatal(err)
	}
	for i := range same { // it leaves out empty cells at the end
		for len(same[i]) < len(lines[0]) {
			same[i] = append(same[i], "")
		}
	}
	if diff := cmp.Diff(lines, same); diff != "" {
		t.Errorf("table and workbook differ: %s", diff)
	}
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, name := range lines[0] {
			row[name] = line[i]
		}
		rows = append(rows, row)
	}
	return rows, book
}

// The longest without supply is first, what is done is last, and each says what to say.
func TestCallSheet(t *testing.T) {
	r := town(t).report()
	mpxn := map[servicerequests.EUI]string{}
	for i := range r.Meters {
		mpxn[r.Meters[i].Device] = r.Meters[i].Target.MPxN
	}
	called := map[string]report.Called{
		mpxn[0xE1]:  {Attempts: 2, Outcome: "pressed", Person: "=Ada", At: start, Done: true},
		mpxn[elecB]: {Attempts: 1, Outcome: "no_answer", Person: "Ada", At: start},
	}
	rows, book := callSheet(t, r, called)
	type brief struct{ mpxn, verdict, hours, attempts, done string }
	var got []brief
	for _, row := range rows {
		got = append(got, brief{row["mpxn"], row["verdict"], row["hours_off"], row["attempts"], row["done"]})
		button := strings.HasPrefix(row["say"], "supply is ready: ")
		if none := strings.HasPrefix(row["say"], "do not have a button pressed; do: "); button != (row["verdict"] == record.VerdictArmed) || none == button {
			t.Errorf("%s is %s: say %q", row["mpxn"], row["verdict"], row["say"])
		}
		for _, name := range []string{"outcome", "person", "at", "note"} {
			if row[name] != "" {
				t.Errorf("%s is filled in: %q", name, row[name])
			}
		}
	}
	want := []brief{
		{mpxn[gasA], "armed", "9.0", "0", ""},
		{mpxn[elecB], "armed", "6.0", "1", ""},
		{mpxn[gasB], "not_safe", "3.0", "0", ""},
		{mpxn[0xE1], "unknown", "4.0", "2", "yes"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(brief{})); diff != "" {
		t.Error(diff)
	}
	if got, want := r.CallSheet(called, func(string, string) string { return "" }).Progress, (report.CallProgress{ToCall: 4, Tried: 1, Done: 1}); got != want {
		t.Errorf("%+v", got)
	}
	// Nothing of others is a formula, in neither of the two.
	if model, person := rows[0]["model"], rows[3]["last_person"]; model != "'=HYPERLINK(1)" || person != "'=Ada" {
		t.Errorf("%q, %q", model, person)
	}
	cells := 0
	for y := 1; y <= len(rows)+1; y++ {
		for x := 1; x <= 20; x++ {
			at, err := excelize.CoordinatesToCellName(x, y)
			if err != nil {
				t.Fatal(err)
			}
			formula, err := book.GetCellFormula("calls", at)
			kind, kindErr := book.GetCellType("calls", at)
			if err != nil || kindErr != nil || formula != "" || kind != excelize.CellTypeInlineString && kind != excelize.CellTypeSharedString {
				t.Errorf("%s: formula %q, type %v, %v %v", at, formula, kind, err, kindErr)
			}
			cells++
		}
	}
	if cells != 100 {
		t.Errorf("%d cells", cells)
	}
}

// Who may not know the homes is told of no call to them.
func TestCallSheetRedacted(t *testing.T) {
	r := town(t).report()
	r.Redact()
	rows, _ := callSheet(t, r, map[string]report.Called{"": {Attempts: 1, Person: "Ada", At: start.Add(time.Hour)}})
	for _, row := range rows {
		if row["mpxn"] != "" || row["attempts"] != "0" || row["last_person"] != "" {
			t.Errorf("%v", row)
		}
	}
}
