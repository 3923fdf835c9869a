package portfolio_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/portfolio"
	"safemode/servicerequests"
)

const (
	header = "device_id,device_type,chf_id,mpxn,csp_region,claimed_mode,priority,source\n"
	esme   = "90-B3-D5-1F-30-01-00-01,ESME,90-B3-D5-1F-30-0F-00-01,1200000000002,North,prepayment,0,cscp\n"
	gsme   = "90-B3-D5-1F-30-01-00-02,GSME,90-B3-D5-1F-30-0F-00-01,1234567,4G South,unknown,9,\n"
)

func read(t *testing.T, text string, o portfolio.Options) (rows []portfolio.Row, refused []string, broken error) {
	t.Helper()
	for row, err := range portfolio.Read(strings.NewReader(text), o) {
		if broken != nil {
			t.Fatalf("something followed the error %v", broken)
		}
		if e, ok := errors.AsType[*portfolio.RowError](err); ok {
			refused = append(refused, e.Error())
		} else if err != nil {
			broken = err
		} else {
			rows = append(rows, row)
		}
	}
	return rows, refused, broken
}

var wantESME = portfolio.Row{
	Line: 2, Device: 0x90B3D51F30010001, Type: servicerequests.ESME, Hub: 0x90B3D51F300F0001, MPxN: "1200000000002",
	Region: servicerequests.North, Claimed: servicerequests.Prepayment, Source: "cscp",
}

func TestReadsEachFormOfTheFile(t *testing.T) {
	bare := strings.TrimSuffix(header+esme, "\n")
	for name, text := range map[string]string{
		"LF": header + esme, "no LF at the end": bare,
		"CRLF":                strings.ReplaceAll(header+esme, "\n", "\r\n"),
		"byte order mark":     "\ufeff" + header + esme,
		"all fields quoted":   `"` + strings.ReplaceAll(strings.ReplaceAll(bare, ",", `","`), "\n", "\"\n\"") + `"`,
		"mark, then quotes":   "\ufeff" + strings.Replace(header, "device_id", `"device_id"`, 1) + esme,
		"white space":         header + strings.ReplaceAll(esme, ",", " , "),
		"words in any case":   header + strings.ToLower(esme),
		"rows of commas":      header + ",,,,,,,\n" + esme + " , ,,,,,,\n\n,,,,,,,",
		"EUI without hyphens": header + strings.Replace(esme, "90-B3-D5-1F-30-01-00-01", "90b3d51f30010001", 1),
	} {
		rows, refused, broken := read(t, text, portfolio.Options{})
		if len(rows) == 1 && name == "rows of commas" {
			rows[0].Line = 2
		}
		if diff := cmp.Diff([]portfolio.Row{wantESME}, rows); diff != "" || refused != nil || broken != nil {
			t.Errorf("%s: %s refused %v, broken %v", name, diff, refused, broken)
		}
	}
}

func TestOptionalColumnsInAnyOrder(t *testing.T) {
	text := "history,originator,source,priority,claimed_mode,csp_region,mpxn,chf_id,device_type,device_id\n" +
		`"moved in 2024; had a pending_future_dated_mode once, disabled_by_supplier",90-B3-D5-1F-30-03-00-00,"a ""b"", c",9,unknown,4G South,1234567,` +
		"90-B3-D5-1F-30-0F-00-01,GSME,90-B3-D5-1F-30-01-00-02\n"
	want := []portfolio.Row{{
		Line: 2, Device: 0x90B3D51F30010002, Type: servicerequests.GSME, Hub: 0x90B3D51F300F0001, MPxN: "1234567",
		Region: servicerequests.South4G, Priority: 9, Source: `a "b", c`, Originator: 0x90B3D51F30030000,
		History: []string{
			"moved in 2024", portfolio.PendingFutureDatedMode, "had a pending_future_dated_mode once", portfolio.DisabledBySupplier,
		},
	}}
	rows, refused, broken := read(t, text, portfolio.Options{})
	if diff := cmp.Diff(want, rows); diff != "" || refused != nil || broken != nil {
		t.Errorf("%s refused %v, broken %v", diff, refused, broken)
	}
}

