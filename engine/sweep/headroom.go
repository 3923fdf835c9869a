package sweep

import (
	"time"

	"safemode/servicerequests"
)

// Threshold is one of the DCC's anomaly detection thresholds, as the User set it:
// what exceeds Count requests of a service within Per is quarantined.
type Threshold struct {
	Count int
	Per   time.Duration
}

// headroom counts what was sent against the thresholds, to be shown. It paces
// nothing. The dispatcher owns it.
type headroom map[servicerequests.Service]*window

// window counts the requests of the trailing period, in slots of a sixtieth of it;
// the one that the period's beginning cuts counts whole.
type window struct {
	Threshold
	slots  [61]int
	newest int64 // number of the newest slot since 1970
}

func newHeadroom(thresholds map[servicerequests.Service]Threshold) headroom {
	h := headroom{}
	for s, t := range thresholds {
		h[s] = &window{Threshold: t}
	}
	return h
}

// count notes that a request is sent.
func (h headroom) count(s servicerequests.Service, now time.Time) {
	if w := h[s]; w != nil {
		w.count(now)
	}
}

func (w *window) count(now time.Time) {
	w.advance(now)
	w.slots[w.newest%int64(len(w.slots))]++
}

// slot is how long one is.
func (w *window) slot() int64 { return int64(max(w.Per/60, 1)) }

// endOf is when a slot ends.
func (w *window) endOf(slot int64) time.Time { return time.Unix(0, (slot+1)*w.slot()).UTC() }

// free is the share of the threshold that is left, from 1 down to 0; below 0 by
// what exceeds it.
func (w *window) free(now time.Time) float64 {
	w.advance(now)
	sent := 0
	for _, n := range w.slots {
		sent += n
	}
	return 1 - float64(sent)/float64(max(w.Count, 1))
}

// advance empties the slots that the trailing period has left behind. A clock that
// was read earlier moves nothing back.
func (w *window) advance(now time.Time) {
	slot := now.UnixNano() / w.slot()
	if slot-w.newest >= int64(len(w.slots)) {
		w.slots = [61]int{}
	} else {
		for s := w.newest + 1; s <= slot; s++ {
			w.slots[s%int64(len(w.slots))] = 0
		}
	}
	w.newest = max(w.newest, slot)
}
