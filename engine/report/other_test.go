package report_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// TestOtherTrafficByKind: messages that answer nothing of the sweep are counted by what they
// are, those of journals that do not tell it among them.
func TestOtherTrafficByKind(t *testing.T) {
	s := newScript(t)
	s.open()
	s.add(record.Record{Kind: record.Received, Body: []byte("<x/>")})
	for _, kind := range []record.OtherKind{record.OtherSMETS1, record.OtherUseCase, record.OtherSMETS1, ""} {
		s.add(record.Record{Kind: record.Unmatched, Body: record.Encode(record.JudgedBody{Of: s.last(), Kind: kind})})
	}
	s.add(record.Record{Kind: record.Unmatched}) // of an older journal
	r := s.report()
	want := map[record.OtherKind]int{record.OtherSMETS1: 2, record.OtherUseCase: 1, "untold": 2}
	if diff := cmp.Diff(want, r.Summary.OtherMessages); diff != "" {
		t.Error(diff)
	}
	const text = "5 messages answered nothing of this sweep: 1 responses of other use cases, 2 of SMETS1 meters, 2 of a kind that the journal does not tell."
	for name, write := range map[string]func(*bytes.Buffer) error{
		"text": func(b *bytes.Buffer) error { return r.WriteText(b) },
		"page": func(b *bytes.Buffer) error { return r.WriteHTML(b) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil || !strings.Contains(b.String(), text) {
			t.Errorf("%s: %v\n%s", name, err, b.String())
		}
	}
	// Every kind that the engine writes is shown.
	for _, kind := range record.OtherKinds {
		s := newScript(t)
		s.open()
		s.add(record.Record{Kind: record.Unmatched, Body: record.Encode(record.JudgedBody{Of: 1, Kind: kind})})
		var b bytes.Buffer
		if err := s.report().WriteText(&b); err != nil || !strings.Contains(b.String(), "1 messages answered nothing") {
			t.Errorf("%s is not shown: %v", kind, err)
		}
	}
}

// TestSMETS1Group: a home of the first generation stands in the report, the weekly report and
// the hand-over as one of a group of its own; redacted, its numbers stay.
func TestSMETS1Group(t *testing.T) {
	s := newScript(t)
	s.open()
	for line, row := range []record.RejectedBody{
		{Device: "no,EUI", Reason: "not an EUI"},
		{Device: "00-DB-12-51-00-00-00-01", SMETS1: true, MPxN: "1200000000002", Hub: 9, Claimed: servicerequests.Prepayment},
		{Device: "00-DB-12-51-00-00-00-02", SMETS1: true, MPxN: "1234567", Hub: 9},
		{Device: "00-DB-12-51-00-00-00-03", SMETS1: true, MPxN: "1200000000003"}, // of an older journal
		{Device: "00-DB-12-51-00-00-00-04", SMETS1: true, MPxN: "1200000000004"},
	} {
		row.Line = 2 + line
		s.add(record.Record{Kind: record.Rejected, Body: record.Encode(row)})
	}
	r := s.report()
	for _, redacted := range []bool{false, true} {
		if redacted {
			r.Redact()
		}
		var csv, summary, weekly, handover bytes.Buffer
		for b, write := range map[*bytes.Buffer]func() error{
			&csv: func() error { return r.WriteSMETS1(&csv) }, &summary: func() error { return r.WriteHTML(&summary) },
			&weekly:   func() error { return r.Weekly(r.Last, nil).WriteHTML(&weekly) },
			&handover: func() error { return r.WriteHandoverHTML(&handover) },
		} {
			if err := write(); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(b.String(), "00-DB-12-51") == redacted && b == &csv {
				t.Errorf("redacted %v: %s", redacted, b)
			}
			if b != &csv && !strings.Contains(b.String(), "4 of 5 rows of the portfolio are SMETS1 meters, in 3 homes; 1 of them are in prepayment") {
				t.Errorf("redacted %v: the group is not on the page:\n%s", redacted, b)
			}
		}
		if lines := strings.Count(csv.String(), "\n"); lines != 5 {
			t.Errorf("redacted %v: %d lines of smets1.csv:\n%s", redacted, lines, csv.String())
		}
		if h := r.Handover(); h.SMETS1 == nil || h.SMETS1.Meters != 4 || h.NotCovered != 5 {
			t.Errorf("redacted %v: %+v", redacted, h)
		}
	}
}
