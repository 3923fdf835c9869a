package sweep

import (
	"slices"
	"testing"

	"safemode/engine/gateway"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Where the User's limit binds, what waits longest goes first, whichever of the
// DCC's services it is for.
func TestLaneServesWhatHasWaitedLongest(t *testing.T) {
	l := &lane{}
	m := newMeter(0x00DB1234567890A1, record.TargetBody{Type: servicerequests.GSME})
	var want []servicerequests.Service
	for range 3 {
		for _, service := range [...]servicerequests.Service{servicerequests.ReadInventory, servicerequests.ReadSupplyStatus, servicerequests.SwitchToCredit} {
			l.push(&request{meter: m, service: service}, risk{})
			want = append(want, service)
		}
	}
	var got []servicerequests.Service
	for l.len() > 0 {
		e, ok := first(&l.fresh, new([len(gateway.Services) + 1]bool))
		if !ok {
			t.Fatal("nothing to serve, though the lane is not empty")
		}
		got = append(got, l.fresh[e].pop().service)
	}
	if !slices.Equal(got, want) {
		t.Errorf("served %v, want %v", got, want)
	}
}

// A service that is held up does not hold up the others.
func TestLanePassesOverWhatWasTried(t *testing.T) {
	l := &lane{}
	m := newMeter(0x00DB1234567890A1, record.TargetBody{Type: servicerequests.GSME})
	l.push(&request{meter: m, service: servicerequests.ReadInventory}, risk{})
	l.push(&request{meter: m, service: servicerequests.ReadSupplyStatus}, risk{})
	var tried [len(gateway.Services) + 1]bool
	for _, want := range [...]gateway.Service{gateway.NonDevice, gateway.SendCommand} {
		e, ok := first(&l.fresh, &tried)
		if !ok || e != want {
			t.Fatalf("serves %v, %t; want %v", e, ok, want)
		}
		tried[e] = true
	}
	if e, ok := first(&l.fresh, &tried); ok {
		t.Errorf("serves %v again", e)
	}
}
