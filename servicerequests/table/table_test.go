package table_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"safemode/servicerequests/heaptest"
	"safemode/servicerequests/table"
)

var required = []string{"device_id", "mpxn", "source"}

const good = "device_id,mpxn,source\n1,2,3\n"

func readAll(text string) (records []string, blank int, err error) {
	r := table.NewReader(strings.NewReader(text))
	if _, err := r.Header(required); err != nil {
		return nil, 0, err
	}
	for {
		fields, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			return records, r.Blank(), nil
		}
		if err != nil {
			return records, r.Blank(), err
		}
		if strings.TrimSpace(strings.Join(fields, "")) == "" {
			return records, r.Blank(), errors.New("a blank record")
		}
		records = append(records, strings.Join(fields, "|"))
	}
}

func wide(text string, mark bool) string {
	var b strings.Builder
	if mark {
		b.WriteString("\xff\xfe")
	}
	for _, unit := range utf16.Encode([]rune(text)) {
		b.Write([]byte{byte(unit), byte(unit >> 8)})
	}
	return b.String()
}

func TestSaysWhatAFileIs(t *testing.T) {
	for text, want := range map[string]string{
		"PK\x03\x04\x14\x00\x06\x00":       "header: an Excel workbook or another ZIP file: save it as CSV UTF-8 (comma delimited)",
		"\xd0\xcf\x11\xe0\xa1\xb1":         "header: an old Excel workbook: save it as CSV UTF-8 (comma delimited)",
		wide(good, true):                   "header: UTF-16 text: save it as CSV UTF-8 (comma delimited)",
		wide(good, false):                  "header: UTF-16 text without a mark, or no text: save it as CSV UTF-8 (comma delimited)",
		"\x1f\x8b\x08":                     "header: a gzip file: unpack it",
		"<html><table>":                    "header: XML or a web page: save it as CSV UTF-8 (comma delimited)",
		"":                                 "header: the file is empty",
		strings.ReplaceAll(good, ",", ";"): "header: separated by ';': save it as CSV with commas",
		"\ufeff" + strings.ReplaceAll(good, ",", "\t"):                   "header: separated by tabs: save it as CSV with commas",
		strings.ReplaceAll(good, ",", "|"):                               "header: separated by '|': save it as CSV with commas",
		"Meters of Example Ltd, 30 November\r\n\r\n" + good:              "header: the header is line 3: remove what is before it",
		"\"Meters\n" + good:                                              "header: the header is line 2: remove what is before it",
		"sep=;\r\n" + strings.ReplaceAll(good, ",", ";"):                 "header: separated by ';': save it as CSV with commas; the header is line 2: remove what is before it",
		strings.ReplaceAll(good, "\n", "\r"):                             "header: lines end with CR only: save the file with LF or CRLF",
		"title\r" + strings.ReplaceAll(good, "\n", "\r"):                 "header: lines end with CR only: save the file with LF or CRLF",
		"Device ID,MPXN,source\n":                                        `header: missing device_id, mpxn; line 1 has 3 columns: "Device ID" is written device_id, "MPXN" is written mpxn`,
		"90-B3-D5-1F-30-01-00-01,1200000000002,Jo Bloggs\n":              "header: missing device_id, mpxn, source; line 1 has 3 columns",
		strings.Replace(good, "1,2,3\n", "1,2,3\r4,5,6", 1):              "is not readable: line 2: lines end with CR only from here: save the file with LF or CRLF",
		strings.Replace(good, "1,", `"`, 1) + strings.Repeat("x", 2<<20): "is not readable: record of over 1048576 bytes: is a quote not closed?",
	} {
		if _, _, err := readAll(text); err == nil || err.Error() != want {
			t.Errorf("%.40q: %v\nwant %s", text, err, want)
		}
	}
}

func TestReadsRecords(t *testing.T) {
	records, blank, err := readAll("\ufeffdevice_id , mpxn,source\r\n,,\r\n1,2,3\r\n\"\", ,\r\n4,\"5\r5\",6\r\n7,8\r\n,,,,\r\n")
	if diff := cmp.Diff([]string{"1|2|3", "4|5\r5|6", "7|8"}, records); diff != "" || blank != 3 || err != nil {
		t.Errorf("%s, %d blank, %v", diff, blank, err)
	}
}

