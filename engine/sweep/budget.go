package sweep

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"safemode/engine/exchange"
	"safemode/servicerequests"
)

// Threshold is one of the DCC's anomaly detection thresholds, as the User set it: the DCC
// quarantines requests beyond Count of a service within Per.
type Threshold struct {
	Count int
	Per   time.Duration
}

// budgets count the requests that the DCC's thresholds count. They limit nothing: the Pacer does.
type budgets struct {
	thresholds map[servicerequests.Service]Threshold
	headroom   headroom                // to be shown
	spent      map[budgetKey]*window   // what thresholds count; the Pacer gets it after a start
	dry        map[budgetKey]time.Time // until when a threshold is used up
}

func newBudgets(thresholds map[servicerequests.Service]Threshold) budgets {
	b := budgets{thresholds: thresholds, headroom: headroom{}, spent: map[budgetKey]*window{}, dry: map[budgetKey]time.Time{}}
	for s, t := range thresholds {
		b.headroom[s] = &window{Threshold: t}
	}
	return b
}

// spend notes that a POST takes its place in a threshold.
func (b *budgets) spend(p exchange.Place, at time.Time) {
	if w := b.window(p); w != nil {
		w.count(at)
	}
}

// window returns the window in which a POST counts; nil if no threshold counts it.
func (b *budgets) window(p exchange.Place) *window {
	t, ok := b.thresholds[p.Service]
	if !ok {
		return nil
	}
	key := budgetKey{p.Originator, p.Service, p.Signed}
	w := b.spent[key]
	if w == nil {
		w = &window{Threshold: t}
		b.spent[key] = w
	}
	return w
}

func (b *budgets) isDry(r *request, now time.Time) bool { return now.Before(b.dry[r.budget()]) }

// dryRead says whether a first read waits for a threshold. Then no home begins, because it
// could not be read.
func (b *budgets) dryRead(now time.Time) bool {
	for key, until := range b.dry {
		if now.Before(until) && !key.service.Critical() {
			return true
		}
	}
	return false
}

// refill queues again the requests that waited for a threshold with room again.
func (s *Machine) refill() {
	refilled := false
	for key, until := range s.budgets.dry {
		if s.now.Before(until) {
			s.diary.wakeAt(until)
		} else {
			delete(s.budgets.dry, key)
			refilled = true
		}
	}
	if refilled {
		s.unpark()
	}
}

// windowState is what was sent of a service in the trailing period of its threshold.
type windowState struct {
	Originator servicerequests.EUI     `json:"originator,omitempty"`
	Service    servicerequests.Service `json:"service"`
	Signed     bool                    `json:"signed,omitempty"`
	Newest     int64                   `json:"newest"`
	Slots      [61]int                 `json:"slots"`
}

// states are the windows of headroom and of what was spent, in a fixed order.
func (b *budgets) states() (headroom, spent []windowState) {
	for _, service := range slices.Sorted(maps.Keys(b.headroom)) {
		w := b.headroom[service]
		headroom = append(headroom, windowState{Service: service, Newest: w.newest, Slots: w.slots})
	}
	for key, w := range b.spent {
		spent = append(spent, windowState{key.originator, key.service, key.signed, w.newest, w.slots})
	}
	slices.SortFunc(spent, func(a, b windowState) int {
		signed := map[bool]int{true: 1}
		return cmp.Or(cmp.Compare(a.Originator, b.Originator), cmp.Compare(a.Service, b.Service), cmp.Compare(signed[a.Signed], signed[b.Signed]))
	})
	return headroom, spent
}

// respend tells the Pacer what was sent in the trailing period, at the latest possible times:
// then no period has more than its threshold.
func (s *Machine) respend(kept windowState, until time.Time) {
	p := exchange.Place{Originator: kept.Originator, Service: kept.Service, Signed: kept.Signed}
	w := s.budgets.window(p)
	if w == nil {
		return
	}
	w.newest, w.slots = kept.Newest, kept.Slots
	for slot := w.newest - int64(len(w.slots)) + 1; slot <= w.newest; slot++ {
		if slot < 0 {
			continue
		}
		end := w.endOf(slot)
		if end.After(until) {
			end = until
		}
		for range w.slots[slot%int64(len(w.slots))] {
			s.o.Pacer.Spent(end, p)
		}
	}
}

// headroom counts how much of the thresholds is used, for display.
type headroom map[servicerequests.Service]*window

// window counts the requests of the trailing period, in slots of a sixtieth of it. The slot in
// which the period begins counts as a whole.
type window struct {
	Threshold
	slots  [61]int
	newest int64 // number of the newest slot since 1970
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

// free is the share of the threshold that is left, from 1 down to 0; it is negative if more
// was sent.
func (w *window) free(now time.Time) float64 {
	w.advance(now)
	sent := 0
	for _, n := range w.slots {
		sent += n
	}
	return 1 - float64(sent)/float64(max(w.Count, 1))
}

// advance empties the slots that are older than the trailing period. An earlier clock reading
// moves nothing back.
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
