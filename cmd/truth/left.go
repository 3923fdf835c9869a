package truth

import (
	"fmt"
	"time"

	"safemode/devicesim/history"
)

// leavesAt is from when on a home that the list of transfers names is to be left alone; 0: it
// is not on it.
func (r row) leavesAt() history.Instant {
	if r.Listed.IsZero() {
		return 0
	}
	return history.At(r.Listed.Add(-r.Margin))
}

// told says whether the User was told that the home leaves or has left: by the list, once its
// margin has begun, by a DCC Alert, or by E4.
func (r row) told() bool {
	at := r.leavesAt()
	return at != 0 && at <= r.Now || r.Meter.Left != 0 || r.refused("", notRegistered)
}

// wrongLeft says how a home was left alone wrongly: for no reason, too early, or too late.
func (r row) wrongLeft() string {
	at := r.leavesAt()
	if r.left != 0 && (at == 0 || r.left < at) && r.Meter.Left == 0 {
		return fmt.Sprintf("left alone at %s, though neither the list of transfers nor a DCC Alert said so", r.left.Time().Format(time.RFC3339))
	}
	if at == 0 {
		return ""
	}
	for _, d := range [...]history.Device{r.Meter, r.Proxy} {
		for _, a := range d.Accepted {
			if late := time.Duration(a.At - at); late > r.OnTheWay {
				return fmt.Sprintf("a %s was accepted %v after the home was to be left alone by the list of transfers", a.SRV, late.Round(time.Second))
			}
		}
	}
	return ""
}
