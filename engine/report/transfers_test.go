package report_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
)

// order adds an order of the sweep's own.
func (s *script) order(o record.OrderBody, after time.Duration) {
	o.By = record.BySweep
	s.add(record.Record{Kind: record.Operator, Code: o.Action, Body: record.Encode(o)})
	s.records[len(s.records)-1].At = start.Add(after)
}

// leavers is a sweep from which homes leave: A on its day, with a DCC Alert, armed; B by E4
// alone; C was on the list and is not any more; gas A is still to come; gas B stays.
func leavers(t *testing.T) *script {
	s := newScript(t)
	s.open()
	for _, m := range []struct {
		device, hub servicerequests.EUI
		kind        servicerequests.DeviceType
	}{
		{elecA, hubA, servicerequests.ESME},
		{elecB, hubB, servicerequests.ESME},
		{elecC, hubC, servicerequests.ESME},
		{gasA, hubA, servicerequests.GSME},
		{gasB, hubB, servicerequests.GSME},
	} {
		s.target(m.device, m.hub, m.kind)
	}
	transfer := func(device servicerequests.EUI, day time.Duration) record.Transfer {
		return record.Transfer{Device: device, MPxN: "1", Effective: start.Add(day), Leave: start.Add(day - time.Hour), Incoming: "SOLR"}
	}
	s.order(record.OrderBody{Action: record.OrderTransfers, Cause: record.CauseTransfer, Transfers: []record.Transfer{
		transfer(elecA, 2*time.Hour), transfer(elecC, 3*time.Hour), transfer(gasA, 48*time.Hour),
	}}, time.Minute)
	s.verdict(elecA, record.VerdictBody{Verdict: record.VerdictArmed, AsOf: start.Add(30 * time.Minute), End: record.Observation{
		Mode: servicerequests.Credit, Supply: servicerequests.Armed,
	}})
	s.order(record.OrderBody{Action: record.OrderTransfers, Cause: record.CauseTransfer, Devices: []servicerequests.EUI{elecC}}, 40*time.Minute)
	s.order(record.OrderBody{Action: record.OrderExclude, Cause: record.CauseTransfer, Devices: []servicerequests.EUI{elecA}}, time.Hour)
	s.order(record.OrderBody{Action: record.OrderExclude, Cause: record.CauseTransfer, Devices: []servicerequests.EUI{elecA}, Reference: "message 7"}, 2*time.Hour)
	s.request(request{device: elecB, kind: servicerequests.ESME, service: servicerequests.ReadSupplyStatus, counter: 1})
	s.outcome(request{device: elecB, kind: servicerequests.ESME, service: servicerequests.ReadSupplyStatus, counter: 1}, record.ClassRejected, "E4")
	s.verdict(elecB, record.VerdictBody{Verdict: record.VerdictExcluded, Reason: record.ReasonTransferred + " (E4)"})
	s.until(5 * time.Hour)
	return s
}

// transferLines are the lines of transfers.csv by device and column.
func transferLines(t *testing.T, r *report.Report, list report.List) map[string]map[string]string {
	t.Helper()
	var out bytes.Buffer
	if err := r.WriteTransfers(&out, list); err != nil {
		t.Fatal(err)
	}
	all, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]map[string]string{}
	for _, row := range all[1:] {
		line := map[string]string{}
		for i, name := range all[0] {
			line[name] = row[i]
		}
		lines[line["device_id"]] = line
	}
	return lines
}

// The report says who has left or is to leave, when, and in which state.
func TestWhoHasLeftAndInWhichState(t *testing.T) {
	r := leavers(t).report()
	lines := transferLines(t, r, nil)
	stamp := func(after time.Duration) string { return start.Add(after).UTC().Format("2006-01-02T15:04:05.000Z") }
	for device, want := range map[servicerequests.EUI]map[string]string{
		elecA: {
			"transfer_date": stamp(2 * time.Hour), "incoming_mpid": "SOLR", "left_alone_at": stamp(time.Hour), "told_at": stamp(2 * time.Hour),
			"refused_at": "", "refusal_expected": "", "verdict": "armed", "end_mode": "credit", "end_supply": "armed", "as_of": stamp(30 * time.Minute),
		},
		elecB: {"transfer_date": "", "left_alone_at": "", "refusal_expected": "false", "verdict": "excluded"},
		gasA:  {"transfer_date": stamp(48 * time.Hour), "left_alone_at": "", "told_at": "", "refused_at": "", "verdict": "unknown"},
	} {
		line := lines[device.String()]
		for column, is := range want {
			if line[column] != is {
				t.Errorf("%v: %s is %q, want %q", device, column, line[column], is)
			}
		}
	}
	if lines[elecB.String()]["refused_at"] == "" || len(lines) != 3 {
		t.Errorf("%v", lines)
	}
	if diff := cmp.Diff(&report.Left{Listed: 2, LeftAlone: 1, Told: 1, Refused: 1, Unexpected: 1}, r.Summary.Transfers); diff != "" {
		t.Error(diff)
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "of 5 meters 2 are on the list of transfers, 1 left alone, 1 left by a DCC Alert, 1 refused with E4, of these 1 unexpected") {
		t.Errorf("%v %s", err, &text)
	}
	// The weekly report counts by what the DCC says, and plans by the sweep's own list.
	w := r.Weekly(start.Add(5*time.Hour), nil)
	if w.Transferred.Total != 2 || w.Transferred.Planned == nil || *w.Transferred.Planned != (report.Transfers{Meters: 2, Homes: 1, ToCome: 1}) {
		t.Errorf("%+v, planned %+v", w.Transferred, w.Transferred.Planned)
	}
	// A meter that was left alone after its verdict is no finding, though the verdict stays.
	list := report.List{elecA: {Date: start.Add(time.Hour), Incoming: "NEXT"}}
	for _, d := range r.Reconcile(nil, list).Differences {
		if d.Device != elecB {
			t.Errorf("%+v", d)
		}
	}
	if given := transferLines(t, r, list); given[elecA.String()]["incoming_mpid"] != "NEXT" || given[gasA.String()]["transfer_date"] != "" {
		t.Errorf("by another list: %v", given)
	}
}

// E4 that came in the run that halted the sweep says nothing of a home.
func TestRefusedInARunHasNotLeft(t *testing.T) {
	s := leavers(t)
	s.add(record.Record{Kind: record.Tripwire, Code: "unregistered", Body: record.Encode(record.TripwireBody{Reason: "r", Devices: []servicerequests.EUI{elecB}})})
	r := s.report()
	if _, there := transferLines(t, r, nil)[elecB.String()]; there || r.Summary.Transfers.Refused != 0 {
		t.Errorf("%+v", r.Summary.Transfers)
	}
}