func TestLines(t *testing.T) {
	var got []table.Line
	text := "\ufeff# a\r1 # one\r\n\r\n2\n\n3\v4\f5\u00856\u20287\u2029 8 "
	for line, err := range table.Lines(strings.NewReader(text)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, line)
	}
	want := []table.Line{{2, "1"}, {4, "2"}, {6, "3"}, {7, "4"}, {8, "5"}, {9, "6"}, {10, "7"}, {11, "8"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for text, want := range map[string]string{
		wide("1\r\n", true):          "UTF-16 text: save it as plain text, UTF-8",
		"PK\x03\x04":                 "an Excel workbook or another ZIP file: save it as plain text, UTF-8",
		strings.Repeat("x", 100<<10): "a line of over 65536 bytes",
	} {
		var last error
		for _, last = range table.Lines(strings.NewReader(text)) {
			continue
		}
		if last == nil || last.Error() != want {
			t.Errorf("%.20q: %v; want %s", text, last, want)
		}
	}
}

func TestWritesWhatNoProgramRuns(t *testing.T) {
	var out bytes.Buffer
	w := table.NewWriter(&out)
	err := w.WriteAll([][]string{
		{"=cmd|' /C calc'!A0", "@SUM(1)", "+44 20", "-2+3", "\tx", "\rx", "＝1"},
		{"-1.25", "+7", "a=b", "", "plain", "90-B3", "it's"},
		{"\x1b[2J", "a\u009bb", "\u202egnp.exe", "\xff", "x\x00y", "a\nb", "£"},
	})
	want := "'=cmd|' /C calc'!A0,'@SUM(1),'+44 20,'-2+3,'\tx,'\\x0dx,'＝1\n" +
		"-1.25,+7,a=b,,plain,90-B3,it's\n" +
		`\x1b[2J,a\x9bb,\u202egnp.exe,?,x\x00y,"a` + "\nb\",£\n"
	if diff := cmp.Diff(want, out.String()); diff != "" || err != nil {
		t.Errorf("%s%v", diff, err)
	}
}

// A title that may be a value, of a file without a header, is counted and not shown.
func TestNames(t *testing.T) {
	got := table.Names([]string{"Customer Name", "90-B3-D5-1F-30-01-00-01", "tariff", "1200000000002", "", "x\x1b[2J", "SW1A 2AA 0207 946"})
	if want := `"Customer Name", "tariff", 5 columns without a name that can be shown`; got != want {
		t.Errorf("%s; want %s", got, want)
	}
}

// For any file, a reader's errors are the package's own, and the memory that it takes
// is bounded.
func FuzzReader(f *testing.F) {
	f.Add(good)
	f.Add("sep=;\r\n" + strings.ReplaceAll(good, ",", ";"))
	f.Add(wide(good, true))
	f.Add(strings.ReplaceAll(good, "\n", "\r"))
	f.Add("\ufeff" + good + ",,\n\"a\nb\",,\n")
	f.Fuzz(func(t *testing.T, text string) {
		heaptest.Limit(t, len(text)+128<<10, func() { _, _, _ = readAll(text) })
		records, _, err := readAll(text)
		if err != nil && !errors.Is(err, table.ErrHeader) && !errors.Is(err, table.ErrUnreadable) {
			t.Fatalf("foreign error %v", err)
		}
		// Records that Shown does not change are the same when they are written and read again, but
		// for a CRLF in a field, which becomes LF.
		if err == nil && !slices.ContainsFunc(records, func(r string) bool { return table.Shown(r) != r }) {
			var out bytes.Buffer
			w := table.NewWriter(&out)
			w.Write(required...)
			for _, r := range records {
				w.Write("x"+r, "y", "z")
			}
			ended := w.End()
			again, _, err := readAll(out.String())
			if ended != nil || err != nil || len(again) != len(records) {
				t.Fatalf("%d records written and %d read: %v, %v", len(records), len(again), ended, err)
			}
			for i := range again {
				if want := "x" + strings.ReplaceAll(records[i], "\r\n", "\n") + "|y|z"; again[i] != want {
					t.Fatalf("%q was written and %q read", want, again[i])
				}
			}
		}
	})
}

// Every line that some program shows is a line of a list: no comment swallows another.
func FuzzLines(f *testing.F) {
	f.Add("# leave\r00-DB-12-E0-81-5F-B8-B8\r")
	f.Add("\ufeffa\u2028# b\u0085c\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		heaptest.Limit(t, len(text)+128<<10, func() {
			for range table.Lines(strings.NewReader(text)) {
			}
		})
		last := 0
		for line, err := range table.Lines(strings.NewReader(text)) {
			if err != nil {
				return
			}
			if line.Number <= last || line.Text == "" || strings.ContainsAny(line.Text, "#\n\r\v\f\u0085\u2028\u2029") {
				t.Fatalf("line %+v of %q", line, text)
			}
			last = line.Number
		}
		// With a line more, that is found.
		found := false
		for line, err := range table.Lines(strings.NewReader(text + "\rEUI")) {
			found = err != nil || line.Text == "EUI"
		}
		if !found {
			t.Fatalf("the last line of %q is lost", text)
		}
	})
}
