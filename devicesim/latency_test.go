package devicesim_test

import (
	"testing"
	"time"

	"safemode/devicesim"
	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
)

// TestLeastLatency: however fast the simulator's clock runs, an answer comes no sooner after
// its acknowledgement than the setting says, in real time. Without it an answer can come
// before a client has digested the acknowledgement: at this speed within milliseconds.
func TestLeastLatency(t *testing.T) {
	const least = 700 * time.Millisecond
	for _, setting := range []time.Duration{0, least} {
		u := newUser(t, fault.Profile{}, func(o *devicesim.Options) {
			o.Clock, o.LeastLatency = clock.Clock{Anchor: time.Now(), Speed: 3600}, setting
		})
		device := u.choose("an electricity meter", func(m fleet.Meter) bool { return m.Type == servicerequests.ESME && m.Reachable })
		took := time.Hour
		for range 3 {
			begun := time.Now() // before the acknowledgement, so it can only seem longer
			id := u.read(servicerequests.ReadSupplyStatus, device.Device)
			acknowledged := time.Now()
			if r := u.next(); r.RequestID != id {
				t.Fatalf("an answer to %v, not to %v", r.RequestID, id)
			}
			took = min(took, time.Since(begun))
			if since := time.Since(acknowledged); since < setting-50*time.Millisecond {
				t.Errorf("an answer %v after the acknowledgement, want %v", since, setting)
			}
		}
		if setting == 0 && took > least {
			t.Errorf("without the setting the fastest answer takes %v: the test shows nothing", took)
		}
	}
}
