package report

import (
	"cmp"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/xuri/excelize/v2"

	"safemode/engine/record"
	"safemode/servicerequests/table"
)

// Called is what a call centre has done about a home, by its own record, which is not in the
// journal.
type Called struct {
	Attempts int
	Outcome  string // of the latest
	Person   string
	At       time.Time
	Done     bool // nobody needs to call again
}

// CallProgress counts the meters of the call list, and what was done about their homes.
type CallProgress struct {
	ToCall int `json:"to_call"` // all meters of the list
	Tried  int `json:"tried"`   // of ToCall: called, and not done
	Done   int `json:"done"`    // of ToCall
}

// CallSheet is the list that a call centre works through: a row for each meter that is armed
// or not safe, or that is known to be off.
type CallSheet struct {
	Progress CallProgress
	header   []string
	rows     [][]string
}

// calledOn is a meter of the sheet.
type calledOn struct {
	m      *Meter
	supply Supply
	hours  float64 // without supply
	called Called
}

// CallSheet makes the list for the end of the journal: homes that are done come last; the
// others go by hours without supply, longest first, then by priority. called is by MPxN; say
// returns what to do about a verdict with a reason.
func (r *Report) CallSheet(called map[string]Called, say func(verdict, reason string) string) *CallSheet {
	s := &CallSheet{header: []string{
		"mpxn", "fuel", "csp_region", "verdict", "hours_off", "hours_off_are", "say", "model", "priority", "reason",
		"attempts", "last_outcome", "last_at", "last_person", "done",
		"outcome", "person", "at", "note", "environment",
	}}
	var list []calledOn
	for i := range r.Meters {
		m := &r.Meters[i]
		if v := m.Verdict.Verdict; m.need(r.Last) == needNobody && v != record.VerdictArmed && v != record.VerdictNotSafe {
			continue
		}
		c := calledOn{m: m, supply: m.supplyAt(r.Last), called: called[m.Target.MPxN]}
		if m.Target.MPxN == "" { // redacted: nobody can be told apart
			c.called = Called{}
		}
		c.hours = c.supply.hours(r.Last)
		s.Progress.add(c.called)
		list = append(list, c)
	}
	done := func(c calledOn) int {
		if c.called.Done {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b calledOn) int {
		return cmp.Or(cmp.Compare(done(a), done(b)), cmp.Compare(b.hours, a.hours), cmp.Compare(a.m.Target.Priority, b.m.Target.Priority))
	})
	for _, c := range list {
		s.rows = append(s.rows, append(c.row(r.Last, say), r.Summary.Environment))
	}
	return s
}

func (p *CallProgress) add(c Called) {
	p.ToCall++
	switch {
	case c.Done:
		p.Done++
	case c.Attempts > 0:
		p.Tried++
	}
}

// row is one line, without the environment. The columns outcome to note are blank: the call
// centre fills them in, and the list comes back.
func (c calledOn) row(now time.Time, say func(verdict, reason string) string) []string {
	m, d := c.m, c.called
	off, are, done := "", "", ""
	if !c.supply.OffSince.IsZero() {
		off, are = hours(c.hours), bound(c.supply.Told)
	}
	if d.Done {
		done = "yes"
	}
	return []string{
		m.Target.MPxN, m.Target.Type.Fuel(), m.Target.Region.String(), m.Verdict.Verdict, off, are, c.say(now, say),
		m.Target.Model, strconv.Itoa(m.Target.Priority), m.why(c.supply),
		strconv.Itoa(d.Attempts), d.Outcome, timestamp(d.At), d.Person, done,
		"", "", "", "",
	}
}

// say is what the caller says: which button, or that there is none to press.
func (c calledOn) say(now time.Time, say func(verdict, reason string) string) string {
	if c.m.need(now) == needButton {
		return "supply is ready: " + buttonOf(c.m.Target)
	}
	text := "do not have a button pressed"
	if do := say(c.m.Verdict.Verdict, c.m.Verdict.Reason); do != "" {
		text += "; " + do
	}
	return text
}

// WriteCSV writes the list as a table; see the package comment for its columns.
func (s *CallSheet) WriteCSV(w io.Writer) error {
	return table.NewWriter(w).WriteAll(append([][]string{s.header}, s.rows...))
}

// mostCell is the longest text of a cell of a workbook, in characters.
const mostCell = 32767

// WriteXLSX writes the list as a workbook. Every cell holds text, and none a formula: a
// spreadsheet runs nothing of it, and an MPxN keeps its digits.
func (s *CallSheet) WriteXLSX(w io.Writer) error {
	book := excelize.NewFile()
	defer book.Close()
	const sheet = "calls"
	if err := book.SetSheetName("Sheet1", sheet); err != nil {
		return err
	}
	out, err := book.NewStreamWriter(sheet)
	if err != nil {
		return err
	}
	text, err := book.NewStyle(&excelize.Style{NumFmt: 49}) // "@": typed input stays text, too
	if err != nil {
		return err
	}
	for _, of := range []struct { // in the order of the columns, as the format wants them
		column int
		width  float64
	}{{1, 16}, {7, 60}, {10, 40}, {19, 40}} {
		if err := out.SetColWidth(of.column, of.column, of.width); err != nil {
			return err
		}
	}
	if err := out.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return err
	}
	for i, row := range append([][]string{s.header}, s.rows...) {
		cells := make([]any, len(row))
		for j, value := range row {
			shown := []rune(table.Cell(value))
			cells[j] = excelize.Cell{StyleID: text, Value: string(shown[:min(len(shown), mostCell)])}
		}
		at, err := excelize.CoordinatesToCellName(1, i+1)
		if err != nil {
			return err
		}
		if err := out.SetRow(at, cells); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return book.Write(w)
}
