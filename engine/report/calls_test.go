package report_test

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
)

// planned plans a meter with a priority and a model.
func (s *script) planned(device, hub servicerequests.EUI, kind servicerequests.DeviceType, priority int, model string) {
	s.add(record.Record{Kind: record.Target, Device: device, Body: record.Encode(record.TargetBody{
		Type: kind, Hub: hub, MPxN: "12" + device.String()[21:], Region: servicerequests.South, Priority: priority, Originator: supplier, Model: model,
	})})
}

// saw is the answer to a read of the supply, so long after the start.
func (s *script) saw(device servicerequests.EUI, counter uint64, after time.Duration, supply servicerequests.SupplyState) {
	q := request{device, 0, servicerequests.ESME, servicerequests.ReadSupplyStatus, counter}
	s.request(q)
	r := q.record(record.Outcome)
	r.Code, r.Body = record.ClassSuccess.String(), record.Encode(record.OutcomeBody{
		Class: record.ClassSuccess, AnsweredAt: start.Add(after), Observed: &record.Observation{Supply: supply},
	})
	s.add(r)
	s.records[len(s.records)-1].At = start.Add(after)
}

// told is a proven alert of a device, raised so long after the start.
func (s *script) told(device servicerequests.EUI, code string, issued uint64, after time.Duration) {
	s.add(record.Record{Kind: record.Proven, Device: device, Code: code, Body: record.Encode(record.ProvenBody{
		Of: 1, Code: code, At: start.Add(after), Counter: 1, Issued: issued,
	})})
	s.records[len(s.records)-1].At = start.Add(after)
}

func (s *script) ends(device servicerequests.EUI, verdict, reason string) {
	s.verdict(device, record.VerdictBody{Verdict: verdict, Reason: reason})
}

// until ends the journal so long after the start.
func (s *script) until(after time.Duration) {
	s.close(record.ClosedFinished, 0)
	s.records[len(s.records)-1].At = start.Add(after)
}

// calls are the rows of calls.csv by column.
func calls(t *testing.T, r *report.Report) (rows []map[string]string) {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteCalls(&b); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, name := range lines[0] {
			row[name] = line[i]
		}
		rows = append(rows, row)
	}
	return rows
}

const (
	on       = servicerequests.Enabled
	off      = servicerequests.Disabled
	standing = servicerequests.Armed
)

// town has a home of each kind, in the order in which the list must not be.
func town(t *testing.T) *script {
	s := newScript(t)
	s.open()
	s.planned(elecA, hubA, servicerequests.ESME, 5, "L+G E470-3")
	s.planned(gasA, hubA, servicerequests.GSME, 3, "=HYPERLINK(1)")
	s.planned(elecB, hubB, servicerequests.ESME, 3, "")
	s.planned(gasB, hubB, servicerequests.GSME, 3, "")
	s.planned(elecC, hubC, servicerequests.ESME, 0, "")
	s.planned(0xD1, 0xD0, servicerequests.ESME, 0, "")
	s.planned(0xE1, 0xE0, servicerequests.ESME, 1, "")
	s.planned(0xF1, 0xF0, servicerequests.ESME, 1, "")

	// Home A: electricity on, gas found off, then armed: off for 9 h at least.
	s.saw(elecA, 1, time.Hour, on)
	s.ends(elecA, record.VerdictOnSupply, "")
	s.saw(gasA, 2, time.Hour, off)
	s.saw(gasA, 3, 8*time.Hour, standing)
	s.ends(gasA, record.VerdictArmed, "safe once the consumer presses the button")

	// Home B: electricity armed, gas dark. Its electricity told that it went off at 0:30,
	// was on again at 2:00 and off at 4:00, seen so at 5:00.
	s.told(elecB, "8F0F", 0, 30*time.Minute)
	s.saw(elecB, 4, 2*time.Hour, on)
	s.told(elecB, "8F0F", 4, 4*time.Hour)
	s.saw(elecB, 5, 5*time.Hour, standing)
	s.ends(elecB, record.VerdictArmed, "safe once the consumer presses the button")
	s.saw(gasB, 6, 7*time.Hour, off)
	s.ends(gasB, record.VerdictNotSafe, "=disabled with credit left")

	// Home C was off and is another supplier's; D was pressed; E has no verdict; F's alert
	// is older than the read that it would overrule.
	s.saw(elecC, 7, time.Hour, off)
	s.ends(elecC, record.VerdictExcluded, record.ReasonTransferred+" (E4)")
	s.saw(0xD1, 8, time.Hour, standing)
	s.saw(0xD1, 9, 9*time.Hour, on)
	s.ends(0xD1, record.VerdictOnSupply, "")
	s.saw(0xE1, 10, 6*time.Hour, off)
	s.saw(0xF1, 11, 3*time.Hour, on)
	s.told(0xF1, "8F0F", 11, 2*time.Hour)
	s.ends(0xF1, record.VerdictOnSupply, "")
	s.until(10 * time.Hour)
	return s
}

