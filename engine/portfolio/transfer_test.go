package portfolio_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/portfolio"
	"safemode/servicerequests/heaptest"
)

const transfersHeader = "mpxn,effective_date,incoming_mpid,source,as_of\n"

func TestReadTransfers(t *testing.T) {
	got, err := portfolio.ReadTransfers(strings.NewReader("\ufeffsource,as_of,mpxn,effective_date,incoming_mpid,name\r\n" +
		"CSS,2026-11-30,1200000000002,2026-12-03,SOLR,Jo\r\n" +
		",,,,,\r\n" +
		"CSS,2026-12-01T09:00:00Z,1200000000002,2026-12-05,SOLR,Jo\r\n" + // put off
		"CSS,2026-11-29,1200000000002,2026-12-01,SOLR,Jo\r\n" +
		"GES,,0001234567,2026-06-03,OTHR,\r\n" +
		"GES,,1234567,2026-06-02,OTHR,\r\n"))
	day := func(m time.Month, d, h int) time.Time { return time.Date(2026, m, d, h, 0, 0, 0, time.UTC) }
	want := map[string]portfolio.Transfer{
		"1200000000002": {Line: 4, MPxN: "1200000000002", Effective: day(12, 5, 0), Incoming: "SOLR", Source: "CSS", AsOf: day(12, 1, 9)},
		"1234567":       {Line: 7, MPxN: "1234567", Effective: day(6, 1, 23), Incoming: "OTHR", Source: "GES"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%s%v", diff, err)
	}
	if got, err := portfolio.ReadTransfers(strings.NewReader(transfersHeader)); len(got) != 0 || err != nil {
		t.Errorf("a list of nobody: %v, %v", got, err)
	}
	for text, want := range map[string]string{
		"": "list of transfers: header: the file is empty",
		"mpxn;effective_date;incoming_mpid;source;as_of\n":                     "separated by ';'",
		"mpxn,effective_date\n":                                                "missing incoming_mpid, source, as_of",
		transfersHeader + "1200000000003,2026-12-03,S,C,\n":                    "line 2: mpxn: MPAN",
		transfersHeader + "1.2E+12,2026-12-03,S,C,\n":                          "a spreadsheet has made a number of it",
		transfersHeader + "12,2026-12-03,S,C,\n":                               "line 2: mpxn: \"12\": want an MPAN",
		transfersHeader + "1234567,03/12/2026,S,C,\n":                          `line 2: effective_date "03/12/2026": want a date like 2026-11-30`,
		transfersHeader + "1234567,2026-12-03 00:00,S,C,\n":                    "line 2: effective_date",
		transfersHeader + "1234567,,S,C,\n":                                    "line 2: effective_date",
		transfersHeader + "1234567,2026-12-03,S,C,yesterday\n":                 "line 2: as_of",
		transfersHeader + "1234567,2026-12-03,S\n":                             "line 2: 3 fields where the header has 5",
		transfersHeader + "1234567,2026-12-03,S,C,\r7654321,2026-12-03,S,C,\r": "CR only",
	} {
		if _, err := portfolio.ReadTransfers(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

// Each home that is taken from a list has an MPxN that can be compared,
// and a day.
func FuzzReadTransfers(f *testing.F) {
	f.Add(transfersHeader + "1200000000002,2026-12-03,SOLR,CSS,2026-11-30\n0001234567,2026-12-03T00:00:00Z,SOLR,CSS,\n")
	f.Add(strings.ReplaceAll(transfersHeader, "\n", "\r"))
	f.Fuzz(func(t *testing.T, text string) {
		heaptest.Limit(t, len(text)+128<<10, func() { _, _ = portfolio.ReadTransfers(strings.NewReader(text)) })
		homes, err := portfolio.ReadTransfers(strings.NewReader(text))
		if err != nil {
			return
		}
		for mpxn, home := range homes {
			plain, err := portfolio.PlainMPxN(mpxn)
			if err != nil && !errors.Is(err, portfolio.ErrHeader) || plain != mpxn || home.MPxN != mpxn || home.Effective.IsZero() || home.Line < 2 {
				t.Fatalf("%q: %+v, %v", mpxn, home, err)
			}
		}
	})
}