// A refused row is refused by itself: the good row behind it is read.
func TestRefusedRows(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"EUI too short", "90-B3-D5-1F-30-01-00-01", "90-B3-D5", `line 2: device_id: EUI "90-B3-D5": want 8 octets, like 90-B3-D5-1F-30-01-00-00`},
		{"EUI of zeros", "90-B3-D5-1F-30-01-00-01", "0000000000000000", `line 2: device_id: EUI "0000000000000000": all zero is no identifier`},
		{"bad hub", "90-B3-D5-1F-30-0F-00-01", "x", `line 2: chf_id: EUI "x": want 8 octets, like 90-B3-D5-1F-30-01-00-00`},
		{"own hub", "90-B3-D5-1F-30-0F-00-01", "90-B3-D5-1F-30-01-00-01", "line 2: chf_id: the hub is the device itself"},
		{"unknown type", "ESME", "SMETS3", `line 2: device_type: device type "SMETS3": want ESME, GSME or SMETS1`},
		{"hub as a meter", "ESME", "CHF", `line 2: device_type: device type "CHF": want ESME, GSME or SMETS1`},
		{"MPAN check digit", "1200000000002", "1200000000008", `line 2: mpxn: MPAN "1200000000008": check digit is 8, want 2`},
		{"MPAN too short", "1200000000002", "120000000000", `line 2: mpxn: MPAN "120000000000": want 13 digits`},
		{"MPAN with a letter", "1200000000002", "12000000000O2", `line 2: mpxn: MPAN "12000000000O2": want 13 digits`},
		{"MPRN too short", "ESME,90-B3-D5-1F-30-0F-00-01,1200000000002", "GSME,90-B3-D5-1F-30-0F-00-01,12345", `line 2: mpxn: MPRN "12345": want 6 to 10 digits`},
		{"MPAN of a gas meter", "ESME", "GSME", `line 2: mpxn: MPRN "1200000000002": want 6 to 10 digits`},
		{"SMETS1 region", "North", "smets1", "line 2: SMETS1 meter: counted and handed over, never sent anything"},
		{"unknown region", "North", "northern", `line 2: csp_region: CSP region "northern": want North, Central, South, 4G North, 4G Central, 4G South`},
		{"unknown mode", "prepayment", "Prepay", `line 2: claimed_mode: payment mode "Prepay": want unknown, credit or prepayment`},
		{"priority out of range", ",0,", ",10,", `line 2: priority: priority "10": want 0 to 9`},
		{"priority missing", ",0,", ",,", `line 2: priority: priority "": want 0 to 9`},
		{"a field too few", ",cscp", "", "line 2: 7 fields where the header has 8"},
		{"a field too many", ",cscp", ",cscp,x", "line 2: 9 fields where the header has 8"},
		{"not UTF-8", "cscp", "\xff", "line 2: field 8 is not UTF-8"},
	} {
		rows, refused, broken := read(t, header+strings.Replace(esme, c.old, c.new, 1)+gsme, portfolio.Options{})
		if len(rows) != 1 || rows[0].Line != 3 || len(refused) != 1 || refused[0] != c.want || broken != nil {
			t.Errorf("%s: %d rows, refused %q, broken %v; want %q", c.name, len(rows), refused, broken, c.want)
		}
	}
}

func TestOfOneDeviceTheFirstGoodRowStays(t *testing.T) {
	bad := strings.Replace(esme, "North", "Nowhere", 1)
	rows, refused, broken := read(t, header+bad+esme+gsme+esme, portfolio.Options{})
	if len(rows) != 2 || rows[0].Line != 3 || broken != nil {
		t.Fatalf("rows %v, broken %v", rows, broken)
	}
	if want := "line 5: device_id: device is on line 3 already"; len(refused) != 2 || refused[1] != want {
		t.Errorf("refused %q; want %q last", refused, want)
	}
}

// Lines are those of the file, though a field has line breaks in it.
func TestLineNumbersAfterALineBreakInAField(t *testing.T) {
	text := header + strings.Replace(esme, "cscp", "\"one\ntwo\"", 1) + "\n" + gsme
	rows, _, broken := read(t, text, portfolio.Options{})
	if len(rows) != 2 || rows[1].Line != 5 || broken != nil {
		t.Errorf("rows %v, broken %v; want the second on line 5", rows, broken)
	}
}

