package truth

import (
	"math"
	"strings"

	"safemode/devicesim/history"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
)

// claimsOf lists the rows of a report.
func claimsOf(rep *report.Report, suppressed map[servicerequests.EUI]struct{}) []claim {
	ordered, left := map[servicerequests.EUI]bool{}, map[servicerequests.EUI]history.Instant{}
	for device := range suppressed {
		ordered[device] = true
	}
	for _, e := range rep.Events {
		if e.What != record.OrderExclude && e.What != record.OrderSuppress {
			continue
		}
		for _, device := range e.Devices {
			if e.By != record.BySweep {
				ordered[device] = true
			} else if left[device] == 0 {
				left[device] = history.At(e.At)
			}
		}
	}
	claims := make([]claim, len(rep.Meters))
	for i, m := range rep.Meters {
		claims[i] = claim{m.Device, m.Target, m.Verdict, ordered[m.Device], left[m.Device]}
	}
	return claims
}

// heldIn lists when something was paused or stopped: from each such order to the next
// that takes one back.
func heldIn(events []report.Event) (spans []span) {
	for _, e := range events {
		switch at := history.At(e.At); {
		case strings.HasPrefix(e.What, record.OrderPause), strings.HasPrefix(e.What, record.OrderStop):
			spans = append(spans, span{at, math.MaxInt64})
		case e.What == record.OrderResume:
			for i := range spans {
				spans[i].to = min(spans[i].to, at)
			}
		}
	}
	return spans
}
