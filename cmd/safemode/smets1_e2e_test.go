package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/report"
)

// TestSMETS1Homes: meters of the first generation are sent nothing, and stand in report and
// hand-over as a group of their own.
func TestSMETS1Homes(t *testing.T) {
	long(t)
	s := newScene(t, 20, 4, hasty)
	text := string(mustRead(t, s.path("portfolio.csv")))
	columns := strings.Split(strings.TrimSpace(strings.SplitN(text, "\n", 2)[0]), ",")
	devices := []string{"00-DB-12-51-00-00-00-01", "00-DB-12-51-00-00-00-02"}
	for i, device := range devices {
		row := map[string]string{
			"device_id": device, "device_type": "SMETS1", "chf_id": "00-DB-12-51-00-00-00-09", "mpxn": []string{"1200000000002", "1234567"}[i],
			"csp_region": "SMETS1", "claimed_mode": "prepayment", "priority": "0", "source": "cscp",
		}
		var fields []string
		for _, column := range columns {
			fields = append(fields, row[column])
		}
		text += strings.Join(fields, ",") + "\n"
	}
	putFile(t, s.path("portfolio.csv"), []byte(text))
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	s.sim(t)
	if r := s.sweep(t).wait(); r.code != exitDone {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	summary := parseSummary(t, must(t, "", "report", "--journal", s.path("journal.db"), "--out", s.path("report"), "--json"))
	meters := readMeters(t, s.path("report"))
	if diff := cmp.Diff(&report.SMETS1{Meters: 2, Homes: 1, Prepayment: 2}, summary.SMETS1); diff != "" {
		t.Error(diff)
	}
	if slices.ContainsFunc(meters, func(m meterLine) bool { return slices.Contains(devices, m["device_id"]) }) {
		t.Error("a SMETS1 meter stands among the meters of the sweep")
	}
	for _, name := range []string{"smets1.csv", "handover/smets1.csv"} {
		_, lines := readCSV(t, s.path("report/"+name))
		if len(lines) != 2 || lines[0]["device_id"] != devices[0] || lines[1]["claimed_mode"] != "prepayment" || lines[1]["chf_id"] != "00-DB-12-51-00-00-00-09" {
			t.Errorf("%s: %v", name, lines)
		}
	}
	var handover struct{ SMETS1 *report.SMETS1 }
	if err := json.Unmarshal(mustRead(t, s.path("report/handover/counters.json")), &handover); err != nil || handover.SMETS1 == nil || handover.SMETS1.Homes != 1 {
		t.Errorf("%+v, %v", handover.SMETS1, err)
	}
}