func TestBrokenFiles(t *testing.T) {
	failure := errors.New("disk")
	for _, c := range []struct {
		name string
		file io.Reader
		is   error
		want string
	}{
		{"empty", strings.NewReader(""), portfolio.ErrHeader, "portfolio header: the file is empty"},
		{"only a mark", strings.NewReader("\ufeff"), portfolio.ErrHeader, "portfolio header: the file is empty"},
		{"no header", strings.NewReader(esme), portfolio.ErrHeader, "portfolio header: missing device_id, device_type, chf_id, mpxn, csp_region, claimed_mode, priority, source; line 1 has 8 columns"},
		{"lines that end with CR", strings.NewReader(strings.ReplaceAll(header+esme+gsme, "\n", "\r")), portfolio.ErrHeader, "portfolio header: lines end with CR only: save the file with LF or CRLF"},
		{"rows that end with CR", strings.NewReader(header + strings.ReplaceAll(esme+gsme, "\n", "\r")), portfolio.ErrUnreadable, "portfolio is not readable: line 2: lines end with CR only from here: save the file with LF or CRLF"},
		{"columns missing", strings.NewReader("device_id,mpxn,priority,source,chf_id,device_type\n"), portfolio.ErrHeader, "portfolio header: missing csp_region, claimed_mode; line 1 has 6 columns"},
		{"column twice", strings.NewReader(strings.Replace(header, "source", "source,mpxn", 1)), portfolio.ErrHeader, `portfolio header: column "mpxn" stands twice`},
		{
			"cut inside quotes", strings.NewReader(header + esme + strings.Replace(esme, "cscp\n", `"csc`, 1)), portfolio.ErrUnreadable,
			`portfolio is not readable: parse error on line 3, column 91: extraneous or missing " in quoted-field`,
		},
		{
			"stray quote", strings.NewReader(header + strings.Replace(esme, "cscp", `c"scp`, 1)), portfolio.ErrUnreadable,
			`portfolio is not readable: parse error on line 2, column 88: bare " in non-quoted-field`,
		},
		{"reading fails", io.MultiReader(strings.NewReader(header+esme), iotest.ErrReader(failure)), failure, "portfolio is not readable: disk"},
		{
			"a quote that never closes", io.MultiReader(strings.NewReader(header+`"`), strings.NewReader(strings.Repeat("x", 2<<20))), portfolio.ErrUnreadable,
			"portfolio is not readable: record of over 1048576 bytes: is a quote not closed?",
		},
	} {
		var last error
		for _, last = range portfolio.Read(c.file, portfolio.Options{}) {
			continue
		}
		if !errors.Is(last, c.is) || last.Error() != c.want {
			t.Errorf("%s: %v; want %q", c.name, last, c.want)
		}
	}
}

// A file that was cut in the middle of a row loses that row by name, not in
// silence.
func TestCutFile(t *testing.T) {
	whole := header + esme + gsme
	for cut := len(header) + len(esme) + 1; cut < len(whole)-3; cut++ {
		rows, refused, broken := read(t, whole[:cut], portfolio.Options{})
		if len(rows) != 1 || len(refused) != 1 || broken != nil {
			t.Errorf("cut to %q: %d rows, refused %q, broken %v", whole[len(header)+len(esme):cut], len(rows), refused, broken)
		}
	}
}

func TestOtherColumns(t *testing.T) {
	text := strings.Replace(header, "source\n", "name,source,tariff,,\n", 1) + strings.Replace(esme, "cscp\n", "Jo Bloggs,cscp,E7,,\n", 1)
	var calls [][]string
	o := portfolio.Options{CarryColumns: []string{"tariff", "absent"}, Dropped: func(columns []string) { calls = append(calls, columns) }}
	rows, refused, broken := read(t, text, o)
	if refused != nil || broken != nil || len(rows) != 1 {
		t.Fatalf("rows %v, refused %v, broken %v", rows, refused, broken)
	}
	if diff := cmp.Diff(map[string]string{"tariff": "E7"}, rows[0].Carried); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([][]string{{"name", "", ""}}, calls); diff != "" {
		t.Errorf("warnings: %s", diff)
	}
}

