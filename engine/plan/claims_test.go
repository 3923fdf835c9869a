package plan_test

import (
	"reflect"
	"testing"
	"time"

	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// The journal says of a target all that its plan says and a body has a place for.
func TestClaimsLeaveNothingOut(t *testing.T) {
	balance, at := servicerequests.Pound, time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	target := plan.Target{
		Device: 1, Type: servicerequests.GSME, Hub: 2, MPxN: "1234567", Region: servicerequests.South, Claimed: servicerequests.Prepayment,
		Priority: 3, Originator: 4, History: []string{"x"}, Carried: map[string]string{plan.ColumnModel: "E470"},
		Proxy: 5, BalanceEstimate: &balance, BalanceAt: at, LastTopUp: at.Add(-time.Hour), Supply: servicerequests.Disabled, Suppressed: true,
	}
	again, err := record.Decode[record.TargetBody](record.Record{Body: target.Body()})
	if err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(again)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("%s is left out", v.Type().Field(i).Name)
		}
	}
}
