package report_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
)

// Orders are told with their names, and a tripwire takes back what was said of meters
// in the run that tripped it.
func TestEvents(t *testing.T) {
	const refused = servicerequests.EUI(0x00DB123456780001)
	at := time.Date(2026, 11, 25, 18, 0, 0, 0, time.UTC)
	records := []record.Record{
		{Kind: record.Target, Device: refused, Body: record.Encode(record.TargetBody{Type: servicerequests.ESME, Hub: 1, Originator: 2, Region: servicerequests.North})},
		{Kind: record.Wave, Code: record.WaveOpened, Body: record.Encode(record.WaveBody{Wave: 1, Name: "canary", Meters: 1})},
		{Kind: record.Operator, Code: record.OrderPause, Body: record.Encode(record.OrderBody{
			Action: record.OrderPause, By: "Ada", Authenticated: true, Region: servicerequests.North, Reason: "calls",
		})},
		{Kind: record.Operator, Code: record.OrderResume, Body: record.Encode(record.OrderBody{Action: record.OrderResume, By: "root", Region: servicerequests.North})},
		{Kind: record.Verdict, Device: refused, Code: record.VerdictExcluded, Body: record.Encode(record.VerdictBody{
			Verdict: record.VerdictExcluded, Reason: record.ReasonTransferred + " (E4)",
		})},
		{Kind: record.Tripwire, Code: "unregistered", Body: record.Encode(record.TripwireBody{Reason: "a run of E4", Devices: []servicerequests.EUI{refused}})},
		{Kind: record.Operator, Code: record.OrderAccept, Body: record.Encode(record.OrderBody{Action: record.OrderAccept, By: "Ada"})},
	}
	for i := range records {
		records[i].Seq, records[i].At = uint64(i+1), at.Add(time.Duration(i)*time.Minute)
	}
	r, err := report.Read(func(yield func(record.Record, error) bool) {
		for _, rec := range records {
			if !yield(rec, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Summary.Verdicts.Excluded != 0 || r.Summary.Verdicts.Unknown != 1 {
		t.Errorf("verdicts %+v", r.Summary.Verdicts)
	}
	var text, table bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteEvents(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"wave opened: canary, by safemode, 1 meters", "pause: region North, by Ada: calls",
		"resume: region North, by root (not authenticated)", "tripwire: unregistered, by safemode, 1 meters: a run of E4",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
	lines := slices.Collect(strings.Lines(table.String()))
	if want := "2026-11-25T18:02:00.000Z,pause,region North,Ada,true,0,calls,\n"; len(lines) != 6 || lines[2] != want {
		t.Errorf("orders.csv has %q, want %q third", lines, want)
	}
}