// A row of empty fields claims no meter, and is counted by itself.
func TestBlankRows(t *testing.T) {
	blank := 0
	rows, refused, broken := read(t, header+",,,,,,,\n"+esme+`"", ,,,,,,`+"\n,,,,\n", portfolio.Options{Blank: func(n int) { blank += n }})
	if len(rows) != 1 || refused != nil || broken != nil || blank != 3 {
		t.Errorf("%d rows, refused %v, broken %v, %d blank", len(rows), refused, broken, blank)
	}
}

// A SMETS1 meter is known by its type or its region. Its row is refused as one of its kind,
// and only where it is good by itself.
func TestSMETS1Rows(t *testing.T) {
	for _, c := range []struct {
		row  string
		want *portfolio.SMETS1
	}{
		{strings.Replace(esme, "ESME", "smets1", 1), &portfolio.SMETS1{Device: 0x90B3D51F30010001, Hub: 0x90B3D51F300F0001, MPxN: "1200000000002", Claimed: servicerequests.Prepayment}},
		{strings.Replace(gsme, "4G South", "SMETS1", 1), &portfolio.SMETS1{Device: 0x90B3D51F30010002, Hub: 0x90B3D51F300F0001, MPxN: "1234567"}},
		{strings.Replace(strings.Replace(gsme, "4G South", "", 1), "GSME", "SMETS1", 1), &portfolio.SMETS1{Device: 0x90B3D51F30010002, Hub: 0x90B3D51F300F0001, MPxN: "1234567"}},
		{strings.Replace(esme, "ESME,90-B3-D5-1F-30-0F-00-01,1200000000002", "SMETS1,90-B3-D5-1F-30-0F-00-01,1200000000003", 1), nil},
		{strings.Replace(esme, "North", "", 1), nil},
	} {
		for row, err := range portfolio.Read(strings.NewReader(header+c.row+c.row), portfolio.Options{}) {
			refused, ok := errors.AsType[*portfolio.RowError](err)
			if !ok {
				t.Errorf("%s: %+v, %v", c.row, row, err)
				continue
			}
			if diff := cmp.Diff(c.want, refused.SMETS1); refused.Line == 2 && diff != "" {
				t.Errorf("%s: %v: %s", c.row, refused, diff)
			}
			if refused.Line == 3 && refused.SMETS1 != nil {
				t.Errorf("%s: one meter twice: %v", c.row, refused)
			}
		}
	}
}

func TestStopsWhenNobodyListens(t *testing.T) {
	n := 0
	for range portfolio.Read(strings.NewReader(header+esme+gsme), portfolio.Options{}) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d rows after a break", n)
	}
}

// endless makes a portfolio of n rows as it is read.
type endless struct {
	n, next int
	buffer  bytes.Buffer
}

func (e *endless) Read(p []byte) (int, error) {
	for e.buffer.Len() < len(p) && e.next < e.n {
		fmt.Fprintf(&e.buffer, "90-B3-D5-00-%02X-%02X-%02X-%02X,GSME,90-B3-D5-1F-30-0F-00-01,1234567,North,unknown,5,a claim of some length\n",
			byte(e.next>>24), byte(e.next>>16), byte(e.next>>8), byte(e.next))
		e.next++
	}
	return e.buffer.Read(p)
}

func TestAMillionRowsAreStreamed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a few seconds")
	}
	const n = 1_000_000
	rows, peak := 0, uint64(0)
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, err := range portfolio.Read(io.MultiReader(strings.NewReader(header), &endless{n: n}), portfolio.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		if rows++; rows%250_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
		}
	}
	if rows != n || peak > 64<<20 {
		t.Errorf("%d rows, %d MiB held; want %d rows and at most 64 MiB for the identifiers", rows, peak>>20, n)
	}
}