func TestCallsListHomesThatNeedAPerson(t *testing.T) {
	r := town(t).report()
	rows := calls(t, r)
	type brief struct{ hub, kind, priority, hours, are string }
	var got []brief
	for _, row := range rows {
		got = append(got, brief{row["chf_id"], row["kind"], row["priority"], row["hours_off"], row["hours_off_are"]})
	}
	want := []brief{
		{servicerequests.EUI(0xE0).String(), "dark_not_armed", "1", "4.0", "at_least"},
		{hubA.String(), "armed", "3", "9.0", "at_least"},
		{hubB.String(), "dark_not_armed", "3", "6.0", "since_alert"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(brief{})); diff != "" {
		t.Fatal(diff)
	}
	const anyone = "at the gas meter only"
	for i, fields := range []map[string]string{
		{"electricity_verdict": "unknown", "electricity_reason": "the journal holds no verdict", "gas_verdict": "", "electricity_button": ""},
		{
			"device_ids": elecA.String() + " " + gasA.String(), "electricity_supply": "enabled", "electricity_button": "", "electricity_off_since": "",
			"electricity_priority": "5", "gas_priority": "3", "gas_supply": "armed", "gas_as_of": "2026-11-23T10:00:00.000Z", "gas_age_hours": "2.0",
			"gas_off_since": "2026-11-23T03:00:00.000Z", "gas_model": "'=HYPERLINK(1)", "electricity_model": "L+G E470-3",
		},
		{"electricity_off_since": "2026-11-23T06:00:00.000Z", "electricity_hours_off": "6.0", "gas_hours_off": "3.0", "gas_hours_off_are": "at_least", "gas_button": "", "gas_reason": "'=disabled with credit left"},
	} {
		for name, want := range fields {
			if rows[i][name] != want {
				t.Errorf("row %d, %s: got %q, want %q", i+1, name, rows[i][name], want)
			}
		}
	}
	if !strings.HasPrefix(rows[1]["gas_button"], anyone) || !strings.Contains(rows[2]["electricity_button"], "in-home display") {
		t.Errorf("buttons %q, %q", rows[1]["gas_button"], rows[2]["electricity_button"])
	}
	if got, want := r.Summary.Calls, (report.Calls{Armed: 1, Dark: 2}); got != want {
		t.Errorf("summary: %+v, want %+v", got, want)
	}
	if got, want := r.Summary.Homes, (report.Homes{AllOnSupply: 2, Armed: 1, Other: 3}); got != want {
		t.Errorf("homes: %+v, want %+v", got, want)
	}
}

// The button follows the model.
func TestCallsNameTheButtonOfTheModel(t *testing.T) {
	s := newScript(t)
	s.open()
	s.planned(elecA, hubA, servicerequests.ESME, 5, "Landis+Gyr E470 Series 3")
	s.saw(elecA, 1, time.Hour, standing)
	s.ends(elecA, record.VerdictArmed, "")
	if rows := calls(t, s.report()); len(rows) != 1 || !strings.Contains(rows[0]["electricity_button"], "press A; at 'Enable supply?'") {
		t.Errorf("%v", rows)
	}
}

// A home with two meters of a fuel names both, and tells of the one that is off.
func TestCallsOfTwoMetersOfAFuel(t *testing.T) {
	s := newScript(t)
	s.open()
	s.planned(elecA, hubA, servicerequests.ESME, 5, "")
	s.planned(elecB, hubA, servicerequests.ESME, 6, "")
	s.saw(elecA, 1, time.Hour, on)
	s.ends(elecA, record.VerdictOnSupply, "")
	s.saw(elecB, 2, time.Hour, off)
	s.ends(elecB, record.VerdictNotSafe, "arm refused")
	rows := calls(t, s.report())
	if len(rows) != 1 || rows[0]["device_ids"] != elecB.String()+" "+elecA.String() || rows[0]["electricity_reason"] != "arm refused" {
		t.Errorf("%v", rows)
	}
}

func TestCallsRedacted(t *testing.T) {
	r := town(t).report()
	whole := calls(t, r)
	r.Redact()
	redacted := calls(t, r)
	if len(redacted) != len(whole) {
		t.Fatalf("%d rows, %d before", len(redacted), len(whole))
	}
	for i, row := range redacted {
		if row["mpxns"] != "" || row["kind"] != whole[i]["kind"] || row["hours_off"] != whole[i]["hours_off"] {
			t.Errorf("row %d: %v", i+1, row)
		}
	}
	directory := t.TempDir()
	if err := r.Write(directory, report.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"calls.csv", "handover/calls.csv", "handover/handover.html"} {
		text, err := os.ReadFile(filepath.Join(directory, name))
		if err != nil || bytes.Contains(text, []byte("00-DB-12")) {
			t.Errorf("%s: %v, or it names a device", name, err)
		}
	}
}
