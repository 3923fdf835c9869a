package sweep

import (
	"testing"
	"time"
)

// A sleeping meter's answer that is not believed is not waited for until the
// meter would have been silent; what is waited for less long stays as it is.
func TestDoubtShortensTheWait(t *testing.T) {
	now := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	const awake = 15 * time.Minute
	for name, test := range map[string]struct{ deadline, want time.Time }{
		"a day":                {now.Add(24 * time.Hour), now.Add(awake)},
		"a minute":             {now.Add(time.Minute), now.Add(time.Minute)},
		"not acknowledged yet": {},
	} {
		s := &Sweep{o: Options{Policy: Policy{ResponseWait: PerFuel[time.Duration]{awake, 25 * time.Hour}}}}
		r := &request{meter: &meter{position: -1}, deadline: test.deadline}
		s.schedule(r.meter, test.deadline)
		s.doubt(r, now)
		if !r.unproven || !r.deadline.Equal(test.want) || !r.meter.due.Equal(test.want) {
			t.Errorf("%s: unproven %t, deadline %v, looked at %v", name, r.unproven, r.deadline, r.meter.due)
		}
	}
}
