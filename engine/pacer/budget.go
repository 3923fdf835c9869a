package pacer

import (
	"math"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/ring"
)

// Budget is how much of one kind the DCC's anomaly detection takes in a period
// before it quarantines what comes after.
type Budget struct {
	Count int           // 0 is closed
	Per   time.Duration // over 0
}

// With keeps back a share of the budget, from 0 to under 1: the DCC counts when messages
// arrive, and two that were sent a period apart may arrive closer together. It keeps back at
// least one message, if the budget has more than one.
func (b Budget) With(margin float64) Budget {
	if margin <= 0 || b.Count < 2 {
		return b
	}
	b.Count = max(1, b.Count-max(1, int(math.Ceil(float64(b.Count)*margin))))
	return b
}

// SRV is the budget of one Business Originator for one Service Request Variant.
// signed names the Signed Pre-Commands of a critical one, which are counted apart
// from the requests for them: whichever of the two the DCC counts, no more of it
// leaves than the budget has.
func SRV(originator servicerequests.EUI, srv string, signed bool) Key {
	return Key{scope: perSRV, number: uint64(originator), service: srv, signed: signed}
}

// window is a budget as a sliding log: the times of the last Count messages. One
// more may leave when the oldest of them is a whole period old, so no window of
// that length, wherever it begins, ever holds more than Count.
type window struct {
	per  time.Duration
	sent ring.Ring[time.Time]
}

func newWindow(b Budget) *window { return &window{b.Per, ring.Ring[time.Time]{Most: b.Count}} }

func (w *window) wait(now time.Time) time.Duration {
	switch {
	case w.sent.Most == 0:
		return forever
	case !w.sent.Full():
		return 0
	}
	// Both ends of a window belong to it.
	return max(0, w.sent.Oldest(0).Add(w.per+1).Sub(now))
}

func (w *window) take(now time.Time) { w.sent.Add(now) }
