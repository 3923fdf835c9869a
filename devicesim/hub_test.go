package devicesim_test

import (
	"net/http"
	"testing"
	"time"

	"safemode/devicesim/fault"
	"safemode/servicerequests"
)

// TestHubOrder: a profile says in which order hubs serve a device, and so does one
// that comes while the simulator runs.
func TestHubOrder(t *testing.T) {
	t.Parallel()
	const slow = "latency: {median: 20m, tail: 20m}\ndcc: {windows: {no_answer: 12h}}\nhubs: {order: lifo}"
	u := newUser(t, parseFaults(t, slow), nil)
	m := u.choose("electricity on supply", onSupply(servicerequests.ESME))
	ask := func() (ids [3]servicerequests.RequestID) {
		for i := range ids {
			ids[i] = u.read(servicerequests.ReadSupplyStatus, m.Device)
		}
		return ids
	}
	order := func(ids ...servicerequests.RequestID) {
		t.Helper()
		for i, id := range ids {
			if r := u.next(); r.RequestID != id || r.Code != servicerequests.Success {
				t.Fatalf("answer %d is to %s with %s, want %s", i, r.RequestID, r.Code, id)
			}
		}
	}
	ids := ask()
	order(ids[0], ids[2], ids[1])
	if status := u.control("POST", "/sim/v1/faults", slow[:len(slow)-len("lifo}")]+"fifo}", nil); status != http.StatusNoContent {
		t.Fatal(status)
	}
	ids = ask()
	order(ids[:]...)
}

// TestMessagesAWake: what a gas meter does not take in its wake comes with the next.
func TestMessagesAWake(t *testing.T) {
	t.Parallel()
	for perWake, apart := range map[int]time.Duration{0: 0, 1: 30 * time.Minute} {
		p := fault.Profile{Name: "wakes", Hubs: fault.Hubs{PerWake: perWake}}
		u := newUser(t, p, nil)
		m := u.choose("gas on supply", onSupply(servicerequests.GSME))
		first, second := u.read(servicerequests.ReadSupplyStatus, m.Device), u.read(servicerequests.ReadPaymentMode, m.Device)
		came := map[servicerequests.RequestID]time.Time{} // the two may pass each other on the way
		for len(came) < 2 {
			r := u.next()
			came[r.RequestID] = r.At
		}
		between := came[second].Sub(came[first])
		if (between - apart).Abs() > time.Minute {
			t.Errorf("%d a wake: %v apart, want %v", perWake, between, apart)
		}
	}
}