func TestReadSuppressed(t *testing.T) {
	got, err := portfolio.ReadSuppressed(strings.NewReader("\ufeff# transferred\r\n90-B3-D5-1F-30-01-00-01 # to X\r\n\r\n90b3d51f30010002"))
	want := map[servicerequests.EUI]struct{}{0x90B3D51F30010001: {}, 0x90B3D51F30010002: {}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%s%v", diff, err)
	}
	got, err = portfolio.ReadSuppressed(strings.NewReader("# leave\r90-B3-D5-1F-30-01-00-01\r90b3d51f30010002\r"))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("lines that end with CR: %s%v", diff, err)
	}
	for _, text := range []string{"", "# 90-B3-D5-1F-30-01-00-01\n", "\r\n \n"} {
		if got, err := portfolio.ReadSuppressed(strings.NewReader(text)); err == nil {
			t.Errorf("%q: a list of %d devices", text, len(got))
		}
	}
	_, err = portfolio.ReadSuppressed(strings.NewReader("# list\nnot an EUI\n"))
	if want := `suppress list: line 2: EUI "not an EUI": want 8 octets, like 90-B3-D5-1F-30-01-00-00`; err == nil || err.Error() != want {
		t.Errorf("%v; want %q", err, want)
	}
}

func BenchmarkRead(b *testing.B) {
	for b.Loop() {
		for range portfolio.Read(io.MultiReader(strings.NewReader(header), &endless{n: 10_000}), portfolio.Options{}) {
			continue
		}
	}
}

// The optional claims of the records are read strictly: a date that may mean another day is
// no instant, and a claim that is not understood refuses its row.
func TestReadsWhatElseTheRecordsClaim(t *testing.T) {
	const more = ",gpf_id,balance_estimate,balance_at,last_top_up,supply_state\n"
	head := strings.TrimSuffix(header, "\n") + more
	row := func(meter, rest string) string { return strings.TrimSuffix(meter, "\n") + "," + rest + "\n" }
	rows, refused, broken := read(t, head+
		row(gsme, "90-B3-D5-1F-30-01-00-03,-1.25,2026-11-23T18:00:00+01:00,2026-11-20T09:30:00Z,disabled")+row(esme, ",,,,"), portfolio.Options{})
	if len(rows) != 2 || refused != nil || broken != nil {
		t.Fatalf("%d rows, refused %v, broken %v", len(rows), refused, broken)
	}
	balance := -5 * servicerequests.Pound / 4
	want := portfolio.Row{
		Line: 2, Device: 0x90B3D51F30010002, Type: servicerequests.GSME, Hub: 0x90B3D51F300F0001, MPxN: "1234567",
		Region: servicerequests.South4G, Priority: 9, Proxy: 0x90B3D51F30010003, BalanceEstimate: &balance,
		BalanceAt: time.Date(2026, 11, 23, 17, 0, 0, 0, time.UTC), LastTopUp: time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC),
		Supply: servicerequests.Disabled,
	}
	if diff := cmp.Diff(want, rows[0]); diff != "" {
		t.Error(diff)
	}
	const remedy = ": want an instant with its zone"
	for _, c := range []struct{ meter, rest, want string }{
		{esme, "90-B3-D5-1F-30-01-00-03,,,,", "gpf_id: only a GSME has a gas proxy: leave it empty"},
		{gsme, "90-B3-D5-1F-30-01-00-02,,,,", "gpf_id: the gas proxy is the meter or the hub itself"},
		{gsme, "proxy,,,,", "gpf_id: "},
		{gsme, ",£2,,,", "balance_estimate: "},
		{gsme, ",,2026-11-23T18:00:00Z,,", "balance_at: there is no balance_estimate that it dates"},
		{gsme, ",2,2026-11-23,,", `balance_at: "2026-11-23"` + remedy},
		{gsme, ",2,2026-11-23T18:00:00,,", `balance_at: "2026-11-23T18:00:00"` + remedy},
		{gsme, ",,,23/11/2026,", `last_top_up: "23/11/2026"` + remedy},
		{gsme, ",,,,off", "supply_state: "},
	} {
		rows, refused, broken := read(t, head+row(c.meter, c.rest), portfolio.Options{})
		if len(rows) != 0 || broken != nil || len(refused) != 1 || !strings.HasPrefix(refused[0], "line 2: "+c.want) {
			t.Errorf("%s: refused %v, broken %v, want %q", c.rest, refused, broken, c.want)
		}
	}
}
