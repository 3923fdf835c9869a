package sweep

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// TestOtherTrafficIsMarkedByKind: the journal says of each message that answers nothing of
// the sweep what it is, and the metric counts the same.
func TestOtherTrafficIsMarkedByKind(t *testing.T) {
	d := newDriver(healthy())
	stranger := servicerequests.RequestID{Originator: 0x99, Target: 0x77, Counter: 1}
	for _, delivery := range []proof.Delivery{
		{Device: 0x77, Alert: &gbcs.Alert{Code: 0x8F30}, Signed: true},
		{DCCAlert: &duis.DCCAlert{Code: "N17", Event: duis.DeviceStatusChange{Device: 0x77, Change: "DeviceRestored"}}, Signed: true},
		{ID: stranger, Device: 0x77, Result: &gbcs.Response{}, Signed: true},
		{ID: stranger, Device: 0x77, Code: "E21"},
	} {
		d.step(Heard{Delivery: delivery})
	}
	long := strings.Repeat("x", 1000)
	for _, kind := range []record.OtherKind{record.OtherSMETS1, record.OtherS1SP, record.OtherUseCase, ""} {
		d.step(Disbelieved{ID: stranger, Reason: long, Kind: kind, FromDCC: kind != "", Final: true})
	}
	var kinds []record.OtherKind
	for _, r := range d.SentIn(record.Unmatched) {
		body, err := record.Decode[record.JudgedBody](r)
		if err != nil || len(body.Detail) > longestDetail {
			t.Errorf("%+v, %v", body, err)
		}
		kinds = append(kinds, body.Kind)
	}
	want := []record.OtherKind{
		record.OtherAlert, record.OtherDCCAlert, record.OtherResponse, record.OtherSilence,
		record.OtherSMETS1, record.OtherS1SP, record.OtherUseCase, record.OtherUnproven,
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
	for _, kind := range record.OtherKinds {
		counted := 0
		for _, k := range kinds {
			if k == kind {
				counted++
			}
		}
		if n := testutil.ToFloat64(d.m.metrics.others.WithLabelValues(string(kind))); n != float64(counted) {
			t.Errorf("%s: the metric says %v, the journal %d", kind, n, counted)
		}
	}
	if d.m.run.halt != nil {
		t.Errorf("halt %v", d.m.run.halt)
	}
}
